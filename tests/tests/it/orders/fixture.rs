//! The orders service with its own database, and helpers for tests.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test stops at the first surprise, and not every test uses everything"
)]

use orrery_orders::config::OrdersConfig;
use orrery_proto::orders::v1::{DeleteOrderRequest, GetOrderRequest, Order};
use orrery_proto::r#type::v1::WriteStart;
use sqlx::{AssertSqlSafe, PgPool};

use crate::harness::{OrdersServer, Role, TestDatabase};
use crate::writes::stream::{ORDERS, Totals, write};

/// A service with its own database, and direct access to that database.
pub(crate) struct Fixture {
    // In this order, so that the service stops before its database is dropped.
    pub(crate) server: OrdersServer,
    pub(crate) pool: PgPool,
    pub(crate) database: TestDatabase,
}

/// The response to a chunk.
pub(crate) struct Written {
    pub(crate) totals: Totals,
}

impl Written {
    /// Checks the numbers of orders created, updated, unchanged, rejected and superseded.
    #[track_caller]
    pub(crate) fn expect_counts(&self, counts: [i64; 5]) {
        assert_eq!(self.totals.counts(), counts, "{:?}", self.totals.errors);
    }
}

impl Fixture {
    pub(crate) async fn new() -> Self {
        Self::with(|_| ()).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut OrdersConfig)) -> Self {
        Self::on(TestDatabase::create().await, change).await
    }

    /// On an existing database.
    pub(crate) async fn on(database: TestDatabase, change: impl FnOnce(&mut OrdersConfig)) -> Self {
        let server = OrdersServer::start_with(&database, change).await;
        let pool = database.pool(Role::Operator).await;
        Self { server, pool, database }
    }

    /// Writes orders in one chunk, which must be committed.
    pub(crate) async fn write(&self, orders: &[Order]) -> Written {
        self.write_with(WriteStart::default(), orders).await
    }

    /// Writes orders in one chunk with this start, which must be committed.
    pub(crate) async fn write_with(&self, start: WriteStart, orders: &[Order]) -> Written {
        let (totals, end) = write(self.server.channel(), ORDERS, start, orders).await;
        end.unwrap();
        assert_eq!(totals.committed_offset, i64::try_from(orders.len()).unwrap());
        Written { totals }
    }

    /// A whole order.
    pub(crate) async fn get(&self, number: &str) -> Order {
        let request = GetOrderRequest { uid: format!("ord_{number}"), ..GetOrderRequest::default() };
        self.server.client().get_order(request).await.unwrap().into_inner()
    }

    /// Deletes an order.
    pub(crate) async fn delete(&self, number: &str) {
        let request = DeleteOrderRequest { uid: format!("ord_{number}"), ..DeleteOrderRequest::default() };
        self.server.client().delete_order(request).await.unwrap();
    }

    /// The number of rows of a table that satisfy a condition.
    pub(crate) async fn count(&self, from: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from {from}"))).fetch_one(&self.pool).await.unwrap()
    }

    /// A value as text.
    pub(crate) async fn text(&self, select: &str) -> String {
        let select = format!("select ({select})::text");
        sqlx::query_scalar::<_, Option<String>>(AssertSqlSafe(select)).fetch_one(&self.pool).await.unwrap().unwrap()
    }

    /// Runs statements without the service.
    pub(crate) async fn run(&self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&self.pool).await.unwrap();
    }

    /// The version of each row.
    pub(crate) async fn versions(&self) -> Vec<String> {
        let mut versions = Vec::new();
        for table in ["order_header", "order_line_item", "order_address", "order_summary"] {
            let select =
                format!("select '{table} ' || xmin::text || to_jsonb(t)::text from orders.{table} t order by 1");
            versions
                .extend(sqlx::query_scalar::<_, String>(AssertSqlSafe(select)).fetch_all(&self.pool).await.unwrap());
        }
        versions
    }

    /// Checks that the totals of all orders equal those that Postgres computes from their lines.
    pub(crate) async fn assert_sums(&self) {
        let differing = "select count(*) from (\
                select order_uid, count(*) as line_count, sum(quantity) as quantity, sum(quantity * unit_price) as \
                subtotal, \
                       sum(discount) as discount, sum(tax) as tax from orders.order_line_item group by order_uid) as l \
            full join orders.order_summary as s using (order_uid) \
            where (coalesce(l.line_count, 0), coalesce(l.quantity, 0)) <> (s.line_count, s.quantity) or s is null \
               or coalesce(l.subtotal, 0)::text <> s.subtotal::text or coalesce(l.discount, 0)::text <> \
               s.discount::text \
               or coalesce(l.tax, 0)::text <> s.tax::text \
               or s.total::text <> (s.subtotal - s.discount + s.tax + s.shipping)::text";
        assert_eq!(self.text(differing).await, "0");
    }
}

/// A draft with only a currency.
pub(crate) fn bare(number: &str) -> Order {
    Order { uid: format!("ord_{number}"), currency_code: "GBP".to_owned(), ..Order::default() }
}
