//! A documented reference, and the grammar of the comments that document references.
//!
//! A comment is read line by line. A line whose first or second word is `references` is a clause, every other line is
//! prose. A clause is `[PATH] references SCHEMA.TABLE.COLUMN [on orphan report|delete|clear]`.
//!
//! - Without a path, the column itself is the reference. It is a text.
//! - `tag_uids[]`: the column `tag_uids` is a list of references, an array of texts or a jsonb array.
//! - `body.template_uid`: the reference is in the key `template_uid` of the jsonb column `body`.
//! - `body.product_uids[]`: that key holds a list of references.

use std::collections::HashSet;
use std::fmt;

/// Maximum length of a name in Postgres, in bytes.
const MAX_NAME_BYTES: usize = 63;

/// The column that a reference points at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Target {
    /// The schema, which is the slice that owns the rows.
    pub schema: String,
    /// The table.
    pub table: String,
    /// The column.
    pub column: String,
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.schema, self.table, self.column)
    }
}

/// What happens to a reference whose target is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnOrphan {
    /// It is reported, and stays.
    #[default]
    Report,
    /// Its row is deleted.
    Delete,
    /// It is removed from its row: the column becomes null, the key or the element of the list is taken out.
    Clear,
}

impl OnOrphan {
    /// The word in a comment.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Delete => "delete",
            Self::Clear => "clear",
        }
    }
}

/// A documented reference. The names in it consist of lower-case letters, digits and underscores, but they may be words
/// that SQL reserves: quote them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The table that holds it, with its schema: `orders.order_line_item`.
    pub table: String,
    /// The column that holds it.
    pub column: String,
    /// The key of the column's jsonb object that holds it; none if the column itself is the reference. It consists of
    /// letters, digits and underscores.
    pub path: Option<String>,
    /// Whether there is a list of references.
    pub list: bool,
    /// What it points at.
    pub target: Target,
    /// What happens if the target is missing.
    pub action: OnOrphan,
}

impl Reference {
    /// The relation's name: `orders.order_line_item.product_uid`, or, for a key of an object,
    /// `records.macrodata_artifact.body.template_uid`.
    pub fn name(&self) -> String {
        format!("{}.{}", self.table, self.place())
    }

    /// The column, and the key in it: `product_uid`, `body.template_uid`.
    pub fn place(&self) -> String {
        match &self.path {
            Some(key) => format!("{}.{key}", self.column),
            None => self.column.clone(),
        }
    }
}

/// A column of a table, as far as the references in it depend on it.
#[derive(Clone, Debug)]
pub struct Column {
    /// The schema of its table.
    pub schema: String,
    /// Its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// The type as Postgres writes it: `text`, `jsonb`, `text[]`.
    pub data_type: String,
    /// Whether it may be null.
    pub nullable: bool,
    /// Whether it belongs to the primary key.
    pub in_key: bool,
}

impl Column {
    /// `SCHEMA.TABLE.COLUMN`.
    pub fn full_name(&self) -> String {
        format!("{}.{}.{}", self.schema, self.table, self.name)
    }

    /// The references that a comment documents; none if it is only prose.
    ///
    /// # Errors
    /// What is wrong with the first clause that is not valid.
    pub fn references(&self, comment: &str) -> Result<Vec<Reference>, InvalidComment> {
        let invalid = |problem| InvalidComment { column: self.full_name(), problem };
        let mut found: Vec<(&str, Reference)> = Vec::new();
        for line in comment.lines() {
            let read = self.clause(line).and_then(|clause| match clause {
                Some(clause) => self.check_type(&clause).map(|()| Some(clause)),
                None => Ok(None),
            });
            let read = read.map_err(|problem| invalid(format!("{:?}: {problem}", line.trim())))?;
            found.extend(read.map(|reference| (line, reference)));
        }
        let several = found.len() > 1;
        let mut places = HashSet::new();
        for (line, reference) in &found {
            let checked = if places.insert(&reference.path) {
                self.check_action(reference, several)
            } else {
                Err(format!("{} is a reference already", reference.place()))
            };
            checked.map_err(|problem| invalid(format!("{:?}: {problem}", line.trim())))?;
        }
        Ok(found.into_iter().map(|(_, reference)| reference).collect())
    }

    /// The reference of a line; none if the line is prose.
    fn clause(&self, line: &str) -> Result<Option<Reference>, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        // A word in the wrong letter case is a mistake, not prose.
        let Some(at) = words.iter().take(2).position(|word| word.eq_ignore_ascii_case("references")) else {
            return Ok(None);
        };
        if words[at] != "references" {
            return Err("write \"references\" in lower case".to_owned());
        }
        if let Some(bad) = [&self.schema, &self.table, &self.name].into_iter().find(|name| !is_plain(name)) {
            return Err(format!("{bad:?} has to be renamed to lower-case letters, digits and underscores first"));
        }
        let (path, list) = if at == 1 { self.place(words[0])? } else { (None, false) };
        let target = words.get(at + 1).ok_or("it names no SCHEMA.TABLE.COLUMN after \"references\"")?;
        let names: Vec<&str> = target.split('.').collect();
        let target = match names[..] {
            [schema, table, column] if names.iter().all(|name| is_plain(name)) => {
                Target { schema: schema.to_owned(), table: table.to_owned(), column: column.to_owned() }
            }
            _ => return Err(format!("{target:?} is no SCHEMA.TABLE.COLUMN in lower case")),
        };
        let action = match words[at + 2..] {
            [] | ["on", "orphan", "report"] => OnOrphan::Report,
            ["on", "orphan", "delete"] => OnOrphan::Delete,
            ["on", "orphan", "clear"] => OnOrphan::Clear,
            _ => {
                let rest = words[at + 2..].join(" ");
                return Err(format!(
                    "{rest:?} is not \"on orphan report\", \"on orphan delete\" or \"on orphan clear\""
                ));
            }
        };
        let table = format!("{}.{}", self.schema, self.table);
        Ok(Some(Reference { table, column: self.name.clone(), path, list, target, action }))
    }

    /// The key that a path names, and whether it is a list.
    fn place(&self, path: &str) -> Result<(Option<String>, bool), String> {
        let (whole, list) = path.strip_suffix("[]").map_or((path, false), |whole| (whole, true));
        let (column, key) = whole.split_once('.').map_or((whole, None), |(column, key)| (column, Some(key)));
        if column != self.name {
            return Err(format!("the path {path:?} does not begin with the column's name, {:?}", self.name));
        }
        match key {
            Some(key) if key.is_empty() || !key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') => {
                Err(format!("{key:?} is not one key of letters, digits and underscores"))
            }
            key => Ok((key.map(str::to_owned), list)),
        }
    }

    fn check_type(&self, reference: &Reference) -> Result<(), String> {
        let (allowed, what): (&[&str], _) = match (&reference.path, reference.list) {
            (Some(_), _) => (&["jsonb"], "a key is in a column of type jsonb"),
            (None, true) => (&["jsonb", "text[]", "character varying[]"], "a list is of type jsonb or text[]"),
            (None, false) => (&["text", "character varying"], "a column that is a reference is of type text"),
        };
        if allowed.contains(&&*self.data_type) {
            return Ok(());
        }
        Err(format!("{what}, but {} is {}", self.name, self.data_type))
    }

    fn check_action(&self, reference: &Reference, several: bool) -> Result<(), String> {
        let whole_column = reference.path.is_none() && !reference.list;
        match reference.action {
            OnOrphan::Delete if several || reference.list => Err("\"on orphan delete\" would delete a row although \
                 other references in the column still have their targets: use report or clear"
                .to_owned()),
            OnOrphan::Clear if self.in_key => {
                Err("\"on orphan clear\" would change the primary key: use report or delete".to_owned())
            }
            OnOrphan::Clear if whole_column && !self.nullable => {
                Err("\"on orphan clear\" would make a column null that is \"not null\": use report or delete"
                    .to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// Whether a name can be written without quotes (reserved words excepted).
fn is_plain(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_lowercase() || c == '_')
        && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && name.len() <= MAX_NAME_BYTES
}

/// A comment with a clause that does not fit the grammar or the column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidComment {
    /// The column, as `SCHEMA.TABLE.COLUMN`.
    pub column: String,
    /// The clause, and what is wrong with it.
    pub problem: String,
}

impl fmt::Display for InvalidComment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the comment of {} is no valid reference: {}", self.column, self.problem)
    }
}

/// All comments of a schema that are not valid, at least one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(InvalidComment::to_string).collect::<Vec<_>>().join("; "))]
pub struct InvalidComments(pub Vec<InvalidComment>);
