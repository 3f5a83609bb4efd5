//! An undo that did not finish.

use sqlx::{Connection as _, PgConnection};

use crate::database;
use crate::migrate::deploy::{self, ledger::Phase};
use crate::migrate::failure::failure;
use crate::migrate::undone::{columns, item};
use crate::migrate::{Migrator, history};
use crate::terminal::CommandOutput;

/// Gives columns their names back that an interrupted undo was copying. Waits for an undo that runs.
pub(in crate::migrate) async fn give_up_copies(migrator: &Migrator, tell: &mut impl FnMut(&str)) -> anyhow::Result<()> {
    let place = |error| failure(&error, "a column cannot get its name back");
    let mut connection = database::connect(migrator.url()).await?;
    let found = item::list(&mut connection, Some(item::Phase::Copying), None).await?;
    connection.close().await?;
    if found.is_empty() {
        return Ok(());
    }
    let given_up = migrator
        .locked(tell, async |gate: &mut PgConnection| {
            let items = item::list(gate, Some(item::Phase::Copying), None).await.map_err(place)?;
            for item in &items {
                columns::show(gate, item, true).await.map_err(place)?;
            }
            Ok(items)
        })
        .await?;
    for item in given_up {
        tell(&format!("Found {} half set aside by an undo that did not finish; it stays", item.described()));
    }
    Ok(())
}

/// Gives up what an undo was about to do when it failed.
pub(super) async fn give_up(migrator: &Migrator, answer: &mut CommandOutput) -> anyhow::Result<()> {
    give_up_copies(migrator, &mut |line| answer.line(line)).await?;
    call_off(migrator, answer).await
}

/// Calls an undo off that did not finish, if all of its migrations are applied.
pub(in crate::migrate) async fn call_off(migrator: &Migrator, answer: &mut CommandOutput) -> anyhow::Result<()> {
    let Some(deployment) = deploy::unfinished(migrator).await? else { return Ok(()) };
    let mut connection = database::connect(migrator.url()).await?;
    let applied = history::applied(&mut connection).await?;
    connection.close().await?;
    if deployment.phase == Phase::Undoing && deployment.versions.iter().all(|version| applied.contains(version)) {
        deploy::record(migrator, &deployment, Phase::Deployed, answer).await?;
        answer.line(format_args!("The undo of {} is called off: its migrations are applied", deployment.uid));
    }
    Ok(())
}
