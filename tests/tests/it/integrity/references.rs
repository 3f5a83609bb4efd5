//! References are documented in the comments of columns: all of them are, services read them before they serve, refuse
//! those that are not valid, and `orrery doctor` shows them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

use orrery::serve::Slice;
use orrery_kit::config::{Configuration as _, ServiceConfig};
use orrery_kit::db::Database;
use orrery_kit::deadline::Deadline;
use orrery_kit::integrity::check::check;
use orrery_kit::integrity::{Documented, OnOrphan, ReadError, References, read};
use orrery_kit::resource::{ReferenceTarget, Resource};
use orrery_orders::config::OrdersConfig;
use orrery_records::store::payload::PAYLOAD;
use orrery_records::store::{artifact, product_link, product_tag, tag_classification, tag_group};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::harness::operator::{CommandResult, orrery, repository};
use crate::harness::{OrdersServer, Postgres, Role, TestDatabase, program, run, until_healthy};
use crate::shelves::Shelves;

const PATIENCE: Duration = Duration::from_secs(30);
const BROKEN: &str = "comment on column orders.order_line_item.product_uid is 'references catalog.product'";
const MENDED: &str = "comment on column orders.order_line_item.product_uid is 'references catalog.product.uid'";

/// The mistakes in all slices of a database.
async fn mistakes(database: &Database) -> Vec<String> {
    let checked = check(database, &Slice::SCHEMAS, Deadline::after(PATIENCE)).await.unwrap();
    checked.mistakes.iter().map(ToString::to_string).collect()
}

/// The references of all slices: their names, targets and actions.
async fn documented(database: &Database) -> BTreeMap<String, (String, OnOrphan)> {
    let checked = check(database, &Slice::SCHEMAS, Deadline::after(PATIENCE)).await.unwrap();
    let of = |Documented { reference, .. }: &Documented| {
        (reference.name(), (reference.target.to_string(), reference.action))
    };
    checked.documented.iter().map(of).collect()
}

#[tokio::test]
async fn every_column_that_is_named_like_a_reference_is_one_and_its_target_exists() {
    let database = TestDatabase::create().await;
    let reader = database.data_layer(|_| ());
    assert_eq!(mistakes(&reader).await, [""; 0]);
    let known = documented(&reader).await;
    for (relation, target, action) in [
        ("catalog.product_metric.product_uid", "catalog.product.uid", OnOrphan::Delete),
        ("catalog.write_commit.write_id", "catalog.write_session.write_id", OnOrphan::Delete),
        ("orders.order_line_item.product_uid", "catalog.product.uid", OnOrphan::Report),
        ("orders.order_summary.order_uid", "orders.order_header.uid", OnOrphan::Delete),
        ("records.link_product_tag.tag_uid", "records.tag.uid", OnOrphan::Delete),
        ("records.macrodata_artifact.body.product_uids", "catalog.product.uid", OnOrphan::Report),
        ("records.macrodata_artifact.body.report_uid", "records.macrodata_artifact.uid", OnOrphan::Report),
        ("records.macrodata_artifact.body.suggestion_uid", "records.macrodata_artifact.uid", OnOrphan::Report),
        ("records.macrodata_artifact.body.template_uid", "records.macrodata_artifact.uid", OnOrphan::Report),
        ("records.macrodata_artifact.catalog_uid", "records.macrodata_catalog.uid", OnOrphan::Report),
        ("records.tag_group.tag_uids", "records.tag.uid", OnOrphan::Report),
    ] {
        assert_eq!(known.get(relation), Some(&(target.to_owned(), action)), "{relation}");
    }

    let mut operator = database.connect(Role::Operator).await;
    run(
        &mut operator,
        "create table records.scratch (uid text primary key, tag_uid text, tag_uids text[], uids text, guid text)",
    )
    .await;
    let undocumented =
        |column: &str| format!("{column} has no comment \"references SCHEMA.TABLE.COLUMN\", nor \"no reference: WHY\"");
    let both = ["records.scratch.tag_uid", "records.scratch.tag_uids"];
    assert_eq!(mistakes(&reader).await, both.map(undocumented));
    run(
        &mut operator,
        "comment on column records.scratch.tag_uid is 'references records.tag.uid'; \
         comment on column records.scratch.tag_uids is 'tag_uids[] references records.tag.uid'",
    )
    .await;
    assert_eq!(mistakes(&reader).await, [""; 0]);
    for target in ["records.tag.id", "records.tags.uid", "record.tag.uid"] {
        let comment = format!("comment on column records.scratch.tag_uid is 'references {target} on orphan clear'");
        run(&mut operator, &comment).await;
        let missing = format!("records.scratch.tag_uid references {target}, but there is no such table or column");
        assert_eq!(mistakes(&reader).await, [missing]);
    }
    run(
        &mut operator,
        "comment on column records.scratch.tag_uid is 'references records.tag'; \
         alter table records.scratch drop constraint scratch_pkey",
    )
    .await;
    let found = mistakes(&reader).await;
    assert!(found[0].starts_with("the comment of records.scratch.tag_uid is no valid reference: "), "{found:?}");
    assert_eq!(found[1..], ["the table of records.scratch.tag_uids has no primary key"]);
}

/// What the services check when rows are written is what orphans are searched for.
#[tokio::test]
async fn the_references_of_descriptions_and_payloads_are_documented() {
    let database = TestDatabase::create().await;
    let known = documented(&database.data_layer(|_| ())).await;
    let resources: [&Resource; 5] = [
        &artifact::ARTIFACT,
        &product_link::PRODUCT_LINK,
        &product_tag::PRODUCT_TAG,
        &tag_classification::TAG_CLASSIFICATION,
        &tag_group::TAG_GROUP,
    ];
    let mut seen = 0;
    for description in resources.map(|resource| resource.description) {
        for reference in description.references {
            let place = match reference.column.split_once('.') {
                Some((_, key)) => format!("body.{key}"),
                None => reference.column.to_owned(),
            };
            let relation = format!("{}.{place}", description.table);
            let target = match reference.target {
                ReferenceTarget::Table { table, column } => format!("{table}.{column}"),
                ReferenceTarget::Elsewhere => "catalog.product.uid".to_owned(),
            };
            assert_eq!(known.get(&relation).map(|(target, _)| target), Some(&target), "{relation}");
            seen += 1;
        }
    }
    assert!(seen > 5, "{seen}");
    for (name, _) in PAYLOAD.members.iter().flat_map(|member| member.fields) {
        if name.ends_with("_uid") || name.ends_with("_uids") {
            assert!(known.contains_key(&format!("records.macrodata_artifact.body.{name}")), "{name}");
        }
    }
}

/// A table with every kind of key and index, and the columns that are indexed.
const INDEXED: &str = r#"
create schema press;
create table press.page (
    "order" text collate "C" not null, number text collate "C" not null,
    plain_uid text collate "C", second_uid text collate "C", partial_uid text collate "C" not null,
    other_partial_uid text collate "C", folded_uid text, hashed_uid text collate "C", invalid_uid text collate "C",
    expression_uid text collate "C", list_uids text[] collate "C",
    primary key (number, "order") include (plain_uid)
);
create index on press.page (plain_uid, second_uid);
create index on press.page (partial_uid) where partial_uid is not null;
create index on press.page (other_partial_uid) where other_partial_uid is not null and number <> '1';
create index on press.page (folded_uid collate "default");
create index on press.page using hash (hashed_uid);
create index broken on press.page (invalid_uid);
update pg_index set indisvalid = false where indexrelid = 'press.broken'::regclass;
create index on press.page (lower(expression_uid));
create index on press.page (list_uids);
comment on column press.page."order" is 'references press.page.number';
comment on column press.page.number is 'references press.page.number';
comment on column press.page.plain_uid is 'references press.page.number';
comment on column press.page.second_uid is 'references press.page.number';
comment on column press.page.partial_uid is 'references press.page.number';
comment on column press.page.other_partial_uid is 'references press.page.number';
comment on column press.page.folded_uid is 'references press.page.number';
comment on column press.page.hashed_uid is 'references press.page.number';
comment on column press.page.invalid_uid is 'references press.page.number';
comment on column press.page.expression_uid is 'references press.page.number';
comment on column press.page.list_uids is 'list_uids[] references press.page.number';
comment on table press.page is 'references nothing';
create table press.part (uid text primary key, page_uid text) partition by list (uid);
comment on column press.part.page_uid is 'references press.page.number';
create table press.part_one partition of press.part for values in ('1');
comment on column press.part_one.page_uid is 'references press.page.number';
create table press.heap (page_uid text);
comment on column press.heap.page_uid is 'references press.page.number';
create view press.viewed as select page_uid from press.heap;
comment on column press.viewed.page_uid is 'references nothing';
"#;

#[tokio::test]
async fn the_keys_and_indexes_of_their_tables_are_known() {
    for database in [TestDatabase::create().await, TestDatabase::pooled().await] {
        let mut operator = database.connect(Role::Operator).await;
        run(&mut operator, INDEXED).await;
        // Whoever changes a table keeps no service from starting.
        run(&mut operator, "begin; lock table press.page in access exclusive mode").await;
        // The role has no rights on the schema.
        let reader = database.data_layer(|_| ());
        let found = read(&reader, "press", Deadline::after(Duration::from_secs(10))).await.unwrap();
        let of = |table: &str| -> Vec<&Documented> {
            found.iter().filter(|documented| documented.reference.table == table).collect()
        };
        let page = of("press.page");
        let indexed: Vec<&str> =
            page.iter().filter(|documented| documented.indexed).map(|it| it.reference.column.as_str()).collect();
        assert_eq!(indexed, ["number", "partial_uid", "plain_uid"]);
        let required: Vec<&str> =
            page.iter().filter(|documented| !documented.nullable).map(|it| it.reference.column.as_str()).collect();
        assert_eq!(required, ["number", "order", "partial_uid"]);
        assert_eq!(page.len(), 11);
        for documented in page {
            assert_eq!(
                (&documented.key[..], documented.has_column_uid),
                (&["number".to_owned(), "order".to_owned()][..], false)
            );
        }
        let [part] = of("press.part")[..] else { panic!("{found:?}") };
        assert_eq!((&part.key[..], part.has_column_uid), (&["uid".to_owned()][..], true));
        let [heap] = of("press.heap")[..] else { panic!("{found:?}") };
        assert_eq!((&heap.key[..], heap.has_column_uid), (&[][..], false));
        assert_eq!(found.len(), 13);
    }
}

#[tokio::test]
async fn they_are_read_in_pages_of_as_many_rows_as_a_query_may_return() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    let columns: Vec<String> = (0..60).map(|number| format!("c{number}_uid text")).collect();
    let comments: Vec<String> = ["a", "b"]
        .iter()
        .flat_map(|table| {
            (0..60).map(move |number| {
                format!("comment on column wide.{table}.c{number}_uid is 'references wide.a.c{number}_uid'")
            })
        })
        .collect();
    let columns = columns.join(", ");
    run(
        &mut operator,
        &format!("create schema wide; create table wide.a ({columns}); create table wide.b ({columns})"),
    )
    .await;
    for (rows, in_statement) in [(100_000, 100_000), (60, 60), (50, 100_000), (100_000, 50), (1, 1)] {
        let reader = database.data_layer(|config| {
            config.limits.max_query_rows = rows;
            config.limits.max_statement_rows = in_statement;
            database.enforce(&config.limits);
        });
        let checked = check(&reader, &["wide"], Deadline::none()).await.unwrap();
        assert_eq!(checked.mistakes.len(), 120, "{rows}");
        run(&mut operator, &comments.join(";")).await;
        let found = read(&reader, "wide", Deadline::none()).await.unwrap();
        let mut names: Vec<String> = found.iter().map(|documented| documented.reference.name()).collect();
        assert!(names.is_sorted());
        names.dedup();
        assert_eq!(names.len(), 120, "{rows}");
        let checked = check(&reader, &["wide"], Deadline::none()).await.unwrap();
        assert_eq!(checked.mistakes.len(), 120, "no table has a key: {:?}", checked.mistakes.first());
        assert!(checked.mistakes.iter().all(|mistake| mistake.to_string().contains("no primary key")));
        let none: String =
            comments.iter().flat_map(|comment| [comment.split(" is ").next().unwrap(), " is null;"]).collect();
        run(&mut operator, &none).await;
    }
}

#[tokio::test]
async fn a_schema_without_comments_or_that_does_not_exist_has_no_references() {
    let database = TestDatabase::create_empty().await;
    let reader = database.data_layer(|_| ());
    for schema in ["orders", "public", "", "o'\\\" %"] {
        assert_eq!(read(&reader, schema, Deadline::none()).await.unwrap(), []);
    }
    // A slice without comments is served.
    let _served = Shelves::new().await;
}

#[tokio::test]
async fn they_are_read_once_and_every_invalid_comment_is_told() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    let reader = database.data_layer(|_| ());
    let references = References::new(reader.clone(), "orders");
    run(&mut operator, BROKEN).await;
    run(&mut operator, "comment on column orders.order_address.order_uid is 'references x'").await;
    let Err(ReadError::Invalid(invalid)) = read(&reader, "orders", Deadline::none()).await else { panic!() };
    let columns: Vec<&str> = invalid.0.iter().map(|invalid| invalid.column.as_str()).collect();
    assert_eq!(columns, ["orders.order_address.order_uid", "orders.order_line_item.product_uid"]);
    assert!(references.get(Deadline::none()).await.is_err());
    run(&mut operator, MENDED).await;
    run(&mut operator, "comment on column orders.order_address.order_uid is null").await;
    let first = references.get(Deadline::none()).await.unwrap();
    assert!(first.iter().any(|documented| documented.reference.name() == "orders.order_line_item.product_uid"));
    run(&mut operator, BROKEN).await;
    assert_eq!(references.get(Deadline::none()).await.unwrap(), first);
}

/// The orders service, which may not become healthy.
struct Orders {
    channel: Channel,
    shutdown: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Orders {
    async fn start(database: &TestDatabase) -> Self {
        let mut service = ServiceConfig::for_database(&database.url(Role::Orders)).unwrap();
        service.database.database_pooler = database.pooler_mode();
        service.database.database_acquire_timeout = Duration::from_millis(500);
        service.server.drain_timeout = Duration::from_secs(2);
        let config = OrdersConfig::with_service(service).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(orrery_orders::run(config, listener, shutdown.clone()));
        let channel = Endpoint::from_shared(address).unwrap().connect_lazy();
        Self { channel, shutdown, task }
    }

    /// Checks for a while that the service runs and is not healthy.
    async fn stays_unhealthy(&self) {
        for _ in 0..30 {
            let service = orrery_orders::SERVICE_NAMES[0].to_owned();
            let answer = HealthClient::new(self.channel.clone()).check(HealthCheckRequest { service }).await.unwrap();
            assert_eq!(answer.into_inner().status(), ServingStatus::NotServing);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(!self.task.is_finished());
    }

    /// Waits for the end of the service, which names the broken comment.
    async fn until_refused(self) {
        let error = timeout(PATIENCE, self.task).await.expect("the service ends").unwrap().unwrap_err();
        assert_names_the_comment(&format!("{error:#}"));
    }

    /// Waits until the service is healthy, and ends it.
    async fn until_served(self) {
        until_healthy(&self.channel, orrery_orders::SERVICE_NAMES[0]).await;
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }
}

#[track_caller]
fn assert_names_the_comment(said: &str) {
    assert!(said.contains("the comment of orders.order_line_item.product_uid is no valid reference"), "{said}");
    assert!(said.contains("\"catalog.product\" is no SCHEMA.TABLE.COLUMN"), "{said}");
}

#[tokio::test]
async fn a_service_does_not_start_with_a_comment_that_is_not_valid() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    run(&mut operator, BROKEN).await;
    Orders::start(&database).await.until_refused().await;
    // The comments of another slice are not read.
    crate::harness::CatalogServer::start(&database).await.stop().await.unwrap();
    run(&mut operator, MENDED).await;
    Orders::start(&database).await.until_served().await;
    OrdersServer::start(&database).await;
}

#[tokio::test]
async fn a_service_that_starts_without_its_database_reads_them_when_it_answers() {
    let postgres = Postgres::own().await;
    let database = postgres.create_database().await;
    for broken in [true, false] {
        let comment = if broken { BROKEN } else { MENDED };
        run(&mut database.connect(Role::Operator).await, comment).await;
        postgres.stop().await;
        let orders = Orders::start(&database).await;
        orders.stays_unhealthy().await;
        postgres.restart().await;
        if broken {
            orders.until_refused().await;
        } else {
            orders.until_served().await;
        }
    }
}

#[tokio::test]
async fn a_service_is_not_healthy_before_they_are_read() {
    let database = TestDatabase::create().await;
    let mut operator = database.connect(Role::Operator).await;
    run(&mut operator, "revoke select on pg_catalog.pg_description from public").await;
    let orders = Orders::start(&database).await;
    orders.stays_unhealthy().await;
    run(&mut operator, "grant select on pg_catalog.pg_description to public").await;
    orders.until_served().await;
}

/// Runs a program that must end by itself.
async fn output(command: Command) -> CommandResult {
    let mut command = tokio::process::Command::from(command);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(PATIENCE, command.output()).await.expect("the program ends").unwrap();
    CommandResult {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[tokio::test]
async fn the_programs_say_which_comment_is_not_valid() {
    let database = TestDatabase::create().await;
    run(&mut database.connect(Role::Operator).await, BROKEN).await;
    let mut service = Command::new(program("orrery-orders"));
    service.args(["--listen=127.0.0.1:0", "--admin-listen=off"]);
    service.env("DATABASE_URL", database.url(Role::Orders)).env(
        "DATABASE_POOLER",
        match database.pooler_mode() {
            orrery_kit::config::DatabasePooler::Transaction => "transaction",
            orrery_kit::config::DatabasePooler::None => "none",
        },
    );
    let folder = tempfile::tempdir().unwrap();
    let mut up = Command::new(program("orrery"));
    up.current_dir(repository("")).arg("up").arg("--data-dir").arg(folder.path());
    up.args(["--catalog=127.0.0.1:0", "--orders=127.0.0.1:0", "--records=127.0.0.1:0"]);
    up.arg(format!("--database-url={}", database.url(Role::Operator)));
    for command in [service, up] {
        let refused = output(command).await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert_names_the_comment(refused.stderr.lines().last().unwrap_or_default());
    }
}

async fn doctor(database: &TestDatabase, arguments: &[&str]) -> CommandResult {
    let url = format!("--database-url={}", database.url(Role::Operator));
    output(orrery(&[&["doctor", &url], arguments].concat())).await
}

#[tokio::test]
async fn the_doctor_shows_the_references_and_finds_mistakes() {
    let database = TestDatabase::create().await;
    let healthy = doctor(&database, &[]).await;
    assert_eq!((healthy.code, healthy.stderr.as_str()), (Some(0), ""));
    let line_items = "orders.order_line_item\n  order_uid -> orders.order_header.uid, on orphan delete\n  \
                      product_uid -> catalog.product.uid, on orphan report\n";
    let artifacts = "records.macrodata_artifact\n  \
                     body.template_uid -> records.macrodata_artifact.uid, on orphan report\n  \
                     body.report_uid -> records.macrodata_artifact.uid, on orphan report\n  \
                     body.suggestion_uid -> records.macrodata_artifact.uid, on orphan report\n  \
                     body.product_uids[] -> catalog.product.uid, on orphan report\n  \
                     catalog_uid -> records.macrodata_catalog.uid, on orphan report\n";
    for expected in [line_items, artifacts, "  tag_uids[] -> records.tag.uid, on orphan report\n"] {
        assert!(healthy.stdout.contains(expected), "{}", healthy.stdout);
    }

    let dot = doctor(&database, &["--dot"]).await;
    assert_eq!((dot.code, dot.stderr.as_str()), (Some(0), ""));
    assert!(dot.stdout.starts_with("digraph references {\n") && dot.stdout.ends_with("}\n"), "{}", dot.stdout);
    let arrows = dot.stdout.lines().filter(|line| line.contains(" -> ")).count();
    let shown = healthy.stdout.lines().filter(|line| line.contains(" -> ")).count();
    assert!(arrows == shown && shown > 15, "{}", dot.stdout);
    let arrow = "  \"orders.order_line_item\" -> \"catalog.product\" [label=\"product_uid\", style=solid];\n";
    assert!(dot.stdout.contains(arrow), "{}", dot.stdout);

    let mut operator = database.connect(Role::Operator).await;
    run(&mut operator, BROKEN).await;
    run(
        &mut operator,
        "comment on column orders.order_summary.order_uid is 'references orders.order.uid'; \
         create table catalog.scratch (uid text primary key, product_uid text)",
    )
    .await;
    for arguments in [&[][..], &["--dot"]] {
        let sick = doctor(&database, arguments).await;
        let lines: Vec<&str> = sick.stderr.lines().collect();
        assert_eq!((sick.code, lines.len()), (Some(1), 3), "{sick:?}");
        assert_eq!(
            lines[0],
            "orrery: catalog.scratch.product_uid has no comment \"references SCHEMA.TABLE.COLUMN\", nor \"no reference: WHY\""
        );
        assert_names_the_comment(lines[1]);
        let missing =
            "orrery: orders.order_summary.order_uid references orders.order.uid, but there is no such table or column";
        assert_eq!(lines[2], missing);
        assert!(sick.stdout.contains("catalog.product"), "the others are shown: {sick:?}");
    }

    // A database without the slices, and none at all.
    let empty = doctor(&TestDatabase::create_empty().await, &[]).await;
    assert_eq!(empty.code, Some(1), "{empty:?}");
    assert!(empty.stderr.contains("there is no schema catalog"), "{empty:?}");
    let folder = tempfile::tempdir().unwrap();
    let mut command = orrery(&["doctor", "--data-dir", folder.path().to_str().unwrap()]);
    command.env_remove("DATABASE_URL");
    let none = output(command).await;
    assert_eq!(none.code, Some(1), "{none:?}");
    assert!(none.stderr.starts_with("orrery: no database: set --database-url"), "{none:?}");
}
