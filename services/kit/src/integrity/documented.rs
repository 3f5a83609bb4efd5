//! Reads the documented references of a schema from the database's own catalog. Any role may read it.

use futures::future::BoxFuture;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::reference::{Column, InvalidComment, InvalidComments, Reference};
use crate::config::Limits;
use crate::db::{Database, Statement};
use crate::deadline::Deadline;
use crate::error::Error;

/// Most rows of a page.
const PAGE_ROWS: usize = 1_000;

/// A page of the columns whose comments may document references. An index serves a reference if it is ordered by the
/// column's bytes and holds every row in which the column is not null. The condition of an index is compared as the
/// server stores it, a tree as text: the functions that print it wait for whoever changes the table.
const SELECT: &str = "select t.relname::text, c.attname::text, format_type(c.atttypid, null), not c.attnotnull,
       d.description,
       array(select k.attname::text
               from pg_index as i
               cross join unnest(i.indkey) with ordinality as n (number, place)
               join pg_attribute as k on k.attrelid = i.indrelid and k.attnum = n.number
              where i.indrelid = t.oid and i.indisprimary and n.place <= i.indnkeyatts
              order by n.place),
       exists (select from pg_attribute as u where u.attrelid = t.oid and u.attname = 'uid' and not u.attisdropped),
       exists (select
                 from pg_index as i
                 join pg_class as x on x.oid = i.indexrelid
                 join pg_am as m on m.oid = x.relam
                 join pg_collation as l on l.oid = i.indcollation[0]
                where i.indrelid = t.oid and i.indisvalid and i.indkey[0] = c.attnum
                  and m.amname = 'btree' and l.collname in ('C', 'POSIX')
                  and (i.indpred is null
                       or i.indpred::text ~ format(
                           '^[{]NULLTEST :arg [{]VAR [^{}]*:varattno %s [^{}]*[}] :nulltesttype 1 ', c.attnum)))
  from pg_description as d
  join pg_class as t on t.oid = d.objoid
  join pg_namespace as s on s.oid = t.relnamespace
  join pg_attribute as c on c.attrelid = t.oid and c.attnum = d.objsubid
 where d.classoid = 'pg_class'::regclass and d.objsubid > 0
   and s.nspname = $1 and t.relkind in ('r', 'p') and not t.relispartition and not c.attisdropped
   and d.description ilike '%references%'
   and (t.relname, c.attname) > ($2::name, $3::name)
 order by t.relname, c.attname
 limit $4";

/// A reference, and what a search for its orphans has to know about its table.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact about the table, and none excludes another")]
pub struct Documented {
    /// The reference.
    pub reference: Reference,
    /// The columns of the table's primary key, in order; empty if it has none.
    pub key: Vec<String>,
    /// Whether the table has a column `uid`.
    pub has_column_uid: bool,
    /// Whether the column is the first one of a valid b-tree index, also of the primary key, that is in the order of
    /// bytes (collation "C") and holds all rows in which the column is not null. Never true for a key of an object.
    pub indexed: bool,
    /// Whether the column may be null.
    pub nullable: bool,
    /// Whether the column is of type jsonb.
    pub is_json: bool,
}

/// Why references could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Comments are not valid. Reading them again does not help.
    #[error(transparent)]
    Invalid(#[from] InvalidComments),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] Error),
}

/// The references of a schema, in the order of their tables and columns; none if there is no such schema.
///
/// # Errors
/// [`ReadError::Invalid`] with every comment that is not valid; errors of the database.
pub fn read<'d>(
    database: &'d Database,
    schema: &'d str,
    deadline: Deadline,
) -> BoxFuture<'d, Result<Vec<Documented>, ReadError>> {
    Box::pin(async move {
        let (documented, invalid) = read_all(database, schema, deadline).await?;
        if invalid.is_empty() { Ok(documented) } else { Err(InvalidComments(invalid).into()) }
    })
}

/// The references of a schema, and the comments that are not valid.
///
/// # Errors
/// Errors of the database.
pub(super) async fn read_all(
    database: &Database,
    schema: &str,
    deadline: Deadline,
) -> Result<(Vec<Documented>, Vec<InvalidComment>), Error> {
    let (mut documented, mut invalid) = (Vec::new(), Vec::new());
    for row in pages(database, SELECT, schema, deadline).await? {
        match of_row(schema, &row)? {
            Ok(references) => documented.extend(references),
            Err(comment) => invalid.push(comment),
        }
    }
    Ok((documented, invalid))
}

fn of_row(schema: &str, row: &PgRow) -> Result<Result<Vec<Documented>, InvalidComment>, Error> {
    let (name, nullable, key): (String, bool, Vec<String>) = (row.try_get(1)?, row.try_get(3)?, row.try_get(5)?);
    let (has_column_uid, indexed): (bool, bool) = (row.try_get(6)?, row.try_get(7)?);
    let in_key = key.contains(&name);
    let (schema, table, data_type) = (schema.to_owned(), row.try_get(0)?, row.try_get(2)?);
    let column = Column { schema, table, name, data_type, nullable, in_key };
    let is_json = column.data_type == "jsonb";
    let comment: &str = row.try_get(4)?;
    Ok(column.references(comment).map(|references| {
        let documented = |reference: Reference| {
            let indexed = indexed && reference.path.is_none() && !reference.list;
            Documented { reference, key: key.clone(), has_column_uid, indexed, nullable, is_json }
        };
        references.into_iter().map(documented).collect()
    }))
}

/// All rows of a statement about the columns of a schema. It takes the schema, the table and the column after which a
/// page begins, and the number of rows of a page, and returns the table and the column first. A page that the server
/// refuses for its size is asked for again, smaller.
///
/// # Errors
/// Errors of the database.
pub(super) async fn pages(
    database: &Database,
    select: &'static str,
    schema: &str,
    deadline: Deadline,
) -> Result<Vec<PgRow>, Error> {
    let mut most = page_rows(database.limits());
    let (mut rows, mut after): (Vec<PgRow>, _) = (Vec::new(), (String::new(), String::new()));
    loop {
        let mut statement = Statement::new(select, most)
            .bind(schema.to_owned())?
            .bind(after.0.clone())?
            .bind(after.1.clone())?
            .bind(most as i64)?;
        statement.keep_prepared = false;
        let page = match database.fetch(&statement, deadline).await {
            Err(error) if error.may_be_too_large() && most > 1 => {
                most /= 2;
                continue;
            }
            page => page?,
        };
        let Some(last) = page.last().filter(|_| page.len() >= most) else {
            rows.extend(page);
            return Ok(rows);
        };
        after = (last.try_get(0)?, last.try_get(1)?);
        rows.extend(page);
    }
}

/// How many rows to ask for at once.
pub(super) fn page_rows(limits: &Limits) -> usize {
    PAGE_ROWS.min(limits.max_query_rows).min(limits.max_statement_rows).max(1)
}
