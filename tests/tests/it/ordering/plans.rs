//! Every order is read from its index, forwards and backwards, and a late page costs as much as the first one.

use orrery_proto::catalog::v1::{ProductMetricFilter, StreamProductMetricsRequest};
use sqlx::PgConnection;

use super::subjects::{METHODS, Method, Services, in_direction};
use crate::harness::plan::{self, Log, explain, indexes, node_types, pages};
use crate::harness::{CatalogServer, Role, TestDatabase, run, seed};

const ROWS: usize = 40_000;

/// A server that logs every statement, with tables that were just loaded and neither vacuumed nor analyzed.
async fn loaded() -> (TestDatabase, PgConnection) {
    let database = Log::server().await.create_database().await;
    let mut operator = database.connect(Role::Operator).await;
    seed(&mut operator, ROWS).await;
    run(
        &mut operator,
        &format!(
            "insert into catalog.product_metric (product_uid, name, value) \
             select 'prd_' || n / 4, 'metric_' || n % 4, n * 7919 % 1000 from generate_series(1, {ROWS}) n; \
             insert into orders.order_header (uid, currency_code, provision_timer_ts, create_ts, update_ts) \
             select 'ord_' || n, 'GBP', case when n % 2 = 0 then at end, at, at \
             from generate_series(1, {ROWS}) n, \
                  lateral (select timestamptz '2026-01-01 00:00:00+00' + n * 7919 % 1000 * interval '1 second') as t (at); \
             insert into orders.order_line_item (order_uid, uid, line_number) \
             select 'ord_' || n / 4, 'oli_' || n, n * 7919 % 100 from generate_series(1, {ROWS}) n"
        ),
    )
    .await;
    (database, operator)
}

#[tokio::test]
async fn every_declared_order_is_read_from_its_index_at_any_depth() {
    let (database, mut operator) = loaded().await;
    let mut services = Services::start(&database).await;
    for method in METHODS {
        let resource = method.resource();
        let role = if resource.description.table.starts_with("catalog.") { Role::Catalog } else { Role::Orders };
        let mut log = Log::new(&mut operator, role).await;
        let declared = resource
            .description
            .orders
            .iter()
            .map(|order| (order.columns.iter().map(|column| column.name).collect::<Vec<_>>(), order.index));
        for (columns, index) in declared {
            for direction in ["asc", "desc"] {
                let order_by = in_direction(&columns, direction);
                let mut token = Some(String::new());
                for _ in 0..ROWS / 1_000 - 2 {
                    let (keys, next) = method.page(&mut services, &order_by, 1_000, token.unwrap()).await.unwrap();
                    assert!(!keys.is_empty(), "{method:?} by {order_by}");
                    token = next;
                }
                let page = format!(" from {} as t where ", resource.description.table);
                let mut selects = log.selects(&mut operator).await;
                selects.retain(|select| select.contains(&page));
                // The page that was read ahead for the order before this one may have been logged late.
                let order = |select: &str| {
                    let order = select.rsplit_once(" order by ").unwrap().1;
                    order.split_once(" limit ").unwrap().0.to_owned()
                };
                let this = order(selects.last().unwrap());
                selects.retain(|select| order(select) == this);
                assert!(selects.len() >= ROWS / 1_000 - 2, "{method:?} by {order_by}: {}", selects.len());
                let mut costs = Vec::new();
                for select in [&selects[1], &selects[selects.len() / 2], &selects[selects.len() - 2]] {
                    let plan = explain(&mut operator, select).await;
                    let sorts = node_types(&plan).iter().any(|node| node.contains("Sort") || *node == "Seq Scan");
                    assert!(!sorts, "{method:?} by {order_by}: {select}: {plan:#}");
                    assert_eq!(indexes(&plan), [index], "{method:?} by {order_by}: {select}: {plan:#}");
                    let rows = plan::rows(&plan) as f64;
                    costs.push(pages(&plan) as f64 / rows);
                }
                // The page of each row and a share of the index: rows before the page in the order are not read.
                assert!(costs.iter().all(|cost| *cost < 1.2), "{method:?} by {order_by}: {costs:?} pages for a row");
            }
        }
    }
}

#[tokio::test]
async fn the_most_of_something_is_read_from_the_index_of_values() {
    let (database, mut operator) = loaded().await;
    let server = CatalogServer::start(&database).await;
    let mut log = Log::new(&mut operator, Role::Catalog).await;
    for analyzed in [false, true] {
        if analyzed {
            run(&mut operator, "analyze catalog.product_metric").await;
        }
        let request = StreamProductMetricsRequest {
            filter: Some(ProductMetricFilter { names: vec!["metric_2".to_owned()], ..Default::default() }),
            order_by: "name desc, value desc".to_owned(),
            page_size: 10,
            ..Default::default()
        };
        let page = server.client().stream_product_metrics(request).await.unwrap().into_inner().message().await;
        let metrics = page.unwrap().unwrap().product_metrics;
        let largest: Vec<(String, String)> = sqlx::query_as(
            "select product_uid, value::text from catalog.product_metric where name = 'metric_2' \
             order by value desc, product_uid desc limit 10",
        )
        .fetch_all(&mut operator)
        .await
        .unwrap();
        let found: Vec<_> = metrics.into_iter().map(|metric| (metric.product_uid, metric.value)).collect();
        assert_eq!(found, largest);
        let selects = log.selects(&mut operator).await;
        let plan = explain(&mut operator, &selects[0]).await;
        assert_eq!(indexes(&plan), ["product_metric_value_idx"], "analyzed: {analyzed}, {}: {plan:#}", selects[0]);
        assert!(!node_types(&plan).iter().any(|node| node.contains("Sort")), "{plan:#}");
        assert!(pages(&plan) < 1_000, "{plan:#}");
    }
}

/// A missing, invalid or partial index would serve only some rows, or none.
#[tokio::test]
async fn every_declared_order_names_a_whole_index_of_its_table() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    for resource in METHODS.map(Method::resource) {
        for order in resource.description.orders {
            let found: Vec<String> = sqlx::query_scalar(
                "select c.relname::text from pg_index as i join pg_class as c on c.oid = i.indexrelid \
                  where i.indrelid = $1::regclass and i.indisvalid and i.indpred is null and c.relname = $2",
            )
            .bind(resource.description.table)
            .bind(order.index)
            .fetch_all(&mut operator)
            .await
            .unwrap();
            assert_eq!(found, [order.index]);
            for column in order.columns {
                let select = format!(
                    "select collation for ({}) from (select) as one left join {} as t on true limit 1",
                    column.sql(),
                    resource.description.table
                );
                // A column without a collation is no text.
                if resource.field(column.name).unwrap().kind.column().unwrap().sql_type != "text" {
                    continue;
                }
                let collation: Option<String> =
                    sqlx::query_scalar(sqlx::AssertSqlSafe(select)).fetch_one(&mut operator).await.unwrap();
                assert_eq!(collation.as_deref(), Some("\"C\""), "{} of {}", column.name, resource.description.table);
            }
        }
    }
}
