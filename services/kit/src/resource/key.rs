//! Keys: the value of a resource's key columns, one or several.
//!
//! How a key is read from a request, shown in messages, compared, and put into SQL as parameters, arrays or literals.

use std::cmp::Ordering;

use orrery_proto::requests::KeyValue;

use super::row::{BigInteger, ColumnType as _, Integer};
use super::tuple::prefix;
use super::tuple::{Columns, put_prefixed};
use super::{Field, Resource};
use crate::db::Statement;
use crate::db::array::{ArrayParameter, ElementType};
use crate::db::sql::literal;
use crate::error::{Error, Violation};
use crate::uid::check_key;

/// The key of a row: the values of the key's columns, as a tuple.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Key(Vec<u8>);

/// One column of a key in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPart<'a> {
    /// Of a text column.
    Text(&'a str),
    /// Of an integer or bigint column.
    Integer(i64),
}

impl<'a> From<&'a str> for KeyPart<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for KeyPart<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a KeyValue> for KeyPart<'a> {
    fn from(value: &'a KeyValue) -> Self {
        match value {
            KeyValue::Text(text) => Self::Text(text),
            KeyValue::Integer(number) => Self::Integer(*number),
        }
    }
}

impl From<i32> for KeyPart<'_> {
    fn from(number: i32) -> Self {
        Self::Integer(number.into())
    }
}

impl From<i64> for KeyPart<'_> {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl Key {
    /// The key that a tuple begins with.
    pub fn of(resource: &Resource, tuple: &[u8]) -> Self {
        Self(prefix(tuple, resource.key_length()).to_vec())
    }

    /// The key as a text from which it can be read again: a single text column as it is, else all columns as JSON.
    pub(crate) fn to_text(&self, resource: &Resource) -> String {
        let mut columns =
            resource.key_fields().zip(Columns::new(&self.0)).map(|(field, value)| match field.element_type() {
                ElementType::Integer | ElementType::BigInteger => {
                    serde_json::Value::from(number(value).unwrap_or_default())
                }
                _ => serde_json::Value::from(String::from_utf8_lossy(value.unwrap_or_default())),
            });
        match (resource.key_length(), columns.next()) {
            (1, Some(serde_json::Value::String(text))) => text,
            (_, first) => serde_json::Value::Array(first.into_iter().chain(columns).collect()).to_string(),
        }
    }

    /// The key from such a text; `None` if the text is not a key.
    pub(crate) fn from_text(resource: &Resource, text: &str) -> Option<Self> {
        if resource.key_length() == 1 && resource.fields.first()?.element_type() == ElementType::Text {
            return resource.key([text]).ok();
        }
        let columns: Vec<serde_json::Value> = serde_json::from_str(text).ok()?;
        let parts = columns.iter().map(|column| match column {
            serde_json::Value::String(text) => Some(KeyPart::Text(text)),
            number => number.as_i64().map(KeyPart::Integer),
        });
        resource.key(parts.collect::<Option<Vec<_>>>()?).ok()
    }

    /// The key as a tuple: each column with its length.
    pub fn tuple(&self) -> &[u8] {
        &self.0
    }
}

/// The order in which Postgres sorts keys: texts bytewise (collation "C"), numbers by value.
pub(crate) fn compare(resource: &Resource, a: &[u8], b: &[u8]) -> Ordering {
    let columns = Columns::new(a).zip(Columns::new(b));
    let mut orderings = resource.key_fields().zip(columns).map(|(field, (a, b))| match field.element_type() {
        ElementType::Integer | ElementType::BigInteger => number(a).cmp(&number(b)),
        _ => a.cmp(&b),
    });
    orderings.find(|ordering| ordering.is_ne()).unwrap_or(Ordering::Equal)
}

/// The integer of a column, `integer` or `bigint`.
pub(crate) fn number(value: Option<&[u8]>) -> Option<i64> {
    let value = value?;
    Integer::read(value).map(i64::from).or_else(|| BigInteger::read(value))
}

impl Resource {
    /// The fields of the key, in order.
    pub fn key_fields(&self) -> impl Iterator<Item = &Field> {
        self.fields.iter().take(self.key_length())
    }

    /// The key of an existing row, from the fields of a request. They have the names of the key's columns.
    ///
    /// # Errors
    /// [`Error::Invalid`] for each field that no stored key can have.
    pub fn key<'p>(&self, parts: impl IntoIterator<Item = impl Into<KeyPart<'p>>>) -> Result<Key, Error> {
        self.key_within("", parts)
    }

    /// The same, from fields below `path`.
    ///
    /// # Errors
    /// As [`key`](Self::key).
    pub fn key_within<'p>(
        &self,
        path: &str,
        parts: impl IntoIterator<Item = impl Into<KeyPart<'p>>>,
    ) -> Result<Key, Error> {
        let (mut tuple, mut violations) = (Vec::new(), Vec::new());
        let mut parts = parts.into_iter().map(Into::into);
        for field in self.key_fields() {
            match (field.element_type(), parts.next()) {
                (ElementType::BigInteger, Some(KeyPart::Integer(value))) => {
                    put_prefixed(&mut tuple, &value.to_be_bytes());
                }
                (ElementType::Integer, Some(KeyPart::Integer(value))) => match i32::try_from(value) {
                    Ok(value) => put_prefixed(&mut tuple, &value.to_be_bytes()),
                    Err(_) => violations.push(Violation::new(field.name, "is no 32-bit integer")),
                },
                (ElementType::Text, Some(KeyPart::Text(text))) => match check_key(text) {
                    Ok(()) => put_prefixed(&mut tuple, text.as_bytes()),
                    Err(why) => violations.push(Violation::new(field.name, why)),
                },
                _ => return Err(Error::internal("the key of a request does not fit its resource")),
            }
        }
        if violations.is_empty() {
            return Ok(Key(tuple));
        }
        if !path.is_empty() {
            violations = violations.into_iter().map(|violation| violation.within(path)).collect();
        }
        Err(Error::Invalid(violations))
    }

    /// The values of a key's columns.
    pub fn key_values(&self, key: &[u8]) -> Vec<KeyValue> {
        let columns = self.key_fields().zip(Columns::new(key)).map(|(field, value)| match field.element_type() {
            ElementType::Integer | ElementType::BigInteger => KeyValue::Integer(number(value).unwrap_or_default()),
            _ => KeyValue::Text(String::from_utf8_lossy(value.unwrap_or_default()).into_owned()),
        });
        columns.collect()
    }

    /// A key in error messages: its columns, joined by slashes.
    pub fn name_of(&self, key: &[u8]) -> String {
        let columns = self.key_fields().zip(Columns::new(key)).map(|(field, value)| match field.element_type() {
            ElementType::Integer | ElementType::BigInteger => number(value).unwrap_or_default().to_string(),
            _ => String::from_utf8_lossy(value.unwrap_or_default()).into_owned(),
        });
        columns.collect::<Vec<_>>().join("/")
    }

    /// `t.a, t.b`
    pub(crate) fn key_columns(&self, alias: &str) -> String {
        self.key_fields().map(|field| format!("{alias}.{}", field.name)).collect::<Vec<_>>().join(", ")
    }

    /// `t.a = $1 and t.b = $2`, with parameters from the number `first` on.
    pub(crate) fn key_equals(&self, first: usize) -> String {
        let equal = self.key_fields().zip(first..).map(|(field, number)| format!("t.{} = ${number}", field.name));
        equal.collect::<Vec<_>>().join(" and ")
    }

    /// `t.a = i.a and t.b = i.b`
    pub(crate) fn same_key(&self, one: &str, other: &str) -> String {
        let equal = self.key_fields().map(|field| format!("{one}.{0} = {other}.{0}", field.name));
        equal.collect::<Vec<_>>().join(" and ")
    }

    /// The condition that a row has one of many keys, which are parameters from the number `first` on: an array for
    /// each column.
    pub(crate) fn key_in_arrays(&self, first: usize) -> String {
        if let [column] = self.description.key {
            return format!("t.{column} = any (${first})");
        }
        let arrays =
            self.key_fields().zip(first..).map(|(field, n)| format!("${n}::{}", field.element_type().array_name()));
        format!("({}) in (select * from unnest({}))", self.key_columns("t"), arrays.collect::<Vec<_>>().join(", "))
    }

    /// Binds the columns of a key, one parameter each.
    ///
    /// # Errors
    /// [`Error::Internal`] if a value cannot be encoded.
    pub(crate) fn bind_key(&self, mut statement: Statement, key: &[u8]) -> Result<Statement, Error> {
        for (field, value) in self.key_fields().zip(Columns::new(key)) {
            statement = match field.element_type() {
                ElementType::BigInteger => statement.bind(number(value))?,
                ElementType::Integer => statement.bind(value.and_then(Integer::read))?,
                _ => statement.bind(value.map(|text| String::from_utf8_lossy(text).into_owned()))?,
            };
        }
        Ok(statement)
    }

    /// Binds many keys, an array for each column. The tuples may have more columns after the key.
    ///
    /// # Errors
    /// [`Error::Internal`] if a value cannot be encoded.
    pub(crate) fn bind_keys<'k>(
        &self,
        statement: Statement,
        keys: impl IntoIterator<Item = &'k [u8]>,
    ) -> Result<Statement, Error> {
        self.bind_key_prefixes(statement, self.key_length(), keys)
    }

    /// Binds the first columns of many keys, an array for each column. The tuples may have more columns.
    ///
    /// # Errors
    /// [`Error::Internal`] if a value cannot be encoded.
    pub(crate) fn bind_key_prefixes<'k>(
        &self,
        mut statement: Statement,
        columns: usize,
        keys: impl IntoIterator<Item = &'k [u8]>,
    ) -> Result<Statement, Error> {
        let fields = self.key_fields().take(columns);
        let mut arrays: Vec<ArrayParameter> =
            fields.map(|field| ArrayParameter::with_capacity(field.element_type(), 1024)).collect();
        for key in keys {
            ArrayParameter::push_columns(&mut arrays, key);
        }
        for array in arrays {
            statement = statement.bind(array)?;
        }
        Ok(statement)
    }

    /// `'a', 5`: the columns of a key in SQL.
    pub(crate) fn key_literals(&self, key: &[u8]) -> String {
        let columns = self.key_fields().zip(Columns::new(key)).map(|(field, value)| match field.element_type() {
            ElementType::Integer | ElementType::BigInteger => number(value).unwrap_or_default().to_string(),
            _ => literal(&String::from_utf8_lossy(value.unwrap_or_default())),
        });
        columns.collect::<Vec<_>>().join(", ")
    }

    /// The condition that columns, of this table or of its children's, are one of many keys, as SQL without parameters.
    pub(crate) fn key_in_literals<'k>(&self, columns: &[&str], keys: impl IntoIterator<Item = &'k [u8]>) -> String {
        let keys: Vec<String> = keys.into_iter().map(|key| self.key_literals(key)).collect();
        match (columns, keys.as_slice()) {
            ([column], [key]) => format!("t.{column} = {key}"),
            ([column], keys) => {
                let array = self.fields[0].element_type().array_name();
                format!("t.{column} = any (array[{}]::{array})", keys.join(", "))
            }
            (columns, [key]) => format!("({}) = ({key})", aliased(columns)),
            (columns, keys) => format!("({}) in (({}))", aliased(columns), keys.join("), (")),
        }
    }

    /// The condition that columns, of this table or of its children's, lie between two keys, both included.
    pub(crate) fn key_between_literals(&self, columns: &[&str], first: &[u8], last: &[u8]) -> String {
        let (first, last) = (self.key_literals(first), self.key_literals(last));
        match columns {
            [column] => format!("t.{column} between {first} and {last}"),
            columns => format!("({0}) >= ({first}) and ({0}) <= ({last})", aliased(columns)),
        }
    }
}

/// `t.a, t.b`
fn aliased(columns: &[&str]) -> String {
    columns.iter().map(|column| format!("t.{column}")).collect::<Vec<_>>().join(", ")
}
