//! One stored row within a transaction: locked, and held against what a caller demands of it.

use sqlx::Row as _;

use crate::db::{Statement, Transaction};
use crate::error::Error;
use crate::read::point::put_tuple;
use crate::resource::decode::Precondition;
use crate::resource::select::{Selection, etag};
use crate::resource::{Field, Resource};

/// A stored row, which nobody else changes before the transaction ends; whoever changes one of its parts waits as well. The default is a
/// row that is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Locked {
    /// Its etag.
    pub etag: String,
    /// Its revision; 0 if the resource has none.
    pub revision: i32,
    /// Its status's phase; empty if there is none.
    pub phase: String,
}

impl Locked {
    /// Locks a row by its uid; `None` if there is none.
    ///
    /// # Errors
    /// What the database says.
    pub async fn of(
        transaction: &mut Transaction<'_>,
        resource: &'static Resource,
        uid: &str,
    ) -> Result<Option<Self>, Error> {
        let selection = Selection::whole(resource);
        let table = resource.description.table;
        let revision = resource.revision().map_or("0".to_owned(), |field| format!("t.{}", field.name));
        let status = resource.fields.iter().find(|field| Field::is_status(field));
        let phase = status.map_or("''".to_owned(), |field| format!("coalesce(t.{} ->> 'phase', '')", field.name));
        let select = Statement::new(
            format!("select {}, {revision}, {phase} from {table} as t where t.uid = $1 for update", selection.sql),
            1,
        )
        .bind(uid)?;
        let rows = transaction.fetch(select).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let mut tuple = Vec::new();
        put_tuple(row, selection.columns, &mut tuple)?;
        let (revision, phase) = (row.try_get(selection.columns)?, row.try_get(selection.columns + 1)?);
        Ok(Some(Self { etag: etag(&tuple), revision, phase }))
    }

    /// Checks what a caller demands of the row.
    ///
    /// # Errors
    /// [`Error::EtagMismatch`], [`Error::RevisionMismatch`].
    pub fn check(&self, resource: &Resource, uid: &str, demanded: &Precondition) -> Result<(), Error> {
        let (resource, name) = (resource.description.message, || uid.to_owned());
        if !demanded.etag.is_empty() && demanded.etag != self.etag {
            return Err(Error::EtagMismatch { resource, name: name() });
        }
        if demanded.revision != 0 && demanded.revision != self.revision {
            return Err(Error::RevisionMismatch { resource, name: name() });
        }
        Ok(())
    }
}
