//! `orrery migrate lint` through the program.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;

use crate::harness::operator::{repository, run};

const BAD: &str = "-- migrate:up\nalter table orders.order_header drop column labels;\n\n-- migrate:down\n";

#[tokio::test]
async fn all_migrations_of_the_repository_are_clean() {
    let result = run(&["migrate", "lint"]).await;
    assert_eq!(result.code, Some(0), "{}{}", result.stdout, result.stderr);
    assert!(result.stdout.ends_with(" files, no findings\n"), "{}", result.stdout);
    let result = run(&["migrate", "lint", "--format", "json"]).await;
    assert_eq!((result.code, result.stdout.as_str()), (Some(0), "[]\n"));
}

#[tokio::test]
async fn the_baseline_is_needed_and_complete() {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(repository("migrations")).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() != "lint-baseline" {
            fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
    }
    let result = run(&["migrate", "lint", "--migrations", folder.path().to_str().unwrap()]).await;
    assert_eq!(result.code, Some(1));
    let baseline = fs::read_to_string(repository("migrations/lint-baseline")).unwrap();
    let counts = baseline.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let count = line.split(':').next().unwrap_or_default().split(' ').next_back();
        count.and_then(|count| count.parse::<usize>().ok()).unwrap()
    });
    let total: usize = counts.sum();
    assert!(result.stdout.contains(&format!("\n{total} findings in 2 of ")), "{}", result.stdout);
}

#[tokio::test]
async fn a_finding_names_file_line_rule_reason_and_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("20990101000000_drop.sql");
    fs::write(&file, BAD).unwrap();
    let name = file.to_str().unwrap();
    let [why, instead] = [
        "Dropping a column may break existing clients",
        "keep the column, until no running release reads it; then allow it and say so",
    ];

    let text = run(&["migrate", "lint", name]).await;
    let expected = format!("{name}:2: ban-drop-column: {why}. Instead: {instead}.\n\n1 findings in 1 of 1 files\n");
    assert_eq!((text.code, text.stdout), (Some(1), expected));
    let json = run(&["migrate", "lint", "--format", "json", name]).await;
    let found: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let expected = serde_json::json!([
        {"file": name, "line": 2, "rule": "ban-drop-column", "why": why, "instead": instead}
    ]);
    assert_eq!((json.code, found), (Some(1), expected));

    // A file that is not a migration does not hide what is in the others.
    fs::write(folder.path().join("20990101000001_odd.sql"), "-- migrate:up transaction: false\n").unwrap();
    let both = run(&["migrate", "lint", "--migrations", folder.path().to_str().unwrap()]).await;
    assert!(both.stdout.contains("_drop.sql:2: ban-drop-column: "), "{}", both.stdout);
    assert!(both.stdout.contains("_odd.sql:1: invalid-file: `transaction:` is not an option"), "{}", both.stdout);

    fs::write(&file, BAD.replacen('\n', "\n-- lint: allow ban-drop-column: no release reads it\n", 1)).unwrap();
    assert_eq!(run(&["migrate", "lint", name]).await.code, Some(0));
    let missing = run(&["migrate", "lint", "no/such/file.sql"]).await;
    assert_eq!(missing.code, Some(1));
    assert!(missing.stderr.contains("cannot read no/such/file.sql"), "{}", missing.stderr);
}

#[tokio::test]
async fn all_rules_are_listed_with_a_reason() {
    let result = run(&["migrate", "lint", "--rules"]).await;
    assert_eq!(result.code, Some(0));
    let rules: Vec<_> =
        result.stdout.lines().filter(|line| line.starts_with("on ") || line.starts_with("off ")).collect();
    assert!(rules.iter().all(|line| line.split_whitespace().count() >= 3), "{}", result.stdout);
    for start in ["on  ban-foreign-key ", "on  ban-drop-column ", "off prefer-identity ", "off require-lock-timeout "] {
        assert!(rules.iter().any(|line| line.starts_with(start)), "no {start}in {}", result.stdout);
    }
}
