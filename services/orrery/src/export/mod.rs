//! `orrery export`: writes the rows of a resource as JSONL or CSV, one row per line. `orrery import` can read the
//! result.

mod columns;
mod combo_reports;
mod filter;
mod names;
mod output;

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use prost_reflect::{DynamicMessage, ReflectMessage as _, Value};
use prost_types::FieldMask;
use tokio::sync::mpsc;

use self::columns::Columns;
use self::filter::{
    ArtifactFilterOptions, OrderFilterOptions, ProductFilterOptions, ProductTagFilterOptions, TagFilterOptions,
};
use self::names::RowNames;
use self::output::ExportOutput;
use crate::client::{PageQuery, ServiceAddress, describe, read_pages};
use crate::mapping::Format;
use crate::progress::{print_retry, progress_bar};
use crate::resource::{ARTIFACTS, ORDERS, PRODUCT_TAGS, PRODUCTS, TAGS, TransferResource};
use crate::terminal::{PIPE_CLOSED, eprint_line};

const AFTER_HELP: &str = "\
An export that ends early prints the number of complete rows and, unless the output is compressed, the --resume-token \
with which the same command continues. A file is still named FILE.partial then, and the continued export appends to \
it. The export refuses to run if standard output is closed, or is /dev/null opened for reading as well: nothing would \
be kept, and nobody would notice.

Exit codes: 0 everything was written; 1 the export ended early; 2 the command line is wrong; 141 the reader of \
standard output has gone, as in `orrery export products | head`.";

/// The options of `orrery export`.
#[derive(Debug, Args)]
pub struct ExportCommand {
    #[command(subcommand)]
    resource: ExportedResource,
}

#[derive(Debug, Subcommand)]
enum ExportedResource {
    /// Exports products, ordered by uid.
    #[command(after_help = AFTER_HELP)]
    Products {
        #[command(flatten)]
        export: ExportOptions,
        #[command(flatten)]
        filter: ProductFilterOptions,
        /// The address of the catalog service.
        #[arg(long, value_name = "ADDR", default_value = "localhost:50051")]
        catalog: ServiceAddress,
    },
    /// Exports orders with their lines, addresses and totals, ordered by uid.
    #[command(after_help = AFTER_HELP)]
    Orders {
        #[command(flatten)]
        export: ExportOptions,
        #[command(flatten)]
        filter: OrderFilterOptions,
        /// The address of the orders service.
        #[arg(long, value_name = "ADDR", default_value = "localhost:50052")]
        orders: ServiceAddress,
    },
    /// Exports artifacts with their payloads, ordered by uid.
    #[command(after_help = AFTER_HELP)]
    Artifacts {
        #[command(flatten)]
        export: ExportOptions,
        #[command(flatten)]
        filter: ArtifactFilterOptions,
        /// The address of the records service.
        #[arg(long, value_name = "ADDR", default_value = "localhost:50053")]
        records: ServiceAddress,
    },
    /// Exports tags with their categories, ordered by uid.
    ///
    /// category_name is the category of the tag, which orrery import tags reads back.
    #[command(after_help = AFTER_HELP)]
    Tags {
        #[command(flatten)]
        export: ExportOptions,
        #[command(flatten)]
        filter: TagFilterOptions,
        /// The address of the records service.
        #[arg(long, value_name = "ADDR", default_value = "localhost:50053")]
        records: ServiceAddress,
    },
    /// Exports the tags of products, one row for each, ordered by product and tag.
    ///
    /// tag_name is the name of the tag, for people; an import uses tag_uid.
    #[command(after_help = AFTER_HELP)]
    ProductTags {
        #[command(flatten)]
        export: ExportOptions,
        #[command(flatten)]
        filter: ProductTagFilterOptions,
        /// The address of the records service.
        #[arg(long, value_name = "ADDR", default_value = "localhost:50053")]
        records: ServiceAddress,
    },
    /// Exports combo reports as CSV, ordered by uid. `orrery import combo-reports` can read the result.
    #[command(after_help = AFTER_HELP)]
    ComboReports(combo_reports::ComboReportOptions),
}

/// The options for all resources.
#[derive(Debug, Args)]
struct ExportOptions {
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
    /// JSONL has all that is stored. CSV has a column for each path of --read-mask; maps and lists are JSON in their
    /// cells, unset fields are empty. `orrery import` reads JSONL without a mapping, and CSV with one.
    #[arg(long, value_name = "FORMAT", default_value = "jsonl")]
    format: Format,
    /// The fields to write, such as "uid,name,labels.season". Default: all. For CSV of tags, product tags and
    /// artifacts: the columns of the mappings in deploy/examples.
    #[arg(long, value_name = "PATHS", value_delimiter = ',')]
    read_mask: Vec<String>,
    /// How long to keep trying while the service cannot be reached, in seconds. For a service that was never reached: 5
    /// seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    patience: u64,
}

/// Runs `orrery export`.
pub async fn run(options: ExportCommand) -> anyhow::Result<ExitCode> {
    match options.resource {
        ExportedResource::Products { export, filter, catalog } => {
            export_resource(PRODUCTS, catalog, export, filter.into_message()).await
        }
        ExportedResource::Orders { export, filter, orders } => {
            export_resource(ORDERS, orders, export, filter.into_message()).await
        }
        ExportedResource::Artifacts { export, filter, records } => {
            export_resource(ARTIFACTS, records, export, filter.into_message()).await
        }
        ExportedResource::Tags { export, filter, records } => {
            export_resource(TAGS, records, export, filter.into_message()).await
        }
        ExportedResource::ProductTags { export, filter, records } => {
            export_resource(PRODUCT_TAGS, records, export, filter.into_message()).await
        }
        ExportedResource::ComboReports(options) => combo_reports::run(options).await,
    }
}

async fn export_resource(
    resource: TransferResource,
    address: ServiceAddress,
    options: ExportOptions,
    filter: impl prost::Message,
) -> anyhow::Result<ExitCode> {
    let columns = Columns::plan(&resource, options.format, &options.read_mask)?;
    let give_up_after = Duration::from_secs(options.patience);
    let mut texts = RowNames::plan(&resource, &columns, &options.read_mask, &address, give_up_after)?;
    let output = ExportOutput::create(&options.output, options.gzip, !options.resume_token.is_empty())?;
    let partial = output.partial().map(Path::to_owned);
    let mut request = resource.stream_request()?;
    if filter.encoded_len() > 0 {
        set(&mut request, "filter", &filter)?;
    }
    let read_mask = columns.read_mask(&resource, options.read_mask);
    if !read_mask.is_empty() {
        set(&mut request, "read_mask", &FieldMask { paths: read_mask })?;
    }
    let query = PageQuery { address, method: resource.stream_method, request, give_up_after };
    let begins = options.resume_token.is_empty();
    let mut pages = read_pages(query, options.resume_token);
    let bar = rows_bar();
    let begin = Instant::now();

    // Pages are fetched while earlier ones are written. At most two are buffered.
    let (sender, receiver) = mpsc::channel(2);
    let writing = tokio::task::spawn_blocking(move || write_pages(output, &columns, begins, receiver));
    let mut rows = 0_u64;
    let fetched = loop {
        let mut trying_again = |status: &tonic::Status, wait: Duration| print_retry(&bar, status, wait);
        match pages.next(&mut trying_again).await {
            Ok(Some(page)) => {
                let page_rows = match &mut texts {
                    None => page.rows,
                    Some(texts) => match texts.add(page.rows, &mut trying_again).await {
                        Ok(rows) => rows,
                        Err(status) => break Err(status),
                    },
                };
                rows += page_rows.len() as u64;
                bar.set_position(rows);
                if sender.send(Some((page_rows, page.resume_token))).await.is_err() {
                    break Ok(());
                }
            }
            Ok(None) => {
                let _closed = sender.send(None).await;
                break Ok(());
            }
            Err(status) => break Err(status),
        }
    };
    drop(sender);
    let (written, result) = writing.await.context("the writer broke")?;
    bar.finish_and_clear();
    let early = |why: String| {
        let (plural, place) = (resource.plural, partial.as_deref().map(|path| format!(", in {}", path.display())));
        let place = place.unwrap_or_default();
        if options.gzip {
            return anyhow::anyhow!("the export ended early, after at most {} {plural}{place}: {why}", written.rows);
        }
        let Exported { rows, token } = &written;
        let go_on = if token.is_empty() { String::new() } else { format!("; to continue, add --resume-token {token}") };
        anyhow::anyhow!("the export ended early, after {rows} {plural}{place}: {why}{go_on}")
    };
    match (fetched, result) {
        (_, Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::from(PIPE_CLOSED)),
        (_, Err(error)) => {
            let output = options.output.display().to_string();
            let output = if output == "-" { "standard output" } else { &output };
            Err(early(format!("{output} cannot be written: {error}")))
        }
        (Err(status), Ok(())) => Err(early(describe(&status))),
        (Ok(()), Ok(())) => {
            let seconds = begin.elapsed().as_secs_f64();
            let rate = rows as f64 / seconds.max(0.001);
            eprint_line(format_args!("{rows} {} exported in {seconds:.1} s, {rate:.0}/s", resource.plural));
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// What an export has written.
#[derive(Debug, Default)]
struct Exported {
    /// The number of complete rows.
    rows: u64,
    /// The token after these rows; empty before the first page.
    token: String,
}

/// Sets a message field of a request.
fn set(request: &mut DynamicMessage, field: &str, message: &impl prost::Message) -> anyhow::Result<()> {
    match request.get_field_by_name_mut(field) {
        Some(Value::Message(value)) => value.transcode_from(message).context("a request cannot be created"),
        _ => anyhow::bail!("{} has no message {field}", request.descriptor().full_name()),
    }
}

/// The rows of a page and its token.
type ExportPage = (Vec<Bytes>, String);

/// Writes pages as they arrive. Only `None`, the end of all pages, completes the output. Returns what was written,
/// after an error too.
fn write_pages(
    mut output: ExportOutput,
    columns: &Columns,
    begins: bool,
    mut pages: mpsc::Receiver<Option<ExportPage>>,
) -> (Exported, io::Result<()>) {
    let mut written = Exported::default();
    let mut lines = Vec::new();
    let mut header = if begins { columns.header() } else { Vec::new() };
    while let Some(page) = pages.blocking_recv() {
        let Some((rows, token)) = page else {
            let written_header = if header.is_empty() { Ok(()) } else { output.write(&header) };
            return (written, written_header.and_then(|()| output.finish()));
        };
        let count = rows.len() as u64;
        let result = columns.lines(rows, &mut lines).and_then(|()| {
            lines.splice(0..0, header.drain(..));
            output.write(&lines)
        });
        if let Err(error) = result {
            output.abandon();
            return (written, Err(error));
        }
        written = Exported { rows: written.rows + count, token };
    }
    output.abandon();
    (written, Ok(()))
}

fn rows_bar() -> ProgressBar {
    // On a terminal, the rows themselves show the progress.
    if io::stdout().is_terminal() {
        return ProgressBar::hidden();
    }
    progress_bar(ProgressBar::new_spinner(), "{spinner} {human_pos} {elapsed}")
}
