//! Locks owners, so that of several writers that replace the rows of one owner each sees what the one before it left.
//!
//! An owner need not have a row that could be locked: it may belong to another slice, or have nothing stored. So its
//! lock is a row of the table `owner_lock` that nobody ever sees: it is inserted and deleted again in the transaction
//! that holds the lock. Another transaction that inserts the same key waits until this one has ended. On a sharded
//! database the table is spread by the same value as the owner's rows: so both are on one server and are committed
//! together, and whoever gets the lock next sees the rows. `deploy/adr/0011-owner-locks.md`

use std::fmt::Write as _;
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_128;

use super::rows::ARRAY_ROWS;
use crate::db::array::ArrayParameter;
use crate::db::{Statement, Transaction};
use crate::error::Error;
use crate::resource::Resource;
use crate::resource::key::number;
use crate::resource::tuple::Columns;

/// Most bytes of a value in the key of a lock. Longer ones are represented by a hash: the key must fit into its index.
const MAX_VALUE_BYTES: usize = 512;

/// The locks of a resource's owners.
#[derive(Debug)]
pub(super) struct OwnerLocks {
    resource: &'static Resource,
    insert: Arc<str>,
    delete: Arc<str>,
}

impl OwnerLocks {
    pub(super) fn new(resource: &'static Resource) -> Self {
        let table = format!("{}.owner_lock", resource.schema());
        let locks = "unnest($1::text[], $2::text[])";
        Self {
            resource,
            insert: format!(
                "insert into {table} (owner, resource)\n\
                 select i.owner, i.resource\n  \
                   from {locks} with ordinality as i (owner, resource, ordinal)\n \
                  order by i.ordinal\n\
                 on conflict (owner, resource) do update set resource = excluded.resource"
            )
            .into(),
            delete: format!(
                "delete from {table} as t\n using {locks} as i (owner, resource)\n \
                  where t.owner = i.owner and t.resource = i.resource"
            )
            .into(),
        }
    }

    /// The statements, each with a name, for people who read them.
    pub(super) fn sql(&self) -> impl Iterator<Item = (String, String)> {
        [("lock owners", &self.insert), ("lock owners: leave no row", &self.delete)]
            .map(|(title, sql)| (title.to_owned(), sql.to_string()))
            .into_iter()
    }

    /// Locks owners until the transaction ends. All writers lock them in the same order.
    ///
    /// # Errors
    /// The errors of the database.
    pub(super) async fn lock(&self, transaction: &mut Transaction<'_>, owners: &[&[u8]]) -> Result<(), Error> {
        let mut keys: Vec<(String, String)> = owners.iter().map(|owner| self.key(owner)).collect();
        keys.sort_unstable();
        keys.dedup();
        for keys in keys.chunks(ARRAY_ROWS.min(transaction.max_statement_rows())) {
            for sql in [&self.insert, &self.delete] {
                let statement = Statement::new(Arc::clone(sql), keys.len())
                    .bind(ArrayParameter::texts(keys.iter().map(|(owner, _)| owner)))?
                    .bind(ArrayParameter::texts(keys.iter().map(|(_, resource)| resource)))?;
                transaction.fetch(statement).await?;
            }
        }
        Ok(())
    }

    /// The `owner` and `resource` of an owner's lock: the first column of the owner; and the resource, with the owner's
    /// other columns.
    fn key(&self, owner: &[u8]) -> (String, String) {
        let columns = self.resource.key_fields().zip(Columns::new(owner)).map(|(field, value)| match number(value) {
            Some(number) if field.is_number() => number.to_string(),
            _ => bounded(value.unwrap_or_default()),
        });
        let mut columns = columns.take(self.resource.owner_length());
        let first = columns.next().unwrap_or_default();
        let mut resource = self.resource.description.message.to_owned();
        for column in columns {
            // With its length, so that different columns have different keys.
            let _ = write!(resource, " {}:{column}", column.len());
        }
        (first, resource)
    }
}

/// A text, or its hash if it is long.
fn bounded(text: &[u8]) -> String {
    if text.len() <= MAX_VALUE_BYTES {
        String::from_utf8_lossy(text).into_owned()
    } else {
        format!("{:032x}", xxh3_128(text))
    }
}
