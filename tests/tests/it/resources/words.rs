//! kit knows no slice: its sources contain no words of a slice's domain.

use std::fs;
use std::path::{Path, PathBuf};

/// Words of slices, also as parts of names. `order by` and `in the order of` are about sorting.
const WORDS: &[&str] = &[
    "order_header",
    "order_line",
    "order_uid",
    "order_address",
    "order_summary",
    "line_item",
    "lineitem",
    "orderuid",
    "currency",
    "sku",
    "customer",
    "provision",
    "product_uid",
    "product_metric",
    "productmetric",
    "unit_price",
    "\"ord_",
    "\"oli_",
    "\"prd_",
];
/// The same, as whole words.
const WHOLE_WORDS: &[&str] = &["product", "products", "orders", "catalog", "metric_name", "address_kind"];

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, found),
            false if path.extension().is_some_and(|extension| extension == "rs") => found.push(path),
            false => {}
        }
    }
}

/// The code of a file, without comments, and without tests, which use the existing contract as an example.
fn code(path: &Path) -> Vec<(usize, String)> {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().enumerate().take_while(|(_, line)| line.trim() != "#[cfg(test)]");
    let code = lines.filter(|(_, line)| !line.trim_start().starts_with("//"));
    code.map(|(at, line)| (at + 1, line.to_lowercase())).collect()
}

#[test]
fn kit_has_no_word_of_a_slice() {
    let kit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../services/kit/src");
    let mut files = Vec::new();
    sources(&kit, &mut files);
    assert!(files.len() > 100, "{} files", files.len());
    let is_test = |path: &Path| {
        ["tests.rs", "odd_service.rs"].iter().any(|name| path.ends_with(name))
            || path.components().any(|part| part.as_os_str() == "tests")
    };
    let mut found = Vec::new();
    for path in files.iter().filter(|path| !is_test(path)) {
        for (line, text) in code(path) {
            for word in WORDS.iter().filter(|word| text.contains(*word)) {
                found.push(format!("{}:{line}: {word}", path.strip_prefix(&kit).unwrap().display()));
            }
            let mut words = text.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
            if let Some(word) = words.find(|word| WHOLE_WORDS.contains(word)) {
                found.push(format!("{}:{line}: {word}", path.strip_prefix(&kit).unwrap().display()));
            }
        }
    }
    assert!(found.is_empty(), "kit names what belongs to slices:\n{}", found.join("\n"));
}
