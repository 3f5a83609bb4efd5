//! `orrery import`: reads a file, maps it to rows, and writes them with the resource's chunked write.

mod cells;
mod chunks;
mod csv;
mod decode;
mod input;
mod jsonl;
mod omissions;
mod record;
mod rejects;
mod rows;
mod summary;
#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use orrery_kit::config::parse_bytes;
use orrery_kit::write::check_id;
use orrery_proto::codec::reason_name;
use orrery_proto::r#type::v1::{ErrorReason, ReferenceCheck, RowError, RowErrorPolicy};
use tokio::sync::{mpsc, oneshot};

use self::chunks::{Notice, ReadProgress, produce};
pub(crate) use self::input::Input;
use self::rejects::Rejects;
use self::rows::Loss;
pub(crate) use self::rows::{FileItem, FileRows};
use self::summary::{Summary, grouped};
use crate::client::{ServiceAddress, WriteEvent, WriteFault, WriteOptions, describe, write};
use crate::mapping::{Format, GroupMemory, Mapping, RecordRefusal};
use crate::resource::{ORDERS, PRODUCTS, TransferResource};
use crate::terminal::{CommandOutput, eprint_line};

/// The exit code if records were refused or rows rejected, and the others were written.
const SOME_REJECTED: u8 = 3;

const AFTER_HELP: &str = "\
The file: CSV with a header, or one JSON object per line. The mapping's [source] sets its delimiter, quoting and \
encoding; a first line such as \"sep=;\" and a byte order mark take precedence. Missing cells at the end of a CSV \
record are empty. A record with more cells than the header is refused if they have content. A record with only empty \
cells is skipped.

The summary: a record is what the file contains, usually a line. A row is what is written, a product or an order, made \
of one or several records. Each row is counted once: as created, updated, unchanged, rejected, superseded or committed \
before. A row is rejected by the service, or because one or more of its records were refused. A separate line counts \
the refused records and the rows that were rejected because of them.

Exit codes: 0 everything was written; 3 records were refused or rows rejected, the others were written; 1 the import \
ended early, and the summary shows what was written; 2 the command line is wrong; 1 or 141 the import is complete, but \
the summary could not be written to standard output or had no reader.";

/// The options of `orrery import`.
#[derive(Debug, Args)]
pub struct ImportCommand {
    #[command(subcommand)]
    resource: ImportedResource,
}

#[derive(Debug, Subcommand)]
enum ImportedResource {
    /// Imports products.
    ///
    /// New rows are created. Existing rows are updated in the fields that the mapping names; unchanged rows are not
    /// written. Other data is kept: labels and annotations with other keys, fields that are empty in the file, and
    /// fields that the mapping sets in new rows only (on = "create"). Without a mapping, every field that is set in a
    /// row is written, and all labels are replaced.
    #[command(after_help = AFTER_HELP)]
    Products {
        #[command(flatten)]
        import: ImportOptions,
        /// The address of the catalog service.
        #[arg(long, value_name = "ADDR", default_value = "localhost:50051")]
        catalog: ServiceAddress,
    },
    /// Imports orders with their lines and addresses.
    ///
    /// New orders are created. Existing orders are updated in the fields that the mapping names; unchanged orders are
    /// not written. Other data is kept: labels and annotations with other keys, fields that are empty in the file, and
    /// fields that the mapping sets in new orders only (on = "create"), such as the phase in the mappings of
    /// deploy/examples. Without a mapping, every field that is set in an order is written, and all labels are replaced.
    ///
    /// The lines of an order are replaced as a whole: stored lines that are not in the file are removed. An order with
    /// lines from several records is therefore rejected if one of the records is refused. If a refused record does not
    /// say which order it belongs to, all orders that it may belong to are rejected: all orders of the file, or the
    /// orders next to it if the mapping says that the records of an order are consecutive.
    #[command(after_help = AFTER_HELP)]
    Orders {
        #[command(flatten)]
        import: ImportOptions,
        /// Whether the products in order lines must exist. "accept" does not check, so that products can be imported
        /// later. "reject" rejects orders with missing products, and needs the catalog service.
        #[arg(long, value_name = "POLICY", default_value = "accept")]
        reference_check: OnMissing,
        /// The address of the orders service.
        #[arg(long, value_name = "ADDR", default_value = "localhost:50052")]
        orders: ServiceAddress,
    },
}

/// The options for all resources.
#[derive(Debug, Args)]
struct ImportOptions {
    /// The file: CSV or JSONL, plain or gzip; "-" is standard input.
    file: PathBuf,
    /// The mapping of columns to fields. deploy/examples/ has commented examples. Not needed for JSONL from `orrery
    /// export`, whose output-only fields are ignored.
    #[arg(long, value_name = "TOML")]
    mapping: Option<PathBuf>,
    /// The format of the file, if neither its name nor the mapping says it.
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// The name of this import. After an interruption, run the same command with the same file, mapping and write id to
    /// continue. Rows that were committed before are sent again and compared, and count as committed before. If one
    /// differs, because the file or the mapping was changed, the import ends and writes nothing more. Only the rows of
    /// the last 64 commits, up to about 8,000 rows each, can be compared; older rows are skipped unchecked. The service
    /// keeps the name for at least 7 days. A name whose file was written completely writes nothing more. Default: a new
    /// name, which is printed.
    #[arg(long, value_name = "ID", value_parser = parse_write_id)]
    write_id: Option<String>,
    /// What happens if a record cannot be read or mapped, or the service rejects a row. "skip" continues with the
    /// others. "stop" ends the import; rows that were sent in one chunk with a rejected row are not written.
    #[arg(long, value_name = "POLICY", default_value = "skip")]
    on_row_error: OnRowError,
    /// Writes the line, field and reason of each refused record and rejected row to this file, as JSONL. "kind" is
    /// "record" for one of several records of a row, else "product" or "order".
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// Checks everything and writes nothing.
    #[arg(long)]
    validate_only: bool,
    /// The memory for groups, that is rows of several records that may be anywhere in the file. Groups beyond that are
    /// sorted in temporary files, which take about as much space as the columns that are read, and twice that while
    /// they are merged.
    #[arg(long, value_name = "BYTES", default_value = "64MiB", value_parser = parse_bytes)]
    group_memory: usize,
    /// The folder of temporary files. They have no name, so that none is left behind. Default: $TMPDIR, or /tmp.
    #[arg(long, value_name = "DIR")]
    temp_dir: Option<PathBuf>,
    /// How long to keep trying while the service cannot be reached, in seconds. For a service that was never reached: 5
    /// seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    patience: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum OnRowError {
    Skip,
    Stop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum OnMissing {
    Accept,
    Reject,
}

/// Checks a write id by the service's rule, so that an invalid one is refused before the file is opened.
fn parse_write_id(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("must not be empty; leave --write-id out to get a new one".into());
    }
    check_id(text)?;
    Ok(text.to_owned())
}

/// Runs `orrery import`.
pub async fn run(options: ImportCommand) -> anyhow::Result<ExitCode> {
    match options.resource {
        ImportedResource::Products { import, catalog } => {
            import_resource(PRODUCTS, catalog, import, ReferenceCheck::Unspecified).await
        }
        ImportedResource::Orders { import, reference_check, orders } => {
            let reference_check = match reference_check {
                OnMissing::Accept => ReferenceCheck::Accept,
                OnMissing::Reject => ReferenceCheck::Reject,
            };
            import_resource(ORDERS, orders, import, reference_check).await
        }
    }
}

/// The orders that a mapping makes of a file, in file order, each an encoded `orrery.orders.v1.Order`, as `orrery
/// import orders` sends them.
///
/// # Errors
/// The file or mapping cannot be read, or a record was refused.
pub fn encoded_orders(file: &Path, mapping: &Path) -> anyhow::Result<Vec<Bytes>> {
    let mapping = Mapping::load(mapping)?;
    let mut rows = FileRows::open(&ORDERS, file, Input::open(file)?, None, Some(&mapping))?;
    let mut orders = Vec::new();
    while let Some(item) = rows.next()? {
        match item {
            FileItem::Row(row) => orders.push(row.bytes),
            FileItem::Refused(line, refusal, _) => anyhow::bail!("line {line}: {refusal}"),
            FileItem::Warning(_) => {}
        }
    }
    Ok(orders)
}

async fn import_resource(
    resource: TransferResource,
    address: ServiceAddress,
    options: ImportOptions,
    reference_check: ReferenceCheck,
) -> anyhow::Result<ExitCode> {
    let mapping = options.mapping.as_deref().map(Mapping::load).transpose()?;
    let input = Input::open(&options.file)?;
    let bar = progress_bar(input.size);
    let position = Arc::clone(&input.position);
    let mut rows = FileRows::open(&resource, &options.file, input, options.format, mapping.as_ref())?;
    rows.set_group_memory(GroupMemory {
        bytes: options.group_memory,
        folder: options.temp_dir.unwrap_or_else(std::env::temp_dir),
    });
    let (update_mask, omissions) = (rows.update_mask(), rows.omissions());
    let rejects = Mutex::new(Rejects::to_file(resource, options.rejects.as_deref())?);

    let resumable = !options.validate_only;
    let write_id =
        options.write_id.unwrap_or_else(|| format!("import-{}", ulid::Ulid::generate().to_string().to_lowercase()));
    if resumable {
        eprint_line(format_args!("write id {write_id}: after an interruption, continue with --write-id {write_id}"));
    }
    let write_options = WriteOptions {
        address,
        method: resource.write_method,
        write_id: write_id.clone(),
        on_row_error: match options.on_row_error {
            OnRowError::Skip => RowErrorPolicy::Skip,
            OnRowError::Stop => RowErrorPolicy::Stop,
        },
        reference_check,
        update_mask,
        validate_only: options.validate_only,
        give_up_after: Duration::from_secs(options.patience),
    };

    let begin = Instant::now();
    let progress = Arc::new(ReadProgress::default());
    let (chunk_sender, chunks) = mpsc::channel(2);
    let (notice_sender, mut notices) = mpsc::channel(256);
    let (end_sender, end) = oneshot::channel();
    // A thread, so that the process can exit without it if the write ends early.
    std::thread::spawn({
        let progress = Arc::clone(&progress);
        let stop = options.on_row_error == OnRowError::Stop;
        move || {
            let _gone = end_sender.send(produce(rows, stop, &progress, &chunk_sender, &notice_sender));
        }
    });
    let add = |line, refusal: &RecordRefusal, loss| {
        rejects.lock().unwrap_or_else(PoisonError::into_inner).add(line, refusal, loss);
    };
    let on_notice = |notice: Notice| match notice {
        Notice::Refused(line, refusal, loss) => add(Some(line), &refusal, loss),
        Notice::Warning(warning) => {
            let first = rejects.lock().unwrap_or_else(PoisonError::into_inner).warn(&warning);
            if first && warning.now {
                bar.suspend(|| eprint_line(format_args!("warning: {warning}")));
            }
        }
    };
    let mut on_event = |event: WriteEvent<'_>| match event {
        WriteEvent::Committed(rows) => bar.set_message(format!("{} {}", grouped(rows as u64), resource.plural)),
        WriteEvent::Rejected(line, error) => add(line, &refusal_of(error), Loss::Row),
        WriteEvent::Retrying(status, wait) => {
            bar.suspend(|| {
                eprint_line(format_args!("{}; trying again in {:.1} s", describe(status), wait.as_secs_f64()));
            });
        }
    };
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    let (counts, result) = {
        let write = write(&write_options, chunks, &mut on_event);
        tokio::pin!(write);
        loop {
            tokio::select! {
                written = &mut write => break written,
                Some(notice) = notices.recv() => on_notice(notice),
                _ = ticks.tick() => bar.set_position(position.load(Ordering::Relaxed)),
            }
        }
    };
    let read = match result {
        // The reader has ended, perhaps early.
        Ok(()) | Err(WriteFault::FileTooShort { .. }) => {
            while let Some(notice) = notices.recv().await {
                on_notice(notice);
            }
            end.await.unwrap_or_else(|_| Err(anyhow::anyhow!("the thread that reads the file panicked")))
        }
        Err(WriteFault::Call(_) | WriteFault::RowDiffers { .. }) => Ok(()),
    };
    bar.finish_and_clear();

    let summary = Summary {
        resource,
        records: progress.records.load(Ordering::Relaxed),
        refused_records: progress.refused_records.load(Ordering::Relaxed),
        rows: progress.rows.load(Ordering::Relaxed),
        rows_of_refused_records: progress.rows_of_refused_records.load(Ordering::Relaxed),
        refused_rows: progress.refused_rows.load(Ordering::Relaxed),
        left_out: omissions.count(),
        counts,
        elapsed: begin.elapsed(),
        validate_only: options.validate_only,
    };
    let mut rejects = rejects.into_inner().unwrap_or_else(PoisonError::into_inner);
    for line in rejects.lines() {
        eprint_line(line);
    }
    for omission in omissions.lines() {
        eprint_line(omission);
    }
    let mut answer = CommandOutput::default();
    answer.line(&summary);
    rejects.finish()?;
    read.context("the import ended early")?;
    if let Err(fault) = result {
        anyhow::bail!(explain(&fault, &resource, &write_id, resumable));
    }
    answer.finish()?;
    Ok(if summary.is_whole() { ExitCode::SUCCESS } else { ExitCode::from(SOME_REJECTED) })
}

fn explain(fault: &WriteFault, resource: &TransferResource, write_id: &str, resumable: bool) -> String {
    const TO_GO_ON: &str =
        "To continue, use the original file and mapping of that import; to import this file, leave --write-id out";
    let TransferResource { singular, plural, .. } = resource;
    match fault {
        WriteFault::Call(status) if resumable => {
            format!(
                "the import ended early: {}; to continue, run it again with --write-id {write_id}",
                describe(status)
            )
        }
        WriteFault::Call(status) => format!("the check ended early: {}", describe(status)),
        WriteFault::FileTooShort { committed, rows } => format!(
            "{} {plural} were already committed under the write id {write_id}, but the file has {}: it is not the \
             file of that import, or records are missing; nothing more was written. {TO_GO_ON}",
            grouped(*committed as u64),
            grouped(*rows as u64),
        ),
        WriteFault::RowDiffers { offset, line } => format!(
            "the {singular} at offset {offset}, which begins on {}, differs from the one that was committed there \
             under the \
             write id {write_id}: the file or the mapping is different or was changed; nothing more was written. \
             {TO_GO_ON}",
            line.map_or_else(|| "an unknown line".to_owned(), |line| format!("line {line}")),
        ),
    }
}

/// A row error of the service as a refusal.
fn refusal_of(error: &RowError) -> RecordRefusal {
    let reason = ErrorReason::try_from(error.reason).map_or("", reason_name);
    // The service's message may contain values, so refusals are counted by field and reason.
    RecordRefusal { field: error.field.clone(), problem: reason.into(), value: error.message.clone() }
}

fn progress_bar(size: Option<u64>) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match size {
        Some(size) => (ProgressBar::new(size), "{bar:40} {percent:>3} % {elapsed} {msg}"),
        None => (ProgressBar::new_spinner(), "{spinner} {bytes} {elapsed} {msg}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
