//! `orrery export combo-reports`: writes what ExportComboReports sends.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use orrery_kit::answer::MAX_ANSWER_BYTES;
use orrery_peers::ResumingStream;
use orrery_proto::records::v1::records_service_client::RecordsServiceClient;
use orrery_proto::records::v1::{ArtifactFilter, ExportComboReportsRequest, ExportComboReportsResponse};
use tonic::{Request, Response, Status};

use super::output::ExportOutput;
use crate::client::{MESSAGE_LIMIT, ServiceAddress, backoff, channel, describe};
use crate::terminal::{PIPE_CLOSED, eprint_line};

/// The options of `orrery export combo-reports`.
#[derive(Debug, Args)]
pub(super) struct ComboReportOptions {
    /// The output; "-" is standard output. A file is named FILE.partial until it is complete. A pipe or a device is
    /// written directly.
    #[arg(long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Compresses the output.
    #[arg(long)]
    gzip: bool,
    /// Continues an export that ended early and printed this token. All other options must be the same.
    #[arg(long, value_name = "TOKEN", default_value = "", hide_default_value = true, conflicts_with = "gzip")]
    resume_token: String,
    /// The catalog of the reports, such as mdc_spring. Default: the reports without a catalog.
    #[arg(long, value_name = "UID", default_value = "", hide_default_value = true)]
    catalog_uid: String,
    /// Only reports with matching labels, such as "env=prod,tier in (a,b),!legacy".
    #[arg(long, value_name = "SELECTOR", default_value = "", hide_default_value = true)]
    filter_label_selector: String,
    /// Only reports in this phase. Can be repeated.
    #[arg(long, value_name = "PHASE")]
    filter_phase: Vec<String>,
    /// Only reports of this template.
    #[arg(long, value_name = "UID", default_value = "", hide_default_value = true)]
    filter_template_uid: String,
    /// How long to keep trying while the service cannot be reached, in seconds. For a service that was never reached: 5
    /// seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    patience: u64,
    /// The address of the records service.
    #[arg(long, value_name = "ADDR", default_value = "localhost:50053")]
    records: ServiceAddress,
}

/// A part of the file.
type Part = ExportComboReportsResponse;

/// Runs `orrery export combo-reports`.
pub(super) async fn run(options: ComboReportOptions) -> anyhow::Result<ExitCode> {
    let filter = ArtifactFilter {
        label_selector: options.filter_label_selector,
        phases: options.filter_phase,
        template_uid: options.filter_template_uid,
        ..ArtifactFilter::default()
    };
    let request = ExportComboReportsRequest {
        catalog_uid: options.catalog_uid,
        filter: Some(filter),
        resume_token: String::new(),
    };
    let mut output = ExportOutput::create(&options.output, options.gzip, !options.resume_token.is_empty())?;
    let partial = output.partial().map(Path::to_owned);
    let address = options.records;
    let backoff = backoff(Duration::from_secs(options.patience));
    let mut parts = ResumingStream::<Part>::new(options.resume_token, backoff, move |token| {
        let (request, address) =
            (ExportComboReportsRequest { resume_token: token, ..request.clone() }, address.clone());
        async move {
            let mut client =
                RecordsServiceClient::new(channel(&address).await?).max_decoding_message_size(MESSAGE_LIMIT);
            let mut request = Request::new(request);
            request.metadata_mut().insert(MAX_ANSWER_BYTES, MESSAGE_LIMIT.into());
            client.export_combo_reports(request).await.map(Response::into_inner)
        }
    });
    let mut trying_again = |status: &Status, wait: Duration| {
        eprint_line(format_args!("{}; trying again in {:.1} s", describe(status), wait.as_secs_f64()));
    };
    let begin = Instant::now();
    let (mut reports, mut token) = (0_u64, String::new());
    let ended: Result<(), String> = loop {
        let part = match parts.next(&mut trying_again).await {
            Ok(Some(part)) => part,
            Ok(None) => break Ok(()),
            Err(status) => break Err(describe(&status)),
        };
        // Nothing else is done here, so that a slow disk may hold it up.
        let (written, count) = (part.data, part.reports);
        let (result, back) = tokio::task::spawn_blocking(move || {
            let result = output.write(&written);
            (result, output)
        })
        .await
        .context("the writer broke")?;
        output = back;
        match result {
            Ok(()) => {
                reports += u64::from(count.unsigned_abs());
                token = part.resume_token;
            }
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                output.abandon();
                return Ok(ExitCode::from(PIPE_CLOSED));
            }
            Err(error) => break Err(format!("the output cannot be written: {error}")),
        }
    };
    let ended = match ended {
        Ok(()) => match output.finish() {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(ExitCode::from(PIPE_CLOSED)),
            Err(error) => Err(format!("the output cannot be written: {error}")),
        },
        Err(why) => {
            output.abandon();
            Err(why)
        }
    };
    if let Err(why) = ended {
        let place = partial.map(|path| format!(", in {}", path.display())).unwrap_or_default();
        let go_on = if token.is_empty() || options.gzip {
            String::new()
        } else {
            format!("; to continue, add --resume-token {token}")
        };
        anyhow::bail!("the export ended early, after {reports} combo reports{place}: {why}{go_on}");
    }
    let seconds = begin.elapsed().as_secs_f64();
    eprint_line(format_args!("{reports} combo reports exported in {seconds:.1} s"));
    Ok(ExitCode::SUCCESS)
}
