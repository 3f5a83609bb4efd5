//! `orrery import`: reads a file, maps it to rows, and writes them with the resource's chunked write.

mod categories;
mod cells;
mod chunks;
mod combo_reports;
mod csv;
mod decode;
mod input;
mod jsonl;
mod members;
mod names;
mod omissions;
mod options;
mod record;
mod rejects;
mod rows;
mod summary;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use indicatif::ProgressBar;
use orrery_proto::codec::reason_name;
use orrery_proto::r#type::v1::{ErrorReason, ReferenceCheck, RowError, RowErrorPolicy, WriteMode};
use tokio::sync::{mpsc, oneshot};

use self::categories::CategorySpool;
use self::chunks::{Notice, ReadProgress, produce};
pub(crate) use self::input::Input;
use self::names::Found;
pub use self::options::ImportCommand;
use self::options::{ImportOptions, ImportedResource, OnRowError};
use self::rejects::Rejects;
use self::rows::Loss;
pub(crate) use self::rows::{FileItem, FileRows};
use self::summary::Summary;
use crate::client::{ServiceAddress, WriteEvent, WriteFault, WriteOptions, describe, write};
use crate::mapping::{GroupMemory, Mapping, RecordRefusal};
use crate::numbers::grouped;
use crate::progress::{print_retry, progress_bar};
use crate::resource::{ARTIFACTS, ORDERS, PRODUCT_TAGS, PRODUCTS, TAGS, TransferResource};
use crate::terminal::{CommandOutput, eprint_line};

/// The exit code if records were refused or rows rejected, and the others were written.
const SOME_REJECTED: u8 = 3;

/// Runs `orrery import`.
pub async fn run(options: ImportCommand) -> anyhow::Result<ExitCode> {
    match options.resource {
        ImportedResource::Products { import, catalog } => {
            import_resource(PRODUCTS, catalog, import, ReferenceCheck::Unspecified, WriteMode::Upsert).await
        }
        ImportedResource::Orders { import, reference_check, orders } => {
            import_resource(ORDERS, orders, import, reference_check.into(), WriteMode::Upsert).await
        }
        ImportedResource::Artifacts { import, reference_check, records } => {
            import_resource(ARTIFACTS, records, import, reference_check.into(), WriteMode::Upsert).await
        }
        ImportedResource::Tags { import, records } => {
            import_resource(TAGS, records, import, ReferenceCheck::Unspecified, WriteMode::Upsert).await
        }
        ImportedResource::ProductTags { import, mode, reference_check, records } => {
            import_resource(PRODUCT_TAGS, records, import, reference_check.into(), mode.into()).await
        }
        ImportedResource::ComboReports(options) => combo_reports::run(options).await,
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
    mode: WriteMode,
) -> anyhow::Result<ExitCode> {
    let mapping = options.mapping.as_deref().map(Mapping::load).transpose()?;
    let input = Input::open(&options.file)?;
    let bar = file_bar(input.size);
    let position = Arc::clone(&input.position);
    let mut rows = FileRows::open(&resource, &options.file, input, options.format, mapping.as_ref())?;
    let folder = options.temp_dir.unwrap_or_else(std::env::temp_dir);
    rows.set_group_memory(GroupMemory { bytes: options.group_memory, folder: folder.clone() });
    if mode == WriteMode::Replace {
        rows.set_replace()?;
    }
    let (update_mask, omissions) = (rows.update_mask(), rows.omissions());
    let rejects = Mutex::new(Rejects::to_file(resource, options.rejects.as_deref())?);

    let resumable = !options.validate_only;
    let write_id =
        options.write_id.unwrap_or_else(|| format!("import-{}", ulid::Ulid::generate().to_string().to_lowercase()));
    if resumable {
        eprint_line(format_args!("write id {write_id}: after an interruption, continue with --write-id {write_id}"));
    }
    let write_options = WriteOptions {
        address: address.clone(),
        method: resource.write_method,
        write_id: write_id.clone(),
        mode,
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
        WriteEvent::Retrying(status, wait) => print_retry(&bar, status, wait),
    };
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    let waiting_bar = bar.clone();
    let mut waiting = move |status: &tonic::Status, wait: Duration| print_retry(&waiting_bar, status, wait);
    let mut spool = CategorySpool::new(&folder);
    let (counts, result, found) = {
        let (chunks, mut naming) = names::name_rows(&resource, &write_options, chunks, &mut spool, &mut waiting);
        let write = write(&write_options, chunks, &mut on_event);
        tokio::pin!(write);
        let mut found = None;
        loop {
            tokio::select! {
                (counts, result) = &mut write => break (counts, result, found.unwrap_or_else(|| Ok(Found::default()))),
                named = &mut naming, if found.is_none() => found = Some(named),
                Some(notice) = notices.recv() => on_notice(notice),
                _ = ticks.tick() => bar.set_position(position.load(Ordering::Relaxed)),
            }
        }
    };
    let (found, mut named) = match found {
        Ok(found) => (found, Ok(())),
        Err(error) => (Found::default(), Err(error)),
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
    let (mut result, mut categories) = (result, None);
    if result.is_ok() && read.is_ok() && named.is_ok() && !spool.is_empty() {
        let (counts, written, sent) = categories::write_all(&write_options, spool, &mut on_event).await;
        (categories, result, named) = (Some(counts), written, sent);
    }
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
        found,
        categories,
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
    if let Err(error) = named {
        let go_on = format!("; to continue, run it again with --write-id {write_id}");
        anyhow::bail!("the import ended early: {error:#}{}", if resumable { go_on.as_str() } else { "" });
    }
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

fn file_bar(size: Option<u64>) -> ProgressBar {
    match size {
        Some(size) => progress_bar(ProgressBar::new(size), "{bar:40} {percent:>3} % {elapsed} {msg}"),
        None => progress_bar(ProgressBar::new_spinner(), "{spinner} {bytes} {elapsed} {msg}"),
    }
}
