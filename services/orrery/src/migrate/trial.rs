//! Tries something out on a branch of the schema, which is gone afterwards.

use anyhow::Context as _;

use super::branch::Branch;

/// Creates the branch `name` of the database at `url`, runs `work` on it, and drops it. While `work` runs it is
/// connected to the branch, so that no other run takes the branch for one that was left.
///
/// # Errors
///
/// Those of `work`; the branch cannot be created or dropped; the user interrupts.
pub(super) async fn on_a_branch<T>(
    url: &str,
    name: &str,
    tell: &mut impl FnMut(&str),
    work: impl AsyncFnOnce(&Branch) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    clear_away(url, name, tell).await?;
    let branch = Branch::create(url, name).await?;
    let result = tokio::select! {
        result = work(&branch) => result,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    let dropped = Branch::remove(url, name).await;
    let result = result.context("the trial on a branch failed, and nothing was changed")?;
    dropped.context("the branch of the trial cannot be dropped")?;
    Ok(result)
}

/// Drops the branch of a run that was interrupted.
async fn clear_away(url: &str, name: &str, tell: &mut impl FnMut(&str)) -> anyhow::Result<()> {
    if !Branch::list(url).await?.iter().any(|found| found.branch.name() == name) {
        return Ok(());
    }
    let context = || format!("another run tries something out on the branch {name}, or an interrupted one left it");
    Branch::remove(url, name).await.with_context(context)?;
    tell(&format!("Dropped the branch {name} of a run that was interrupted"));
    Ok(())
}
