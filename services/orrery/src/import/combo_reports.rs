//! `orrery import combo-reports`: sends a CSV file to ImportComboReports, which reads it.

use std::io::{self, BufRead as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use orrery_kit::write::check_id;
use orrery_peers::retry_after;
use orrery_proto::records::v1::import_combo_reports_request::{Payload, Start};
use orrery_proto::records::v1::records_service_client::RecordsServiceClient;
use orrery_proto::records::v1::{ImportComboReportsRequest, ImportComboReportsResponse, ImportError};
use orrery_proto::r#type::v1::ReferenceCheck;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::transport::Channel;

use super::options::OnMissing;
use super::{Input, SOME_REJECTED};
use crate::client::{ServiceAddress, backoff, channel, describe};
use crate::numbers::grouped;
use crate::terminal::{CommandOutput, eprint_line, printable};

/// How many bytes of the file go into a message.
const PIECE_BYTES: usize = 64 * 1024;

pub(super) const AFTER_HELP: &str = "\
The file: CSV with a header, in UTF-8 or with a byte order mark. Columns, in any order:
  identifier                    the report's, such as SP-IPH-2-WOMEN-001
  template_uid or template      the template's uid, or its identifier
  type, product_codes (joined with \"+\"), product_count, audience
                                empty: as in the identifier, or in the template
  ran_from, ran_to              times such as 2026-03-01T12:00:00Z, or days
  product_uids or products      uids or names, separated by \"|\"; in a name \\| is a bar and \\\\ a backslash
  spend, impressions, clicks, purchases, notes
Missing columns keep what is stored; empty cells clear it. Names of products may differ in letter case and \
punctuation, and a little in spelling (--min-score). A name that fits several products is refused, not \
guessed: the error lists them.

Rows that are refused are printed to standard error with their line and column, up to 1,000 errors; the other rows are \
written.

Exit codes: 0 everything was written; 3 rows were refused, the others were written; 1 the import ended early, with \
some rows written: run it again; 2 the command line is wrong; 1 or 141 the import is complete, but the summary could \
not be written to standard output or had no reader.";

/// The options of `orrery import combo-reports`.
#[derive(Debug, Args)]
pub(super) struct ComboReportOptions {
    /// The file: CSV, plain or gzip; "-" is standard input.
    file: PathBuf,
    /// The catalog of the reports, such as mdc_spring. Default: reports without a catalog.
    #[arg(long, value_name = "UID", default_value = "", hide_default_value = true)]
    catalog_uid: String,
    /// A name of the file, for rows without an identifier: they get the next identifiers, and if the file is imported
    /// again with the same name and its records in the same order, they are the same reports. Without it such rows are
    /// refused.
    #[arg(long, value_name = "ID", default_value = "", hide_default_value = true, value_parser = parse_import_id)]
    import_id: String,
    /// How similar the name of a product must be, from 0 to 1. 1 allows only other letter case and punctuation.
    #[arg(long, value_name = "SCORE", default_value_t = 0.9)]
    min_score: f64,
    /// Whether catalogs, templates and products that are named by uid must exist. "reject" refuses rows with missing
    /// ones.
    #[arg(long, value_name = "POLICY", default_value = "reject")]
    reference_check: OnMissing,
    /// The delimiter between cells: a comma, a semicolon or a tab.
    #[arg(long, value_name = "CHAR", default_value = ",")]
    delimiter: String,
    /// Checks everything and writes nothing.
    #[arg(long)]
    validate_only: bool,
    /// How long to keep trying while a service cannot be reached, in seconds; the file is then sent again from its
    /// beginning. For a service that was never reached: 5 seconds. Standard input is sent once.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    patience: u64,
    /// The address of the records service.
    #[arg(long, value_name = "ADDR", default_value = "localhost:50053")]
    records: ServiceAddress,
}

fn parse_import_id(text: &str) -> Result<String, String> {
    check_id(text).map(|()| text.to_owned())
}

/// Why an import ended early.
enum ImportFault {
    /// The file cannot be read.
    File(anyhow::Error),
    /// What the service said.
    Call(Status),
}

/// Runs `orrery import combo-reports`.
pub(super) async fn run(options: ComboReportOptions) -> anyhow::Result<ExitCode> {
    let start = Start {
        catalog_uid: options.catalog_uid,
        import_id: options.import_id,
        min_score: Some(options.min_score),
        reference_check: ReferenceCheck::from(options.reference_check).into(),
        validate_only: options.validate_only,
        delimiter: options.delimiter,
    };
    let mut input = Some(Input::open(&options.file)?.decode(None));
    // What is no file can be read only once.
    let is_file = std::fs::metadata(&options.file).is_ok_and(|metadata| metadata.is_file());
    let (mut backoff, mut reached) = (backoff(Duration::from_secs(options.patience)), false);
    let answer = loop {
        let file = match input.take() {
            Some(input) => input,
            None => Input::open(&options.file)?.decode(None),
        };
        let sent = match channel(&options.records).await {
            Ok(channel) => {
                if !std::mem::replace(&mut reached, true) {
                    backoff.succeeded();
                }
                send(channel, start.clone(), file).await
            }
            Err(status) => {
                // Nothing of it was read.
                input = Some(file);
                Err(ImportFault::Call(status))
            }
        };
        let status = match sent {
            Ok(answer) => break answer,
            Err(ImportFault::File(error)) => return Err(error.context("the import ended early")),
            Err(ImportFault::Call(status)) => status,
        };
        let again = retry_after(&status).filter(|_| is_file || input.is_some());
        let Some(wait) = again.and_then(|asked| backoff.next_wait(asked)) else {
            anyhow::bail!(
                "the import ended early: {}; run it again: rows that were written do not change",
                describe(&status)
            );
        };
        eprint_line(format_args!("{}; trying again in {:.1} s", describe(&status), wait.as_secs_f64()));
        tokio::time::sleep(wait).await;
    };
    report(&answer, &options.file, options.validate_only)
}

/// Sends a file to its end, and returns the answer.
async fn send(channel: Channel, start: Start, input: Input) -> Result<ImportComboReportsResponse, ImportFault> {
    let (sender, receiver) = mpsc::channel(4);
    let mut reading = tokio::task::spawn_blocking(move || {
        let read = read(input, start, &sender);
        // The stream must not end before it is known whether the file did.
        (read, sender)
    });
    let mut client = RecordsServiceClient::new(channel);
    let call = client.import_combo_reports(ReceiverStream::new(receiver));
    tokio::pin!(call);
    let read = tokio::select! {
        biased;
        read = &mut reading => read.map_err(|_| ImportFault::File(anyhow::anyhow!("the thread that reads the file panicked")))?,
        // The service does not want the rest.
        answer = &mut call => return answer.map(tonic::Response::into_inner).map_err(ImportFault::Call),
    };
    let (read, sender) = read;
    // If the file could not be read, the call is dropped while its stream is open: it is cancelled.
    read.map_err(ImportFault::File)?;
    drop(sender);
    call.await.map(tonic::Response::into_inner).map_err(ImportFault::Call)
}

/// Sends the messages of a file. Ends early if nobody receives them.
fn read(mut input: Input, start: Start, sender: &mpsc::Sender<ImportComboReportsRequest>) -> anyhow::Result<()> {
    let send = |payload| sender.blocking_send(ImportComboReportsRequest { payload: Some(payload) }).is_ok();
    if !send(Payload::Start(start)) {
        return Ok(());
    }
    loop {
        let bytes = match input.reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            bytes => bytes.with_context(|| format!("{} cannot be read", input.name))?,
        };
        let piece = bytes.get(..bytes.len().min(PIECE_BYTES)).unwrap_or_default().to_vec();
        if piece.is_empty() {
            return Ok(());
        }
        input.reader.consume(piece.len());
        if !send(Payload::Data(piece.into())) {
            return Ok(());
        }
    }
}

/// Prints the errors and the summary.
fn report(answer: &ImportComboReportsResponse, file: &Path, validate_only: bool) -> anyhow::Result<ExitCode> {
    let ImportComboReportsResponse { created, updated, unchanged, superseded, rejected, errors } = answer;
    for error in errors {
        eprint_line(shown(error, file));
    }
    let mut lines: Vec<i64> = errors.iter().map(|error| error.line).collect();
    lines.dedup();
    let untold = u64::try_from(*rejected).unwrap_or_default().saturating_sub(lines.len() as u64);
    if untold > 0 {
        eprint_line(format_args!("{} more rows were refused", grouped(untold)));
    }
    let mut counts = vec![
        (*created, "created"),
        (*updated, "updated"),
        (*unchanged, "unchanged"),
        (*rejected, "rejected"),
        (*superseded, "superseded by a later row of the same report"),
    ];
    counts.retain(|(count, what)| *count > 0 || !what.starts_with("superseded"));
    let counts = counts.into_iter().map(|(count, what)| (grouped(count.unsigned_abs()), what));
    let counts: Vec<(String, &str)> = counts.collect();
    let width = counts.iter().map(|(count, _)| count.len()).max().unwrap_or(0);
    let mut output = CommandOutput::default();
    for (count, what) in counts {
        output.line(format_args!("{count:>width$} {what}"));
    }
    if validate_only {
        output.line("only checked, nothing was written");
    }
    output.finish()?;
    Ok(if *rejected == 0 { ExitCode::SUCCESS } else { ExitCode::from(SOME_REJECTED) })
}

/// An error as a line of text.
fn shown(error: &ImportError, file: &Path) -> String {
    let ImportError { line, column, message, candidates, .. } = error;
    let mut text = format!("{}, line {line}: ", file.display());
    if !column.is_empty() {
        text = format!("{text}{column}: ");
    }
    text.push_str(message);
    for (nth, candidate) in candidates.iter().enumerate() {
        let before = if nth == 0 { ": " } else { ", " };
        text = format!("{text}{before}{} ({:?})", candidate.product_uid, candidate.name);
    }
    // It may quote the file.
    printable(&text)
}
