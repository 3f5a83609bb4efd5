//! The ledger of creates: which request_id made what. It stands beside that of chunked writes, and is entered in the
//! transaction that creates, so that a retry is recognised whatever became of the first call's answer.

use sqlx::Row as _;

use crate::context::Writes;
use crate::db::{Statement, Transaction};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::resource::Resource;
use crate::resource::key::Key;

/// A create that names itself.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    schema: &'static str,
    resource: &'static Resource,
    name: String,
    request_id: String,
    /// A hash of what is to be created.
    content: String,
}

impl Entry {
    /// That of a request; `None` if it does not name itself.
    pub(super) fn of(context: &Writes, resource: &'static Resource, request_id: &str, digest: String) -> Option<Self> {
        if request_id.is_empty() {
            return None;
        }
        let (schema, name) = (context.schema, format!("create {}", resource.description.message));
        Some(Self { schema, resource, name, request_id: request_id.to_owned(), content: digest })
    }

    /// Whether the ledger has it. One that is being entered at this moment is not seen.
    ///
    /// # Errors
    /// What the database says.
    pub(super) async fn is_known(&self, context: &Writes, deadline: Deadline) -> Result<bool, Error> {
        Ok(!context.fetch(&self.select()?, deadline).await?.is_empty())
    }

    /// Enters it, or returns the key that an earlier one of the same id and content made. Waits for one that is being
    /// entered.
    ///
    /// # Errors
    /// [`Error::WriteMismatch`] if that one had other content; what the database says.
    pub(super) async fn enter(&self, transaction: &mut Transaction<'_>, key: &Key) -> Result<Option<Key>, Error> {
        let enter = Statement::new(
            format!(
                "insert into {}.write_session (resource, write_id, parameters) \
                 values ($1, $2, jsonb_build_object('content', $3::text, 'uid', $4::text)) \
                 on conflict (resource, write_id) do nothing returning 1",
                self.schema
            ),
            1,
        )
        .bind(&self.name)?
        .bind(&self.request_id)?
        .bind(&self.content)?
        .bind(self.text_of(key))?;
        if !transaction.fetch(enter).await?.is_empty() {
            return Ok(None);
        }
        let rows = transaction.fetch(self.select()?).await?;
        let row = rows.first().ok_or(Error::TransactionConflict(sqlx::Error::RowNotFound))?;
        if row.try_get::<String, _>(0)? != self.content {
            return Err(Error::WriteMismatch("request_id", "content"));
        }
        let text: String = row.try_get(1)?;
        let key = Key::from_text(self.resource, &text).ok_or_else(|| Error::internal("the ledger holds no key"))?;
        Ok(Some(key))
    }

    /// Enters the key of an existing resource in place of the one that was to be created.
    ///
    /// # Errors
    /// What the database says.
    pub(super) async fn enter_existing(&self, transaction: &mut Transaction<'_>, key: &Key) -> Result<(), Error> {
        let enter = Statement::new(
            format!(
                "update {}.write_session set parameters = parameters || jsonb_build_object('uid', $3::text) \
                 where resource = $1 and write_id = $2",
                self.schema
            ),
            1,
        );
        transaction.fetch(enter.bind(&self.name)?.bind(&self.request_id)?.bind(self.text_of(key))?).await?;
        Ok(())
    }

    fn text_of(&self, key: &Key) -> String {
        key.to_text(self.resource)
    }

    fn select(&self) -> Result<Statement, Error> {
        let sql = format!(
            "select parameters ->> 'content', parameters ->> 'uid' from {}.write_session \
             where resource = $1 and write_id = $2",
            self.schema
        );
        Statement::new(sql, 1).bind(&self.name)?.bind(&self.request_id)
    }
}
