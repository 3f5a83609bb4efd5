//! A deployment tried out on a branch: up, down and up again.

use anyhow::{Context as _, bail};
use sqlx::{Connection as _, PgConnection};

use crate::database;
use crate::migrate::branch::Branch;
use crate::migrate::{Folder, LockTimeouts, Migrator};
use crate::schema::{Change, Schema, difference};

/// The name of the branch.
const BRANCH: &str = "deploy";

/// Applies the pending migrations of `folder` on a new branch of the database at `url`, rolls them back and applies
/// them again. Returns the statements that change the schema as they do. The branch is gone when this returns.
///
/// # Errors
///
/// A migration fails; one rolled back leaves another schema than there was before; or one applied again makes another
/// schema than the first time.
pub(super) async fn rehearse(
    url: &str,
    folder: &Folder,
    count: usize,
    tell: &mut impl FnMut(&str),
) -> anyhow::Result<Vec<Change>> {
    clear_away(url, tell).await?;
    let branch = Branch::create(url, BRANCH).await?;
    let changes = tokio::select! {
        changes = up_down_up(&branch, folder, count) => changes,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    let dropped = Branch::remove(url, BRANCH).await;
    let changes = changes.context("the trial on a branch failed, and nothing was deployed")?;
    dropped.context("the branch of the trial cannot be dropped")?;
    Ok(changes)
}

/// Drops the branch of a deployment that was interrupted.
async fn clear_away(url: &str, tell: &mut impl FnMut(&str)) -> anyhow::Result<()> {
    if !Branch::list(url).await?.iter().any(|found| found.branch.name() == BRANCH) {
        return Ok(());
    }
    let context = "another deployment is being tried out, or an interrupted one left its branch";
    Branch::remove(url, BRANCH).await.context(context)?;
    tell("Dropped the branch of a deployment that was interrupted");
    Ok(())
}

async fn up_down_up(branch: &Branch, folder: &Folder, count: usize) -> anyhow::Result<Vec<Change>> {
    // While it is connected, no other deployment takes the branch for one that was left.
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
