//! The procedures of single slices: `rebuild_order_summaries`, `purge_archived`, `refresh_tag_performance_aggregate`.

use std::collections::BTreeMap;
use std::time::Duration;

use orrery_proto::orders::v1::{GetOrderRequest, Order, Summary};
use orrery_proto::procedures::v1::procedures_service_client::ProceduresServiceClient;
use orrery_proto::procedures::v1::{ExecutionPhase, ProcedureExecution, RunProcedureRequest};
use orrery_proto::records::v1::{
    DeleteArtifactRequest, FinalizeComboReportRequest, StreamTagPerformanceRequest, TagPerformance,
};
use orrery_proto::r#type::v1::WriteStart;
use prost_types::value::Kind;
use tonic::Status;
use tonic::transport::Channel;

use super::{Client, numbers, object, text};
use crate::harness::{
    CatalogServer, OrdersServer, RecordsServer, Role, TestDatabase, assert_invalid, line, order, order_uid, run, seed,
    uid, until_waiting,
};
use crate::records::Records;
use crate::records::artifacts::{asset, document, report};
use crate::records::performance::{Shop, shop};
use crate::writes::stream::{ORDERS, write};

fn flag(value: bool) -> Kind {
    Kind::BoolValue(value)
}

/// Starts a procedure, and returns its execution.
async fn start(channel: &Channel, name: &str, parameters: &[(&str, Kind)]) -> Result<ProcedureExecution, Status> {
    let request = RunProcedureRequest {
        procedure: name.to_owned(),
        parameters: Some(object(parameters)),
        ..RunProcedureRequest::default()
    };
    Ok(ProceduresServiceClient::new(channel.clone()).run_procedure(request).await?.into_inner())
}

/// Waits until an execution ends, and returns it.
async fn ended(channel: &Channel, uid: &str) -> ProcedureExecution {
    Client::of(channel.clone()).ended(uid).await
}

/// Runs a procedure, which must succeed, and returns its results and how much it processed.
async fn results(channel: &Channel, name: &str, parameters: &[(&str, Kind)]) -> (BTreeMap<String, i64>, i64) {
    let started = start(channel, name, parameters).await.unwrap();
    let execution = ended(channel, &started.uid).await;
    assert_eq!(execution.phase(), ExecutionPhase::Succeeded, "{execution:?}");
    (numbers(&execution), execution.processed)
}

fn expected(numbers: &[(&str, i64)]) -> BTreeMap<String, i64> {
    numbers.iter().map(|&(name, number)| (name.to_owned(), number)).collect()
}

/// The service of orders with a worker, and a limit that makes steps small.
async fn orders(database: &TestDatabase) -> OrdersServer {
    OrdersServer::start_with(database, |config| {
        config.service.procedures.procedure_workers = 1;
        config.service.limits.max_query_rows = 50;
    })
    .await
}

async fn stored(server: &OrdersServer, uid: &str) -> (i32, Option<Summary>) {
    let request = GetOrderRequest { uid: uid.to_owned(), ..GetOrderRequest::default() };
    let order = server.client().get_order(request).await.unwrap().into_inner();
    (order.revision, order.summary)
}

fn short(summary: Option<&Summary>) -> [String; 7] {
    let summary = summary.unwrap();
    [
        summary.line_count.to_string(),
        summary.quantity.to_string(),
        summary.subtotal.clone(),
        summary.discount.clone(),
        summary.tax.clone(),
        summary.shipping.clone(),
        summary.total.clone(),
    ]
}

const REBUILD: &str = "rebuild_order_summaries";

#[tokio::test(flavor = "multi_thread")]
async fn wrong_and_missing_summaries_are_found_and_repaired() {
    let database = TestDatabase::create().await;
    let server = orders(&database).await;
    let rows: Vec<Order> = (1..=130).map(|number| order(&order_uid(number))).collect();
    write(server.channel(), ORDERS, WriteStart::default(), &rows).await.1.unwrap();
    let mut operator = database.connect(Role::Operator).await;
    // What other programs may leave behind: other sums, none, more lines than a step reads, lines and a summary without
    // an order, and an amount that is no number.
    let [wrong, missing, long, nan] = [7, 61, 80, 129].map(order_uid);
    run(
        &mut operator,
        &format!(
            "update orders.order_summary set total = 1, shipping = 4.25 where order_uid = '{wrong}';
             delete from orders.order_summary where order_uid = '{missing}';
             insert into orders.order_line_item (order_uid, uid, line_number, quantity, unit_price, discount, tax)
             select '{long}', 'oli_long' || n, 1 + n, 3, 0.25, 0.1, 0.001 from generate_series(1, 1300) n;
             insert into orders.order_line_item (order_uid, uid, line_number, quantity, unit_price)
             select 'ord_0000003x', 'oli_' || n, n, 3, 1 from generate_series(1, 1000) n;
             insert into orders.order_summary (order_uid, total) values ('ord_0000003x', 3);
             update orders.order_line_item set unit_price = 'NaN' where order_uid = '{nan}'"
        ),
    )
    .await;
    let before = stored(&server, &wrong).await;
    let found = [("checked", 130), ("different", 2), ("missing", 1), ("repaired", 0), ("skipped", 1)];
    let (told, processed) = results(&server.channel(), REBUILD, &[("dry_run", flag(true))]).await;
    assert_eq!((told, processed), (expected(&found), 130));
    assert_eq!(stored(&server, &wrong).await, before);
    let repaired = [("checked", 130), ("different", 2), ("missing", 1), ("repaired", 3), ("skipped", 1)];
    assert_eq!(results(&server.channel(), REBUILD, &[]).await.0, expected(&repaired));
    for (uid, revision, summary) in [
        (&wrong, 2, ["1", "2", "3.00", "0", "0", "4.25", "7.25"]),
        (&missing, 2, ["1", "2", "3.00", "0", "0", "0", "3.00"]),
        (&long, 2, ["1301", "3902", "978.00", "130.0", "1.300", "0", "849.300"]),
        (&order_uid(1), 1, ["1", "2", "3.00", "0", "0", "0", "3.00"]),
    ] {
        let (now, stored) = stored(&server, uid).await;
        assert_eq!((now, short(stored.as_ref())), (revision, summary.map(str::to_owned)), "{uid}");
    }
    let right = [("checked", 130), ("different", 0), ("missing", 0), ("repaired", 0), ("skipped", 1)];
    assert_eq!(results(&server.channel(), REBUILD, &[]).await.0, expected(&right));
    // What has no order is not its subject.
    let orphan = "select total::text from orders.order_summary where order_uid = 'ord_0000003x'";
    assert_eq!(sqlx::query_scalar::<_, String>(orphan).fetch_one(&mut operator).await.unwrap(), "3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_comes_between_is_not_lost() {
    let database = TestDatabase::create().await;
    let server = orders(&database).await;
    let uid = order_uid(1);
    write(server.channel(), ORDERS, WriteStart::default(), &[order(&uid)]).await.1.unwrap();
    let mut operator = database.connect(Role::Operator).await;
    run(&mut operator, "update orders.order_summary set total = 99").await;
    // The rebuild has read the lines, and waits for the order. Behind its back a write of the service, which has the
    // order, replaces the lines.
    let mut writer = database.connect(Role::Operator).await;
    run(
        &mut writer,
        "begin; update orders.order_header set revision = revision + 1;
         update orders.order_line_item set quantity = 5;
         update orders.order_summary set quantity = 5, subtotal = 7.50, total = 7.50",
    )
    .await;
    let started = start(&server.channel(), REBUILD, &[]).await.unwrap();
    until_waiting(&mut operator, Role::Orders, 1).await;
    run(&mut writer, "commit").await;
    let execution = ended(&server.channel(), &started.uid).await;
    let untouched = [("checked", 1), ("different", 0), ("missing", 0), ("repaired", 0)];
    assert_eq!(numbers(&execution), expected(&untouched), "{execution:?}");
    let (revision, summary) = stored(&server, &uid).await;
    assert_eq!((revision, short(summary.as_ref())[6].as_str()), (2, "7.50"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_changes_while_its_lines_are_read_is_read_again() {
    let database = TestDatabase::create().await;
    let server = orders(&database).await;
    let uid = order_uid(1);
    write(server.channel(), ORDERS, WriteStart::default(), &[order(&uid)]).await.1.unwrap();
    let mut operator = database.connect(Role::Operator).await;
    run(
        &mut operator,
        &format!(
            "insert into orders.order_line_item (order_uid, uid, line_number, quantity, unit_price)
             select '{uid}', 'oli_' || n, 1 + n, 1, 1 from generate_series(1, 2000) n"
        ),
    )
    .await;
    // After the first step, which has read a part of the lines, these lines are changed.
    run(
        &mut operator,
        "create function public.change() returns trigger language plpgsql security definer as $$ begin
             if new.cursor like '%oli_%' and old.cursor = '' then
                 update orders.order_line_item set quantity = 2 where uid like 'oli\\_1%';
                 update orders.order_header set revision = revision + 1;
             end if;
             return new;
         end $$;
         create trigger change before update on orders.procedure_execution for each row
         execute function public.change()",
    )
    .await;
    let (told, _) = results(&server.channel(), REBUILD, &[]).await;
    assert_eq!(told, expected(&[("checked", 1), ("different", 1), ("missing", 0), ("repaired", 1)]));
    let sum = "select sum(quantity)::bigint from orders.order_line_item";
    let sum: i64 = sqlx::query_scalar(sum).fetch_one(&mut operator).await.unwrap();
    let (revision, summary) = stored(&server, &uid).await;
    assert_eq!((revision, summary.unwrap().quantity), (3, sum));
    // The same lines again: the order is as it should be.
    let lines = vec![line("a", 1, "1")];
    let rows = [Order { line_items: lines, ..order(&uid) }];
    write(server.channel(), ORDERS, WriteStart::default(), &rows).await.1.unwrap();
    assert_eq!(results(&server.channel(), REBUILD, &[]).await.0["different"], 0);
}

const PURGE: &str = "purge_archived";
/// Long enough ago to be purged.
const OLD: &str = "status = '{\"phase\": \"archived\"}', update_ts = now() - interval '100 days'";

async fn count(connection: &mut sqlx::PgConnection, of: &str) -> i64 {
    let count = format!("select count(*) from {of}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(count)).fetch_one(connection).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn archived_products_go_with_their_metrics_after_the_retention() {
    let database = TestDatabase::create().await;
    let server = CatalogServer::start_with(&database, |config| config.procedures.procedure_workers = 1).await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, 1_200).await;
    run(
        &mut operator,
        &format!(
            "insert into catalog.product_metric (product_uid, name, value) select uid, 'views', 1 from catalog.product;
             update catalog.product set {OLD} where uid > '{}';
             update catalog.product set update_ts = now() where uid = '{}';
             update catalog.product set update_ts = now() - interval '100 days' where uid = '{}'",
            uid(100),
            uid(1_200),
            uid(1)
        ),
    )
    .await;
    let channel = server.channel();
    let found = expected(&[("found", 1_099), ("deleted", 0)]);
    assert_eq!(results(&channel, PURGE, &[("dry_run", flag(true))]).await, (found, 1_100));
    assert_eq!(results(&channel, PURGE, &[("retention", text("2500h"))]).await.0["found"], 0);
    let two = results(&channel, PURGE, &[("max_deletions", Kind::NumberValue(2.0))]).await.0;
    assert_eq!(two, expected(&[("found", 2), ("deleted", 2)]));
    assert_eq!(count(&mut operator, "catalog.product").await, 1_198);
    assert_eq!(results(&channel, PURGE, &[]).await.0, expected(&[("found", 1_097), ("deleted", 1_097)]));
    assert_eq!(count(&mut operator, "catalog.product").await, 101);
    assert_eq!(count(&mut operator, "catalog.product_metric").await, 101);
    assert_eq!(count(&mut operator, &format!("catalog.product where uid = '{}'", uid(1_200))).await, 1);
    let short = start(&channel, PURGE, &[("retention", text("59m"))]).await;
    assert_invalid(short, "FIELD_INVALID", "parameters.retention");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_with_more_metrics_than_a_transaction_deletes_goes_in_several() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, 2).await;
    run(
        &mut operator,
        &format!(
            "insert into catalog.product_metric (product_uid, name, value)
             select '{}', 'day-' || n, n from generate_series(1, 60000) n;
             update catalog.product set {OLD};
             create function public.slow() returns trigger language plpgsql security definer as
                 $$ begin perform pg_sleep(0.3); return null; end $$;
             create trigger slow after delete on catalog.product_metric for each statement
             execute function public.slow()",
            uid(1)
        ),
    )
    .await;
    let server = CatalogServer::start_with(&database, |config| {
        config.procedures.procedure_workers = 1;
        config.limits.transaction_timeout = Duration::from_secs(2);
    })
    .await;
    let gone = expected(&[("found", 2), ("deleted", 2)]);
    assert_eq!(results(&server.channel(), PURGE, &[]).await, (gone, 2));
    assert_eq!(count(&mut operator, "catalog.product_metric").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn archived_artifacts_go_as_by_a_forced_delete() {
    let records = Records::working().await;
    let mut operator = records.database.connect(Role::Operator).await;
    let [linked, kept] = [records.created(asset(1)).await.uid, records.created(asset(2)).await.uid];
    let paper = records.created(document("a")).await.uid;
    let made = records.created(report()).await.uid;
    let finalize = FinalizeComboReportRequest { uid: made.clone(), ..FinalizeComboReportRequest::default() };
    records.artifacts().finalize_combo_report(finalize).await.unwrap();
    let key = "documents/upl_01jdq0000000000000000000aa";
    run(
        &mut operator,
        &format!(
            "insert into records.link_product_macrodata_artifact (product_uid, artifact_uid)
             select 'prd_' || n, a from generate_series(1, 12345) n, unnest(array['{linked}', '{made}']) a;
             insert into records.link_product_macrodata_artifact (product_uid, artifact_uid) values ('prd_1', '{kept}');
             update records.macrodata_artifact set body = body || jsonb_build_object('bearer_key', '{key}')
              where uid = '{paper}'"
        ),
    )
    .await;
    for uid in [&linked, &kept, &paper, &made] {
        let request = DeleteArtifactRequest { uid: uid.clone(), ..DeleteArtifactRequest::default() };
        records.artifacts().delete_artifact(request).await.unwrap();
    }
    let age =
        format!("update records.macrodata_artifact set update_ts = now() - interval '100 days' where uid <> '{kept}'");
    run(&mut operator, &age).await;
    let told = results(&records.server.channel(), PURGE, &[]).await.0;
    assert_eq!(told, expected(&[("found", 3), ("deleted", 2), ("refused", 1)]));
    let mut left = records.texts("select uid from records.macrodata_artifact order by uid").await;
    left.sort();
    let mut stay = vec![kept, made];
    stay.sort();
    assert_eq!(left, stay);
    assert_eq!(records.texts("select object_key from records.object_removal").await, [key]);
    // The report is final: its links stay too.
    assert_eq!(count(&mut operator, "records.link_product_macrodata_artifact").await, 12_346);
}

const REFRESH: &str = "refresh_tag_performance_aggregate";

fn day() -> (&'static str, Kind) {
    ("day_as_of", text("2026-03-31"))
}

async fn performance(shop: &Shop) -> Vec<TagPerformance> {
    shop.stream(StreamTagPerformanceRequest::default()).await.unwrap()
}

/// The shop with another records service: with a worker, and with this catalog.
async fn with_worker(shop: Shop, catalog_at: Option<&str>) -> Shop {
    let Shop { records, orders } = shop;
    let Records { server, catalog, pool, database } = records;
    drop(server);
    let [own, orders_at] = [catalog.address(), orders.address()].map(|address| address.to_string());
    let server = RecordsServer::start_with(&database, |config| {
        config.service.procedures.procedure_workers = 1;
        config.service.procedures.procedure_lease = Duration::from_secs(1);
        config.service.procedures.procedure_poll_interval = Duration::from_millis(200);
        config.orders.address = orders_at.parse().unwrap();
        config.catalog.address = catalog_at.unwrap_or(&own).parse().unwrap();
        config.catalog.timeout = Duration::from_millis(500);
    })
    .await;
    Shop { records: Records { server, catalog, pool, database }, orders }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_procedure_rebuilds_what_the_call_rebuilds() {
    let shop = shop().await;
    shop.refresh().await.unwrap();
    let by_call = performance(&shop).await;
    let shop = with_worker(shop, None).await;
    let channel = shop.records.server.channel();
    for generation in 2..=4 {
        let (told, processed) = results(&channel, REFRESH, &[day()]).await;
        assert_eq!(told, expected(&[("generation", generation)]));
        assert!(processed > 0);
    }
    assert_eq!(performance(&shop).await, by_call);
    let kept = "select distinct generation::text from records.product_performance order by 1";
    assert_eq!(shop.records.texts(kept).await, ["3", "4"]);
    let zone = start(&channel, REFRESH, &[("time_zone", text(&"x".repeat(65)))]).await;
    assert_invalid(zone, "FIELD_INVALID", "parameters.time_zone");
    let unknown = start(&channel, REFRESH, &[("time_zone", text("Europe/Atlantis"))]).await.unwrap();
    let failed = ended(&channel, &unknown.uid).await;
    assert_eq!((failed.phase(), failed.attempts), (ExecutionPhase::Failed, 1), "{failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_waits_for_a_service_that_is_down_and_counts_nothing_twice() {
    let shop = shop().await;
    shop.refresh().await.unwrap();
    let by_call = performance(&shop).await;
    // Nothing listens there.
    let shop = with_worker(shop, Some("127.0.0.1:1")).await;
    let started = start(&shop.records.server.channel(), REFRESH, &[day()]).await.unwrap();
    let client = Client::of(shop.records.server.channel());
    let waiting = client.until(&started.uid, |execution| execution.attempts >= 2).await;
    assert_eq!((waiting.phase(), waiting.step.as_str()), (ExecutionPhase::Running, "metrics"), "{waiting:?}");
    assert!(waiting.processed > 0 && waiting.next_ts.is_some(), "{waiting:?}");
    // The position and the rebuild are one fact.
    let rebuild = "select step || ' ' || processed from records.tag_performance_refresh where phase = 'running'";
    assert_eq!(shop.records.texts(rebuild).await, [format!("metrics {}", waiting.processed)]);
    let shop = with_worker(shop, None).await;
    let execution = ended(&shop.records.server.channel(), &started.uid).await;
    assert_eq!((execution.phase(), numbers(&execution)["generation"]), (ExecutionPhase::Succeeded, 2), "{execution:?}");
    assert_eq!(performance(&shop).await, by_call);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_whose_token_is_refused_begins_anew() {
    let shop = shop().await;
    shop.refresh().await.unwrap();
    let by_call = performance(&shop).await;
    let begin = |generation: i64| {
        format!(
            "insert into records.tag_performance_refresh (generation, phase, step, cursor, day_as_of, time_zone)
             values ({generation}, 'running', 'metrics', 'of another installation', '2026-03-31', 'UTC')"
        )
    };
    shop.records.execute(&begin(2)).await;
    shop.refresh().await.unwrap();
    assert_eq!(performance(&shop).await, by_call);
    let phases = "select generation || phase from records.tag_performance_refresh order by generation";
    assert_eq!(shop.records.texts(phases).await, ["1retired", "2abandoned", "3current"]);
    shop.records.execute(&begin(4)).await;
    let shop = with_worker(shop, None).await;
    let (told, _) = results(&shop.records.server.channel(), REFRESH, &[day()]).await;
    assert_eq!(told, expected(&[("generation", 5), ("restarted", 1)]));
    assert_eq!(performance(&shop).await, by_call);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_that_a_caller_takes_over_goes_on_later() {
    let shop = with_worker(shop().await, None).await;
    let mut operator = shop.records.database.connect(Role::Operator).await;
    let mut held = shop.records.pool.begin().await.unwrap();
    sqlx::raw_sql("lock table records.link_product_tag in access exclusive mode").execute(&mut *held).await.unwrap();
    let started = start(&shop.records.server.channel(), REFRESH, &[day()]).await.unwrap();
    // The worker waits to read the links of tags. A caller takes the rebuild over.
    until_waiting(&mut operator, Role::Records, 1).await;
    let take_over = "update records.tag_performance_refresh set fence = fence + 1 where phase = 'running'";
    run(&mut operator, take_over).await;
    held.commit().await.unwrap();
    let execution = ended(&shop.records.server.channel(), &started.uid).await;
    assert_eq!((execution.phase(), execution.attempts), (ExecutionPhase::Succeeded, 0), "{execution:?}");
    let phases = "select generation || phase || fence from records.tag_performance_refresh";
    assert_eq!(shop.records.texts(phases).await, ["1current3"]);
    let pounds = performance(&shop).await.into_iter().find(|row| row.currency_code == "GBP").unwrap();
    assert_eq!((pounds.units.as_str(), pounds.gross.as_str()), ("9", "19.50"));
}
