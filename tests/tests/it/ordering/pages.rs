//! All pages together equal one sorted select, and unchanged rows appear exactly once while others change.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sqlx::{AssertSqlSafe, PgConnection};

use super::subjects::{Case, METHODS, Method, Services, in_direction};
use crate::harness::{Role, TestDatabase, run};

/// Values with a surprising sort order, as SQL. They are few, so that many rows are equal.
const NAMES: &[&str] = &[
    "null",
    "''",
    "'a'",
    "'A'",
    "'B'",
    "'\u{e4}'",
    "'a\u{308}'",
    "' a'",
    "'it''s \\\\'",
    "'\u{10ffff}'",
    // Equal in this order.
    "repeat('\u{e9}', 128)",
    "repeat('\u{e9}', 128) || 'b'",
    "repeat('\u{e9}', 3000)",
];
const TIMES: &[&str] = &[
    "'-infinity'",
    "'infinity'",
    "'2026-01-01 00:00:00+00'",
    "'2026-01-01 00:00:00.000001+00'",
    "'1999-12-31 23:59:59.999999+00'",
    "'4000-01-01 BC'",
];
const NUMBERS: &[&str] = &[
    "0",
    "0.00",
    "-1",
    "-1.5",
    "10000",
    "9999.9999",
    "1e-18",
    "-1e-18",
    "1e33",
    "12345678901234567890.123456789",
    "'NaN'",
    "'Infinity'",
    "'-Infinity'",
];

fn any<'v>(random: &mut StdRng, values: &[&'v str]) -> &'v str {
    values[random.random_range(0..values.len())]
}

/// Inserts row `number` of a method's resource with its children directly into the database, with values that many rows
/// share.
async fn insert(connection: &mut PgConnection, random: &mut StdRng, method: Method, number: usize) {
    let statement = match method {
        Method::ListProducts | Method::StreamProducts => format!(
            "insert into catalog.product (uid, name, create_ts, update_ts) values ('p{number}', {}, {}, {})",
            any(random, NAMES),
            any(random, TIMES),
            any(random, TIMES),
        ),
        Method::StreamMetrics => format!(
            "insert into catalog.product_metric (product_uid, name, value) values ('p{}', 'm{}', {}::numeric)",
            number / 4,
            number % 4,
            any(random, NUMBERS),
        ),
        Method::ListOrders | Method::StreamOrders => format!(
            "insert into orders.order_header (uid, currency_code, provision_timer_ts, create_ts, update_ts) \
             values ('o{number}', 'GBP', {}, {}, {}); \
             insert into orders.order_line_item (order_uid, uid, line_number) \
             select 'o{number}', 'l' || n, n from generate_series(1, {}) n",
            if random.random() { "null" } else { any(random, TIMES) },
            any(random, TIMES),
            any(random, TIMES),
            number % 3,
        ),
        Method::StreamLines => format!(
            "insert into orders.order_line_item (order_uid, uid, line_number) values ('o{}', 'l{number}', {})",
            number % 3,
            random.random_range(-2..3),
        ),
    };
    run(connection, &statement).await;
}

/// The keys of all rows, as Postgres sorts them.
async fn sorted(
    connection: &mut PgConnection,
    method: Method,
    case: &Case,
    direction: &str,
    only: &str,
) -> Vec<String> {
    let description = method.resource().description;
    let select = format!(
        "select concat_ws('/', {}) from {} where {only} order by {}",
        description.key.join(", "),
        description.table,
        in_direction(case.sorted_by, direction),
    );
    sqlx::query_scalar(AssertSqlSafe(select)).fetch_all(connection).await.unwrap()
}

/// Every order of every method, in both directions.
fn everything() -> impl Iterator<Item = (Method, &'static Case, &'static str)> {
    METHODS.into_iter().flat_map(|method| {
        method.cases().iter().flat_map(move |case| ["", "asc", "desc"].map(|direction| (method, case, direction)))
    })
}

#[test]
fn every_order_that_is_declared_is_tried() {
    for method in METHODS {
        let resource = method.resource();
        let declared = resource.description.orders.iter().map(|order| {
            let columns = order.columns.iter().map(|column| column.name);
            let key = resource.description.key.iter().copied();
            columns.chain(key.filter(|key| order.columns.iter().all(|column| column.name != *key))).collect::<Vec<_>>()
        });
        let all: Vec<_> = std::iter::once(resource.natural_order().to_vec()).chain(declared).collect();
        assert_eq!(all.len(), method.cases().len(), "{method:?}");
        for (columns, case) in all.iter().zip(method.cases()) {
            assert_eq!(columns.len(), case.sorted_by.len(), "{columns:?}");
            assert!(columns.starts_with(case.order_by), "{columns:?}");
        }
    }
}

#[tokio::test]
async fn pages_joined_are_what_one_select_returns() {
    const ROWS: usize = 48;
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    let mut services = Services::start(&database).await;
    let mut random = StdRng::seed_from_u64(7);
    for method in [Method::ListProducts, Method::StreamMetrics, Method::ListOrders] {
        for number in 0..ROWS {
            insert(&mut operator, &mut random, method, number).await;
        }
    }
    for (method, case, direction) in everything() {
        let expected = sorted(&mut operator, method, case, direction, "true").await;
        assert!(expected.len() >= ROWS, "{method:?}");
        let order_by = in_direction(case.order_by, direction);
        for page_size in 1..=7 {
            let mut seen = Vec::new();
            let mut next = Some(String::new());
            while let Some(token) = next {
                let (keys, token) = method.page(&mut services, &order_by, page_size, token).await.unwrap();
                assert!(keys.len() <= page_size as usize);
                seen.extend(keys);
                assert!(seen.len() <= expected.len(), "{method:?} by {order_by}: rows come again");
                next = token;
            }
            assert_eq!(seen, expected, "{method:?} by {order_by}, {page_size} at once");
        }
    }
}

#[tokio::test]
async fn a_row_that_stays_comes_once_while_others_come_and_go() {
    const STAYING: usize = 24;
    const CHANGES: usize = 3;
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    let mut services = Services::start(&database).await;
    let mut random = StdRng::seed_from_u64(11);
    for (method, case, direction) in everything() {
        let table = method.resource().description.table;
        run(&mut operator, &format!("truncate {table}, orders.order_line_item")).await;
        for number in 0..STAYING {
            insert(&mut operator, &mut random, method, number).await;
        }
        run(&mut operator, &format!("create table public.staying as select * from {table}")).await;
        let key = method.resource().description.key.join(", ");
        let stays = format!("({key}) in (select {key} from public.staying)");
        let order_by = in_direction(case.order_by, direction);
        let mut seen: Vec<String> = Vec::new();
        let mut number = STAYING;
        let mut next = Some(String::new());
        while let Some(token) = next {
            let (keys, token) = method.page(&mut services, &order_by, 5, token).await.unwrap();
            seen.extend(keys);
            next = token;
            // Other rows are deleted, including the one of the token, and others are inserted before and after it, but
            // not for ever.
            run(&mut operator, &format!("delete from {table} where not {stays}")).await;
            if number < STAYING * 4 {
                for _ in 0..CHANGES {
                    insert(&mut operator, &mut random, method, number).await;
                    number += 1;
                }
            }
        }
        let expected = sorted(&mut operator, method, case, direction, &stays).await;
        assert!(number > STAYING + 2 * CHANGES, "{method:?}");
        let kept: Vec<String> = seen.iter().filter(|key| expected.contains(key)).cloned().collect();
        assert_eq!(kept, expected, "{method:?} by {order_by}");
        let mut once = seen.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), seen.len(), "{method:?} by {order_by}: {seen:?}");
        run(&mut operator, "drop table public.staying").await;
    }
}
