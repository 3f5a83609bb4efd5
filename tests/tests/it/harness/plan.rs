//! The cost of reads: takes the SQL that a service sent from the server's log and explains it.

use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::{Postgres, Role, run};

/// Reads the selects that a service copied out from the server's log.
pub(crate) struct Log {
    read: i64,
    role: Role,
}

impl Log {
    /// A server that logs all statements and does not vacuum or analyze automatically.
    pub(crate) async fn server() -> Postgres {
        Postgres::own_with(&[
            ("logging_collector", "on"),
            ("log_statement", "all"),
            ("log_line_prefix", "%u "),
            // One file: what is read of it goes on where it ended.
            ("log_rotation_size", "0"),
            ("log_rotation_age", "0"),
            ("autovacuum", "off"),
        ])
        .await
    }

    /// Reads what the service that connects as `role` sends from now on to the server of `connection`.
    pub(crate) async fn new(connection: &mut PgConnection, role: Role) -> Self {
        let mut log = Self { read: 0, role };
        log.selects(connection).await;
        log
    }

    /// The selects since the last call.
    pub(crate) async fn selects(&mut self, connection: &mut PgConnection) -> Vec<String> {
        // The log is written with a delay, so this waits for a line of its own.
        let mark = format!("mark {}", rand::random::<u64>());
        run(connection, &format!("select '{mark}'")).await;
        let text = loop {
            let text: String = sqlx::query_scalar("select pg_read_file(pg_current_logfile(), $1, 100000000)")
                .bind(self.read)
                .fetch_one(&mut *connection)
                .await
                .unwrap();
            if text.contains(&mark) {
                break text;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        };
        self.read += text.len() as i64;
        let sent = format!("{} LOG:  statement: copy (", self.role.name());
        // The further lines of a statement begin with a tab.
        text.replace("\n\t", " ")
            .lines()
            .filter_map(|line| line.strip_prefix(&sent)?.strip_suffix(") to stdout (format binary)"))
            .map(str::to_owned)
            .collect()
    }
}

/// Executes and explains a select: a plan with its costs as a tree.
pub(crate) async fn explain(connection: &mut PgConnection, select: &str) -> Value {
    let explain = format!("explain (analyze, buffers, timing off, format json) {select}");
    let row = sqlx::query(AssertSqlSafe(explain)).fetch_one(connection).await.unwrap();
    let plans: Value = serde_json::from_str(&row.try_get_unchecked::<String, _>(0).unwrap()).unwrap();
    plans[0]["Plan"].clone()
}

/// All nodes of a plan.
pub(crate) fn nodes(plan: &Value) -> Vec<&Value> {
    let mut all = vec![plan];
    for child in plan["Plans"].as_array().into_iter().flatten() {
        all.extend(nodes(child));
    }
    all
}

/// The types of a plan's nodes.
pub(crate) fn node_types(plan: &Value) -> Vec<&str> {
    nodes(plan).into_iter().filter_map(|node| node["Node Type"].as_str()).collect()
}

/// The indexes that a plan uses.
pub(crate) fn indexes(plan: &Value) -> Vec<&str> {
    nodes(plan).into_iter().filter_map(|node| node["Index Name"].as_str()).collect()
}

/// The number of rows that a plan brought. Newer servers print it as 1001.00, because it may be a mean.
pub(crate) fn rows(plan: &Value) -> u64 {
    plan["Actual Rows"].as_f64().unwrap() as u64
}

/// The number of 8 KiB pages that were read.
pub(crate) fn pages(plan: &Value) -> u64 {
    plan["Shared Hit Blocks"].as_u64().unwrap() + plan["Shared Read Blocks"].as_u64().unwrap()
}
