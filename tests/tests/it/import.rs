//! `orrery import` and `orrery export` with a real catalog: the products of a shop are imported exactly once, whatever
//! is killed, and exported unchanged.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{ChildStdin, Stdio};
use std::time::Duration;

use sqlx::PgPool;

use crate::harness::operator::{ended, orrery, retail_file, run, thousands};
use crate::harness::{CatalogProcess, CatalogServer, Role, TestDatabase};

async fn count(pool: &PgPool, condition: &'static str) -> i64 {
    let query = format!("select count(*) from catalog.product where {condition}");
    sqlx::query_scalar(sqlx::AssertSqlSafe(query)).fetch_one(pool).await.unwrap()
}

/// All rows of the table with their times, as text.
async fn contents(pool: &PgPool) -> Vec<String> {
    sqlx::query_scalar("select product::text from catalog.product order by uid").fetch_all(pool).await.unwrap()
}

const RETAIL: &str = "--mapping=deploy/examples/online-retail.toml";

/// Imports a file of invoice lines twice, exports the result and imports the export. The numbers are correct, and only
/// the first import changes anything.
async fn there_and_back(file: &str, records: u64, products: u64, named: i64) {
    let database = TestDatabase::create().await;
    let catalog = CatalogServer::start(&database).await;
    let pool = database.pool(Role::Catalog).await;
    let address = format!("--catalog={}", catalog.address());

    let first = run(&["import", "products", file, RETAIL, &address]).await;
    assert_eq!((first.code, first.counts()), (Some(0), [products, 0, 0, 0]), "{first:?}");
    assert!(first.stdout.contains(&format!("{} records read", thousands(records))), "{first:?}");
    assert_eq!((count(&pool, "true").await, count(&pool, "name is not null").await), (products as i64, named));
    assert_eq!(count(&pool, "annotations ->> 'source/stock-code' is null").await, 0);
    let stored = contents(&pool).await;

    let again = run(&["import", "products", file, RETAIL, &address]).await;
    assert_eq!((again.code, again.counts()), (Some(0), [0, 0, products, 0]), "{again:?}");

    let folder = tempfile::tempdir().unwrap();
    let export = folder.path().join("x.jsonl.gz");
    let output = format!("--output={}", export.display());
    let exported = run(&["export", "products", &output, "--gzip", &address]).await;
    assert_eq!(exported.code, Some(0), "{exported:?}");
    let back = run(&["import", "products", export.to_str().unwrap(), &address]).await;
    assert_eq!((back.code, back.counts()), (Some(0), [0, 0, products, 0]), "{back:?}");

    assert_eq!(contents(&pool).await, stored, "update_ts included");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sample_of_a_shop_goes_in_once_and_comes_out_whole() {
    there_and_back("tests/data/online-retail-sample.csv", 201, 52, 50).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_shop_goes_in_once_and_comes_out_whole() {
    let Some(file) = retail_file() else { return };
    there_and_back(file.to_str().unwrap(), 245_903, 3_561, 3_456).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_row_costs_its_row_and_is_told_by_line() {
    let database = TestDatabase::create().await;
    let catalog = CatalogServer::start(&database).await;
    let pool = database.pool(Role::Catalog).await;
    let address = format!("--catalog={}", catalog.address());
    let folder = tempfile::tempdir().unwrap();
    let (file, rejects) = (folder.path().join("x.csv"), folder.path().join("rejects.jsonl"));
    let mapping = folder.path().join("x.toml");
    std::fs::write(&mapping, "[fields]\nuid = { column = \"uid\" }\nname = { column = \"name\" }\n").unwrap();
    // The mapping refuses line 4, the service rejects line 6. The name in the first row has two lines.
    std::fs::write(&file, b"uid,name\nprd_1,\"one\n1\"\nprd_2,\xff\nprd_3,three\nwrong,four\nprd_5,five\n").unwrap();
    let arguments = [
        "import",
        "products",
        file.to_str().unwrap(),
        &format!("--mapping={}", mapping.display()),
        &format!("--rejects={}", rejects.display()),
        &address,
    ];

    let skipped = run(&arguments).await;
    assert_eq!((skipped.code, skipped.counts()), (Some(3), [3, 0, 0, 2]), "{skipped:?}");
    assert_eq!(count(&pool, "uid in ('prd_1', 'prd_3', 'prd_5')").await, 3);
    let rejected: Vec<serde_json::Value> =
        std::fs::read_to_string(&rejects).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut told: Vec<_> =
        rejected.iter().map(|row| (row["line"].as_u64().unwrap(), row["field"].as_str().unwrap())).collect();
    told.sort_unstable();
    assert_eq!(told, [(4, "name"), (6, "uid")]);
    assert!(rejected.iter().all(|row| row["kind"] == "product"), "{rejected:?}");
    assert!(skipped.stdout.contains("5 records read, 5 products in them"), "{skipped:?}");
    assert!(skipped.stdout.contains("\n1 record refused, 1 product rejected because of them\n"), "{skipped:?}");
    assert!(skipped.stderr.contains("name: is not UTF-8: line 4"), "{skipped:?}");
    assert!(skipped.stderr.contains("uid: FIELD_INVALID: line 6"), "{skipped:?}");

    let stopped = run(&[&arguments[..], &["--on-row-error=stop"]].concat()).await;
    assert_eq!(stopped.code, Some(1), "{stopped:?}");
    assert!(stopped.stderr.contains("orrery: the import ended early: line 4: name: is not UTF-8"), "{stopped:?}");

    let checked =
        run(&["import", "products", "tests/data/online-retail-sample.csv", RETAIL, "--validate-only", &address]).await;
    assert_eq!((checked.code, checked.counts()), (Some(0), [52, 0, 0, 0]), "{checked:?}");
    assert_eq!(count(&pool, "true").await, 3, "a check writes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shopify_export_can_be_selected_by_its_tags() {
    let database = TestDatabase::create().await;
    let catalog = CatalogServer::start(&database).await;
    let address = format!("--catalog={}", catalog.address());
    let file = "tests/data/shopify-products-sample.csv";
    let imported =
        run(&["import", "products", file, "--mapping=deploy/examples/shopify-products.toml", &address]).await;
    assert_eq!((imported.code, imported.counts()), (Some(3), [6, 0, 0, 1]), "{imported:?}");

    let uids = async |filter: &[&str]| {
        let exported = run(&[&["export", "products", "--read-mask=uid", &address], filter].concat()).await;
        assert_eq!(exported.code, Some(0), "{exported:?}");
        exported.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(uids(&["--filter-label-selector=vendor=north-sons,tag/linen"]).await, [r#"{"uid":"prd_linen-shirt"}"#]);
    assert_eq!(
        uids(&["--filter-phase=draft", "--filter-phase=archived"]).await,
        [r#"{"uid":"prd_old-lamp"}"#, r#"{"uid":"prd_winter-scarf"}"#]
    );
    assert_eq!(uids(&["--filter-name-contains=MUG"]).await, [r#"{"uid":"prd_enamel-mug"}"#]);
    assert!(uids(&["--filter-created-before=2001-01-01T00:00:00Z"]).await.is_empty());

    let wrong = run(&["export", "products", "--filter-label-selector=a=(", &address]).await;
    assert_eq!((wrong.code, wrong.stdout.as_str()), (Some(1), ""), "{wrong:?}");
    assert!(wrong.stderr.contains("label_selector"), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_runs_again_leaves_what_people_set() {
    let database = TestDatabase::create().await;
    let catalog = CatalogServer::start(&database).await;
    let pool = database.pool(Role::Catalog).await;
    let address = format!("--catalog={}", catalog.address());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.csv");
    let write = |rows: &str| std::fs::write(&file, format!("URL handle,Title,Vendor,Tags,Status\n{rows}")).unwrap();
    let import = async || {
        let mapping = "--mapping=deploy/examples/shopify-products.toml";
        let imported = run(&["import", "products", file.to_str().unwrap(), mapping, &address]).await;
        assert_eq!(imported.code, Some(0), "{imported:?}");
        imported.counts()
    };
    write("mug,Mug,North,\"a, b\",active\nlamp,Lamp,North,a,active\n");
    assert_eq!(import().await, [2, 0, 0, 0]);
    sqlx::query(
        "update catalog.product set labels = labels || '{\"season\": \"winter\", \"tag\": \"x\"}',
                annotations = annotations || '{\"note\": \"by hand\"}', status = status || '{\"checked\": \"yes\"}'
          where uid = 'prd_mug'",
    )
    .execute(&pool)
    .await
    .unwrap();
    let stored = contents(&pool).await;
    assert_eq!(import().await, [0, 0, 2, 0]);
    assert_eq!(contents(&pool).await, stored, "update_ts included");

    // Labels of the file are removed when they are no longer in it; an empty name is kept.
    write("mug,,,\"b, c\",archived\nlamp,Lamp,North,a,active\n");
    assert_eq!(import().await, [0, 1, 1, 0]);
    let mug: (String, String, String, String) = sqlx::query_as(
        "select name, status::text, labels::text, annotations::text from catalog.product where uid = 'prd_mug'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(mug.0, "Mug");
    assert_eq!(json(&mug.1), serde_json::json!({ "phase": "archived", "checked": "yes" }));
    assert_eq!(
        json(&mug.2),
        serde_json::json!({ "season": "winter", "tag": "x", "source": "shopify", "tag/b": "true", "tag/c": "true" })
    );
    assert_eq!(json(&mug.3), serde_json::json!({ "note": "by hand", "source/handle": "mug", "source/tags": "b, c" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_any_script_are_rows_of_their_own_and_others_are_refused() {
    let database = TestDatabase::create().await;
    let catalog = CatalogServer::start(&database).await;
    let pool = database.pool(Role::Catalog).await;
    let address = format!("--catalog={}", catalog.address());
    let file = "tests/data/shopify-products-url-handle-sample.csv";
    let import = ["import", "products", file, "--mapping=deploy/examples/shopify-products.toml", &address];
    let imported = run(&import).await;
    assert_eq!((imported.code, imported.counts()), (Some(0), [6, 0, 0, 0]), "{imported:?}");
    let omission = "200 left out of written rows: labels.tag/*: came after the first 50: line 9";
    assert!(imported.stderr.contains(omission), "{imported:?}");
    assert_eq!(imported.count("values left out of written rows"), 200);
    assert_eq!(count(&pool, "name in ('شاي أخضر', 'قهوة عربية', 'Café Noir', 'Caf Noir')").await, 4);
    let again = run(&import).await;
    assert_eq!((again.code, again.counts()), (Some(0), [0, 0, 6, 0]), "{again:?}");

    let folder = tempfile::tempdir().unwrap();
    let mapping = folder.path().join("x.toml");
    let slugs = "[fields]\nuid = { column = \"URL handle\", transforms = [\"slug\"], prefix = \"prd_s-\" }\n\
                 name = { column = \"Title\" }\n[group]\nby = \"uid\"\n";
    std::fs::write(&mapping, slugs).unwrap();
    let refused = run(&["import", "products", file, &format!("--mapping={}", mapping.display()), &address]).await;
    assert_eq!((refused.code, refused.counts()), (Some(3), [4, 0, 0, 2]), "{refused:?}");
    for both in ["قهوة-7-1 and شاي-7-1 (line 5) would both become prd_s--7-1", "caf-noir and café-noir (line 7)"]
    {
        assert!(refused.stderr.contains(both), "{refused:?}");
    }
}

/// Rows for standard input, from `begin` to before `end`.
fn feed(stdin: &mut ChildStdin, begin: u32, end: u32) {
    let rows: String = (begin..end).fold(String::new(), |text, row| text + &row_json(row));
    stdin.write_all(rows.as_bytes()).unwrap();
    stdin.flush().unwrap();
}

fn row_json(row: u32) -> String {
    format!("{{\"uid\":\"prd_{row:06}\",\"name\":\"number {row}\"}}\n")
}

async fn until_stored(pool: &PgPool, rows: i64) {
    let wait = async {
        while count(pool, "true").await < rows {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap();
}

const STDIN: [&str; 4] = ["import", "products", "-", "--format=jsonl"];

#[tokio::test(flavor = "multi_thread")]
async fn an_import_outlives_the_service() {
    let database = TestDatabase::create().await;
    let mut catalog = CatalogProcess::spawn(&database).await;
    let pool = database.pool(Role::Catalog).await;
    let address = format!("--catalog={}", catalog.address());
    let mut import = orrery(&[&STDIN[..], &[&address]].concat()).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = import.stdin.take().unwrap();
    for round in 0..4 {
        feed(&mut stdin, round * 10_000, (round + 1) * 10_000);
        // A partial chunk waits for more rows, so that rows are in flight or waiting when the service is killed.
        until_stored(&pool, i64::from(round) * 10_000 + 4_000).await;
        catalog.restart().await;
    }
    drop(stdin);
    let import = ended(import).await;
    assert_eq!(import.code, Some(0), "{import:?}");
    assert!(import.stderr.contains("trying again"), "{import:?}");
    assert_eq!(count(&pool, "true").await, 40_000);
    let lost = if import.stdout.contains("while the connection broke") {
        import.count("committed while the connection broke: created, updated or unchanged")
    } else {
        0
    };
    assert_eq!((import.count("created") + lost, import.count("rejected")), (40_000, 0), "{import:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_was_killed_goes_on_under_its_write_id() {
    let database = TestDatabase::create().await;
    let catalog = CatalogServer::start(&database).await;
    let pool = database.pool(Role::Catalog).await;
    let address = format!("--catalog={}", catalog.address());
    let arguments = [&STDIN[..], &["--write-id=nightly", &address]].concat();
    let mut import = orrery(&arguments).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = import.stdin.take().unwrap();
    feed(&mut stdin, 0, 10_000);
    until_stored(&pool, 4_000).await;
    import.kill().unwrap();
    import.wait().unwrap();

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rows.jsonl");
    std::fs::write(&file, (0..20_000).fold(String::new(), |text, row| text + &row_json(row))).unwrap();
    let arguments = ["import", "products", file.to_str().unwrap(), "--write-id=nightly", &address];
    let resumed = run(&arguments).await;
    assert_eq!(resumed.code, Some(0), "{resumed:?}");
    let before = resumed.count("committed before under this write id");
    assert!((4_000..20_000).contains(&before), "{resumed:?}");
    assert_eq!(resumed.counts(), [20_000 - before, 0, 0, 0], "{resumed:?}");
    assert_eq!(count(&pool, "true").await, 20_000);

    let done = run(&arguments).await;
    assert_eq!((done.code, done.count("committed before under this write id")), (Some(0), 20_000), "{done:?}");

    std::fs::write(&file, row_json(0)).unwrap();
    let other = run(&arguments).await;
    assert_eq!(other.code, Some(1), "{other:?}");
    assert!(other.stderr.contains("is not the file of that import"), "{other:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_id_goes_on_with_its_own_file_only() {
    let database = TestDatabase::create().await;
    let catalog = CatalogServer::start(&database).await;
    let pool = database.pool(Role::Catalog).await;
    let address = format!("--catalog={}", catalog.address());
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let mapping = "[fields]\nuid = { column = \"id\", prefix = \"prd_\" }\nname = { column = \"name\" }\n";
    let same = format!("--mapping={}", file("x.toml", mapping.to_owned()));
    let other =
        format!("--mapping={}", file("y.toml", mapping.replace("\"name\" }", "\"name\", transforms = [\"upper\"] }")));
    let rows: Vec<String> = (0..5_000).map(|row| format!("{row:04},name {row}")).collect();
    let csv = |name: &str, rows: &[String]| file(name, format!("id,name\n{}\n", rows.join("\n")));
    let import =
        async |file: &str, mapping: &str| run(&["import", "products", file, mapping, "--write-id=n", &address]).await;

    let first = import(&csv("x.csv", &rows), &same).await;
    assert_eq!((first.code, first.counts()), (Some(0), [5_000, 0, 0, 0]), "{first:?}");
    let stored = contents(&pool).await;

    let mut changed = rows.clone();
    changed[4_321] = "4321,another name".to_owned();
    let mut swapped = rows.clone();
    swapped.swap(10, 11);
    let mut less = rows.clone();
    less.remove(3_000);
    let beyond = [changed.clone(), vec!["new,new".to_owned(); 3_000]].concat();
    for (rows, mapping, offset) in [
        (&changed, &same, 4_321),
        (&swapped, &same, 10),
        (&less, &same, 3_000),
        (&beyond, &same, 4_321),
        (&rows, &other, 0),
        (&rows[..700].to_vec(), &other, 0),
    ] {
        let ended = import(&csv("y.csv", rows), mapping).await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let expected =
            format!("the product at offset {offset}, which begins on line {}, differs from the one that", offset + 2);
        assert!(ended.stderr.contains(&expected), "{expected}: {ended:?}");
    }
    let shorter = import(&csv("y.csv", &rows[..4_999]), &same).await;
    assert_eq!(shorter.code, Some(1), "{shorter:?}");
    let expected = "5,000 products were already committed under the write id n, but the file has 4,999";
    assert!(shorter.stderr.contains(expected), "{shorter:?}");
    assert_eq!(contents(&pool).await, stored, "nothing was written");

    let longer = [rows, vec!["new,new".to_owned()]].concat();
    let ended = import(&csv("y.csv", &longer), &same).await;
    assert_eq!((ended.code, ended.counts()), (Some(0), [1, 0, 0, 0]), "{ended:?}");
    assert_eq!(ended.count("committed before under this write id"), 5_000, "{ended:?}");
}

#[tokio::test]
async fn a_write_id_is_checked_by_the_rule_of_the_service_before_anything_is_read() {
    let long = "x".repeat(129);
    for (id, message) in [
        ("nightly run", "must be 1 to 128 ASCII characters from \"!\" to \"~\", without spaces"),
        ("n\u{e4}chtlich", "must be 1 to 128 ASCII characters from \"!\" to \"~\", without spaces"),
        (&long, "must be 1 to 128 ASCII characters from \"!\" to \"~\", without spaces"),
        ("", "leave --write-id out"),
    ] {
        let ended = run(&["import", "products", "/nowhere/x.csv", &format!("--write-id={id}")]).await;
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains(message), "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_that_does_not_quote_in_another_encoding_goes_in_whole() {
    let database = TestDatabase::create().await;
    let catalog = CatalogServer::start(&database).await;
    let pool = database.pool(Role::Catalog).await;
    let address = format!("--catalog={}", catalog.address());
    let folder = tempfile::tempdir().unwrap();
    let (file, mapping) = (folder.path().join("x.tsv"), folder.path().join("x.toml"));
    let rules = "[fields]\nuid = { column = \"id\", prefix = \"prd_\" }\nname = { column = \"name\" }\n";
    let source = "[source]\nquoting = \"none\"\nencoding = \"windows-1252\"\n";
    std::fs::write(&file, b"id\tname\n1\t\"Br\xfbl\xe9e\" dish\n2\t\"Screen \x80\n3\tScreen 27\"\n").unwrap();
    let arguments =
        ["import", "products", file.to_str().unwrap(), &format!("--mapping={}", mapping.display()), &address];
    std::fs::write(&mapping, format!("{source}{rules}")).unwrap();
    let imported = run(&arguments).await;
    assert_eq!((imported.code, imported.counts(), imported.stderr.lines().count()), (Some(0), [3, 0, 0, 0], 1));
    let names: Vec<String> =
        sqlx::query_scalar("select name from catalog.product order by uid").fetch_all(&pool).await.unwrap();
    assert_eq!(names, ["\"Brûlée\" dish", "\"Screen €", "Screen 27\""]);

    // Read with quotes, one record swallows the next, which is reported.
    std::fs::write(&mapping, format!("{}{rules}", source.replace("none", "double"))).unwrap();
    let imported = run(&arguments).await;
    assert_eq!((imported.code, imported.counts()), (Some(3), [0, 1, 0, 1]), "{imported:?}");
    assert!(
        imported
            .stderr
            .contains("warning: line 3 (to line 4): a quoted cell has many lines, or lines that look like records")
    );
    assert!(imported.stderr.contains("name: continues after its closing quote"), "{imported:?}");
    std::fs::write(&file, b"id\tname\n1\t\"Dish\n2\tScreen\n").unwrap();
    let imported = run(&arguments).await;
    assert_eq!(imported.code, Some(1), "{imported:?}");
    assert!(imported.stderr.contains("the quote opened on line 2 is never closed"), "{imported:?}");
}

async fn fill(pool: &PgPool, rows: i32) {
    let query = "insert into catalog.product (uid, name) select 'prd_' || lpad(n::text, 6, '0'), repeat('n', 400) \
        from generate_series(1, $1) n";
    sqlx::query(query).bind(rows).execute(pool).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_takes_rows_that_are_larger_than_a_client_takes_by_default() {
    let database = TestDatabase::create().await;
    let pool = database.pool(Role::Catalog).await;
    fill(&pool, 10).await;
    let large = "update catalog.product set annotations = jsonb_build_object('text', repeat('x', 5000000)) \
                 where uid = 'prd_000005'";
    sqlx::query(large).execute(&pool).await.unwrap();
    let catalog = CatalogProcess::spawn(&database).await;
    let exported = run(&["export", "products", &format!("--catalog={}", catalog.address())]).await;
    assert_eq!((exported.code, exported.stdout.lines().count()), (Some(0), 10), "{}", exported.stderr);
    assert!(exported.stdout.len() > 5_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_outlives_the_service() {
    const ROWS: i32 = 60_000;
    let database = TestDatabase::create().await;
    let pool = database.pool(Role::Catalog).await;
    fill(&pool, ROWS).await;
    let mut catalog = CatalogProcess::spawn(&database).await;
    let address = format!("--catalog={}", catalog.address());
    let mut export = orrery(&["export", "products", "--read-mask=uid,name", &address]).spawn().unwrap();
    // The first line has arrived. Nothing reads on, so that the stream stops in the middle.
    let mut stdout = BufReader::new(export.stdout.take().unwrap());
    let mut text = String::new();
    stdout.read_line(&mut text).unwrap();
    catalog.restart().await;
    let mut stderr = export.stderr.take().unwrap();
    let text =
        tokio::task::spawn_blocking(move || stdout.read_to_string(&mut text).map(|_| text)).await.unwrap().unwrap();
    assert_eq!(export.wait().unwrap().code(), Some(0));
    let mut message = String::new();
    stderr.read_to_string(&mut message).unwrap();
    assert!(message.contains("trying again"), "the service was not missed: {message}");
    let uids: Vec<&str> = text.lines().map(|line| &line[8..18]).collect();
    let expected: Vec<String> = (1..=ROWS).map(|row| format!("prd_{row:06}")).collect();
    assert!(uids == expected, "{} rows came, the first {:?}", uids.len(), &uids[..2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_is_not_whole_never_ends_well() {
    let database = TestDatabase::create().await;
    let pool = database.pool(Role::Catalog).await;
    fill(&pool, 60_000).await;
    let catalog = CatalogProcess::spawn(&database).await;
    let address = format!("--catalog={}", catalog.address());

    let mut export = orrery(&["export", "products", &address]).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(export.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let export = ended(export).await;
    assert_eq!((export.code, export.stderr.as_str()), (Some(141), ""), "{export:?}");

    let mut export = orrery(&["export", "products", "--patience=1", &address]).spawn().unwrap();
    let mut stdout = BufReader::new(export.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    drop(catalog);
    let read = tokio::task::spawn_blocking(move || stdout.lines().count()).await.unwrap();
    let export = ended(export).await;
    assert!(read < 59_999, "the service was not missed");
    assert_eq!(export.code, Some(1), "{export:?}");
    assert!(export.stderr.contains("the export ended early, after"), "{export:?}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.jsonl");
    let output = format!("--output={}", file.display());
    let nowhere = run(&["export", "products", &output, "--patience=1", &address]).await;
    assert_eq!((nowhere.code, file.exists()), (Some(1), false), "{nowhere:?}");
}
