//! What the descriptions of resources say about their tables is what the migrations made of them.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;

use orrery_catalog::store::{product, product_metric};
use orrery_kit::procedures::ProcedureRecords;
use orrery_kit::resource::{ReferenceTarget, Resource, SortColumn};
use orrery_orders::store::{address, line_item, order, summary};
use orrery_records::store::{
    artifact, macrodata_catalog, product_link, product_tag, tag, tag_classification, tag_group,
};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _, query, query_as, query_scalar, raw_sql};

use crate::harness::{Role, TestDatabase};
use crate::shelves::Shelves;
use crate::shelves::descriptions::STOCKTAKE;

/// Every resource.
fn resources() -> Vec<&'static Resource> {
    let of_slices: [&'static Resource; 13] = [
        &product::PRODUCT,
        &product_metric::PRODUCT_METRIC,
        &order::ORDER,
        &line_item::LINE_ITEM,
        &address::ADDRESS,
        &summary::SUMMARY,
        &tag::TAG,
        &tag_classification::TAG_CLASSIFICATION,
        &tag_group::TAG_GROUP,
        &product_tag::PRODUCT_TAG,
        &artifact::ARTIFACT,
        &product_link::PRODUCT_LINK,
        &macrodata_catalog::MACRODATA_CATALOG,
    ];
    let schemas = [orrery_catalog::SCHEMA, orrery_orders::SCHEMA, orrery_records::SCHEMA];
    let of_procedures = schemas.map(ProcedureRecords::of);
    of_procedures.into_iter().flat_map(|records| [records.executions, records.orphans]).chain(of_slices).collect()
}

/// Columns that are for the workers of procedures alone: messages and columns.
const OF_WORKERS: [(&str, &str); 6] = [
    ("orrery.procedures.v1.ProcedureExecution", "cursor"),
    ("orrery.procedures.v1.ProcedureExecution", "fence"),
    ("orrery.procedures.v1.ProcedureExecution", "interruptions"),
    ("orrery.procedures.v1.ProcedureExecution", "lease_ts"),
    ("orrery.procedures.v1.ProcedureExecution", "request_id"),
    ("orrery.procedures.v1.Orphan", "execution_uid"),
];

/// A column of a table.
struct Column {
    sql_type: String,
    nullable: bool,
    collation: Option<String>,
    comment: Option<String>,
}

/// An index of a table that serves every row.
struct Index {
    name: String,
    primary: bool,
    columns: Vec<String>,
}

async fn columns(connection: &mut PgConnection, table: &str) -> BTreeMap<String, Column> {
    let rows = query(
        "select a.attname::text, format_type(a.atttypid, a.atttypmod), not a.attnotnull, c.collname::text, \
                col_description(a.attrelid, a.attnum) \
           from pg_attribute as a left join pg_collation as c on c.oid = a.attcollation \
          where a.attrelid = $1::regclass and a.attnum > 0 and not a.attisdropped",
    )
    .bind(table)
    .fetch_all(connection)
    .await
    .unwrap();
    let column =
        |row: &PgRow| Column { sql_type: row.get(1), nullable: row.get(2), collation: row.get(3), comment: row.get(4) };
    rows.iter().map(|row| (row.get(0), column(row))).collect()
}

async fn indexes(connection: &mut PgConnection, table: &str) -> Vec<Index> {
    let indexes: Vec<(String, bool, Vec<String>)> = query_as(
        "select c.relname::text, i.indisprimary, \
                array(select pg_get_indexdef(i.indexrelid, place, false) from generate_series(1, i.indnkeyatts) as place) \
           from pg_index as i join pg_class as c on c.oid = i.indexrelid join pg_am as m on m.oid = c.relam \
          where i.indrelid = $1::regclass and i.indpred is null and i.indisvalid and m.amname = 'btree'",
    )
    .bind(table)
    .fetch_all(connection)
    .await
    .unwrap();
    indexes.into_iter().map(|(name, primary, columns)| Index { name, primary, columns }).collect()
}

/// Whether a column takes every number of so many digits before and after the point.
fn takes(sql_type: &str, digits: (usize, usize)) -> bool {
    let Some(width) = sql_type.strip_prefix("numeric(").and_then(|rest| rest.strip_suffix(')')) else { return true };
    let (precision, scale) = width.split_once(',').unwrap();
    let (precision, scale): (usize, usize) = (precision.parse().unwrap(), scale.parse().unwrap());
    digits.0 + scale <= precision && digits.1 <= scale
}

/// What a resource's description says otherwise than its table is.
async fn mismatches(connection: &mut PgConnection, resource: &Resource) -> Vec<String> {
    let description = resource.description;
    let table = description.table;
    let mut stored = columns(connection, table).await;
    stored.retain(|name, _| !OF_WORKERS.contains(&(description.message, name)));
    let indexes = indexes(connection, table).await;
    let mut found = Vec::new();
    for field in resource.stored() {
        let expected = field.kind.column().unwrap();
        let Some(column) = stored.remove(field.name) else {
            found.push(format!("{}: there is no such column", field.name));
            continue;
        };
        let Column { sql_type, nullable, .. } = &column;
        if sql_type.split('(').next() != Some(expected.sql_type) {
            found.push(format!("{}: {sql_type}, not {}", field.name, expected.sql_type));
        }
        if *nullable != expected.nullable {
            found.push(format!("{}: nullable {nullable}, not {}", field.name, expected.nullable));
        }
        if let Some(digits) = expected.digits.filter(|digits| !takes(sql_type, *digits)) {
            found.push(format!("{}: {sql_type} does not take {digits:?} digits", field.name));
        }
        // Rows are sorted by their keys in the service too, texts byte by byte.
        if field.key && !field.is_number() && column.collation.as_deref() != Some("C") {
            found.push(format!("{}: collation {:?}", field.name, column.collation));
        }
        let reference = description.references.iter().find(|reference| reference.column == field.name);
        let comment = column.comment.as_deref().unwrap_or_default();
        let documented = match reference.map(|reference| reference.target) {
            None => true,
            Some(ReferenceTarget::Elsewhere) => comment.starts_with("references "),
            Some(ReferenceTarget::Table { table, column }) => {
                comment.starts_with(&format!("references {table}.{column} "))
            }
        };
        if !documented {
            found.push(format!("{}: the comment {comment:?} does not name what it references", field.name));
        }
    }
    found.extend(stored.into_keys().map(|name| format!("{name}: the contract has no such field")));
    let primary = indexes.iter().find(|index| index.primary).map(|index| &index.columns[..]);
    if primary.is_none_or(|primary| primary != description.key) {
        found.push(format!("the primary key is {primary:?}"));
    }
    let natural = resource.natural_order();
    if !indexes.iter().any(|index| index.columns == natural) {
        found.push(format!("no index has the columns {natural:?}"));
    }
    for order in description.orders {
        let is_new = |key: &&&str| order.columns.iter().all(|column| column.name != **key);
        let rest = description.key.iter().filter(is_new).map(|key| SortColumn::plain(key));
        let columns: Vec<SortColumn> = order.columns.iter().copied().chain(rest).collect();
        // Postgres writes expressions in its own way; that they are the same is seen where the index is used.
        let serves = |index: &Index| {
            let mut pairs = columns.iter().zip(&index.columns);
            index.name == order.index
                && columns.len() == index.columns.len()
                && pairs.all(|(column, indexed)| column.expression.is_some() || column.name == indexed)
        };
        if !indexes.iter().any(serves) {
            let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
            found.push(format!("{} is no index of the columns {names:?}", order.index));
        }
    }
    if resource.owner_length() > 0 {
        found.extend(missing_locks(connection, resource.schema()).await);
    }
    found
}

/// What the table lacks by which a slice locks the owners of rows.
async fn missing_locks(connection: &mut PgConnection, schema: &str) -> Option<String> {
    let key = "select array(select pg_get_indexdef(indexrelid, place, false) from generate_series(1, indnkeyatts) place) \
                 from pg_index where indrelid = to_regclass($1) and indisprimary";
    let table = format!("{schema}.owner_lock");
    let key: Option<Vec<String>> = query_scalar(key).bind(&table).fetch_optional(connection).await.unwrap();
    (key.as_deref() != Some(&["owner".to_owned(), "resource".to_owned()]))
        .then(|| format!("{table}: the primary key is {key:?}"))
}

#[tokio::test]
async fn every_description_is_that_of_its_migrated_table() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    for resource in resources() {
        let found = mismatches(&mut operator, resource).await;
        assert!(found.is_empty(), "{}: {found:#?}", resource.description.table);
    }
}

/// The resource of the tests has what a slice's resource must have.
#[tokio::test]
async fn the_locks_of_owners_have_their_table() {
    let slice = Shelves::new().await;
    let mut operator = slice.database.connect(Role::Operator).await;
    assert_eq!(mismatches(&mut operator, &STOCKTAKE).await, [""; 0]);
    raw_sql("alter table warehouse.owner_lock drop constraint owner_lock_pkey").execute(&mut operator).await.unwrap();
    assert_eq!(mismatches(&mut operator, &STOCKTAKE).await, ["warehouse.owner_lock: the primary key is None"]);
    raw_sql("drop table warehouse.owner_lock").execute(&mut operator).await.unwrap();
    assert_eq!(mismatches(&mut operator, &STOCKTAKE).await, ["warehouse.owner_lock: the primary key is None"]);
}

/// One change of a table, and the mismatch that must be found.
const CHANGES: &[(&str, &str)] = &[
    ("alter table catalog.product drop column name", "name: there is no such column"),
    ("alter table catalog.product add column color text", "color: the contract has no such field"),
    ("alter table catalog.product alter column name set not null", "name: nullable false, not true"),
    ("alter table catalog.product alter column labels drop not null", "labels: nullable true, not false"),
    ("alter table catalog.product alter column name type varchar(9)", "name: character varying(9), not text"),
    ("alter table catalog.product alter column uid type text collate \"default\"", "uid: collation Some(\"default\")"),
    (
        "drop index catalog.product_create_ts_idx",
        "product_create_ts_idx is no index of the columns [\"create_ts\", \"uid\"]",
    ),
    (
        "drop index catalog.product_metric_value_idx; \
         create index product_metric_value_idx on catalog.product_metric (value, name, product_uid)",
        "product_metric_value_idx is no index of the columns [\"name\", \"value\", \"product_uid\"]",
    ),
    (
        "drop index orders.order_header_provision_timer_order_idx; \
         create index order_header_provision_timer_order_idx on orders.order_header (provision_timer_ts, uid) \
             where provision_timer_ts is not null",
        "order_header_provision_timer_order_idx is no index of the columns [\"provision_timer_ts\", \"uid\"]",
    ),
    ("alter table catalog.product drop constraint product_pkey", "the primary key is None"),
    (
        "alter table catalog.product_metric alter column value type numeric(19, 4)",
        "value: numeric(19,4) does not take (34, 18) digits",
    ),
    (
        "comment on column catalog.product_metric.product_uid is 'of a product'",
        "product_uid: the comment \"of a product\" does not name what it references",
    ),
    (
        "drop index orders.order_line_item_line_number_idx",
        "no index has the columns [\"order_uid\", \"line_number\", \"uid\"]",
    ),
    ("alter table orders.order_header alter column revision type bigint", "revision: bigint, not integer"),
];

#[tokio::test]
async fn every_difference_is_found() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    for (change, expected) in CHANGES {
        let mut transaction = operator.begin().await.unwrap();
        raw_sql(AssertSqlSafe(*change)).execute(&mut *transaction).await.unwrap();
        let mut found = Vec::new();
        for resource in resources() {
            found.extend(mismatches(&mut transaction, resource).await);
        }
        transaction.rollback().await.unwrap();
        assert!(found.iter().any(|mismatch| mismatch == expected), "{change}: {found:#?}");
    }
    // A numeric that is wide enough is none.
    assert!(takes("numeric", (34, 18)) && takes("numeric(19,4)", (15, 4)));
    assert!(!takes("numeric(19,4)", (16, 4)) && !takes("numeric(19,4)", (15, 5)));
    let tables: i64 = query_scalar("select count(*) from pg_class where relname = any ($1) and relkind = 'r'")
        .bind(
            resources()
                .iter()
                .map(|resource| resource.description.table.split_once('.').unwrap().1.to_owned())
                .collect::<Vec<_>>(),
        )
        .fetch_one(&mut operator)
        .await
        .unwrap();
    assert_eq!(tables, resources().len() as i64, "the changes are rolled back");
}
