//! The statements that run, as files that a reviewer reads.

mod sharding;

use std::path::PathBuf;

use orrery_kit::resource::Resource;
use orrery_kit::statements;

/// Every resource, and the slice that it belongs to.
fn resources() -> Vec<(&'static str, &'static Resource)> {
    use orrery_catalog::store::{product::PRODUCT, product_metric::PRODUCT_METRIC};
    use orrery_orders::store::{address::ADDRESS, line_item::LINE_ITEM, order::ORDER, summary::SUMMARY};
    vec![
        ("catalog", &PRODUCT),
        ("catalog", &PRODUCT_METRIC),
        ("orders", &ORDER),
        ("orders", &LINE_ITEM),
        ("orders", &ADDRESS),
        ("orders", &SUMMARY),
    ]
}

fn path(slice: &str, resource: &Resource) -> PathBuf {
    let table = resource.description.table.rsplit('.').next().unwrap_or_default();
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../services/{slice}/sql/{table}.sql"))
}

#[test]
fn the_files_hold_what_runs() {
    let write = std::env::var_os("ORRERY_WRITE_SQL").is_some();
    let mut stale = Vec::new();
    for (slice, resource) in resources() {
        let (path, text) = (path(slice, resource), statements::file(resource));
        if write {
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder can be made");
            std::fs::write(&path, &text).expect("the file can be written");
        }
        if std::fs::read_to_string(&path).ok().as_deref() != Some(&text) {
            stale.push(path);
        }
    }
    assert!(
        stale.is_empty(),
        "run ORRERY_WRITE_SQL=1 cargo test --locked --workspace --test it -- statements: {stale:?}"
    );
}
