//! Writers that continue whatever fails, and the expected rows: each acknowledged chunk once, each other chunk
//! completely or not at all.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message as _;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sqlx::PgConnection;
use tonic::Status;
use tonic::transport::Channel;

use super::stream::{ORDERS, PRODUCTS, WriteStream, connect, named, product};
use crate::harness::{line, order};

/// The number of keys of a writer. They are repeated, so that a chunk that is applied twice or late is visible in the
/// rows.
const KEYS: i64 = 400;
/// The variable that repeats a run.
const SEED: &str = "ORRERY_TEST_SEED";

/// What is written.
pub(crate) struct Kind {
    method: &'static str,
    /// The row of a writer and offset: always the same. A key is repeated after [`KEYS`] rows, with other content.
    row: fn(usize, i64) -> Row,
    /// Selects key and content of everything that the writer $1 wrote.
    stored: &'static str,
    /// Selects the committed offset of the write $1.
    committed: &'static str,
}

/// A row, and its key and content.
struct Row {
    uid: String,
    content: String,
    message: Bytes,
}

/// Products whose names contain the offset at which they were written.
pub(crate) const PRODUCT_KIND: &Kind = &Kind {
    method: PRODUCTS,
    row: |writer, offset| {
        let content = format!("offset {offset}");
        let mut product = product(&format!("w{writer}-{:04}", offset % KEYS), &content);
        product.labels.insert("writer".to_owned(), writer.to_string());
        Row { uid: product.uid.clone(), content, message: product.encode_to_vec().into() }
    },
    stored: "select uid, name from catalog.product where labels ->> 'writer' = $1",
    committed: "select committed_offset from catalog.write_session where write_id = $1",
};

/// Orders of one to three lines, whose quantities contain the offset again, and so does their total.
pub(crate) const ORDER_KIND: &Kind = &Kind {
    method: ORDERS,
    row: |writer, offset| {
        let mut order = order(&format!("ord_w{writer}-{:04}", offset % KEYS));
        order.customer_id = offset.to_string();
        order.labels.insert("writer".to_owned(), writer.to_string());
        let quantities: Vec<i32> = (0..=offset % 3).map(|line| (offset % 10_000 + line) as i32).collect();
        order.line_items = quantities.iter().map(|&quantity| line("sku", quantity, "1.00")).collect();
        let lines: Vec<String> = quantities.iter().map(i32::to_string).collect();
        let content = format!("{offset}: {} = {}", lines.join(" + "), quantities.iter().sum::<i32>());
        Row { uid: order.uid.clone(), content, message: order.encode_to_vec().into() }
    },
    stored: "select o.uid, o.customer_id || ': ' || coalesce(string_agg(l.quantity::text, ' + ' order by \
        l.line_number), '') \
                    || ' = ' || coalesce(max(s.quantity)::text, '') \
             from orders.order_header o left join orders.order_line_item l on l.order_uid = o.uid \
                  left join orders.order_summary s on s.order_uid = o.uid \
             where o.labels ->> 'writer' = $1 group by o.uid",
    committed: "select committed_offset from orders.write_session where write_id = $1",
};

/// The progress of one writer over all its streams.
pub(crate) struct Progress {
    kind: &'static Kind,
    writer: usize,
    /// All rows before it were acknowledged.
    pub(crate) acknowledged: i64,
    /// The ends of chunks that were sent and not acknowledged yet.
    sent: Vec<i64>,
    /// How its streams ended.
    pub(crate) broken: Vec<Status>,
}

impl Progress {
    fn state(&self) -> String {
        let Self { writer, acknowledged, sent, .. } = self;
        format!("writer {writer}: {acknowledged} acknowledged, chunks up to {sent:?} on their way")
    }

    fn write_id(&self) -> String {
        format!("writer{}", self.writer)
    }

    /// Writes until the stream breaks or `enough` is set.
    async fn write(&mut self, channel: Channel, random: &mut StdRng, enough: &AtomicBool) -> Result<(), Status> {
        let (mut stream, offset) = WriteStream::resume(channel, self.kind.method, named(&self.write_id())).await?;
        let known = offset == self.acknowledged || self.sent.contains(&offset);
        assert!(known && offset >= self.acknowledged, "{offset} is committed; {}", self.state());
        self.acknowledged = offset;
        self.sent.clear();
        let mut at = offset;
        while !enough.load(Ordering::Relaxed) {
            // Up to three chunks are in flight.
            while self.sent.len() < 3 {
                let end = at + random.random_range(1..300);
                let rows = (at..end).map(|offset| (self.kind.row)(self.writer, offset).message).collect();
                stream.send_bytes(at, rows).await;
                self.sent.push(end);
                at = end;
            }
            let answer = stream.answer().await?.ok_or_else(|| Status::internal("the stream ended"))?;
            assert!(self.sent.contains(&answer.committed_offset), "{answer:?}; {}", self.state());
            self.acknowledged = answer.committed_offset;
            self.sent.retain(|end| *end > answer.committed_offset);
        }
        Ok(())
    }

    /// Checks that everything acknowledged is stored once, and what was in flight only by whole chunks. A new stream
    /// waits for running commits.
    pub(crate) async fn assert_whole(&self, address: SocketAddr, connection: &mut PgConnection) {
        let resumed = WriteStream::resume(connect(address), self.kind.method, named(&self.write_id())).await;
        let (_, offset) = resumed.unwrap();
        let committed: i64 =
            sqlx::query_scalar(self.kind.committed).bind(self.write_id()).fetch_one(&mut *connection).await.unwrap();
        assert_eq!(offset, committed, "{}", self.state());
        let known = committed == self.acknowledged || self.sent.contains(&committed);
        assert!(known, "{committed} is committed; {}", self.state());
        let stored: BTreeMap<String, String> = sqlx::query_as::<_, (String, String)>(self.kind.stored)
            .bind(self.writer.to_string())
            .fetch_all(connection)
            .await
            .unwrap()
            .into_iter()
            .collect();
        let expected: BTreeMap<String, String> = ((committed - KEYS).max(0)..committed)
            .map(|offset| (self.kind.row)(self.writer, offset))
            .map(|row| (row.uid, row.content))
            .collect();
        let differing: Vec<_> = stored.iter().filter(|(uid, content)| expected.get(*uid) != Some(content)).collect();
        assert!(differing.is_empty(), "{committed} rows are committed, but {:?}", &differing[..differing.len().min(5)]);
        assert_eq!(stored.len(), expected.len(), "{committed} rows are committed");
    }
}

/// Writes, and resumes whenever the service is available again, until `enough` is set. Fails if the writer is cut off
/// for a minute.
pub(crate) async fn write_on(
    kind: &'static Kind,
    writer: usize,
    seed: u64,
    address: SocketAddr,
    enough: Arc<AtomicBool>,
) -> Progress {
    let mut progress = Progress { kind, writer, acknowledged: 0, sent: Vec::new(), broken: Vec::new() };
    let mut random = StdRng::seed_from_u64(seed ^ writer as u64);
    let mut moved = (0, Instant::now());
    while let Err(status) = progress.write(connect(address), &mut random, &enough).await {
        if progress.acknowledged > moved.0 {
            moved = (progress.acknowledged, Instant::now());
        }
        assert!(moved.1.elapsed() < Duration::from_secs(60), "{}: {status:?}", progress.state());
        progress.broken.push(status);
        if enough.load(Ordering::Relaxed) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    progress
}

/// The seed of a run with random events: from the environment, or a new one. It is printed, so that a run can be
/// repeated.
pub(crate) fn seed() -> u64 {
    let seed = match std::env::var(SEED) {
        Ok(given) => given.parse().unwrap(),
        Err(_) => rand::random(),
    };
    println!("{SEED}={seed}");
    seed
}
