//! `orrery export`: writes what a resource's paged read gives as JSONL, one row a line, as `orrery import` takes it back.

mod filter;
mod output;

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use prost_reflect::{DynamicMessage, MessageDescriptor, ReflectMessage as _, Value};
use prost_types::FieldMask;
use tokio::sync::mpsc;

use self::filter::{OrderFilterOptions, ProductFilterOptions};
use self::output::Output;
use crate::client::{Pages, Query, ServiceAddress, describe};
use crate::message::write_json;
use crate::resource::{ORDERS, PRODUCTS, Resource};

/// The exit code where the reader of standard output went away, as the shell has it for SIGPIPE.
const PIPE_CLOSED: u8 = 141;

const EXIT_CODES: &str = "Exit codes: 0 everything was written; 1 the export ended early; 2 the command line is wrong; 141 the reader of \
    standard output went away.";

/// What `orrery export` takes.
#[derive(Debug, Args)]
pub struct Options {
    #[command(subcommand)]
    resource: ResourceOptions,
}

#[derive(Debug, Subcommand)]
enum ResourceOptions {
    /// Exports products, by uid, as JSONL.
    #[command(after_help = EXIT_CODES)]
    Products {
        #[command(flatten)]
        export: ExportOptions,
        #[command(flatten)]
        filter: ProductFilterOptions,
        /// Where the catalog service listens.
        #[arg(long, value_name = "ADDR", default_value = "localhost:50051")]
        catalog: ServiceAddress,
    },
    /// Exports orders, by uid, with their lines, addresses and sums, as JSONL.
    #[command(after_help = EXIT_CODES)]
    Orders {
        #[command(flatten)]
        export: ExportOptions,
        #[command(flatten)]
        filter: OrderFilterOptions,
        /// Where the orders service listens.
        #[arg(long, value_name = "ADDR", default_value = "localhost:50052")]
        orders: ServiceAddress,
    },
}

/// What holds for every resource.
#[derive(Debug, Args)]
struct ExportOptions {
    /// Where to write; "-" is standard output. A file takes its name when it is whole, and is FILE.partial until then.
    #[arg(long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Packs what is written.
    #[arg(long)]
    gzip: bool,
    /// Which fields to write, as "uid,name,labels.season". Default: all.
    #[arg(long, value_name = "PATHS", value_delimiter = ',')]
    read_mask: Vec<String>,
    /// How long, in seconds, to go on while the service cannot be reached. A service that is not there at all is given up after 5.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    patience: u64,
}

/// Runs `orrery export`.
pub async fn run(options: Options) -> anyhow::Result<ExitCode> {
    match options.resource {
        ResourceOptions::Products { export, filter, catalog } => {
            export_resource(PRODUCTS, catalog, export, filter.into_message()).await
        }
        ResourceOptions::Orders { export, filter, orders } => {
            export_resource(ORDERS, orders, export, filter.into_message()).await
        }
    }
}

async fn export_resource(
    resource: Resource,
    address: ServiceAddress,
    options: ExportOptions,
    filter: impl prost::Message,
) -> anyhow::Result<ExitCode> {
    let message = resource.descriptor()?;
    let output = Output::create(&options.output, options.gzip)?;
    let mut request = resource.stream_request()?;
    if filter.encoded_len() > 0 {
        set(&mut request, "filter", &filter)?;
    }
    if !options.read_mask.is_empty() {
        set(&mut request, "read_mask", &FieldMask { paths: options.read_mask })?;
    }
    let patience = Duration::from_secs(options.patience);
    let mut pages = Pages::new(Query { address, method: resource.stream_method, request, patience });
    let bar = progress_bar();
    let begin = Instant::now();

    // Pages are fetched while earlier ones are written; two wait at the most.
    let (sender, receiver) = mpsc::channel(2);
    let writing = tokio::task::spawn_blocking(move || write_pages(output, &message, receiver));
    let mut rows = 0_u64;
    let fetched = loop {
        let mut trying_again = |status: &tonic::Status, wait: Duration| {
            bar.suspend(|| eprintln!("{}; trying again in {:.1} s", describe(status), wait.as_secs_f64()));
        };
        match pages.next(&mut trying_again).await {
            Ok(Some(page)) => {
                rows += page.len() as u64;
                bar.set_position(rows);
                if sender.send(Some(page)).await.is_err() {
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
    let written = writing.await.context("the writer broke")?;
    bar.finish_and_clear();
    match (fetched, written) {
        (_, Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::from(PIPE_CLOSED)),
        (_, Err(error)) => Err(error).with_context(|| format!("{} cannot be written", options.output.display())),
        (Err(status), Ok(())) => {
            anyhow::bail!("the export ended early, after {rows} {}: {}", resource.plural, describe(&status))
        }
        (Ok(()), Ok(())) => {
            let seconds = begin.elapsed().as_secs_f64();
            let rate = rows as f64 / seconds.max(0.001);
            eprintln!("{rows} {} exported in {seconds:.1} s, {rate:.0}/s", resource.plural);
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Sets a field of a request to a message.
fn set(request: &mut DynamicMessage, field: &str, message: &impl prost::Message) -> anyhow::Result<()> {
    match request.get_field_by_name_mut(field) {
        Some(Value::Message(value)) => value.transcode_from(message).context("a request cannot be made"),
        _ => anyhow::bail!("{} has no message {field}", request.descriptor().full_name()),
    }
}

/// Writes pages as they come. Only after the `None` that says that all came is the output finished.
fn write_pages(
    mut output: Output,
    message: &MessageDescriptor,
    mut pages: mpsc::Receiver<Option<Vec<Bytes>>>,
) -> io::Result<()> {
    let mut lines = Vec::new();
    while let Some(page) = pages.blocking_recv() {
        let Some(rows) = page else { return output.finish() };
        lines.clear();
        for row in rows {
            let row = DynamicMessage::decode(message.clone(), row)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            write_json(&row, &mut lines);
            lines.push(b'\n');
        }
        output.write(&lines)?;
    }
    output.abandon();
    Ok(())
}

fn progress_bar() -> ProgressBar {
    // On a terminal the rows themselves are the progress.
    if !io::stderr().is_terminal() || io::stdout().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    match ProgressStyle::with_template("{spinner} {human_pos} {elapsed}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
