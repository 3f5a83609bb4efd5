//! `orrery procedures orphans`.

use std::io;
use std::process::ExitCode;

use anyhow::Context as _;
use bytes::Bytes;
use clap::Args;
use orrery_proto::procedures::v1::{Orphan, OrphanFilter, StreamOrphansRequest};
use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor};

use super::target::OneService;
use super::{PatienceOptions, text, waiting};
use crate::client::{PageQuery, describe, read_pages};
use crate::contract::method;
use crate::message::write_json;
use crate::numbers::many;
use crate::terminal::{StdoutError, eprint_line, printable, was_closed, write_stdout};

pub(super) const AFTER_HELP: &str = "\
A line has six columns, separated by tabs: the relation, the missing uid, one of the rows that refer to it, when it \
was first seen, last seen and confirmed. Control characters are escaped; --json has them as they are. The procedure \
detect_orphans finds orphans.

Exit codes: 0 all were listed; 1 the list ended early, and the --resume-token with which it continues was printed; 2 \
the command line is wrong; 141 standard output had no reader.";

pub(super) const METHOD: &str = "/orrery.procedures.v1.ProceduresService/StreamOrphans";

/// The options of `orrery procedures orphans`.
#[derive(Debug, Args)]
pub(super) struct OrphansOptions {
    /// Only orphans of this relation: a column such as orders.order_line_item.product_uid. Can be repeated.
    #[arg(long, value_name = "RELATION")]
    relation: Vec<String>,
    /// Includes candidates, which were seen once and may still get their target.
    #[arg(long)]
    candidates: bool,
    /// Writes JSON objects, one on each line.
    #[arg(long)]
    json: bool,
    /// Continues a list that ended early and printed this token. All other options must be the same.
    #[arg(long, value_name = "TOKEN", default_value = "", hide_default_value = true)]
    resume_token: String,
    #[command(flatten)]
    pub(super) service: OneService,
    #[command(flatten)]
    patience: PatienceOptions,
}

/// Runs `orrery procedures orphans`.
pub(super) async fn run(options: OrphansOptions) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(!was_closed(io::stdout()), "standard output is closed");
    let query = PageQuery {
        address: options.service.address()?,
        method: METHOD,
        request: request(options.relation, options.candidates)?,
        give_up_after: options.patience.give_up_after(),
    };
    let lines = Lines::new(options.json)?;
    let listed = list(query, options.resume_token, &lines, &mut |text| write_stdout(text)).await?;
    eprint_line(many(listed, "orphan", "orphans"));
    Ok(ExitCode::SUCCESS)
}

pub(super) fn request(relations: Vec<String>, candidates: bool) -> anyhow::Result<DynamicMessage> {
    let filter = OrphanFilter { relations, candidates, ..OrphanFilter::default() };
    let typed = StreamOrphansRequest { filter: Some(filter), ..StreamOrphansRequest::default() };
    let mut request = DynamicMessage::new(method(METHOD)?.input());
    request.transcode_from(&typed).context("a request cannot be created")?;
    Ok(request)
}

/// Writes all orphans after a token, and returns their number.
///
/// # Errors
/// The list ended early; the error says where to go on.
pub(super) async fn list(
    query: PageQuery,
    token: String,
    lines: &Lines,
    write: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> anyhow::Result<u64> {
    let mut pages = read_pages(query, token.clone());
    let (mut listed, mut token) = (0_u64, token);
    let ended = loop {
        let page = match pages.next(&mut waiting).await {
            Ok(Some(page)) => page,
            Ok(None) => return Ok(listed),
            Err(status) => break anyhow::anyhow!(describe(&status)),
        };
        // Nothing else is done here, so that a slow reader may hold it up.
        let text = match lines.of(&page.rows) {
            Ok(text) => text,
            Err(error) => break error,
        };
        if let Err(error) = write(&text) {
            break StdoutError(error).into();
        }
        listed += page.rows.len() as u64;
        token = page.resume_token;
    };
    let go_on = if token.is_empty() { String::new() } else { format!("; to continue, add --resume-token {token}") };
    Err(ended.context(format!("the list ended early, after {}{go_on}", many(listed, "orphan", "orphans"))))
}

/// How orphans are written.
pub(super) struct Lines {
    /// The message of an orphan, if it is written as JSON.
    json: Option<MessageDescriptor>,
}

impl Lines {
    pub(super) fn new(json: bool) -> anyhow::Result<Self> {
        let message = method(METHOD)?.output().get_field_by_name("orphans").map(|field| field.kind());
        let message = message.as_ref().and_then(|kind| kind.as_message()).context("a page has no orphans")?;
        Ok(Self { json: json.then(|| message.clone()) })
    }

    /// The lines of encoded orphans.
    fn of(&self, rows: &[Bytes]) -> anyhow::Result<Vec<u8>> {
        let mut lines = Vec::new();
        for row in rows {
            match &self.json {
                Some(message) => write_json(&DynamicMessage::decode(message.clone(), row.clone())?, &mut lines),
                None => lines.extend(line(&Orphan::decode(row.clone())?).into_bytes()),
            }
            lines.push(b'\n');
        }
        Ok(lines)
    }
}

fn line(orphan: &Orphan) -> String {
    let time = |time: Option<prost_types::Timestamp>| time.map(text::time).unwrap_or_default();
    let texts = [&orphan.relation, &orphan.missing_uid, &orphan.child_uid].map(|text| printable(text));
    let times = [orphan.first_seen_ts, orphan.last_seen_ts, orphan.confirm_ts].map(time);
    [texts, times].concat().join("\t")
}
