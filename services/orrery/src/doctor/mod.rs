//! `orrery doctor`: shows the references that the database documents, and finds mistakes in them.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use orrery_kit::config::{Configuration as _, ServiceConfig};
use orrery_kit::db::Database;
use orrery_kit::deadline::Deadline;
use orrery_kit::integrity::check::{Checked, check};
use orrery_kit::integrity::graph;
use orrery_kit::metrics::Metrics;
use sqlx::Connection as _;

use crate::serve::Slice;
use crate::terminal::{CommandOutput, eprint_line, printable};
use crate::{cluster, database};

/// How long the check may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The options of `orrery doctor`.
#[derive(Debug, Args)]
pub struct DoctorOptions {
    /// The database, as postgres://user:password@host:port/database. Default: the private cluster of `orrery up` in
    /// --data-dir.
    #[arg(long, value_name = "URL", env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
    /// The data folder of `orrery up`, whose private cluster must be running.
    #[arg(long, value_name = "DIR", default_value = cluster::DATA_DIR)]
    data_dir: PathBuf,
    /// Prints the graph in the language of Graphviz: `orrery doctor --dot | dot -Tsvg > references.svg`.
    #[arg(long)]
    dot: bool,
}

/// Runs `orrery doctor`. It prints the graph to standard output and each mistake as a line to standard error, and exits
/// with 1 if there are mistakes.
pub async fn run(options: DoctorOptions) -> anyhow::Result<ExitCode> {
    let url = cluster::url_or_remembered(options.database_url, &options.data_dir)?;
    let Checked { documented, mistakes } = examine(&url).await?;
    let references = documented.iter().map(|documented| &documented.reference);
    let drawn = if options.dot { graph::dot(references) } else { graph::text(references) };
    let mut answer = CommandOutput::default();
    for line in drawn.lines() {
        answer.line(line);
    }
    answer.finish()?;
    for mistake in &mistakes {
        eprint_line(format_args!("orrery: {}", printable(&mistake.to_string())));
    }
    Ok(if mistakes.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the database documents.
async fn examine(url: &str) -> anyhow::Result<Checked> {
    // Says in detail why a database cannot be reached.
    database::connect(url).await?.close().await?;
    let mut config = ServiceConfig::for_database(url)?;
    config.database.database_pool_min = 0;
    let database = Database::new(&config.database, &config.limits, &Metrics::default())?;
    let checked = check(&database, &Slice::SCHEMAS, Deadline::after(TIMEOUT)).await;
    database.close().await;
    Ok(checked?)
}
