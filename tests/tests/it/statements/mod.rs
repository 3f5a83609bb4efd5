//! The statements that run, as files that a reviewer reads.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first surprise")]

mod artifacts;
mod calls;
mod documents;
mod forms;
mod procedures;
mod records;
mod sharding;

use std::path::PathBuf;

use orrery_kit::resource::Resource;
use orrery_kit::statements;

/// Every resource that has methods, and the slice that it belongs to. Children are written and read with their owners.
fn resources() -> Vec<(&'static str, &'static Resource)> {
    use orrery_catalog::store::{product::PRODUCT, product_metric::PRODUCT_METRIC};
    use orrery_orders::store::order::ORDER;
    use orrery_records::store::{
        artifact::ARTIFACT, macrodata_catalog::MACRODATA_CATALOG, product_link::PRODUCT_LINK, product_tag::PRODUCT_TAG,
        tag::TAG, tag_classification::TAG_CLASSIFICATION, tag_group::TAG_GROUP,
    };
    vec![
        ("catalog", &PRODUCT),
        ("catalog", &PRODUCT_METRIC),
        ("orders", &ORDER),
        ("records", &TAG),
        ("records", &TAG_CLASSIFICATION),
        ("records", &TAG_GROUP),
        ("records", &PRODUCT_TAG),
        ("records", &ARTIFACT),
        ("records", &PRODUCT_LINK),
        ("records", &MACRODATA_CATALOG),
    ]
}

fn path(slice: &str, resource: &Resource) -> PathBuf {
    let table = resource.description.table.rsplit('.').next().unwrap_or_default();
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../services/{slice}/sql/{table}.sql"))
}

/// Whether a statement is about the database itself: its catalogs, or whether it answers.
fn is_of_the_system(statement: &str) -> bool {
    statement == "select 1" || statement.contains("pg_catalog.") || statement.contains("from pg_description as d")
}

/// The files that do not hold their text. They are written if ORRERY_WRITE_SQL is set.
fn stale(files: &[(PathBuf, String)]) -> Vec<PathBuf> {
    let write = std::env::var_os("ORRERY_WRITE_SQL").is_some();
    let holds = |path: &PathBuf, text: &String| std::fs::read_to_string(path).ok().as_ref() == Some(text);
    for (path, text) in files {
        if write && !holds(path, text) {
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder can be made");
            std::fs::write(path, text).expect("the file can be written");
        }
    }
    files.iter().filter(|(path, text)| !holds(path, text)).map(|(path, _)| path.clone()).collect()
}

/// What to do about stale files.
fn said_of(stale: &[PathBuf]) -> String {
    format!("run ORRERY_WRITE_SQL=1 cargo test --locked --workspace --test it -- statements: {stale:?}")
}

#[test]
fn the_files_hold_what_runs() {
    let files: Vec<(PathBuf, String)> =
        resources().into_iter().map(|(slice, resource)| (path(slice, resource), statements::file(resource))).collect();
    let stale = stale(&files);
    assert!(stale.is_empty(), "{}", said_of(&stale));
}
