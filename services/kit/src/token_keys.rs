//! The key that seals tokens. It lives in the slice's `token_key` table, made by the first process that needs it, so
//! that a token works on every replica and after a restart, and nothing has to be configured.

use std::sync::Arc;

use bytes::Bytes;
use sqlx::Row as _;
use tokio::sync::OnceCell;

use crate::db::retry::retried;
use crate::db::{Database, Statement, TransactionEnd};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::page_token::{Scope, TokenError, TokenKey, open, seal};

/// The field of a page message that holds its token.
const TOKEN_FIELD: u8 = 2;

/// Gives the slice's token key, reading it from the database once. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TokenKeys {
    database: Database,
    schema: &'static str,
    key: Arc<OnceCell<TokenKey>>,
}

impl TokenKeys {
    /// Keys in the table `token_key` of `schema`.
    pub fn new(database: Database, schema: &'static str) -> Self {
        Self { database, schema, key: Arc::default() }
    }

    /// The position that a token stands for.
    ///
    /// # Errors [`Error::TokenInvalid`] or [`Error::TokenMismatch`] for `field`; the errors of the database when the
    /// key is read.
    pub async fn open(
        &self,
        scope: &Scope,
        field: &'static str,
        token: &str,
        deadline: Deadline,
    ) -> Result<Vec<Vec<u8>>, Error> {
        open(self.get(deadline).await?, scope, token).map_err(|error| match error {
            TokenError::OtherRequest => Error::TokenMismatch(field),
            TokenError::Invalid | TokenError::OtherVersion => Error::TokenInvalid(field),
        })
    }

    /// The token of a position, as the field of a page message.
    ///
    /// # Errors
    /// The errors of the database when the key is read.
    pub async fn seal(&self, scope: &Scope, position: &[&[u8]], deadline: Deadline) -> Result<Bytes, Error> {
        let token = seal(self.get(deadline).await?, scope, position);
        let mut field = vec![TOKEN_FIELD << 3 | 2];
        prost::encoding::encode_varint(token.len() as u64, &mut field);
        field.extend_from_slice(token.as_bytes());
        Ok(field.into())
    }

    /// The key.
    ///
    /// # Errors
    /// What the database says, the first time.
    async fn get(&self, deadline: Deadline) -> Result<&TokenKey, Error> {
        self.key
            .get_or_try_init(|| async {
                let table = format!("{}.token_key", self.schema);
                let proposed: [u8; 32] = rand::random();
                // Whoever comes first, all replicas read the same key.
                let insert = Statement::new(
                    format!("insert into {table} (name, key) values ('page', $1) on conflict (name) do nothing"),
                    1,
                )
                .bind(proposed.to_vec())?;
                let select = Statement::new(format!("select key from {table} where name = 'page'"), 1);
                let rows = retried(deadline, || {
                    let (insert, select) = (insert.clone(), select.clone());
                    self.database.transaction(deadline, move |transaction| {
                        Box::pin(async move {
                            transaction.fetch(insert).await?;
                            Ok(TransactionEnd::Commit(transaction.fetch(select).await?))
                        })
                    })
                })
                .await?;
                let stored: Vec<u8> = rows.first().ok_or_else(|| Error::internal("no token key"))?.try_get(0)?;
                Ok(TokenKey::from_secret(&stored))
            })
            .await
    }
}
