//! `orrery import orders` and `orrery export orders` with a real orders service: the orders of a shop are imported
//! exactly once, and exported unchanged.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fmt::Write as _;
use std::path::Path;

use sqlx::{AssertSqlSafe, PgPool};

use crate::harness::operator::{repository, retail_file, run, thousands};
use crate::harness::{CatalogServer, OrdersServer, Role, TestDatabase};

const RETAIL: &str = "--mapping=deploy/examples/online-retail-orders.toml";

/// The expected result of a file of invoice lines.
struct Expected {
    orders: u64,
    returned: i64,
    lines: u64,
    total: &'static str,
    quantity: i64,
}

/// A digest of all rows of each table with their times; the rows themselves would exceed the limit on results.
async fn contents(pool: &PgPool) -> Vec<(String, i64, Option<String>)> {
    let queries = ["order_header", "order_line_item", "order_address", "order_summary"].map(|table| {
        format!(
            "select '{table}', count(*), md5(string_agg(row::text, E'\\n' order by row::text)) from \
            orders.{table} as row"
        )
    });
    sqlx::query_as(AssertSqlSafe(queries.join(" union all "))).fetch_all(pool).await.unwrap()
}

async fn is_stored(pool: &PgPool, expected: &Expected) {
    let headers: (i64, i64) = sqlx::query_as(
        "select count(*), count(*) filter (where status ->> 'phase' = 'returned') from orders.order_header",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    assert_eq!(headers, (expected.orders as i64, expected.returned));
    let lines: (i64, String, i64) =
        sqlx::query_as("select count(*), sum(quantity * unit_price)::text, sum(quantity) from orders.order_line_item")
            .fetch_one(pool)
            .await
            .unwrap();
    assert_eq!(lines, (expected.lines as i64, expected.total.to_owned(), expected.quantity));
    let sums: (i64, i64, String, i64) = sqlx::query_as(
        "select count(*), sum(line_count)::bigint, sum(total)::text, sum(quantity)::bigint from orders.order_summary",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    let orders = expected.orders as i64;
    assert_eq!(sums, (orders, expected.lines as i64, expected.total.to_owned(), expected.quantity));
    // Lines are numbered in file order without gaps.
    let gaps: i64 = sqlx::query_scalar(
        "select count(*) from (select max(line_number) as last, count(*) as lines from orders.order_line_item group by order_uid) as o
          where last <> lines",
    )
    .fetch_one(pool)
    .await
    .unwrap();
    assert_eq!(gaps, 0);
}

/// The lines of an export without the fields that a service sets anew.
fn kept(file: &Path) -> Vec<serde_json::Value> {
    fn strip(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Object(fields) => {
                fields.retain(|name, _| name != "update_ts" && name != "etag");
                fields.values_mut().for_each(strip);
            }
            serde_json::Value::Array(values) => values.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut lines: Vec<serde_json::Value> =
        std::fs::read_to_string(file).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    lines.iter_mut().for_each(strip);
    lines
}

/// Imports a file of invoice lines twice, exports the result and imports the export. The numbers are correct, and only
/// the first import changes anything. In an empty database the export creates the same orders.
async fn there_and_back(file: &str, expected: Expected) {
    let database = TestDatabase::create().await;
    let server = OrdersServer::start(&database).await;
    let pool = database.pool(Role::Orders).await;
    let address = format!("--orders={}", server.address());

    let first = run(&["import", "orders", file, RETAIL, &address, "--write-id=first"]).await;
    assert_eq!((first.code, first.counts()), (Some(0), [expected.orders, 0, 0, 0]), "{first:?}");
    assert!(first.stdout.contains(&format!("{} records read", thousands(expected.lines))), "{first:?}");
    is_stored(&pool, &expected).await;
    let stored = contents(&pool).await;

    let again = run(&["import", "orders", file, RETAIL, &address]).await;
    assert_eq!((again.code, again.counts()), (Some(0), [0, 0, expected.orders, 0]), "{again:?}");
    // Sorted on disk, the orders are the same and in the same order.
    let memory = if expected.lines < 1_000 { "--group-memory=0" } else { "--group-memory=1MiB" };
    let spilled = run(&["import", "orders", file, RETAIL, &address, "--write-id=first", memory]).await;
    assert_eq!((spilled.code, spilled.counts()), (Some(0), [0; 4]), "{spilled:?}");
    assert_eq!(spilled.count("committed before under this write id"), expected.orders, "{spilled:?}");

    let folder = tempfile::tempdir().unwrap();
    let export = folder.path().join("x.jsonl");
    let export_to = async |path: &Path, address: &str| {
        let exported = run(&["export", "orders", &format!("--output={}", path.display()), address]).await;
        assert_eq!(exported.code, Some(0), "{exported:?}");
    };
    export_to(&export, &address).await;
    let back = run(&["import", "orders", export.to_str().unwrap(), &address]).await;
    assert_eq!((back.code, back.counts()), (Some(0), [0, 0, expected.orders, 0]), "{back:?}");
    assert_eq!(contents(&pool).await, stored, "update_ts included");

    let elsewhere = TestDatabase::create().await;
    let server = OrdersServer::start(&elsewhere).await;
    let address = format!("--orders={}", server.address());
    let copied = run(&["import", "orders", export.to_str().unwrap(), &address]).await;
    assert_eq!((copied.code, copied.counts()), (Some(0), [expected.orders, 0, 0, 0]), "{copied:?}");
    is_stored(&elsewhere.pool(Role::Orders).await, &expected).await;
    let copy = folder.path().join("y.jsonl");
    export_to(&copy, &address).await;
    assert_eq!(kept(&copy), kept(&export));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_of_a_shop_goes_in_once_and_comes_out_whole() {
    let expected = Expected { orders: 50, returned: 2, lines: 201, total: "14261.461", quantity: 1_586 };
    there_and_back("tests/data/online-retail-sample.csv", expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_shop_goes_in_once_and_comes_out_whole() {
    let Some(file) = retail_file() else { return };
    let expected =
        Expected { orders: 12_795, returned: 2_006, lines: 245_903, total: "4397950.761", quantity: 2_292_167 };
    there_and_back(file.to_str().unwrap(), expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shopify_export_goes_in_with_its_addresses_and_sums() {
    let database = TestDatabase::create().await;
    let server = OrdersServer::start(&database).await;
    let pool = database.pool(Role::Orders).await;
    let address = format!("--orders={}", server.address());
    let import = [
        "import",
        "orders",
        "tests/data/shopify-orders-sample.csv",
        "--mapping=deploy/examples/shopify-orders.toml",
        &address,
    ];
    let imported = run(&import).await;
    assert_eq!((imported.code, imported.counts()), (Some(3), [6, 0, 0, 1]), "{imported:?}");
    assert!(imported.stdout.contains("1 record refused, 1 order rejected because of them"), "{imported:?}");
    assert!(imported.stderr.contains("line_items.quantity: is not a 32-bit integer: line 11"), "{imported:?}");

    // 98.00 + 12.00 + 44.00, minus 9.80, plus 4.95 for shipping.
    let sums: (i32, String, String, String, String) = sqlx::query_as(
        "select line_count, subtotal::text, discount::text, shipping::text, total::text from orders.order_summary \
         where order_uid = 'ord_1001'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(sums, (3, "154.00".into(), "9.80".into(), "4.95".into(), "149.15".into()));
    let price: String =
        sqlx::query_scalar("select unit_price::text from orders.order_line_item where order_uid = 'ord_1002'")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(price, "0.001");
    let addresses: Vec<(String, String, String)> = sqlx::query_as(
        "select order_uid, kind, country_code from orders.order_address where country_code is not null order by 1, 2",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let addresses: Vec<_> =
        addresses.iter().map(|(uid, kind, country)| (uid.as_str(), kind.as_str(), country.as_str())).collect();
    assert_eq!(
        addresses,
        [
            ("ord_1001", "billing", "GB"),
            ("ord_1001", "shipping", "GB"),
            ("ord_1002", "billing", "US"),
            ("ord_1003-b", "billing", "DE"),
            ("ord_1003-b", "shipping", "DE"),
            ("ord_1004", "billing", "US"),
            ("ord_1004", "shipping", "US"),
        ]
    );

    let again = run(&import).await;
    assert_eq!((again.code, again.counts()), (Some(3), [0, 0, 6, 1]), "{again:?}");
    let uids = async |filter: &[&str]| {
        let exported = run(&[&["export", "orders", "--read-mask=uid", &address], filter].concat()).await;
        assert_eq!(exported.code, Some(0), "{exported:?}");
        exported.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(uids(&["--filter-label-selector=tag/wholesale"]).await, [r#"{"uid":"ord_1001"}"#]);
    assert_eq!(
        uids(&["--filter-phase=cancelled", "--filter-phase=returned"]).await,
        [r#"{"uid":"ord_1003-b"}"#, r#"{"uid":"ord_1004"}"#]
    );
    assert_eq!(uids(&["--filter-customer-id=grace@example.com", "--filter-currency-code=USD"]).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_runs_again_leaves_the_phase_of_an_order() {
    let database = TestDatabase::create().await;
    let server = OrdersServer::start(&database).await;
    let pool = database.pool(Role::Orders).await;
    let address = format!("--orders={}", server.address());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.csv");
    let sample = std::fs::read_to_string(repository("tests/data/shopify-orders-sample.csv")).unwrap();
    let mapping = "--mapping=deploy/examples/shopify-orders.toml";
    let import = async |text: &str| {
        std::fs::write(&file, text).unwrap();
        let imported = run(&["import", "orders", file.to_str().unwrap(), mapping, &address]).await;
        assert_eq!(imported.code, Some(3), "{imported:?}");
        imported.counts()
    };
    let order = async || -> (String, i32, serde_json::Value) {
        let select =
            "select status ->> 'phase', revision, labels::text from orders.order_header where uid = 'ord_1002'";
        let (phase, revision, labels): (String, i32, String) = sqlx::query_as(select).fetch_one(&pool).await.unwrap();
        (phase, revision, serde_json::from_str(&labels).unwrap())
    };
    assert_eq!(import(&sample).await, [6, 0, 0, 1]);
    let (phase, _, labels) = order().await;
    assert_eq!((phase.as_str(), &labels["financial-status"]), ("draft", &serde_json::json!("pending")));
    let change = "update orders.order_header set status = '{\"phase\": \"closed\", \"by\": \"ada\"}',
                         labels = labels || '{\"season\": \"winter\"}' where uid = 'ord_1002'";
    sqlx::query(change).execute(&pool).await.unwrap();
    let stored = contents(&pool).await;
    assert_eq!(import(&sample).await, [0, 0, 6, 1]);
    assert_eq!(contents(&pool).await, stored, "update_ts included");

    // The labels follow Shopify's state; only a new order takes its phase.
    let paid = sample.replace("pending", "paid").replace("#1006", "#1008");
    assert_eq!(import(&paid).await, [1, 1, 4, 1]);
    let (phase, revision, labels) = order().await;
    assert_eq!((phase.as_str(), revision), ("closed", 2));
    assert_eq!(
        (&labels["season"], &labels["financial-status"]),
        (&serde_json::json!("winter"), &serde_json::json!("paid"))
    );
    let new: String = sqlx::query_scalar("select status ->> 'phase' from orders.order_header where uid = 'ord_1008'")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(new, "provisioning");
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_of_missing_products_are_rejected_if_that_is_asked_for() {
    const SAMPLE: &str = "tests/data/online-retail-sample.csv";
    let database = TestDatabase::create().await;
    let catalog = CatalogServer::start(&database).await;
    let at = catalog.address().to_string().parse().unwrap();
    let server = OrdersServer::start_with(&database, |config| config.catalog.address = at).await;
    let address = format!("--orders={}", server.address());
    let strict = ["import", "orders", SAMPLE, RETAIL, "--reference-check=reject", &address];

    let none = run(&strict).await;
    assert_eq!((none.code, none.counts()), (Some(3), [0, 0, 0, 50]), "{none:?}");
    assert!(none.stderr.contains("product_uid"), "{none:?}");

    let products = [
        "import",
        "products",
        SAMPLE,
        "--mapping=deploy/examples/online-retail.toml",
        &format!("--catalog={}", catalog.address()),
    ];
    assert_eq!(run(&products).await.code, Some(0));
    let all = run(&strict).await;
    assert_eq!(
        (all.code, all.counts()),
        (Some(0), [50, 0, 0, 0]),
        "the products of the same file are the same: {all:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_many_lines_goes_there_and_back() {
    const LINES: u64 = 30_000;
    let database = TestDatabase::create().await;
    let server = OrdersServer::start(&database).await;
    let pool = database.pool(Role::Orders).await;
    let address = format!("--orders={}", server.address());
    let folder = tempfile::tempdir().unwrap();
    let (file, export) = (folder.path().join("x.csv"), folder.path().join("x.jsonl"));
    let mut text = String::from("InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n");
    for line in 0..LINES {
        // Lines of other orders are in between.
        writeln!(text, "1,{line},SOMETHING TO HANG ON A WALL,1,2011-03-29 10:00:00,0.01,7.0,France").unwrap();
        if line % 1_000 == 0 {
            writeln!(text, "{},{line},SOMETHING ELSE,1,2011-03-29 10:00:00,0.01,7.0,France", line + 2).unwrap();
        }
    }
    std::fs::write(&file, text).unwrap();
    let import = ["import", "orders", file.to_str().unwrap(), RETAIL, "--write-id=large", &address];
    let imported = run(&import).await;
    assert_eq!((imported.code, imported.counts()), (Some(0), [31, 0, 0, 0]), "{imported:?}");
    let stored: (i32, String) =
        sqlx::query_as("select line_count, total::text from orders.order_summary where order_uid = 'ord_1'")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(stored, (LINES as i32, "300.00".into()));

    let resumed = run(&import).await;
    assert_eq!((resumed.code, resumed.count("committed before under this write id")), (Some(0), 31), "{resumed:?}");
    let exported = run(&["export", "orders", &format!("--output={}", export.display()), &address]).await;
    assert_eq!(exported.code, Some(0), "{exported:?}");
    let back = run(&["import", "orders", export.to_str().unwrap(), &address]).await;
    assert_eq!((back.code, back.counts()), (Some(0), [0, 0, 31, 0]), "{back:?}");
}

const LINES: &str = r#"
[group]
by = "uid"
[fields]
uid = { column = "id", prefix = "ord_" }
currency_code = { value = "GBP" }
[[line_items]]
[line_items.fields]
name = { column = "item" }
quantity = { column = "n" }
unit_price = { column = "p" }
tax = { column = "t" }
"#;

/// All stored lines: order, name and quantity.
async fn lines(pool: &PgPool) -> Vec<(String, String, i32)> {
    let query = "select order_uid, name, quantity from orders.order_line_item order by order_uid, line_number";
    sqlx::query_as(query).fetch_all(pool).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_may_lack_a_line_is_not_written() {
    let database = TestDatabase::create().await;
    let server = OrdersServer::start(&database).await;
    let pool = database.pool(Role::Orders).await;
    let address = format!("--orders={}", server.address());
    let folder = tempfile::tempdir().unwrap();
    let (mapping, rejects) = (folder.path().join("x.toml"), folder.path().join("rejects.jsonl"));
    let import = async |text: &[u8], rules: &str| {
        let file = folder.path().join("x.csv");
        std::fs::write(&file, [b"id,item,n,p,t\n", text].concat()).unwrap();
        std::fs::write(&mapping, rules).unwrap();
        let mapping = format!("--mapping={}", mapping.display());
        let rejects = format!("--rejects={}", rejects.display());
        run(&["import", "orders", file.to_str().unwrap(), &mapping, &rejects, &address]).await
    };

    // Spreadsheets drop empty cells at the end.
    let whole = b"1,Pot,1,9.00,1.50\n1,Cup,2,3.00\n1,Lid,1,2.00,0.10\n2,Mat,4,5.00,1.00\n3,Jug,1,7.00,1.00\n";
    let first = import(whole, LINES).await;
    assert_eq!((first.code, first.counts()), (Some(0), [3, 0, 0, 0]), "{first:?}");
    let stored = lines(&pool).await;
    assert_eq!(stored.iter().filter(|(order, _, _)| order == "ord_1").count(), 3);

    // It is unknown which order the third line belongs to, so any order may lack it.
    let stray =
        b"1,Pot,1,9.00,1.50\n1,Lid,1,2.00,0.10\n1,Cup, blue,2,3.00,0.20\n2,Mat,5,5.00,1.00\n3,Jug,2,7.00,1.00\n";
    let scattered = import(stray, LINES).await;
    assert_eq!((scattered.code, scattered.counts()), (Some(3), [0, 0, 0, 3]), "{scattered:?}");
    assert!(scattered.stdout.contains("5 records read, 3 orders in them"), "{scattered:?}");
    assert!(scattered.stdout.contains("1 record refused, 3 orders rejected because of them"), "{scattered:?}");
    let message = "warning: line 4: a record was refused, and it does not say which order it belongs to";
    assert!(scattered.stderr.contains(message) && scattered.stderr.contains("consecutive = true"), "{scattered:?}");
    assert_eq!(lines(&pool).await, stored);

    let consecutive = LINES.replace("[group]", "[group]\nconsecutive = true");
    let beside = import(stray, &consecutive).await;
    assert_eq!((beside.code, beside.counts()), (Some(3), [0, 1, 0, 2]), "{beside:?}");
    assert!(beside.stdout.contains("1 record refused, 2 orders rejected because of them"), "{beside:?}");
    let now = lines(&pool).await;
    assert_eq!(now[..4], stored[..4], "the orders beside it are as they were");
    assert_eq!(now[4], ("ord_3".to_owned(), "Jug".to_owned(), 2));

    // Three records of one order are refused: one order is rejected.
    let known = b"1,Pot,one,9.00,1.50\n1,\xff,2,3.00\n1,Lid,x,2.00,0.10\n2,Mat,6,5.00,1.00\n";
    let known = import(known, LINES).await;
    assert_eq!((known.code, known.counts()), (Some(3), [0, 1, 0, 1]), "{known:?}");
    assert!(known.stdout.contains("4 records read, 2 orders in them"), "{known:?}");
    assert!(known.stdout.contains("3 records refused, 1 order rejected because of them"), "{known:?}");
    assert!(known.stderr.contains("1 order rejected: uid: one of its records was refused: line 2"), "{known:?}");
    let kinds: Vec<String> = std::fs::read_to_string(&rejects)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["kind"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds, ["record", "record", "record", "order"]);
    assert_eq!(lines(&pool).await[..3], stored[..3]);
}
