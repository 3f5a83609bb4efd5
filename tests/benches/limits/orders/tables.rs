//! The four tables of orders, filled and read by Postgres's own programs.

use std::time::Duration;

use crate::postgres::Postgres;

const TABLES: [&str; 4] = ["order_header", "order_line_item", "order_address", "order_summary"];

/// Reads each line with its order, totals and addresses, and drops the result.
pub(super) const JOINED: &str = "copy (\
     select h.*, l.*, s.*, a.* \
       from orders.order_header as h \
       join orders.order_line_item as l on l.order_uid = h.uid \
       join orders.order_summary as s on s.order_uid = h.uid \
       left join orders.order_address as a on a.order_uid = h.uid \
      order by h.uid, l.line_number\
     ) to stdout (format binary)";

/// Empties the tables.
pub(super) async fn empty(postgres: &Postgres) -> anyhow::Result<()> {
    let tables = TABLES.map(|table| format!("orders.{table}")).join(", ");
    postgres.execute(&format!("truncate {tables}")).await?;
    postgres.settle().await
}

/// Does what autovacuum would do later.
pub(super) async fn tidy(postgres: &Postgres) -> anyhow::Result<()> {
    for table in TABLES {
        postgres.execute(&format!("vacuum (analyze, freeze) orders.{table}")).await?;
    }
    postgres.settle().await
}

/// Copies the tables to files, one for each.
pub(super) fn copy_out(postgres: &Postgres) -> anyhow::Result<()> {
    postgres.psql(&copies(postgres, "to")).map(drop)
}

/// Copies the files into the tables with one `COPY` each.
pub(super) fn copy_in(postgres: &Postgres) -> anyhow::Result<Duration> {
    postgres.psql(&copies(postgres, "from"))
}

fn copies(postgres: &Postgres, direction: &str) -> Vec<String> {
    let copy = |table| {
        let file = postgres.file(&format!("{table}.bin"));
        format!("\\copy orders.{table} {direction} '{}' (format binary)", file.display())
    };
    TABLES.map(copy).to_vec()
}

/// The number of lines.
pub(super) async fn line_count(postgres: &Postgres) -> anyhow::Result<usize> {
    Ok(usize::try_from(postgres.number("select count(*) from orders.order_line_item").await?)?)
}
