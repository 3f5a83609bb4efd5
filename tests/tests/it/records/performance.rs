//! The performance of tags: rebuilt from links, sales and metrics, and read in every order.

use std::collections::HashMap;

use orrery_proto::orders::v1::{LineItem, Order};
use orrery_proto::records::v1::{
    CreateTagGroupRequest, GetTagGroupPerformanceRequest, GetTagPerformanceRequest, RefreshStep,
    RefreshTagPerformanceAggregateRequest, StreamTagPerformanceRequest, TagClassification, TagGroup, TagPerformance,
    TagPerformanceFilter,
};
use orrery_proto::r#type::v1::WriteStart;
use tonic::{Code, Status};

use super::{CLASSIFICATIONS, PRODUCT_TAGS, Records, TAGS, assert_refused};
use crate::harness::{
    CatalogServer, OrdersServer, RecordsServer, Role, TestDatabase, metric, product_tag, refusal, seed, status, tag,
    tag_uid, timestamp, uid, until_waiting,
};
use crate::writes::stream::{METRICS, ORDERS, write};

/// 2026-03-31, midnight UTC.
const LAST_DAY: i64 = 1_774_915_200;
const DAY: i64 = 86_400;

/// All three services on one database.
pub(crate) struct Shop {
    pub(crate) records: Records,
    pub(crate) orders: OrdersServer,
}

impl Shop {
    pub(crate) async fn new() -> Self {
        let database = TestDatabase::create().await;
        let catalog = CatalogServer::start(&database).await;
        let orders = OrdersServer::start(&database).await;
        let [at, orders_at] = [catalog.address(), orders.address()].map(|address| address.to_string().parse().unwrap());
        let server = RecordsServer::start_with(&database, |config| {
            config.catalog.address = at;
            config.orders.address = orders_at;
        })
        .await;
        let pool = database.pool(Role::Operator).await;
        Self { records: Records { server, catalog, pool, database }, orders }
    }

    /// Sells pieces of products, `days` days before the last one.
    async fn sell(&self, order: &str, currency: &str, days: i64, lines: &[(usize, i32, &str)]) {
        let line = |&(product, quantity, unit_price): &(usize, i32, &str)| LineItem {
            product_uid: uid(product),
            quantity,
            unit_price: unit_price.to_owned(),
            ..LineItem::default()
        };
        let order = Order {
            uid: format!("ord_{order}"),
            currency_code: currency.to_owned(),
            status: Some(status("closed")),
            create_ts: Some(timestamp(LAST_DAY - days * DAY + 3_600)),
            line_items: lines.iter().map(line).collect(),
            ..Order::default()
        };
        write(self.orders.channel(), ORDERS, WriteStart::default(), &[order]).await.1.unwrap();
    }

    /// Rebuilds the aggregate, and returns the steps that were told.
    pub(crate) async fn refresh(&self) -> Result<Vec<RefreshStep>, Status> {
        let request = RefreshTagPerformanceAggregateRequest {
            day_as_of: "2026-03-31".to_owned(),
            ..RefreshTagPerformanceAggregateRequest::default()
        };
        let mut stream = self.records.client().refresh_tag_performance_aggregate(request).await?.into_inner();
        let mut steps = Vec::new();
        while let Some(progress) = stream.message().await? {
            steps.push(progress.step());
        }
        Ok(steps)
    }

    pub(crate) async fn stream(&self, request: StreamTagPerformanceRequest) -> Result<Vec<TagPerformance>, Status> {
        let mut stream = self.records.client().stream_tag_performance(request).await?.into_inner();
        let mut rows = Vec::new();
        while let Some(page) = stream.message().await? {
            rows.extend(page.tag_performances);
        }
        Ok(rows)
    }
}

/// Products 1 and 2 have tag 1, products 2 and 3 tag 2, nothing has tag 3.
pub(crate) async fn shop() -> Shop {
    let shop = Shop::new().await;
    let records = &shop.records;
    seed(&mut records.database.connect(Role::Operator).await, 4).await;
    records.write(TAGS, &[tag(1), tag(2), tag(3)]).await;
    let links = [(1, 1), (2, 1), (2, 2), (3, 2)].map(|(product, tag)| product_tag(&uid(product), tag));
    records.write(PRODUCT_TAGS, &links).await;
    shop.sell("a", "GBP", 0, &[(1, 2, "1.50"), (2, 1, "10")]).await;
    shop.sell("b", "GBP", 6, &[(1, 1, "1.50")]).await;
    shop.sell("c", "GBP", 7, &[(3, 3, "2.25")]).await;
    shop.sell("d", "EUR", 30, &[(2, 4, "0.10")]).await;
    shop.sell("e", "GBP", 400, &[(1, 5, "1")]).await;
    let metrics = [(1, "views", "7"), (2, "views", "0.5"), (3, "margin", "12.25")];
    let metrics = metrics.map(|(product, name, value)| metric(&uid(product), name, value, 10));
    write(records.catalog.channel(), METRICS, WriteStart::default(), &metrics).await.1.unwrap();
    shop
}

/// Tag number, currency, products, and the units and gross totals: in all, of 7, 30 and 90 days.
type Row = (String, i64, [String; 8]);

fn short(row: &TagPerformance) -> Row {
    let key = format!("{} {}", row.tag_uid.trim_start_matches("tag_000000"), row.currency_code);
    let of = [
        &row.units,
        &row.gross,
        &row.units_7d,
        &row.gross_7d,
        &row.units_30d,
        &row.gross_30d,
        &row.units_90d,
        &row.gross_90d,
    ];
    (key, row.product_count, of.map(Clone::clone))
}

fn expected(key: &str, products: i64, sums: [&str; 8]) -> Row {
    (key.to_owned(), products, sums.map(str::to_owned))
}

#[tokio::test]
async fn sums_of_days_currencies_and_metrics_are_exact() {
    let shop = shop().await;
    let steps = shop.refresh().await.unwrap();
    assert_eq!((steps.first(), steps.last()), (Some(&RefreshStep::Sales), Some(&RefreshStep::Done)));
    let rows = shop.stream(StreamTagPerformanceRequest::default()).await.unwrap();
    let zeros = ["0"; 8];
    assert_eq!(
        rows.iter().map(short).collect::<Vec<_>>(),
        [
            expected("1 ", 2, zeros),
            expected("1 EUR", 1, ["4", "0.40", "0", "0", "0", "0", "4", "0.40"]),
            expected("1 GBP", 2, ["9", "19.50", "4", "14.50", "4", "14.50", "4", "14.50"]),
            expected("2 ", 2, zeros),
            expected("2 EUR", 1, ["4", "0.40", "0", "0", "0", "0", "4", "0.40"]),
            expected("2 GBP", 2, ["4", "16.75", "1", "10", "4", "16.75", "4", "16.75"]),
        ]
    );
    let metrics = |row: &TagPerformance| row.metric_totals.clone();
    let totals = |pairs: &[(&str, &str)]| -> HashMap<String, String> {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    assert_eq!(metrics(&rows[0]), totals(&[("views", "7.5")]));
    assert_eq!(metrics(&rows[3]), totals(&[("views", "0.5"), ("margin", "12.25")]));
    assert_eq!((rows[0].tag_name.as_str(), metrics(&rows[1])), ("Tag 1", HashMap::new()));
}

#[tokio::test]
async fn a_product_of_several_tags_counts_once() {
    let shop = shop().await;
    shop.refresh().await.unwrap();
    let request = GetTagPerformanceRequest { tag_uids: vec![tag_uid(1), tag_uid(2), tag_uid(3)] };
    let found = shop.records.client().get_tag_performance(request).await.unwrap().into_inner();
    assert_eq!((found.tag_performances.len(), found.day_as_of.as_str(), found.generation), (6, "2026-03-31", 1));
    let combined = found.combined.unwrap().rows;
    let both = [
        expected(" ", 3, ["0"; 8]),
        expected(" EUR", 1, ["4", "0.40", "0", "0", "0", "0", "4", "0.40"]),
        expected(" GBP", 3, ["12", "26.25", "4", "14.50", "7", "21.25", "7", "21.25"]),
    ];
    assert_eq!(combined.iter().map(short).collect::<Vec<_>>(), both);
    assert_eq!(combined[0].metric_totals["views"], "7.5");
    let group = TagGroup { name: "both".to_owned(), tag_uids: vec![tag_uid(1), tag_uid(2)], ..TagGroup::default() };
    let request = CreateTagGroupRequest { tag_group: Some(group), ..CreateTagGroupRequest::default() };
    let uid = shop.records.client().create_tag_group(request).await.unwrap().into_inner().uid;
    let request = GetTagGroupPerformanceRequest { uid };
    let found = shop.records.client().get_tag_group_performance(request).await.unwrap().into_inner();
    assert_eq!(found.combined.unwrap().rows.iter().map(short).collect::<Vec<_>>(), both);
    let request = GetTagGroupPerformanceRequest { uid: "tgr_none".to_owned() };
    let missing = shop.records.client().get_tag_group_performance(request).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
}

#[tokio::test]
async fn rows_come_in_the_order_of_a_measure_and_the_first_ones_of_each_category() {
    let shop = shop().await;
    let classified = |number, category: &str| TagClassification {
        tag_uid: tag_uid(number),
        category_name: category.to_owned(),
        ..TagClassification::default()
    };
    shop.records.write(CLASSIFICATIONS, &[classified(1, "color"), classified(2, "color"), classified(3, "size")]).await;
    shop.records.write(PRODUCT_TAGS, &[product_tag(&uid(3), 3)]).await;
    shop.refresh().await.unwrap();
    let request = |order_by: &str, filter: TagPerformanceFilter| StreamTagPerformanceRequest {
        filter: Some(filter),
        order_by: order_by.to_owned(),
        page_size: 1,
        ..StreamTagPerformanceRequest::default()
    };
    let pounds = || TagPerformanceFilter { currency_code: "GBP".to_owned(), ..TagPerformanceFilter::default() };
    let order = async |order_by: &str, filter| {
        let rows = shop.stream(request(order_by, filter)).await.unwrap();
        rows.iter().map(|row| row.tag_uid[4..].parse().unwrap()).collect::<Vec<usize>>()
    };
    assert_eq!(order("gross desc", pounds()).await, [1, 2, 3]);
    assert_eq!(order("gross_30d desc", pounds()).await, [2, 1, 3]);
    assert_eq!(order("units_7d", pounds()).await, [3, 2, 1]);
    assert_eq!(order("tag_uid desc", pounds()).await, [3, 2, 1]);
    // Tags of equal measure come in their own order.
    assert_eq!(
        order("product_count desc", TagPerformanceFilter { currency_code: "-".to_owned(), ..pounds() }).await,
        [1, 2, 3]
    );
    assert_eq!(order("gross desc", TagPerformanceFilter { top_per_category: 1, ..pounds() }).await, [1, 3]);
    assert_eq!(order("gross_30d desc", TagPerformanceFilter { top_per_category: 1, ..pounds() }).await, [2, 3]);
    let colors = TagPerformanceFilter { category_names: vec!["color".to_owned()], ..pounds() };
    assert_eq!(order("gross", colors).await, [2, 1]);
    assert_eq!(order("gross", TagPerformanceFilter { tag_uids: vec![tag_uid(2)], ..pounds() }).await, [2]);
    for (order_by, filter, field) in [
        ("value", pounds(), "order_by"),
        ("units", TagPerformanceFilter { currency_code: "gbp".to_owned(), ..pounds() }, "filter.currency_code"),
        ("units", TagPerformanceFilter { top_per_category: -1, ..pounds() }, "filter.top_per_category"),
        ("units", TagPerformanceFilter { tag_uids: vec![String::new()], ..pounds() }, "filter.tag_uids[0]"),
    ] {
        assert_refused(&shop.stream(request(order_by, filter)).await.unwrap_err(), field);
    }
}

#[tokio::test]
async fn a_reader_sees_one_aggregate_and_a_token_belongs_to_it() {
    let shop = shop().await;
    let first_page = || StreamTagPerformanceRequest { page_size: 1, ..StreamTagPerformanceRequest::default() };
    let missing = shop.stream(first_page()).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    shop.refresh().await.unwrap();
    let mut stream = shop.records.client().stream_tag_performance(first_page()).await.unwrap().into_inner();
    let token = stream.message().await.unwrap().unwrap().resume_token;
    drop(stream);
    let rest = || StreamTagPerformanceRequest { resume_token: token.clone(), ..first_page() };
    let before = shop.stream(rest()).await.unwrap();
    assert_eq!(before.len(), 5);
    shop.sell("f", "GBP", 0, &[(1, 100, "1")]).await;
    shop.refresh().await.unwrap();
    assert_eq!(shop.stream(rest()).await.unwrap(), before);
    let now = shop.stream(first_page()).await.unwrap();
    assert_eq!(now.iter().find(|row| row.tag_uid == tag_uid(1) && row.currency_code == "GBP").unwrap().units, "109");
    // After another rebuild its rows are gone.
    shop.refresh().await.unwrap();
    assert_eq!(refusal(&shop.stream(rest()).await.unwrap_err()).reason, "TOKEN_INVALID");
    let generations = "select distinct generation::text from records.tag_performance_aggregate order by 1";
    assert_eq!(shop.records.texts(generations).await, ["2", "3"]);
    let generations = "select distinct generation::text from records.product_performance order by 1";
    assert_eq!(shop.records.texts(generations).await, ["2", "3"]);
}

#[tokio::test]
async fn a_rebuild_that_broke_goes_on_where_it_stopped() {
    let shop = shop().await;
    shop.refresh().await.unwrap();
    let whole = shop.stream(StreamTagPerformanceRequest::default()).await.unwrap();
    // The next one fails before the metrics: the catalog is away.
    let Shop { records, orders } = shop;
    let Records { server, catalog, pool, database } = records;
    drop(server);
    let orders_at = orders.address().to_string().parse().unwrap();
    let server = RecordsServer::start_with(&database, |config| {
        config.orders.address = orders_at;
        config.catalog.timeout = std::time::Duration::from_millis(300);
    })
    .await;
    let shop = Shop { records: Records { server, catalog, pool, database }, orders };
    let failed = shop.refresh().await.unwrap_err();
    assert_eq!((failed.code(), refusal(&failed).reason.as_str()), (Code::Unavailable, "DEPENDENCY_UNAVAILABLE"));
    // Readers see the one before.
    assert_eq!(shop.stream(StreamTagPerformanceRequest::default()).await.unwrap(), whole);
    let step = "select step from records.tag_performance_refresh where phase = 'running'";
    assert_eq!(shop.records.texts(step).await, ["metrics"]);
    // With the catalog it goes on with the metrics, and counts no sale twice.
    let Shop { records, orders } = shop;
    let Records { server, catalog, pool, database } = records;
    drop(server);
    let at = catalog.address().to_string().parse().unwrap();
    let server = RecordsServer::start_with(&database, |config| config.catalog.address = at).await;
    let shop = Shop { records: Records { server, catalog, pool, database }, orders };
    let steps = shop.refresh().await.unwrap();
    assert_eq!((steps.first(), steps.last()), (Some(&RefreshStep::Metrics), Some(&RefreshStep::Done)));
    assert_eq!(shop.stream(StreamTagPerformanceRequest::default()).await.unwrap(), whole);
}

#[tokio::test]
async fn of_rebuilds_at_once_one_is_completed_and_the_sums_are_right() {
    let shop = shop().await;
    // In several rounds: what callers do to each other depends on who comes first.
    for _ in 0..3 {
        let answers = futures::future::join_all((0..8).map(|_| shop.refresh())).await;
        assert!(answers.iter().any(Result::is_ok), "{answers:?}");
        for error in answers.iter().filter_map(|answer| answer.as_ref().err()) {
            assert_eq!(error.code(), Code::Aborted, "{error:?}");
        }
        let rows = shop.stream(StreamTagPerformanceRequest::default()).await.unwrap();
        let pounds = rows.iter().find(|row| row.tag_uid == tag_uid(1) && row.currency_code == "GBP").unwrap();
        assert_eq!((pounds.units.as_str(), pounds.gross.as_str()), ("9", "19.50"));
        let left = "select phase from records.tag_performance_refresh where phase in ('running', 'current')";
        assert_eq!(shop.records.texts(left).await, ["current"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_begins_while_a_caller_looks_for_it_is_continued() {
    let shop = shop().await;
    let mut operator = shop.records.database.connect(Role::Operator).await;
    let begin = "insert into records.tag_performance_refresh (generation, phase, step, day_as_of, time_zone)";
    let values = "values (1, 'running', 'sales', '2026-03-31', 'UTC')";
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("{begin} {values}"))).execute(&mut operator).await.unwrap();
    // The caller finds the first one, and waits for it. It ends, and the second one begins, at the same time.
    let mut held = shop.records.pool.begin().await.unwrap();
    let end = "update records.tag_performance_refresh set phase = 'abandoned' where generation = 1";
    sqlx::raw_sql(end).execute(&mut *held).await.unwrap();
    let values = "values (2, 'running', 'sales', '2026-03-31', 'UTC')";
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("{begin} {values}"))).execute(&mut *held).await.unwrap();
    let let_go = async {
        until_waiting(&mut operator, Role::Records, 1).await;
        held.commit().await.unwrap();
    };
    let (refreshed, ()) = tokio::join!(shop.refresh(), let_go);
    refreshed.unwrap();
    let phases = "select generation || phase from records.tag_performance_refresh order by generation";
    assert_eq!(shop.records.texts(phases).await, ["1abandoned", "2current"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_whose_rebuild_was_taken_over_commits_nothing_more() {
    let shop = shop().await;
    let mut operator = shop.records.database.connect(Role::Operator).await;
    let mut held = shop.records.pool.begin().await.unwrap();
    sqlx::raw_sql("lock table records.product_performance in exclusive mode").execute(&mut *held).await.unwrap();
    let taking_over = async {
        // The caller waits with its first sales. Another one takes the rebuild over behind that commit.
        until_waiting(&mut operator, Role::Records, 1).await;
        let take_over = async {
            sqlx::query("update records.tag_performance_refresh set fence = fence + 1 where phase = 'running'")
                .execute(&shop.records.pool)
                .await
                .unwrap()
        };
        let let_go = async {
            until_waiting(&mut operator, Role::Operator, 1).await;
            held.commit().await.unwrap();
        };
        tokio::join!(take_over, let_go);
    };
    let (refreshed, ()) = tokio::join!(shop.refresh(), taking_over);
    let told = refusal(&refreshed.unwrap_err());
    assert_eq!((told.code, told.reason.as_str()), (Code::Aborted, "WRITE_SESSION_TAKEN_OVER"));
    let missing = shop.stream(StreamTagPerformanceRequest::default()).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
}

#[tokio::test]
async fn wrong_days_and_time_zones_are_refused_before_anything_is_kept() {
    let shop = Shop::new().await;
    let refresh = async |day_as_of: &str, time_zone: &str| {
        let request =
            RefreshTagPerformanceAggregateRequest { day_as_of: day_as_of.to_owned(), time_zone: time_zone.to_owned() };
        let mut stream = shop.records.client().refresh_tag_performance_aggregate(request).await?.into_inner();
        while stream.message().await?.is_some() {}
        Ok::<_, Status>(())
    };
    assert_refused(&refresh("2011-02-29", "").await.unwrap_err(), "day_as_of");
    assert_refused(&refresh("2011-02-28", &"x".repeat(65)).await.unwrap_err(), "time_zone");
    assert_refused(&refresh("2011-02-28", "Europe/Atlantis").await.unwrap_err(), "time_zone");
    assert_eq!(shop.records.texts("select phase from records.tag_performance_refresh").await.len(), 0);
    refresh("", "Pacific/Auckland").await.unwrap();
    let today = "select (now() at time zone 'Pacific/Auckland')::date::text";
    let kept = shop.records.texts("select day_as_of from records.tag_performance_refresh").await;
    assert_eq!(kept, shop.records.texts(today).await);
}
