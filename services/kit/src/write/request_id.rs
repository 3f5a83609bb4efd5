//! The ledger of calls with a request_id. It is kept beside the ledger of chunked writes. A call enters its request_id
//! in the transaction that makes its change, so that a retry is recognised even if the answer of the first call was
//! lost.

use sqlx::Row as _;
use xxhash_rust::xxh3::xxh3_64;

use super::session::count_named_call;
use crate::context::Writes;
use crate::db::{Statement, Transaction};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::resource::Resource;
use crate::resource::key::Key;

/// A call with a request_id.
#[derive(Clone, Debug)]
pub struct LedgerEntry {
    schema: &'static str,
    resource: &'static Resource,
    name: String,
    request_id: String,
    /// A hash of the request.
    content: String,
}

/// What the ledger has of an earlier call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EarlierCall {
    /// The text that describes its result: for a row with one text as its key, that key.
    pub text: String,
    /// Whether it had the same content.
    pub is_same: bool,
}

/// The hash of an encoded request.
pub fn digest(request: &[u8]) -> String {
    format!("{:016x}", xxh3_64(request))
}

impl LedgerEntry {
    /// The entry of a call; `None` if it has no request_id. Different methods have separate request ids. From time to
    /// time this also starts a task that clears old entries from the ledger.
    pub fn of(
        context: &Writes,
        verb: &'static str,
        resource: &'static Resource,
        request_id: &str,
        digest: String,
    ) -> Option<Self> {
        if request_id.is_empty() {
            return None;
        }
        count_named_call(context);
        let (schema, name) = (context.schema, format!("{verb} {}", resource.description.message));
        Some(Self { schema, resource, name, request_id: request_id.to_owned(), content: digest })
    }

    /// Whether the ledger has it. An entry whose transaction has not committed is not seen.
    ///
    /// # Errors
    /// The errors of the database.
    pub(super) async fn is_known(&self, context: &Writes, deadline: Deadline) -> Result<bool, Error> {
        Ok(!context.fetch(&self.select()?, deadline).await?.is_empty())
    }

    /// What the ledger has under the same id. An entry whose transaction has not committed is not seen.
    ///
    /// # Errors
    /// The errors of the database.
    pub async fn entered(&self, context: &Writes, deadline: Deadline) -> Result<Option<EarlierCall>, Error> {
        let rows = context.fetch(&self.select()?, deadline).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let is_same = row.try_get::<String, _>(0)? == self.content;
        Ok(Some(EarlierCall { text: row.try_get(1)?, is_same }))
    }

    /// Enters it with the key of the row that it creates or changes, or returns the key from an earlier call with the
    /// same id and content. Waits for a call that is entering it now.
    ///
    /// # Errors
    /// [`Error::WriteMismatch`] if the earlier call had other content; the errors of the database.
    pub async fn enter(&self, transaction: &mut Transaction<'_>, key: &Key) -> Result<Option<Key>, Error> {
        let Some(text) = self.enter_text(transaction, &key.to_text(self.resource)).await? else { return Ok(None) };
        let key = Key::from_text(self.resource, &text).ok_or_else(|| Error::internal("the ledger holds no key"))?;
        Ok(Some(key))
    }

    /// Enters it with a text that describes its result, or returns the text of an earlier call with the same id and
    /// content. Waits for a call that is entering it now.
    ///
    /// # Errors
    /// As [`enter`](Self::enter).
    pub async fn enter_text(&self, transaction: &mut Transaction<'_>, text: &str) -> Result<Option<String>, Error> {
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
        .bind(text)?;
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

    /// Replaces the key by that of an existing row, which is used instead of a new one.
    ///
    /// # Errors
    /// The errors of the database.
    pub(super) async fn enter_existing(&self, transaction: &mut Transaction<'_>, key: &Key) -> Result<(), Error> {
        self.replace_text(transaction, &key.to_text(self.resource)).await
    }

    /// Replaces the text, if the result was not known when the call was entered.
    ///
    /// # Errors
    /// The errors of the database.
    pub async fn replace_text(&self, transaction: &mut Transaction<'_>, text: &str) -> Result<(), Error> {
        let replace = Statement::new(
            format!(
                "update {}.write_session set parameters = parameters || jsonb_build_object('uid', $3::text) \
                 where resource = $1 and write_id = $2",
                self.schema
            ),
            1,
        );
        transaction.fetch(replace.bind(&self.name)?.bind(&self.request_id)?.bind(text)?).await?;
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
