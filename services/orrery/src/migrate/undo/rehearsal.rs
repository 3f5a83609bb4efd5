//! An undo tried out on a branch: what each rollback drops, and which schema it leaves.

use anyhow::bail;
use sqlx::Connection as _;

use super::Step;
use crate::database;
use crate::migrate::statement::statements;
use crate::migrate::{Branch, LockTimeouts, Migration, Migrator, Section};
use crate::schema::{Dropped, Schema, difference};

/// Statements that change rows. What they change cannot be set aside.
const LOSSY: [&str; 9] = ["delete", "truncate", "update", "insert", "merge", "with", "do", "call", "copy"];

/// Rolls back on a branch, and says what each step drops and leaves.
pub(super) async fn roll_back(
    branch: &Branch,
    migrator: &Migrator,
    migrations: &[Migration],
) -> anyhow::Result<Vec<Step>> {
    let mut connection = database::connect(&branch.url()).await?;
    let on_branch = Migrator::new(&branch.url(), migrator.folder().clone(), LockTimeouts::default());
    let mut before = Schema::read(&mut connection).await?;
    let mut steps = Vec::new();
    for migration in migrations {
        let name = migrator.folder().display(migration);
        refuse_lossy(&migration.down, &name)?;
        on_branch.down(|_| ()).await?;
        let after = Schema::read(&mut connection).await?;
        let changes = difference(&before, &after);
        let retyped =
            changes.iter().find(|change| change.sql.contains(" alter column ") && change.sql.contains(" type "));
        if let Some(change) = retyped {
            bail!("{name}: rolling back changes the type of a column, which may lose values: {}", change.sql);
        }
        let concurrent = changes.iter().any(|change| change.sql.contains(" INDEX CONCURRENTLY "));
        let drops: Vec<Dropped> = changes.into_iter().filter_map(|change| change.drops).collect();
        if !drops.is_empty() && !migration.down.transaction {
            bail!("{name}: the down section drops data and says transaction:false, so it cannot be undone");
        }
        if !drops.is_empty() && concurrent {
            bail!("{name}: the down section drops data and builds an index on a table in use, so it cannot be undone");
        }
        steps.push(Step { migration: migration.clone(), before, after: after.clone(), drops });
        before = after;
    }
    connection.close().await?;
    Ok(steps)
}

/// Refuses a section that changes rows.
fn refuse_lossy(section: &Section, name: &str) -> anyhow::Result<()> {
    for statement in statements(&section.sql) {
        if let Some(word) = LOSSY.iter().find(|word| statement.begins(&[word])) {
            let line = section.first_line + section.sql[..statement.start].matches('\n').count();
            bail!(
                "{name}:{line}: `{word}` changes rows when it rolls back, and they cannot be set aside; \
                   `orrery migrate down` rolls back without that"
            );
        }
    }
    Ok(())
}
