//! Names in place of uids: finds the uids of tags between the file and the service.
//!
//! A row must have the same uid whenever the same file is imported under the same write id, because the service
//! compares the rows of an import that continues.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::LocalBoxFuture;
use orrery_proto::records::v1::{ProductTag, Tag, TagClassification};
use orrery_records::store::tag::MAX_NAME_BYTES;
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use ulid::Ulid;

use super::categories::CategorySpool;
use super::members::Member;
use crate::client::{MAX_TAGS, SentChunk, ServiceAddress, TagsClient, Waiting, WriteOptions};
use crate::mapping::Problem;
use crate::resource::TransferResource;

/// Checks that a tag can have a name.
pub(crate) fn check_name(name: &str) -> Result<(), Problem> {
    if name.len() > MAX_NAME_BYTES {
        return Err(format!("is longer than the {MAX_NAME_BYTES} bytes of a tag's name").into());
    }
    if name.contains('\0') { Err("has a NUL character".into()) } else { Ok(()) }
}

/// What was found for the names of a file.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Tags that were created because rows name them.
    pub(crate) created_tags: u64,
    /// Rows that were not sent, because their tag does not exist and nothing may be written.
    pub(crate) unchecked: u64,
}

/// Tags by name.
struct TagNames {
    client: TagsClient,
    /// The uids of names in lower case; empty if there is no such tag. As large as the names of the file.
    uids: HashMap<String, String>,
    /// Whether missing tags are created.
    create: bool,
    found: Found,
}

impl TagNames {
    /// Asks the service at an address.
    fn new(address: ServiceAddress, give_up_after: Duration, create: bool) -> Self {
        Self { client: TagsClient::new(address, give_up_after), uids: HashMap::new(), create, found: Found::default() }
    }

    /// Finds the uids of names.
    async fn look_up(&mut self, names: impl Iterator<Item = &str>, waiting: Waiting<'_>) -> anyhow::Result<()> {
        let mut asked: HashMap<String, String> = HashMap::new();
        let mut unknown = Vec::new();
        for name in names {
            let key = name.to_lowercase();
            if !self.uids.contains_key(&key) && !asked.contains_key(&key) {
                asked.insert(key.clone(), String::new());
                unknown.push((key, name.to_owned()));
            }
        }
        for names in unknown.chunks(MAX_TAGS) {
            let texts = names.iter().map(|(_, name)| name.clone()).collect();
            let (uids, created) = self.client.resolve(texts, self.create, waiting).await.map_err(Fault)?;
            self.found.created_tags += created.unsigned_abs();
            self.uids.extend(names.iter().map(|(key, _)| key.clone()).zip(uids));
        }
        Ok(())
    }

    fn uid(&self, name: &str) -> Option<&String> {
        self.uids.get(&name.to_lowercase()).filter(|uid| !uid.is_empty())
    }
}

/// The service did not answer.
#[derive(Debug)]
struct Fault(tonic::Status);

impl std::fmt::Display for Fault {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&crate::client::describe(&self.0))
    }
}

impl std::error::Error for Fault {}

/// Puts uids in the place of names, for resources whose files have names: the chunks to write, and the work that makes
/// them.
pub(crate) fn name_rows<'a>(
    resource: &TransferResource,
    options: &'a WriteOptions,
    chunks: mpsc::Receiver<SentChunk>,
    spool: &'a mut CategorySpool,
    waiting: Waiting<'a>,
) -> (mpsc::Receiver<SentChunk>, LocalBoxFuture<'a, anyhow::Result<Found>>) {
    let tags = |create| TagNames::new(options.address.clone(), options.give_up_after, create);
    let (sender, named) = mpsc::channel(2);
    if resource.owner.is_some() {
        return (named, link(tags(!options.validate_only), chunks, sender, waiting).boxed_local());
    }
    if resource.name_key.is_some() {
        let naming = identify(tags(false), &options.write_id, spool, chunks, sender, waiting);
        return (named, naming.boxed_local());
    }
    (chunks, std::future::ready(Ok(Found::default())).boxed_local())
}

/// Turns the rows of chunks into product tags, until the channel closes. Missing tags are created, or, if nothing may
/// be written, their rows are left out.
async fn link(
    mut names: TagNames,
    mut chunks: mpsc::Receiver<SentChunk>,
    sender: mpsc::Sender<SentChunk>,
    waiting: Waiting<'_>,
) -> anyhow::Result<Found> {
    let mut offset = 0;
    while let Some(chunk) = chunks.recv().await {
        let rows = chunk.rows.iter().cloned().map(Member::decode).collect::<Result<Vec<_>, _>>()?;
        names.look_up(rows.iter().map(|row| row.tag_name.as_str()).filter(|name| !name.is_empty()), waiting).await?;
        let mut linked = SentChunk { offset, ..SentChunk::default() };
        for (row, line) in rows.into_iter().zip(chunk.lines) {
            let Member { product_uid, mut tag_uid, create_ts, tag_name, .. } = row;
            if !tag_name.is_empty() {
                let Some(uid) = names.uid(&tag_name) else {
                    names.found.unchecked += 1;
                    continue;
                };
                tag_uid.clone_from(uid);
            }
            push(&mut linked, ProductTag { product_uid, tag_uid, create_ts }.encode_to_vec(), line);
        }
        offset = linked.end();
        if !linked.rows.is_empty() && sender.send(linked).await.is_err() {
            break;
        }
    }
    Ok(names.found)
}

/// Turns the rows of chunks into tags, until the channel closes, and keeps their categories. A tag without a uid has
/// that of the tag with its name. If there is none, it gets one that only depends on its name and the write id.
async fn identify(
    mut names: TagNames,
    write_id: &str,
    categories: &mut CategorySpool,
    mut chunks: mpsc::Receiver<SentChunk>,
    sender: mpsc::Sender<SentChunk>,
    waiting: Waiting<'_>,
) -> anyhow::Result<Found> {
    while let Some(chunk) = chunks.recv().await {
        let rows = chunk.rows.iter().cloned().map(Tag::decode).collect::<Result<Vec<_>, _>>()?;
        let nameless = rows.iter().filter(|row| row.uid.is_empty()).map(|row| row.name.as_str());
        names.look_up(nameless.filter(|name| check_name(name).is_ok()), waiting).await?;
        let mut identified = SentChunk { offset: chunk.offset, ..SentChunk::default() };
        for ((mut tag, bytes), line) in rows.into_iter().zip(chunk.rows).zip(chunk.lines) {
            if tag.uid.is_empty() {
                tag.uid = names.uid(&tag.name).cloned().unwrap_or_else(|| new_uid(write_id, &tag.name));
            }
            let Beside { category_name } = Beside::decode(bytes)?;
            if !category_name.is_empty() {
                let tag_uid = tag.uid.clone();
                categories.add(line, &TagClassification { tag_uid, category_name, ..Default::default() })?;
            }
            push(&mut identified, tag.encode_to_vec(), line);
        }
        if sender.send(identified).await.is_err() {
            break;
        }
    }
    Ok(names.found)
}

/// What a file says beside the fields of a tag, see [`crate::contract`].
#[derive(Clone, PartialEq, prost::Message)]
struct Beside {
    #[prost(string, tag = "1000")]
    category_name: String,
}

fn push(chunk: &mut SentChunk, row: Vec<u8>, line: u64) {
    chunk.bytes += row.len();
    chunk.rows.push(Bytes::from(row));
    chunk.lines.push(line);
}

/// A uid for a new tag: the same for the same name, in any letter case, under the same write id, and no other one.
fn new_uid(write_id: &str, name: &str) -> String {
    let hash = Sha256::digest(format!("{write_id}\0{}", name.to_lowercase()));
    let number = hash.iter().take(16).fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    format!("tag_{}", Ulid(number).to_string().to_lowercase())
}
