//! Artifacts created one by one, by several callers.

use std::time::Duration;

use anyhow::Context as _;
use orrery::cluster::Role;
use orrery_proto::records::v1::artifact::Payload;
use orrery_proto::records::v1::{Artifact, ComboTemplate, CreateArtifactRequest, CreateArtifactResponse, DesignAsset};
use prost::Message as _;

use crate::callers::Callers;
use crate::postgres::Postgres;
use crate::process::{Process, RECORDS};
use crate::{Rate, Report, Settings, wanted};

const CALLERS: usize = 16;
/// The connections of the callers together.
const CONNECTIONS: usize = 2;
/// The time at the start that is not counted.
const WARM_UP: Duration = Duration::from_secs(1);
/// The series in which templates are numbered: each is a lock, which callers of one series wait for.
const SERIES: u32 = 1_000;

/// The same as the creation of an asset in SQL, as short as possible.
const INSERT_ASSET: &str = "\\set n random(1, 1000000000000000)
insert into records.macrodata_artifact (uid, kind, content_hash, body)
values ('mda_' || :n, 'design_asset', lpad(:n::text, 64, '0'), jsonb_build_object('content_hash', lpad(:n::text, 64, '0'),
       'bearer_key', 'assets/1.png', 'bearer_url', 'https://example.com/assets/1.png', 'media_type', 'image/png',
       'size_bytes', 123456));
";

/// The same as the creation of a template.
const INSERT_TEMPLATE: &str = "\\set n random(1, 1000000000000000)
\\set series random(1, 1000)
begin;
insert into records.identifier_series as t (name, last) values ('/combo_template/SP-IPH-1-A' || :series, 1)
    on conflict (name) do update set last = t.last + 1 returning last \\gset
insert into records.macrodata_artifact (uid, kind, identifier, body)
values ('mda_' || :n, 'combo_template', 'SP-IPH-1-A' || :series || '-' || lpad(:last::text, 3, '0'),
       jsonb_build_object('type', 'SP', 'product_codes', '[\"IPH\"]'::jsonb, 'product_count', 1,
       'audience', 'A' || :series));
commit;
";

/// Creates the message of a request.
type Message = fn(usize) -> Vec<u8>;

pub(crate) async fn measure(postgres: &Postgres, settings: Settings, report: &mut Report) -> anyhow::Result<()> {
    if !wanted("artifacts-create") {
        return Ok(());
    }
    let records = Process::start(RECORDS, &postgres.url(Role::Records), &[]).await;
    let records = records.context("the records service did not start")?;
    let kinds =
        [("design asset", INSERT_ASSET, asset as Message), ("numbered combo template", INSERT_TEMPLATE, template)];
    for (kind, sql, message) in kinds {
        let (mut pgbench, mut creates) = (Rate::default(), Rate::default());
        for run in 1..=settings.runs {
            empty(postgres).await?;
            pgbench.0.push(postgres.pgbench(sql, CALLERS, ["--time", &settings.seconds.to_string()])?.rate);
            empty(postgres).await?;
            creates.0.push(create_by_all(&records, message, settings).await?);
            eprintln!("artifacts-create, {kind}, run {run}: {:.0}/s of {:.0}/s", creates.last(), pgbench.last());
        }
        let limit = format!("pgbench, {CALLERS} clients, the same inserts");
        report.row(&format!("create one {kind}, {CALLERS} callers"), &limit, &pgbench, &creates);
    }
    empty(postgres).await
}

async fn empty(postgres: &Postgres) -> anyhow::Result<()> {
    postgres.execute("truncate records.macrodata_artifact, records.identifier_series").await?;
    postgres.settle().await
}

async fn create_by_all(records: &Process, message: Message, settings: Settings) -> anyhow::Result<f64> {
    let time = Duration::from_secs(settings.seconds as u64);
    let callers = Callers {
        method: "/orrery.records.v1.RecordsService/CreateArtifact",
        metadata: Vec::new(),
        message,
        rows: 0,
        is_right: |answer| {
            CreateArtifactResponse::decode(answer).is_ok_and(|answer| answer.artifact.is_some() && !answer.deduplicated)
        },
        count: CALLERS,
        connections: CONNECTIONS,
        warm_up: WARM_UP,
        time,
        pause: None,
    };
    Ok(crate::per_second(callers.call(records.address()).await?.took.len(), time))
}

fn asset(_: usize) -> Vec<u8> {
    request(Payload::DesignAsset(DesignAsset {
        content_hash: format!("{:032x}{:032x}", rand::random::<u128>(), rand::random::<u128>()),
        bearer_key: "assets/1.png".to_owned(),
        bearer_url: "https://example.com/assets/1.png".to_owned(),
        media_type: "image/png".to_owned(),
        size_bytes: 123_456,
        ..DesignAsset::default()
    }))
}

fn template(_: usize) -> Vec<u8> {
    request(Payload::ComboTemplate(ComboTemplate {
        r#type: "SP".to_owned(),
        product_codes: vec!["IPH".to_owned()],
        audience: format!("A{}", rand::random_range(1..=SERIES)),
        ..ComboTemplate::default()
    }))
}

fn request(payload: Payload) -> Vec<u8> {
    let artifact = Some(Artifact { payload: Some(payload), ..Artifact::default() });
    CreateArtifactRequest { artifact, ..CreateArtifactRequest::default() }.encode_to_vec()
}
