//! A service and a schema of different ages: a service does not start on an older schema, and works on a newer one.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use orrery_kit::config::{Configuration as _, ServiceConfig};
use orrery_proto::catalog::v1::{
    CreateProductRequest, DeleteProductRequest, GetProductRequest, ListProductsRequest, Product, UpdateProductRequest,
};
use orrery_proto::r#type::v1::WriteStart;
use sqlx::{AssertSqlSafe, PgConnection};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::harness::{CatalogServer, Role, TestDatabase};
use crate::migrations::run;
use crate::writes::stream::{PRODUCTS, product, write};

const SLICES: [&str; 3] = ["catalog", "orders", "records"];

/// What migrations add before a newer service needs it.
const EXPANSION: &str = "
    alter table catalog.product add column shade text not null default 'none';
    alter table catalog.product add column note text;
    alter table catalog.product_metric add column source text;
    alter table orders.order_header add column channel text not null default 'web';
    alter table orders.order_line_item add column weight numeric;
    alter table records.tag add column color text;
    create index on catalog.product (shade);
    create index on orders.order_header (channel);
    create table catalog.shade (name text primary key);
    alter table catalog.product add constraint shade_check check (shade <> '') not valid;
    alter table catalog.product validate constraint shade_check;
    comment on column catalog.product.shade is 'A name.';";

fn folder(slice: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../services").join(slice)
}

/// The columns of a slice, as services name what they need.
async fn columns(connection: &mut PgConnection, slice: &str) -> Vec<String> {
    sqlx::query_scalar(
        r#"select c.relname || '.' || a.attname collate "C"
             from pg_attribute as a join pg_class as c on c.oid = a.attrelid
            where c.relnamespace = $1::regnamespace and c.relkind = 'r' and a.attnum > 0 and not a.attisdropped
            order by 1"#,
    )
    .bind(slice)
    .fetch_all(connection)
    .await
    .unwrap()
}

/// A column that the service no longer needs, which a later migration may drop, is a comment: `# table.column: WHY`.
#[tokio::test]
async fn services_need_the_columns_that_migrations_make() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    for slice in SLICES {
        let file = folder(slice).join("required_columns.txt");
        let found = columns(&mut operator, slice).await;
        let text = std::fs::read_to_string(&file).unwrap();
        let spared: Vec<&str> = text.lines().filter(|line| line.starts_with("# ")).skip(2).collect();
        let is_spared = |column: &&String| spared.iter().any(|line| line.starts_with(&format!("# {column}: ")));
        let mut expected = String::from(
            "# The columns that the service cannot work without. Written by\n\
             # ORRERY_WRITE_SQL=1 cargo test --locked --workspace --test it -- schema_changes::compatibility\n",
        );
        expected.extend(spared.iter().map(|line| format!("{line}\n")));
        expected.extend(found.iter().filter(|column| !is_spared(column)).map(|column| format!("{column}\n")));
        if text != expected && std::env::var_os("ORRERY_WRITE_SQL").is_some() {
            std::fs::write(&file, expected).unwrap();
            continue;
        }
        assert!(
            text == expected && found.len() > 20,
            "{} is stale; its second line says how to write it",
            file.display()
        );
    }
}

/// Runs the catalog on a database until it ends by itself.
async fn refusal(database: &TestDatabase) -> String {
    let mut config = ServiceConfig::for_database(&database.url(Role::Catalog)).unwrap();
    config.database.database_pooler = database.pooler_mode();
    config.server.drain_timeout = Duration::from_secs(1);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let running = orrery_catalog::run(config, listener, CancellationToken::new());
    let ended = tokio::time::timeout(Duration::from_secs(30), running).await.expect("the service ends");
    format!("{:#}", ended.unwrap_err())
}

#[tokio::test]
async fn a_service_does_not_start_on_an_older_schema() {
    const ADVICE: &str = "; run `orrery migrate up --database-url URL` and start the service again";
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    run(&mut operator, "alter table catalog.product_metric drop column unit").await;
    let older = "the schema of the database is older than this service: it has no ";
    assert_eq!(refusal(&database).await, format!("{older}catalog.product_metric.unit{ADVICE}"));
    run(&mut operator, "drop table catalog.product").await;
    let told = refusal(&database).await;
    assert!(told.starts_with(&format!("{older}catalog.product.annotations, ")), "{told}");
    assert!(told.ends_with(&format!(" and others{ADVICE}")), "{told}");
    // Nothing is migrated at all.
    let empty = TestDatabase::create_empty().await;
    assert!(refusal(&empty).await.ends_with(ADVICE));
}

/// The statements in a slice's files that the server plans, with their titles.
fn statements(slice: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for file in std::fs::read_dir(folder(slice).join("sql")).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for part in text.split(";\n").map(str::trim).filter(|part| !part.is_empty()) {
            let title = part.lines().take_while(|line| line.starts_with("--")).collect::<Vec<_>>().join(" ");
            let sql = part.lines().find(|line| !line.starts_with("--")).unwrap_or_default();
            if ["select", "insert", "update", "delete", "with"].iter().any(|word| sql.starts_with(word)) {
                found.push((title, part.to_owned()));
            }
        }
    }
    found
}

/// Which statements the server can plan.
async fn planned(connection: &mut PgConnection, statements: &[(String, String)]) -> Vec<(String, Option<String>)> {
    let mut results = Vec::new();
    for (title, sql) in statements {
        let prepared = sqlx::raw_sql(AssertSqlSafe(format!("prepare it as\n{sql}"))).execute(&mut *connection).await;
        run(connection, "deallocate all").await;
        results.push((title.clone(), prepared.err().map(|error| error.to_string())));
    }
    results
}

#[tokio::test]
async fn the_statements_of_a_service_stay_valid_when_migrations_add() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    let statements: Vec<(String, String)> = SLICES.iter().flat_map(|slice| statements(slice)).collect();
    let before = planned(&mut operator, &statements).await;
    run(&mut operator, EXPANSION).await;
    let after = planned(&mut operator, &statements).await;
    let differing: Vec<_> = before.iter().zip(&after).filter(|(before, after)| before != after).collect();
    assert!(differing.is_empty(), "{differing:?}");
    let valid = before.iter().filter(|(_, fault)| fault.is_none()).count();
    assert!(valid >= 600 && valid == before.len(), "{valid} of {}: {before:?}", before.len());
    // The test notices what a migration takes away.
    run(&mut operator, "alter table catalog.product rename column name to title").await;
    assert_ne!(planned(&mut operator, &statements).await, after);
}

/// Each kind of call, on products of their own.
async fn use_all(server: &CatalogServer, round: &str) {
    let mut client = server.client();
    let uid = format!("prd_{round}");
    let product_of = |name: &str| Product { uid: uid.clone(), name: name.to_owned(), ..Product::default() };
    let created = CreateProductRequest { product: Some(product_of("one")), ..CreateProductRequest::default() };
    client.create_product(created).await.unwrap();
    let updated = UpdateProductRequest {
        product: Some(product_of("two")),
        update_mask: Some(prost_types::FieldMask { paths: vec!["name".to_owned()] }),
        ..UpdateProductRequest::default()
    };
    client.update_product(updated).await.unwrap();
    let got = client.get_product(GetProductRequest { uid: uid.clone(), ..GetProductRequest::default() }).await.unwrap();
    assert_eq!(got.into_inner().name, "two");
    let rows: Vec<Product> = (0..50).map(|number| product(&format!("{round}_{number}"), "three")).collect();
    for _ in 0..2 {
        write(server.channel(), PRODUCTS, WriteStart::default(), &rows).await.1.unwrap();
    }
    let listed = client.list_products(ListProductsRequest { page_size: 100, ..ListProductsRequest::default() });
    assert!(listed.await.unwrap().into_inner().products.len() >= 51);
    client.delete_product(DeleteProductRequest { uid, ..DeleteProductRequest::default() }).await.unwrap();
}

/// Also with statements that its connections have prepared before.
#[tokio::test]
async fn a_service_works_on_while_migrations_add_and_starts_afterwards() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    let server = CatalogServer::start(&database).await;
    use_all(&server, "before").await;
    run(&mut operator, EXPANSION).await;
    use_all(&server, "after").await;
    let restarted = CatalogServer::start(&database).await;
    use_all(&restarted, "restarted").await;
    let shades: i64 = sqlx::query_scalar("select count(*) from catalog.product where shade = 'none'")
        .fetch_one(&mut operator)
        .await
        .unwrap();
    assert_eq!(shades, 150);
}
