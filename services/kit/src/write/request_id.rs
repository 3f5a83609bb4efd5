//! The ledger of calls that name themselves by a request_id: which of them did what. It stands beside the ledger of
//! chunked writes. A call enters it in the transaction in which it makes its change, so that a retry is recognised
//! whatever became of the first call's answer.

use sqlx::Row as _;
use xxhash_rust::xxh3::xxh3_64;

use crate::context::Context;
use crate::db::{Statement, Transaction};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::resource::Resource;

/// A call that names itself.
#[derive(Clone, Debug)]
pub struct Entry {
    schema: &'static str,
    name: String,
    request_id: String,
    /// A hash of what is asked for.
    content: String,
}

/// The hash of an encoded request.
pub fn digest(request: &[u8]) -> String {
    format!("{:016x}", xxh3_64(request))
}

impl Entry {
    /// The entry of a call; `None` if it does not name itself. Request ids of different verbs do not meet. Now and then
    /// this clears the ledger, beside the call.
    pub fn of(
        context: &Context,
        verb: &'static str,
        resource: &Resource,
        request_id: &str,
        digest: String,
    ) -> Option<Self> {
        if request_id.is_empty() {
            return None;
        }
        context.entries.count(context);
        let (schema, name) = (context.schema, format!("{verb} {}", resource.description.message));
        Some(Self { schema, name, request_id: request_id.to_owned(), content: digest })
    }

    /// Whether the ledger has it. One that is being entered at this moment is not seen.
    ///
    /// # Errors
    /// What the database says.
    pub(super) async fn is_known(&self, context: &Context, deadline: Deadline) -> Result<bool, Error> {
        Ok(!context.database.fetch(&self.select()?, deadline).await?.is_empty())
    }

    /// Enters it with what it does, as a rule the uid of what it changes, or returns what an earlier call of the same id
    /// and content did. Waits for one that is being entered.
    ///
    /// # Errors
    /// [`Error::WriteMismatch`] if that one had other content; what the database says.
    pub async fn enter(&self, transaction: &mut Transaction<'_>, uid: &str) -> Result<Option<String>, Error> {
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
        .bind(uid)?;
        if !transaction.fetch(enter).await?.is_empty() {
            return Ok(None);
        }
        let rows = transaction.fetch(self.select()?).await?;
        let row = rows.first().ok_or(Error::TransactionConflict(sqlx::Error::RowNotFound))?;
        if row.try_get::<String, _>(0)? != self.content {
            return Err(Error::WriteMismatch("request_id", "content"));
        }
        Ok(Some(row.try_get(1)?))
    }

    /// Says what the call did, where that is known only after it entered.
    ///
    /// # Errors
    /// What the database says.
    pub async fn complete(&self, transaction: &mut Transaction<'_>, done: &str) -> Result<(), Error> {
        let update = Statement::new(
            format!(
                "update {}.write_session set parameters = jsonb_build_object('content', $3::text, 'uid', $4::text) \
                 where resource = $1 and write_id = $2",
                self.schema
            ),
            1,
        )
        .bind(&self.name)?
        .bind(&self.request_id)?
        .bind(&self.content)?
        .bind(done)?;
        transaction.write(update).await?;
        Ok(())
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
