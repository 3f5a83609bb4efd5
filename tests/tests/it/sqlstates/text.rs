//! Texts that no database can store, and messages that the server does not understand.

use orrery_kit::db::{Statement, TransactionEnd};
use orrery_kit::deadline::Deadline;
use orrery_kit::error::Error;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo, Postgres};
use sqlx::{Encode, Type};

use super::{assert_told, direct, lone};
use crate::harness::TestDatabase;

/// A truncated bigint.
#[derive(Clone)]
struct Cut;

impl Type<Postgres> for Cut {
    fn type_info() -> PgTypeInfo {
        <i64 as Type<Postgres>>::type_info()
    }
}

impl Encode<'_, Postgres> for Cut {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(&[0, 0, 0]);
        Ok(IsNull::No)
    }
}

async fn with<T>(database: &TestDatabase, sql: &'static str, value: T) -> Error
where
    T: for<'q> Encode<'q, Postgres> + Type<Postgres> + Clone + Send + 'static,
{
    let pool = lone(database);
    let outcome = pool.transaction(Deadline::none(), move |transaction| {
        Box::pin(async move {
            transaction.fetch(Statement::new(sql, 1).bind(value)?).await?;
            Ok(TransactionEnd::Commit(()))
        })
    });
    outcome.await.unwrap_err()
}

#[tokio::test]
async fn a_text_that_is_no_text_is_invalid() {
    let database = direct().await;
    assert_told(&database, "22021", with(&database, "select $1::text", "a\0b".to_owned()).await);
    // JSON can contain it, but Postgres cannot store it.
    assert_told(&database, "22P05", with(&database, "select $1::text::jsonb", r#"{"a": "\u0000"}"#.to_owned()).await);
}

#[tokio::test]
async fn a_message_that_the_server_does_not_understand_is_unavailable() {
    let database = direct().await;
    assert_told(&database, "08P01", with(&database, "select $1::bigint", Cut).await);
}
