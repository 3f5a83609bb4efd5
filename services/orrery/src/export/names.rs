//! What an export says beside the fields of the contract: the names of the tags of links, and the categories of tags.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MessageDescriptor, Value};
use tonic::Status;

use super::columns::Columns;
use crate::client::{MAX_TAGS, ServiceAddress, TagsClient, Waiting};
use crate::resource::TransferResource;

/// The most tags whose texts are kept for the next pages.
const KEPT: usize = 100_000;

/// Adds a text of each row's tag to the row.
pub(crate) struct RowNames {
    client: TagsClient,
    message: MessageDescriptor,
    /// The field that has the tag's uid.
    uid: &'static str,
    /// The field that gets the text.
    beside: &'static str,
    is_category: bool,
    /// The texts by uid; empty if there is none.
    known: HashMap<String, String>,
}

impl RowNames {
    /// What rows need, if they need anything.
    ///
    /// # Errors
    /// The text is to be written without the uid.
    pub(crate) fn plan(
        resource: &TransferResource,
        columns: &Columns,
        read_mask: &[String],
        address: &ServiceAddress,
        give_up_after: Duration,
    ) -> anyhow::Result<Option<Self>> {
        let Some(beside) = resource.beside.filter(|field| columns.has(field, read_mask)) else { return Ok(None) };
        let is_category = resource.owner.is_none();
        let uid = if is_category { resource.key } else { "tag_uid" };
        anyhow::ensure!(columns.has(uid, read_mask), "--read-mask: {beside} needs {uid} beside it");
        Ok(Some(Self {
            client: TagsClient::new(address.clone(), give_up_after),
            message: resource.descriptor()?,
            uid,
            beside,
            is_category,
            known: HashMap::new(),
        }))
    }

    /// The rows of a page with their texts.
    pub(crate) async fn add(&mut self, rows: Vec<Bytes>, waiting: Waiting<'_>) -> Result<Vec<Bytes>, Status> {
        let broken = |error: prost::DecodeError| Status::data_loss(format!("a row cannot be read: {error}"));
        let rows: Result<Vec<_>, _> =
            rows.into_iter().map(|row| DynamicMessage::decode(self.message.clone(), row)).collect();
        let mut rows = rows.map_err(broken)?;
        if self.known.len() > KEPT || self.is_category {
            self.known.clear();
        }
        let uids: HashSet<String> =
            rows.iter().map(|row| self.uid_of(row)).filter(|uid| !self.known.contains_key(uid)).collect();
        let uids: Vec<String> = uids.into_iter().filter(|uid| !uid.is_empty()).collect();
        for uids in uids.chunks(MAX_TAGS) {
            let mut found = if self.is_category {
                self.client.categories(uids.to_vec(), waiting).await?
            } else {
                self.client.names(uids.to_vec(), waiting).await?
            };
            self.known.extend(uids.iter().map(|uid| (uid.clone(), found.remove(uid).unwrap_or_default())));
        }
        for row in &mut rows {
            if let Some(text) = self.known.get(&self.uid_of(row)).filter(|text| !text.is_empty()) {
                row.set_field_by_name(self.beside, Value::String(text.clone()));
            }
        }
        Ok(rows.into_iter().map(|row| row.encode_to_vec().into()).collect())
    }

    fn uid_of(&self, row: &DynamicMessage) -> String {
        let value = row.get_field_by_name(self.uid);
        value.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    }
}
