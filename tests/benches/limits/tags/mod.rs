//! The tags of products: many rows that are little more than their keys, and the performance that is computed from
//! them.

mod refresh;

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use orrery::cluster::Role;
use orrery_proto::records::v1::tags_service_client::TagsServiceClient;
use orrery_proto::records::v1::write_product_tags_request::{Chunk, Payload};
use orrery_proto::records::v1::{ProductTag, StreamProductTagsRequest, WriteProductTagsRequest};
use orrery_proto::r#type::v1::WriteStart;
use tonic::transport::Channel;

use crate::postgres::Postgres;
use crate::process::{Process, RECORDS};
use crate::undecoded::stream_undecoded;
use crate::{Rate, Report, Settings, setting, wanted};

/// The rows in a message of a write.
const CHUNK: usize = 5_000;
/// The tags of one product.
const TAGS_OF_PRODUCT: usize = 4;
/// The number of tags.
const TAGS: usize = 500;

pub(crate) async fn measure(postgres: &Postgres, settings: Settings, report: &mut Report) -> anyhow::Result<()> {
    if ["tags-write", "tags-stream"].into_iter().any(wanted) {
        links(postgres, settings, report).await?;
    }
    if wanted("tags-refresh") {
        refresh::measure(postgres, settings, report).await?;
    }
    Ok(())
}

/// Writes and streams links.
async fn links(postgres: &Postgres, settings: Settings, report: &mut Report) -> anyhow::Result<()> {
    let rows = setting("ORRERY_BENCH_LINKS", 1_000_000);
    let records = Process::start(RECORDS, &postgres.url(Role::Records), &[]).await;
    let records = records.context("the records service did not start")?;
    let path = postgres.file("links.tsv");
    let mut file = std::io::BufWriter::new(std::fs::File::create(&path)?);
    for n in 0..rows {
        let ProductTag { product_uid, tag_uid, .. } = link(n);
        writeln!(file, "{product_uid}\t{tag_uid}")?;
    }
    file.flush()?;
    let copy_in = [format!("\\copy records.link_product_tag (product_uid, tag_uid) from '{}'", path.display())];
    let copy_out =
        "copy (select * from records.link_product_tag order by product_uid, tag_uid) to stdout (format binary)";
    let copy_out = [copy_out.to_owned()];
    let [mut limit_in, mut created, mut again, mut limit_out, mut streamed, mut undecoded]: [Rate; 6] =
        Default::default();
    for run in 1..=settings.runs {
        postgres.execute("truncate records.link_product_tag").await?;
        postgres.settle().await?;
        limit_in.add(rows, postgres.psql(&copy_in)?);
        postgres.execute("truncate records.link_product_tag").await?;
        postgres.settle().await?;
        created.add(rows, write(&records, rows, |ack| ack.created).await?);
        again.add(rows, write(&records, rows, |ack| ack.unchanged).await?);
        postgres.execute("vacuum (analyze) records.link_product_tag").await?;
        limit_out.add(rows, postgres.psql(&copy_out)?);
        streamed.add(rows, stream(&records, rows).await?);
        let method = "/orrery.records.v1.TagsService/StreamProductTags";
        let (count, took) = stream_undecoded(records.channel(), method, StreamProductTagsRequest::default()).await?;
        anyhow::ensure!(count == rows, "{count} of {rows} links came");
        undecoded.add(rows, took);
        eprintln!(
            "tags, run {run}: write {:.2}, stream {:.2}, not decoded {:.2}",
            created.last() / limit_in.last(),
            streamed.last() / limit_out.last(),
            undecoded.last() / limit_out.last()
        );
    }
    report.row(&format!("write {rows} new tags of products"), "COPY FROM, same table", &limit_in, &created);
    report.row("write them again, unchanged", "COPY FROM, same table", &limit_in, &again);
    report.row("stream all tags of products", "COPY TO STDOUT (FORMAT binary)", &limit_out, &streamed);
    report.row("the same, rows not decoded by the client", "COPY, the same", &limit_out, &undecoded);
    report.memory("the records service", "in all", records.peak_memory()?);
    postgres.execute("truncate records.link_product_tag").await
}

/// Link number `n`.
fn link(n: usize) -> ProductTag {
    let (product, nth) = (n / TAGS_OF_PRODUCT, n % TAGS_OF_PRODUCT);
    let tag = (product * 7 + nth * (TAGS / TAGS_OF_PRODUCT)) % TAGS;
    ProductTag { product_uid: format!("prd_{product:026}"), tag_uid: format!("tag_{tag:026}"), create_ts: None }
}

fn client(records: &Process) -> TagsServiceClient<Channel> {
    TagsServiceClient::new(records.channel()).max_decoding_message_size(64 << 20)
}

/// Writes all links in chunks. Every row must count as `expected` says.
async fn write(
    records: &Process,
    count: usize,
    expected: fn(&orrery_proto::r#type::v1::WriteResponse) -> i64,
) -> anyhow::Result<Duration> {
    let write_id = format!("bench-{}", rand::random::<u64>());
    let start = WriteStart { write_id, ..WriteStart::default() };
    let start = WriteProductTagsRequest { payload: Some(Payload::Start(start)) };
    let chunks = (0..count).step_by(CHUNK).map(|offset| {
        let product_tags = (offset..(offset + CHUNK).min(count)).map(link).collect();
        WriteProductTagsRequest { payload: Some(Payload::Chunk(Chunk { offset: offset as i64, product_tags })) }
    });
    // The rows are there before the clock starts, as the lines of COPY's file are.
    let requests: Vec<_> = std::iter::once(start).chain(chunks).collect();
    let started = Instant::now();
    let requests = tokio_stream::iter(requests);
    let mut acks = client(records).write_product_tags(requests).await?.into_inner();
    let (mut committed, mut counted) = (0, 0);
    while let Some(ack) = acks.message().await? {
        committed = ack.committed_offset;
        counted += expected(&ack);
    }
    anyhow::ensure!(committed == count as i64 && counted == count as i64, "{counted} of {count} as expected");
    Ok(started.elapsed())
}

/// Streams and decodes all links.
async fn stream(records: &Process, rows: usize) -> anyhow::Result<Duration> {
    let started = Instant::now();
    let mut stream = client(records).stream_product_tags(StreamProductTagsRequest::default()).await?.into_inner();
    let mut count = 0;
    while let Some(page) = stream.message().await? {
        count += page.product_tags.len();
    }
    anyhow::ensure!(count == rows, "{count} of {rows} links came");
    Ok(started.elapsed())
}
