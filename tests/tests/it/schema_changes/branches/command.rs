//! `orrery migrate diff` and `orrery migrate branch` as programs.

use sqlx::Connection as _;

use super::{operator_url, run};
use crate::harness::operator::{self, CommandResult};
use crate::harness::{Role, TestDatabase};

async fn migrate(url: &str, words: &str) -> CommandResult {
    let words = ["migrate", "--database-url", url].into_iter().chain(words.split(' '));
    operator::run(&words.collect::<Vec<_>>()).await
}

async fn succeeded(url: &str, words: &str) -> String {
    let result = migrate(url, words).await;
    assert_eq!((result.code, result.stderr.as_str()), (Some(0), ""), "{words}: {result:?}");
    result.stdout
}

async fn failed(url: &str, words: &str) -> String {
    let result = migrate(url, words).await;
    assert_eq!((result.code, result.stderr.lines().count()), (Some(1), 1), "{words}: {result:?}");
    result.stderr
}

#[tokio::test(flavor = "multi_thread")]
async fn branches_are_created_listed_compared_and_dropped() {
    let database = TestDatabase::create().await;
    let url = operator_url(&database);
    let name = database.name();
    assert_eq!(succeeded(&url, "branch list").await, "No branches\n");
    let created = succeeded(&url, "branch summer").await;
    let copy_url = created.trim_end().strip_prefix("Created ").unwrap().to_owned();
    assert!(copy_url.starts_with("postgres://postgres@") && copy_url.ends_with(&format!("/{name}_branch_summer")));
    let with_rows = succeeded(&url, "branch rows --data").await;
    assert!(with_rows.contains("catalog.product: 0 rows in 0 windows\n"), "{with_rows}");

    let listed = succeeded(&url, "branch list").await;
    let lines: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines.len(), 2, "{listed}");
    assert_eq!((lines[0][0], lines[1][0], lines[1][4]), ("rows", "summer", copy_url.as_str()), "{listed}");
    assert!(lines[1][1].ends_with('Z') && lines[1][3] == "MiB" && lines[1].len() == 5, "{listed}");

    for words in ["diff main summer", "diff main summer --exit-code", "diff main migrations --exit-code"] {
        assert_eq!(succeeded(&url, words).await, "-- no differences\n", "{words}");
    }
    assert_eq!(succeeded(&url, "branch list").await.lines().count(), 2, "the temporary branch is dropped");

    let mut main = database.connect(Role::Operator).await;
    run(
        &mut main,
        "alter table catalog.product add column size integer; create index product_size_idx on catalog.product (size)",
    )
    .await;
    let expected = format!(
        "-- from main to {copy_url}\n\
         drop index catalog.product_size_idx;\n\
         alter table catalog.product drop column size;\n\
         -- from {copy_url} to main\n\
         alter table catalog.product add column size integer;\n\
         CREATE INDEX CONCURRENTLY product_size_idx ON catalog.product USING btree (size);\n"
    );
    let with_password = format!("{}_branch_summer", operator_url(&database));
    assert_eq!(succeeded(&url, &format!("diff main {with_password}")).await, expected);
    let differs = migrate(&url, "diff main summer --exit-code").await;
    assert_eq!((differs.code, differs.stderr.as_str()), (Some(1), ""), "{differs:?}");
    assert_eq!(differs.stdout, expected.replace(&copy_url, "summer"));
    main.close().await.unwrap();

    assert_eq!(succeeded(&url, "branch drop summer").await, "Dropped summer\n");
    assert_eq!(failed(&url, "branch drop summer").await, format!("orrery: {name} has no branch summer\n"));
    assert_eq!(failed(&url, "diff main summer").await, format!("orrery: {name} has no branch summer\n"));
    assert_eq!(succeeded(&url, "branch drop rows").await, "Dropped rows\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_out_is_told() {
    let database = TestDatabase::create_empty().await;
    let url = operator_url(&database);
    let mut main = database.connect(Role::Operator).await;
    run(&mut main, "create publication everything for all tables").await;
    main.close().await.unwrap();
    let created = succeeded(&url, "branch copy").await;
    assert!(created.starts_with("Not copied: the publication everything\nCreated "), "{created}");
    let compared = migrate(&url, "diff copy main --exit-code").await;
    assert_eq!((compared.code, compared.stdout.as_str()), (Some(0), "-- no differences\n"), "{compared:?}");
    assert_eq!(compared.stderr, "orrery: not compared: the publication everything of main\n");
    succeeded(&url, "branch drop copy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_words_are_refused() {
    let database = TestDatabase::create_empty().await;
    let url = operator_url(&database);
    for (words, message) in [
        ("branch Summer", "the name of a branch has 1 to 30 lower-case letters, digits and _"),
        ("branch main", "a branch cannot be called main, because that word has a meaning of its own"),
        ("branch drop migrations", "a branch cannot be called migrations, because that word has a meaning of its own"),
        ("branch a list", "list and drop stand alone: orrery migrate branch list, orrery migrate branch drop NAME"),
        (
            "branch --data list",
            "list and drop stand alone: orrery migrate branch list, orrery migrate branch drop NAME",
        ),
    ] {
        assert_eq!(failed(&url, words).await, format!("orrery: {message}\n"), "{words}");
    }
    for words in ["branch", "branch drop", "diff", "diff main", "branch a b"] {
        let result = migrate(&url, words).await;
        assert_eq!(result.code, Some(2), "{words}: {result:?}");
    }
    let listed = succeeded(&url, "branch list").await;
    assert_eq!(listed, "No branches\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_temporary_branch_of_migrations_that_fail_is_dropped() {
    let database = TestDatabase::create_empty().await;
    let url = operator_url(&database);
    let folder = tempfile::tempdir().unwrap();
    let text = "-- migrate:up\nselect nonsense;\n-- migrate:down\n";
    std::fs::write(folder.path().join("20260101000000_wrong.sql"), text).unwrap();
    let words = format!("diff main migrations --migrations {}", folder.path().display());
    let error = failed(&url, &words).await;
    assert!(error.contains("20260101000000_wrong.sql:2: column \"nonsense\" does not exist"), "{error}");
    assert_eq!(succeeded(&url, "branch list").await, "No branches\n");
}
