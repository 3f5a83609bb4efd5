//! How much slower calls become while migrations are deployed: a column with a default, an index, a wider check, and a
//! rename by expand and contract. Any call that fails ends the measurement.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Parser;
use orrery::cluster::Role;
use orrery::migrate::{self, MigrateOptions};

use crate::callers::{Callers, Seen};
use crate::postgres::Postgres;
use crate::process::{CATALOG, Process};
use crate::{Report, Settings, products, setting, wanted};

/// Callers that read, and callers that write.
const CALLERS: usize = 4;
/// The length of one load. Loads follow each other until the deployment ends.
const LOAD: Duration = Duration::from_secs(1);

/// The files of the deployment: name, up and down.
const FILES: [(&str, &str, &str); 6] = [
    (
        "29990101000000_add_shade",
        "-- migrate:up\nalter table catalog.product add column shade text not null default 'none';\n",
        "-- migrate:down\nalter table catalog.product drop column shade;\n",
    ),
    (
        "29990101000001_index_shade",
        "-- migrate:up transaction:false\ncreate index concurrently if not exists product_shade_idx\n    \
             on catalog.product (shade, uid);\n",
        "-- migrate:down transaction:false\ndrop index concurrently if exists catalog.product_shade_idx;\n",
    ),
    (
        "29990101000002_check_shade",
        "-- migrate:up\nalter table catalog.product add constraint product_shade_wide_check\n    \
             check (length(shade) < 100) not valid;\n\
         -- lint: allow ban-drop-constraint: the wider check has taken its place\n\
         alter table catalog.product drop constraint product_shade_check;\n",
        "-- migrate:down\nalter table catalog.product add constraint product_shade_check\n    \
             check (length(shade) < 10) not valid;\n\
         alter table catalog.product drop constraint product_shade_wide_check;\n",
    ),
    (
        "29990101000003_validate_check",
        "-- migrate:up\nalter table catalog.product validate constraint product_shade_wide_check;\n",
        "-- migrate:down\n-- A valid check stays valid.\n",
    ),
    (
        "29990101000004_expand_note",
        "-- migrate:up\nalter table catalog.product add column remark text;\n",
        "-- migrate:down\nalter table catalog.product drop column remark;\n",
    ),
    (
        "29990101000005_contract_note",
        "-- migrate:up\n-- lint: allow ban-drop-column: services use remark\n\
         alter table catalog.product drop column note;\n",
        "-- migrate:down\nalter table catalog.product add column note text;\n",
    ),
];

/// `orrery migrate`, as the program parses it.
#[derive(Parser)]
struct Command {
    #[command(flatten)]
    options: MigrateOptions,
}

pub(crate) async fn measure(postgres: &Postgres, settings: Settings, report: &mut Report) -> anyhow::Result<()> {
    if !wanted("deploy") {
        return Ok(());
    }
    let rows = setting("ORRERY_BENCH_ROWS", 1_000_000);
    products::fill(postgres, rows).await?;
    let process = Process::start(CATALOG, &postgres.url(Role::Catalog), &[]).await?;
    let address = process.address();
    let folder = tempfile::tempdir()?;
    for file in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations"))? {
        let path = file?.path();
        std::fs::copy(&path, folder.path().join(path.file_name().context("a file has a name")?))?;
    }
    let (mut reads, mut writes) = (Vec::new(), Vec::new());
    for _ in 0..settings.runs {
        postgres.execute("alter table catalog.product add column if not exists note text").await?;
        let (before, ()) = load_while(address, rows, tokio::time::sleep(LOAD * settings.seconds as u32)).await?;
        // The narrow check is there before; the file that makes it is deployed with the first ones.
        let deployment = async {
            deploy(postgres, folder.path(), &FILES[..2]).await?;
            let narrow = "alter table catalog.product add constraint product_shade_check
                              check (length(shade) < 10) not valid";
            postgres.execute(narrow).await?;
            deploy(postgres, folder.path(), &FILES).await
        };
        let (during, deployed) = load_while(address, rows, deployment).await?;
        deployed?;
        for (of, rates, index) in [("reads", &mut reads, 0), ("writes", &mut writes, 1)] {
            let (p99, with) = (before[index].percentile(0.99) * 1e3, during[index].percentile(0.99) * 1e3);
            let slowest = during[index].percentile(1.0) * 1e3;
            let count = during[index].took.len();
            eprintln!("deploy, {of}: p99 {p99:.2} ms, during {with:.2} ms, slowest of {count} {slowest:.1} ms");
            rates.push((with / p99, p99, with, slowest));
        }
        restore(postgres, folder.path()).await?;
    }
    for (of, mut rates) in [("reads", reads), ("writes", writes)] {
        rates.sort_by(|left, right| left.0.total_cmp(&right.0));
        let (ratio, before, during, slowest) = rates.get(rates.len() / 2).copied().context("at least one run")?;
        report.note(format!(
            "deploy on {rows} rows, p99 of {of}: {before:.2} ms before, {during:.2} ms during (ratio {ratio:.2}), \
             slowest {slowest:.1} ms"
        ));
    }
    drop(process);
    postgres.execute("truncate catalog.product").await
}

/// Reads and writes until `work` ends: what readers and writers saw, and its result.
async fn load_while<T>(
    address: SocketAddr,
    rows: usize,
    work: impl Future<Output = T>,
) -> anyhow::Result<([Seen; 2], T)> {
    let mut seen = [Seen::default(), Seen::default()];
    let mut work = std::pin::pin!(work);
    loop {
        let call = |callers: Callers| Callers { count: CALLERS, time: LOAD, ..callers }.call(address);
        let both = async { tokio::try_join!(call(products::getters(rows, CALLERS)), call(products::updaters(rows))) };
        let mut both = std::pin::pin!(both);
        let (ended, (read, written)) = tokio::select! {
            result = &mut work => (Some(result), both.as_mut().await?),
            seen = &mut both => (None, seen?),
        };
        for (all, more) in seen.iter_mut().zip([read, written]) {
            ensure!(more.refused == 0, "calls were refused");
            all.took.extend(more.took);
        }
        if let Some(result) = ended {
            for all in &mut seen {
                all.took.sort_by(f64::total_cmp);
            }
            return Ok((seen, result));
        }
    }
}

async fn deploy(postgres: &Postgres, folder: &Path, files: &[(&str, &str, &str)]) -> anyhow::Result<()> {
    for (name, up, down) in files {
        std::fs::write(folder.join(format!("{name}.sql")), format!("{up}\n{down}"))?;
    }
    let begun = Instant::now();
    orrery(postgres, folder, &["deploy", "--yes"]).await?;
    eprintln!("deploy: {} files in {:.1} s", files.len(), begun.elapsed().as_secs_f64());
    Ok(())
}

/// Runs a command of `orrery migrate`.
async fn orrery(postgres: &Postgres, folder: &Path, words: &[&str]) -> anyhow::Result<()> {
    let (url, folder) = (postgres.url(Role::Operator), folder.display().to_string());
    let words = ["orrery", "--database-url", &url, "--migrations", &folder].into_iter().chain(words.iter().copied());
    migrate::run(Command::try_parse_from(words)?.options).await.map(drop)
}

/// Makes the table as it was.
async fn restore(postgres: &Postgres, folder: &Path) -> anyhow::Result<()> {
    let versions: Vec<String> = FILES.iter().map(|(name, ..)| format!("'{}'", &name[..14])).collect();
    let sql = format!(
        "alter table catalog.product drop column shade, drop column remark;
         delete from public.schema_migrations where version in ({});
         drop table public.schema_deployments",
        versions.join(", ")
    );
    postgres.execute(&sql).await?;
    for (name, ..) in FILES {
        std::fs::remove_file(folder.join(format!("{name}.sql")))?;
    }
    Ok(())
}
