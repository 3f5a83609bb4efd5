//! `detect_orphans`: what it finds is exactly what is missing, across slices and inside one, and it does what comments
//! say.

use std::collections::BTreeSet;
use std::time::Duration;

use orrery_kit::config::ServiceConfig;
use orrery_proto::procedures::v1::{ExecutionPhase, OrphanFilter};
use prost_types::value::Kind;
use sqlx::{AssertSqlSafe, PgConnection};

use super::{Client, numbers, text};
use crate::harness::operator::{repository, retail_file, run};
use crate::harness::{CatalogServer, OrdersProcess, OrdersServer, Role, TestDatabase};

const PROCEDURE: &str = "detect_orphans";
const LINES: &str = "orders.order_line_item.product_uid";

async fn execute(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.unwrap();
}

async fn texts(connection: &mut PgConnection, sql: &str) -> BTreeSet<String> {
    let texts: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_all(connection).await.unwrap();
    texts.into_iter().collect()
}

/// Catalog and Orders on one database, with workers.
struct Shop {
    database: TestDatabase,
    catalog: CatalogServer,
    orders: OrdersServer,
    operator: PgConnection,
}

impl Shop {
    async fn new() -> Self {
        Self::with_rows(100_000).await
    }

    /// With a limit on the rows of a query and a statement of Orders.
    async fn with_rows(rows: usize) -> Self {
        let database = TestDatabase::create().await;
        // Both have the limit, because it is enforced on the connections of both.
        let limited = |config: &mut ServiceConfig| {
            config.procedures.procedure_workers = 1;
            config.limits.max_query_rows = rows;
            config.limits.max_statement_rows = rows.max(1_000);
            config.stream.write_batch_rows = config.stream.write_batch_rows.min(rows);
        };
        let catalog = CatalogServer::start_with(&database, limited).await;
        let address = catalog.address().to_string().parse().unwrap();
        let orders = OrdersServer::start_with(&database, |config| {
            config.catalog.address = address;
            limited(&mut config.service);
        })
        .await;
        let operator = database.connect(Role::Operator).await;
        Self { database, catalog, orders, operator }
    }

    fn procedures(&self) -> Client {
        Client::of(self.orders.channel())
    }

    /// Makes products and orders with lines that refer to them in SQL, behind the services' back.
    async fn fill(&mut self, products: usize, orders: usize, lines: usize) {
        execute(
            &mut self.operator,
            &format!(
                "insert into catalog.product (uid, name)
                 select 'prd_' || to_char(n, 'fm00000000'), 'p' from generate_series(1, {products}) as n;
                 insert into orders.order_header (uid, currency_code)
                 select 'ord_' || to_char(n, 'fm00000000'), 'GBP' from generate_series(1, {orders}) as n;
                 insert into orders.order_line_item (order_uid, uid, line_number, product_uid)
                 select 'ord_' || to_char(o, 'fm00000000'), 'oli_' || o || '_' || l, l,
                        'prd_' || to_char(1 + (o * 7919 + l * 104729) % {products}, 'fm00000000')
                   from generate_series(1, {orders}) as o, generate_series(1, {lines}) as l;
                 insert into orders.order_summary (order_uid) select uid from orders.order_header;
                 analyze catalog.product, orders.order_header, orders.order_line_item, orders.order_summary"
            ),
        )
        .await;
    }

    /// What is missing, found by one statement.
    async fn missing_products(&mut self) -> BTreeSet<String> {
        let sql = "select distinct l.product_uid from orders.order_line_item as l
                    where l.product_uid is not null
                      and not exists (select from catalog.product as p where p.uid = l.product_uid)";
        texts(&mut self.operator, sql).await
    }

    /// Checks that the orphans of the lines are exactly what is missing, each with a line that refers to it.
    async fn is_exact(&mut self) -> usize {
        let orphans = self
            .procedures()
            .orphans_that(OrphanFilter { relations: vec![LINES.to_owned()], ..Default::default() })
            .await;
        let found: BTreeSet<String> = orphans.iter().map(|orphan| orphan.missing_uid.clone()).collect();
        assert_eq!(found.len(), orphans.len(), "each once");
        assert_eq!(found, self.missing_products().await);
        let children: Vec<String> = orphans.iter().map(|orphan| orphan.child_uid.clone()).collect();
        let missing: Vec<String> = orphans.iter().map(|orphan| orphan.missing_uid.clone()).collect();
        let wrong: i64 = sqlx::query_scalar(
            "select count(*) from unnest($1::text[], $2::text[]) as i (child, missing)
              where not exists (
                  select from orders.order_line_item as l where l.uid = i.child and l.product_uid = i.missing)",
        )
        .bind(children)
        .bind(missing)
        .fetch_one(&mut self.operator)
        .await
        .unwrap();
        assert_eq!(wrong, 0);
        assert!(orphans.iter().all(|orphan| orphan.first_seen_ts.is_some() && orphan.last_seen_ts.is_some()));
        found.len()
    }
}

fn at_once() -> Vec<(&'static str, Kind)> {
    vec![("grace", text("0s"))]
}

// The file and its number are those of the system that Orrery replaces.
#[tokio::test(flavor = "multi_thread")]
async fn orders_without_products_are_found_and_healed() {
    let (file, missing) = match retail_file() {
        Some(file) => (file, 3_561),
        // 54 codes, two of which differ from others in their letter case alone.
        None => (repository("tests/data/online-retail-sample.csv"), 52),
    };
    let mut shop = Shop::new().await;
    let orders = format!("--orders={}", shop.orders.address());
    let mapping = "--mapping=deploy/examples/online-retail-orders.toml";
    let file = file.to_str().unwrap();
    assert_eq!(run(&["import", "orders", file, mapping, &orders]).await.code, Some(0));
    let found = shop.procedures().numbers(PROCEDURE, &at_once()).await;
    assert_eq!(found[LINES], missing, "{found:?}");
    assert_eq!(shop.is_exact().await, usize::try_from(missing).unwrap());

    let catalog = format!("--catalog={}", shop.catalog.address());
    let mapping = "--mapping=deploy/examples/online-retail.toml";
    let imported = run(&["import", "products", file, mapping, &catalog]).await;
    assert_eq!(imported.code, Some(0), "{imported:?}");
    let healed = shop.procedures().numbers(PROCEDURE, &at_once()).await;
    assert_eq!((healed[LINES], healed["healed"]), (0, missing), "{healed:?}");
    assert!(shop.procedures().orphans().await.is_empty());
    assert_eq!(shop.is_exact().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn products_that_vanish_are_found_exactly() {
    let mut shop = Shop::new().await;
    shop.fill(30_000, 20_000, 3).await;
    assert_eq!(shop.procedures().numbers(PROCEDURE, &at_once()).await[LINES], 0);
    let delete = "delete from catalog.product where uid in (
        select product_uid from orders.order_line_item group by product_uid order by md5(product_uid) limit 1000)";
    execute(&mut shop.operator, delete).await;
    let found = shop.procedures().numbers(PROCEDURE, &at_once()).await;
    assert_eq!(found[LINES], 1_000, "{found:?}");
    assert_eq!(shop.is_exact().await, 1_000);
    // They stay, and were not seen for the first time.
    let before = shop.procedures().orphans().await;
    assert_eq!(shop.procedures().numbers(PROCEDURE, &at_once()).await[LINES], 1_000);
    let after = shop.procedures().orphans().await;
    for (before, after) in before.iter().zip(&after) {
        assert_eq!((&before.missing_uid, before.first_seen_ts), (&after.missing_uid, after.first_seen_ts));
        assert!(
            after.last_seen_ts.map(|time| (time.seconds, time.nanos))
                > before.last_seen_ts.map(|time| (time.seconds, time.nanos))
        );
    }
}

// Windows are small, and the sorted products are walked along with: there are many references.
#[tokio::test(flavor = "multi_thread")]
async fn a_scan_keeps_the_limits_of_rows_and_is_exact() {
    let mut shop = Shop::with_rows(300).await;
    shop.fill(12_000, 8_000, 2).await;
    execute(
        &mut shop.operator,
        "delete from catalog.product where right(uid, 1) in ('3', '7') or uid > 'prd_00011500'",
    )
    .await;
    execute(&mut shop.operator, "delete from orders.order_header where right(uid, 2) = '11'").await;
    let numbers =
        shop.procedures().numbers(PROCEDURE, &[at_once(), vec![("dry_run", Kind::BoolValue(true))]].concat()).await;
    assert_eq!(shop.is_exact().await as i64, numbers[LINES]);
    assert!(numbers[LINES] > 2_000, "{numbers:?}");
    assert_eq!(numbers["orders.order_line_item.order_uid"], 80);
    assert_eq!(numbers["orders.order_summary.order_uid"], 80);
    assert_eq!(numbers["would_delete"], 240, "two lines and a summary each");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_deleted_up_to_the_cap_where_the_comment_says_so() {
    let mut shop = Shop::new().await;
    shop.fill(100, 50, 4).await;
    execute(&mut shop.operator, "delete from orders.order_header where uid <= 'ord_00000010'").await;
    let left = async |shop: &mut Shop| {
        let sql = "select count(*) from orders.order_line_item where order_uid <= 'ord_00000010'";
        sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut shop.operator).await.unwrap()
    };
    let with = |more: (&'static str, Kind)| [at_once(), vec![more]].concat();

    let dry = shop.procedures().numbers(PROCEDURE, &with(("dry_run", Kind::BoolValue(true)))).await;
    assert_eq!((dry["would_delete"], dry.get("deleted"), left(&mut shop).await), (50, None, 40), "{dry:?}");
    assert_eq!(dry["orders.order_line_item.order_uid"], 10);

    let capped = shop.procedures().numbers(PROCEDURE, &with(("max_deletions", Kind::NumberValue(25.0)))).await;
    assert_eq!((capped["deleted"], left(&mut shop).await), (25, 15), "{capped:?}");
    assert_eq!(capped["orders.order_line_item.order_uid"], 10, "what is left stays an orphan");

    let rest = shop.procedures().numbers(PROCEDURE, &at_once()).await;
    assert_eq!((rest["deleted"], left(&mut shop).await), (25, 0), "{rest:?}");
    assert_eq!(rest["orders.order_line_item.order_uid"], 0);
    let kept: i64 =
        sqlx::query_scalar("select count(*) from orders.order_line_item").fetch_one(&mut shop.operator).await.unwrap();
    assert_eq!(kept, 160);
    assert!(shop.procedures().orphans().await.is_empty());
}

/// A run that deletes exactly as many rows as it may leaves no orphan without a row.
#[tokio::test(flavor = "multi_thread")]
async fn a_cap_that_is_reached_by_the_last_row_leaves_nothing_listed() {
    let mut shop = Shop::new().await;
    shop.fill(100, 50, 4).await;
    execute(&mut shop.operator, "delete from orders.order_header where uid <= 'ord_00000010'").await;
    let capped = [at_once(), vec![("max_deletions", Kind::NumberValue(50.0))]].concat();
    let numbers = shop.procedures().numbers(PROCEDURE, &capped).await;
    assert_eq!(numbers["deleted"], 50, "{numbers:?}");
    assert!(shop.procedures().orphans().await.is_empty());
}

/// A search that may not delete what it found goes on and ends.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_trigger_keeps_stay_orphans_and_hold_up_nothing() {
    let mut shop = Shop::new().await;
    shop.fill(100, 700, 1).await;
    execute(&mut shop.operator, "delete from orders.order_header").await;
    let keep = "create function public.keep() returns trigger language plpgsql as $$ begin return null; end $$;
                create trigger keep before delete on orders.order_line_item
                for each row execute function public.keep()";
    execute(&mut shop.operator, keep).await;
    let numbers = shop.procedures().numbers(PROCEDURE, &at_once()).await;
    assert_eq!((numbers["deleted"], numbers["orders.order_line_item.order_uid"]), (700, 700), "{numbers:?}");
    let orphans = shop.procedures().orphans().await;
    assert!(orphans.iter().all(|orphan| orphan.relation == "orders.order_line_item.order_uid"));
    assert_eq!(orphans.len(), 700);
}

#[tokio::test(flavor = "multi_thread")]
async fn references_inside_columns_are_found_and_cleared() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    execute(
        &mut operator,
        r#"create table orders.note (
               uid text collate "C" primary key,
               order_uid text collate "C",
               order_uids text[] not null,
               body jsonb not null
           );
           grant select, insert, update, delete on orders.note to orders_service;
           comment on column orders.note.order_uid is 'references orders.order_header.uid on orphan clear';
           comment on column orders.note.order_uids is 'order_uids[] references orders.order_header.uid on orphan clear';
           comment on column orders.note.body is 'Whatever.
body.order_uid references orders.order_header.uid on orphan clear
body.order_uids[] references orders.order_header.uid on orphan clear
body.other_uids[] references orders.order_header.uid';
           insert into orders.order_header (uid, currency_code) values ('ord_1', 'GBP'), ('ord_2', 'GBP');
           insert into orders.note values
               ('a', 'ord_x', array['ord_1', 'ord_x', 'ord_2'],
                '{"order_uid": "ord_y", "order_uids": ["ord_1", "ord_y", 5, null], "other_uids": ["ord_z"], "kept": 1}'),
               ('b', 'ord_1', array['ord_2'], '{"order_uid": "ord_1", "order_uids": "ord_q", "other_uids": {"a": "ord_q"}}'),
               ('c', null, '{}', '{"order_uid": 7}')"#,
    )
    .await;
    let orders = OrdersServer::start_with(&database, |config| config.service.procedures.procedure_workers = 1).await;
    let client = Client::of(orders.channel());
    let relations = prost_types::ListValue {
        values: ["order_uid", "order_uids", "body.order_uid", "body.order_uids", "body.other_uids"]
            .map(|name| prost_types::Value { kind: Some(text(&format!("orders.note.{name}"))) })
            .into(),
    };
    let only = vec![("grace", text("0s")), ("relations", Kind::ListValue(relations))];
    let dry = client.numbers(PROCEDURE, &[only.clone(), vec![("dry_run", Kind::BoolValue(true))]].concat()).await;
    assert_eq!(dry["would_clear"], 4, "{dry:?}");
    let orphans = client.orphans().await;
    let found: Vec<(&str, &str, &str)> =
        orphans.iter().map(|orphan| (&*orphan.relation, &*orphan.missing_uid, &*orphan.child_uid)).collect();
    assert_eq!(
        found,
        [
            ("orders.note.body.order_uid", "ord_y", "a"),
            ("orders.note.body.order_uids", "ord_y", "a"),
            ("orders.note.body.other_uids", "ord_z", "a"),
            ("orders.note.order_uid", "ord_x", "a"),
            ("orders.note.order_uids", "ord_x", "a"),
        ]
    );
    let cleared = client.numbers(PROCEDURE, &only).await;
    assert_eq!((cleared["cleared"], cleared["orders.note.body.other_uids"]), (4, 1), "{cleared:?}");
    let notes: Vec<(String, Option<String>, Vec<String>, String)> =
        sqlx::query_as("select uid, order_uid, order_uids, body::text from orders.note order by uid")
            .fetch_all(&mut operator)
            .await
            .unwrap();
    let body = r#"{"kept": 1, "order_uids": ["ord_1", 5, null], "other_uids": ["ord_z"]}"#;
    assert_eq!(notes[0], ("a".to_owned(), None, vec!["ord_1".to_owned(), "ord_2".to_owned()], body.to_owned()));
    assert_eq!((notes[1].1.as_deref(), notes[1].2.len()), (Some("ord_1"), 1));
    assert_eq!(client.orphans().await.len(), 1);

    // A name that is none.
    let relations = prost_types::ListValue { values: vec![prost_types::Value { kind: Some(text("orders.note.x")) }] };
    let uid = client.run(PROCEDURE, &[("relations", Kind::ListValue(relations))]).await;
    let ended = client.ended(&uid).await;
    assert_eq!((ended.phase(), ended.attempts), (ExecutionPhase::Failed, 1));
    assert!(
        ended.error.starts_with("parameters.relations[0]: \"orders.note.x\" is no documented reference"),
        "{ended:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parent_that_arrives_within_the_grace_period_is_no_orphan() {
    let mut shop = Shop::new().await;
    shop.fill(50, 20, 2).await;
    let vanish = "create table public.kept as select * from catalog.product where uid < 'prd_00000030';
                  delete from catalog.product where uid < 'prd_00000040'";
    execute(&mut shop.operator, vanish).await;
    let missing = shop.missing_products().await;
    let client = shop.procedures();
    let uid = client.run(PROCEDURE, &[("grace", text("4s"))]).await;
    client.until(&uid, |execution| execution.step == "confirm").await;
    // Seen, but not confirmed.
    assert!(client.orphans().await.is_empty());
    let candidates = client.orphans_that(OrphanFilter { candidates: true, ..Default::default() }).await;
    assert_eq!(candidates.len(), missing.len());
    execute(&mut shop.operator, "insert into catalog.product select * from public.kept").await;
    let ended = client.ended(&uid).await;
    let count = shop.is_exact().await;
    assert!(count > 0 && count < missing.len());
    assert_eq!(numbers(&ended)[LINES], count as i64, "{ended:?}");
    let took = ended.finish_ts.unwrap().seconds - ended.start_ts.unwrap().seconds;
    assert!(took >= 3, "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_waits_for_the_other_service_and_finishes_when_it_is_back() {
    let mut shop = Shop::new().await;
    shop.fill(100, 50, 2).await;
    execute(&mut shop.operator, "delete from catalog.product where uid < 'prd_00000040'").await;
    let Shop { database, catalog, orders, operator } = shop;
    let address = catalog.address();
    catalog.stop().await.unwrap();
    let client = Client::of(orders.channel());
    let uid = client.run(PROCEDURE, &at_once()).await;
    let waiting = client.until(&uid, |execution| execution.attempts >= 2).await;
    assert_eq!(
        (waiting.phase(), waiting.error.as_str()),
        (ExecutionPhase::Running, "the catalog service is unavailable")
    );
    let catalog = CatalogServer::start_at(&database, address).await;
    let ended = client.ended(&uid).await;
    assert_eq!((ended.phase(), ended.error.as_str(), ended.attempts), (ExecutionPhase::Succeeded, "", 0), "{ended:?}");
    let mut shop = Shop { database, catalog, orders, operator };
    assert_eq!(shop.is_exact().await as i64, numbers(&ended)[LINES]);
}

// The process is killed at ten moments, and each time another one continues after the lease.
#[tokio::test(flavor = "multi_thread")]
async fn a_scan_that_is_killed_again_and_again_is_exact() {
    let mut shop = Shop::new().await;
    shop.fill(60_000, 40_000, 2).await;
    execute(&mut shop.operator, "delete from catalog.product where right(uid, 1) = '5'").await;
    let flags = [
        format!("--catalog={}", shop.catalog.address()),
        "--procedure-lease=1s".to_owned(),
        "--procedure-poll-interval=50ms".to_owned(),
        // Ten kills and more fit into the windows.
        "--max-query-rows=250".to_owned(),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    // The server of the shop only answers questions.
    shop.orders = OrdersServer::start(&shop.database).await;
    let mut process = OrdersProcess::spawn_with(&shop.database, &flags).await;
    let uid = shop.procedures().run(PROCEDURE, &at_once()).await;
    let (mut kills, mut passed) = (0, 0);
    while kills < 10 {
        let execution = shop.procedures().until(&uid, |it| it.processed > passed || it.finish_ts.is_some()).await;
        assert!(execution.finish_ts.is_none(), "it ended after {kills} kills");
        tokio::time::sleep(Duration::from_millis(rand::random_range(0..400))).await;
        process.restart().await;
        kills += 1;
        passed = execution.processed;
    }
    let ended = shop.procedures().ended(&uid).await;
    assert_eq!(ended.phase(), ExecutionPhase::Succeeded, "{ended:?}");
    assert_eq!(shop.is_exact().await as i64, numbers(&ended)[LINES], "{ended:?}");
    assert!(numbers(&ended)[LINES] > 3_000);
}
