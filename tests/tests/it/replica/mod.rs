//! Reads from a streaming replica, and the positions that writes return for them, with a real standby that is paused,
//! frozen and killed.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod asynchronous;
mod conflicts;
mod faults;
mod lacking;
mod metadata;
mod positions;
mod positions_of_records;
mod reads;
mod within_pages;

use std::time::{Duration, Instant};

use bytes::Bytes;
use orrery_kit::lsn::Lsn;
use prost::Message;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::harness::raw::{Answer, call_with};

const CATALOG: &str = "orrery.catalog.v1.CatalogService";
const ORDERS: &str = "orrery.orders.v1.OrdersService";
const TAGS: &str = "orrery.records.v1.TagsService";
const RECORDS: &str = "orrery.records.v1.RecordsService";

const EVENTUAL: (&str, &str) = ("x-consistency", "eventual");

/// Longer than any wait takes.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A method and its request message.
struct Method {
    path: String,
    message: Bytes,
}

fn method(service: &str, name: &str, message: &impl Message) -> Method {
    Method { path: format!("/{service}/{name}"), message: message.encode_to_vec().into() }
}

impl Method {
    async fn call(&self, channel: &Channel, metadata: &[(&'static str, &str)]) -> ReadAnswer {
        call_with(channel, &self.path, metadata, None, vec![self.message.clone()]).await.into()
    }
}

/// The result of a call.
#[derive(Debug)]
struct ReadAnswer {
    messages: Result<Vec<Bytes>, Status>,
    min_lsn: Option<Lsn>,
    served_by: Option<String>,
}

impl From<Answer> for ReadAnswer {
    fn from(answer: Answer) -> Self {
        let text = |key: &str| answer.metadata.get(key).map(|value| value.to_str().unwrap().to_owned());
        let min_lsn = text("x-min-lsn").map(|lsn| lsn.parse().unwrap());
        Self { min_lsn, served_by: text("x-served-by"), messages: answer.messages }
    }
}

impl ReadAnswer {
    fn code(&self) -> Code {
        self.messages.as_ref().map_or_else(Status::code, |_| Code::Ok)
    }

    /// The concatenated messages, and who served them.
    #[track_caller]
    fn read(&self) -> (Vec<u8>, Option<&str>) {
        (self.messages.as_ref().unwrap().concat(), self.served_by.as_deref())
    }
}

/// Repeats the call until the replica serves it, which it does once it was found.
async fn until_served_by(who: &str, channel: &Channel, method: &Method) -> ReadAnswer {
    let started = Instant::now();
    loop {
        let answer = method.call(channel, &[EVENTUAL]).await;
        if answer.served_by.as_deref() == Some(who) && answer.messages.is_ok() {
            return answer;
        }
        assert!(started.elapsed() < TIMEOUT, "{} is not served by the {who}: {answer:?}", method.path);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
