//! What is wrong with the references that a database documents.

use std::collections::{BTreeSet, HashSet};
use std::fmt;

use futures::future::BoxFuture;
use sqlx::Row as _;

use super::documented::{Documented, page_rows, pages, read_all};
use super::reference::{InvalidComment, Target};
use crate::db::array::ArrayParameter;
use crate::db::{Database, Statement};
use crate::deadline::Deadline;
use crate::error::Error;

/// A page of the columns that are named like references, without those whose comment says that they are none.
const NAMED_LIKE_REFERENCES: &str = "select t.relname::text, c.attname::text
  from pg_class as t
  join pg_namespace as s on s.oid = t.relnamespace
  join pg_attribute as c on c.attrelid = t.oid
 where s.nspname = $1 and t.relkind in ('r', 'p') and not t.relispartition
   and c.attnum > 0 and not c.attisdropped
   and (c.attname like '%\\_uid' or c.attname like '%\\_uids')
   and coalesce(col_description(t.oid, c.attnum), '') not like 'no reference:%'
   and (t.relname, c.attname) > ($2::name, $3::name)
 order by t.relname, c.attname
 limit $4";

/// Whether there is a schema.
const SCHEMA_EXISTS: &str = "select from pg_namespace where nspname = $1";

/// Those of some columns that exist.
const EXISTING: &str = "select w.schema, w.tab, w.col
  from unnest($1, $2, $3) as w (schema, tab, col)
  join pg_namespace as s on s.nspname = w.schema
  join pg_class as t on t.relnamespace = s.oid and t.relname = w.tab and t.relkind in ('r', 'p')
  join pg_attribute as c on c.attrelid = t.oid and c.attname = w.col and c.attnum > 0 and not c.attisdropped";

/// A mistake in what a database documents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// There is no such schema.
    NoSchema(String),
    /// A comment is not valid.
    Invalid(InvalidComment),
    /// A column whose name ends in `_uid` or `_uids` has no reference in its comment. Holds `SCHEMA.TABLE.COLUMN`.
    Undocumented(String),
    /// The target of a reference does not exist.
    NoTarget {
        /// The relation's name.
        relation: String,
        /// The table or column that is missing.
        target: Target,
    },
    /// The table of a reference has no primary key, so its orphans cannot be searched. Holds the relation's name.
    NoKey(String),
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSchema(schema) => write!(formatter, "there is no schema {schema}"),
            Self::Invalid(invalid) => invalid.fmt(formatter),
            Self::Undocumented(column) => {
                write!(
                    formatter,
                    "{column} has no comment \"references SCHEMA.TABLE.COLUMN\", nor \"no reference: WHY\""
                )
            }
            Self::NoTarget { relation, target } => {
                write!(formatter, "{relation} references {target}, but there is no such table or column")
            }
            Self::NoKey(relation) => write!(formatter, "the table of {relation} has no primary key"),
        }
    }
}

/// What a database documents.
#[derive(Clone, Debug, Default)]
pub struct Checked {
    /// The valid references, by schema, table and column.
    pub documented: Vec<Documented>,
    /// The mistakes.
    pub mistakes: Vec<Mistake>,
}

/// Reads and checks the references of some schemas.
///
/// # Errors
/// Errors of the database.
pub fn check<'d>(
    database: &'d Database,
    schemas: &'d [&'d str],
    deadline: Deadline,
) -> BoxFuture<'d, Result<Checked, Error>> {
    Box::pin(async move {
        let mut checked = Checked::default();
        for schema in schemas {
            let exists = Statement::new(SCHEMA_EXISTS, 1).bind((*schema).to_owned())?;
            if database.fetch(&exists, deadline).await?.is_empty() {
                checked.mistakes.push(Mistake::NoSchema((*schema).to_owned()));
            }
            let (documented, invalid) = read_all(database, schema, deadline).await?;
            let mentioned: HashSet<String> = documented
                .iter()
                .map(|documented| format!("{}.{}", documented.reference.table, documented.reference.column))
                .chain(invalid.iter().map(|invalid| invalid.column.clone()))
                .collect();
            checked.mistakes.extend(invalid.into_iter().map(Mistake::Invalid));
            for row in pages(database, NAMED_LIKE_REFERENCES, schema, deadline).await? {
                let (table, column): (String, String) = (row.try_get(0)?, row.try_get(1)?);
                let column = format!("{schema}.{table}.{column}");
                if !mentioned.contains(&column) {
                    checked.mistakes.push(Mistake::Undocumented(column));
                }
            }
            checked.documented.extend(documented);
        }
        let existing = existing(database, &checked.documented, deadline).await?;
        for Documented { reference, key, .. } in &checked.documented {
            if !existing.contains(&reference.target) {
                let (relation, target) = (reference.name(), reference.target.clone());
                checked.mistakes.push(Mistake::NoTarget { relation, target });
            }
            if key.is_empty() {
                checked.mistakes.push(Mistake::NoKey(reference.name()));
            }
        }
        Ok(checked)
    })
}

/// The targets that exist.
async fn existing(
    database: &Database,
    documented: &[Documented],
    deadline: Deadline,
) -> Result<HashSet<Target>, Error> {
    let targets: BTreeSet<&Target> = documented.iter().map(|documented| &documented.reference.target).collect();
    let targets: Vec<&Target> = targets.into_iter().collect();
    let mut existing = HashSet::new();
    for some in targets.chunks(page_rows(database.limits())) {
        let names = |part: fn(&Target) -> &str| ArrayParameter::texts(some.iter().map(|target| part(target)));
        let statement = Statement::new(EXISTING, some.len())
            .bind(names(|target| &target.schema))?
            .bind(names(|target| &target.table))?
            .bind(names(|target| &target.column))?;
        for row in database.fetch(&statement, deadline).await? {
            existing.insert(Target { schema: row.try_get(0)?, table: row.try_get(1)?, column: row.try_get(2)? });
        }
    }
    Ok(existing)
}
