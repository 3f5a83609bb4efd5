//! The command line of `orrery import`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use orrery_kit::config::parse_bytes;
use orrery_kit::write::check_id;
use orrery_proto::r#type::v1::{ReferenceCheck, WriteMode};

use super::combo_reports;
use crate::client::ServiceAddress;
use crate::mapping::Format;

const AFTER_HELP: &str = "\
The file: CSV with a header, or one JSON object per line. The mapping's [source] sets its delimiter, quoting and \
encoding; a first line such as \"sep=;\" and a byte order mark take precedence. Missing cells at the end of a CSV \
record are empty. A record with more cells than the header is refused if they have content. A record with only empty \
cells is skipped.

The summary: a record is what the file contains, usually a line. A row is what is written, such as a product or an \
order, made of one or several records, or of a part of one. Each row is counted once: as created, updated, unchanged, \
rejected, superseded or committed before. A row is rejected by the service, or because one or more of its records were \
refused. A separate line counts the refused records and the rows that were rejected because of them.

Exit codes: 0 everything was written; 3 records were refused or rows rejected, the others were written; 1 the import \
ended early, and the summary shows what was written; 2 the command line is wrong; 1 or 141 the import is complete, but \
the summary could not be written to standard output or had no reader.";

/// The options of `orrery import`.
#[derive(Debug, Args)]
pub struct ImportCommand {
    #[command(subcommand)]
    pub(super) resource: ImportedResource,
}

/// The resources.
#[derive(Debug, Subcommand)]
pub(super) enum ImportedResource {
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
    /// Imports artifacts of any kind: design assets, templates, suggestions and reports of combos, specifications of
    /// classes, documents without their content.
    ///
    /// New artifacts are created. Existing ones are updated in the fields that the mapping names. A payload is in
    /// columns of its own, or in one column as JSON. A design asset whose content_hash is there already under another
    /// uid is not created and counts as unchanged.
    #[command(after_help = AFTER_HELP)]
    Artifacts {
        #[command(flatten)]
        import: ImportOptions,
        /// Whether catalogs, products and templates that artifacts name must exist. "reject" rejects artifacts with
        /// missing ones, and needs the catalog service.
        #[arg(long, value_name = "POLICY", default_value = "accept")]
        reference_check: OnMissing,
        /// The address of the records service.
        #[arg(long, value_name = "ADDR", default_value = "localhost:50053")]
        records: ServiceAddress,
    },
    /// Imports tags with their categories.
    ///
    /// A row is a tag by its uid, or, if it has none, by its name in any letter case. Existing tags are updated in the
    /// fields that the mapping names; a tag that is found by its name keeps the spelling of the name. Rows with a
    /// category_name put their tag into that category, after all tags were written; an empty one leaves a tag where it
    /// is.
    #[command(after_help = AFTER_HELP)]
    Tags {
        #[command(flatten)]
        import: ImportOptions,
        /// The address of the records service.
        #[arg(long, value_name = "ADDR", default_value = "localhost:50053")]
        records: ServiceAddress,
    },
    /// Imports the tags of products.
    ///
    /// A row links a product and a tag. The mapping names the tag by tag_uid or by tag_name, in any letter case; names
    /// that no tag has become new tags, before their links are written. With `split`, a column such as "green, retro"
    /// makes a row for each part. A record without a tag makes no row.
    ///
    /// If the mapping has [group], a refused record costs all tags of its product, as an order is written as a whole.
    /// The summary counts them as one.
    #[command(after_help = AFTER_HELP)]
    ProductTags {
        #[command(flatten)]
        import: ImportOptions,
        /// "upsert" adds tags and removes none. "replace" makes the tags of each product that the file names exactly
        /// those of the file: a product without any in the file loses all. It needs a mapping with [group] by
        /// product_uid. Products that are not in the file keep theirs.
        #[arg(long, value_name = "MODE", default_value = "upsert")]
        mode: ProductTagsMode,
        /// Whether products, and tags named by uid, must exist. "reject" rejects the rows of those that do not exist,
        /// and needs the catalog service. "accept" does not check, so that products can be imported later.
        #[arg(long, value_name = "POLICY", default_value = "reject")]
        reference_check: OnMissing,
        /// The address of the records service.
        #[arg(long, value_name = "ADDR", default_value = "localhost:50053")]
        records: ServiceAddress,
    },
    /// Imports combo reports from CSV.
    ///
    /// The columns have fixed names, and need no mapping. A row with an identifier is written to the report that has
    /// it, or to a new one; a file that is imported again changes nothing. Products are named by uid or by name.
    #[command(after_help = combo_reports::AFTER_HELP)]
    ComboReports(combo_reports::ComboReportOptions),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ProductTagsMode {
    Upsert,
    Replace,
}

/// The options for all resources.
#[derive(Debug, Args)]
pub(super) struct ImportOptions {
    /// The file: CSV or JSONL, plain or gzip; "-" is standard input.
    pub(super) file: PathBuf,
    /// The mapping of columns to fields. deploy/examples/ has commented examples. Not needed for JSONL from `orrery
    /// export`, whose output-only fields are ignored.
    #[arg(long, value_name = "TOML")]
    pub(super) mapping: Option<PathBuf>,
    /// The format of the file, if neither its name nor the mapping says it.
    #[arg(long, value_name = "FORMAT")]
    pub(super) format: Option<Format>,
    /// The name of this import. After an interruption, run the same command with the same file, mapping and write id to
    /// continue. Rows that were committed before are sent again and compared, and count as committed before. If one
    /// differs, because the file or the mapping was changed, the import ends and writes nothing more. Only the rows of
    /// the last 64 commits, up to about 8,000 rows each, can be compared; older rows are skipped unchecked. The service
    /// keeps the name for at least 7 days. A name whose file was written completely writes nothing more. Default: a new
    /// name, which is printed.
    #[arg(long, value_name = "ID", value_parser = parse_write_id)]
    pub(super) write_id: Option<String>,
    /// What happens if a record cannot be read or mapped, or the service rejects a row. "skip" continues with the
    /// others. "stop" ends the import; rows that were sent in one chunk with a rejected row are not written.
    #[arg(long, value_name = "POLICY", default_value = "skip")]
    pub(super) on_row_error: OnRowError,
    /// Writes the line, field and reason of each refused record and rejected row to this file, as JSONL. "kind" is
    /// "record" for one of several records of a row, else what is imported, such as "product".
    #[arg(long, value_name = "FILE")]
    pub(super) rejects: Option<PathBuf>,
    /// Checks everything and writes nothing.
    #[arg(long)]
    pub(super) validate_only: bool,
    /// The memory for groups, that is rows of several records that may be anywhere in the file. Groups beyond that are
    /// sorted in temporary files, which take about as much space as the columns that are read, and twice that while
    /// they are merged.
    #[arg(long, value_name = "BYTES", default_value = "64MiB", value_parser = parse_bytes)]
    pub(super) group_memory: usize,
    /// The folder of temporary files. They have no name, so that none is left behind. Default: $TMPDIR, or /tmp.
    #[arg(long, value_name = "DIR")]
    pub(super) temp_dir: Option<PathBuf>,
    /// How long to keep trying while the service cannot be reached, in seconds. For a service that was never reached: 5
    /// seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub(super) patience: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum OnRowError {
    Skip,
    Stop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum OnMissing {
    Accept,
    Reject,
}

impl From<ProductTagsMode> for WriteMode {
    fn from(mode: ProductTagsMode) -> Self {
        match mode {
            ProductTagsMode::Upsert => Self::Upsert,
            ProductTagsMode::Replace => Self::Replace,
        }
    }
}

impl From<OnMissing> for ReferenceCheck {
    fn from(policy: OnMissing) -> Self {
        match policy {
            OnMissing::Accept => Self::Accept,
            OnMissing::Reject => Self::Reject,
        }
    }
}

/// Checks a write id by the service's rule, so that an invalid one is refused before the file is opened.
fn parse_write_id(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("must not be empty; leave --write-id out to get a new one".into());
    }
    check_id(text)?;
    Ok(text.to_owned())
}
