//! Single products that are changed, by several callers at once.

use std::time::Duration;

use orrery_proto::catalog::v1::{Product, UpdateProductRequest};
use prost::Message as _;
use prost_types::FieldMask;

use super::service::{Service, getters};
use crate::callers::Callers;
use crate::postgres::Postgres;
use crate::{Rate, Report, Settings};

const CALLERS: usize = 16;

/// What a client does that must not overwrite what it has not seen: it locks the row, looks at it, and changes it.
const TRANSACTION: &str = "begin;
select * from catalog.product where uid = 'prd_' || lpad(:n::text, 26, '0') for update;
update catalog.product set name = 'Product number ' || :name, update_ts = now()
where uid = 'prd_' || lpad(:n::text, 26, '0') returning *;
commit;
";
/// The least that can be done.
const STATEMENT: &str = "update catalog.product set name = 'Product number ' || :name, update_ts = now()
where uid = 'prd_' || lpad(:n::text, 26, '0') returning *;
";

pub(super) async fn measure(
    postgres: &Postgres,
    service: &Service,
    rows: usize,
    settings: Settings,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (mut transactions, mut statements, mut updates) = (Rate::default(), Rate::default(), Rate::default());
    let time = Duration::from_secs(settings.seconds as u64);
    let pgbench = |script: &str| -> anyhow::Result<f64> {
        let script = format!("\\set n random(1, {rows})\n\\set name random(1, 1000000000)\n{script}");
        Ok(postgres.pgbench(&script, CALLERS, ["--time", &settings.seconds.to_string()])?.rate)
    };
    for run in 1..=settings.runs {
        postgres.settle().await?;
        transactions.0.push(pgbench(TRANSACTION)?);
        postgres.settle().await?;
        statements.0.push(pgbench(STATEMENT)?);
        postgres.settle().await?;
        let seen = Callers { time, ..updaters(rows) }.call(service.address()).await?;
        updates.0.push(crate::per_second(seen.took.len(), time));
        eprintln!(
            "update, run {run}: {:.0}/s of {:.0}/s in transactions and {:.0}/s alone",
            updates.last(),
            transactions.last(),
            statements.last()
        );
    }
    let work = format!("update one product, {CALLERS} callers");
    report.row(&work, "pgbench, begin; select for update; update; commit", &transactions, &updates);
    report.row(&work, "pgbench, the update alone", &statements, &updates);
    postgres.execute("vacuum (analyze) catalog.product").await
}

/// Callers that give random ones of the first `rows` products a new name.
pub(crate) fn updaters(rows: usize) -> Callers {
    Callers {
        method: "/orrery.catalog.v1.CatalogService/UpdateProduct",
        message: |rows| {
            let product = Product {
                uid: format!("prd_{:026}", rand::random_range(1..=rows)),
                name: format!("Product number {}", rand::random::<u32>()),
                ..Product::default()
            };
            let update_mask = Some(FieldMask { paths: vec!["name".to_owned()] });
            let request =
                UpdateProductRequest { product: Some(product), update_mask, ..UpdateProductRequest::default() };
            request.encode_to_vec()
        },
        count: CALLERS,
        ..getters(rows, CALLERS)
    }
}
