//! A deployment tried out on a branch: up, down and up again.

use anyhow::bail;
use sqlx::{Connection as _, PgConnection};

use crate::database;
use crate::migrate::{Branch, Folder, LockTimeouts, Migrator};
use crate::schema::{Change, Schema, difference};

/// Applies the pending migrations of `folder` on a branch, rolls them back and applies them again. Returns the
/// statements that change the schema as they do.
///
/// # Errors
///
/// A migration fails; one rolled back leaves another schema than there was before; or one applied again makes another
/// schema than the first time.
pub(super) async fn up_down_up(branch: &Branch, folder: &Folder, count: usize) -> anyhow::Result<Vec<Change>> {
    let mut connection = database::connect(&branch.url()).await?;
    let migrator = Migrator::new(&branch.url(), folder.clone(), LockTimeouts::default());
    let before = Schema::read(&mut connection).await?;
    migrator.up(|_| ()).await?;
    let after = Schema::read(&mut connection).await?;
    for _ in 0..count {
        migrator.down(|_| ()).await?;
    }
    same(&mut connection, &before, "rolling the migrations back does not restore the schema; it leaves").await?;
    migrator.up(|_| ()).await?;
    same(&mut connection, &after, "applying the migrations again makes another schema; it needs").await?;
    connection.close().await?;
    Ok(difference(&before, &after))
}

/// Compares the present schema with what it should be.
async fn same(connection: &mut PgConnection, expected: &Schema, problem: &str) -> anyhow::Result<()> {
    let changes = difference(expected, &Schema::read(connection).await?);
    if !changes.is_empty() {
        let statements: Vec<&str> = changes.iter().map(|change| change.sql.as_str()).collect();
        bail!("{problem}:\n{};", statements.join(";\n"));
    }
    Ok(())
}
