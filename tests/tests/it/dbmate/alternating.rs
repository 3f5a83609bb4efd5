//! Each single migration, applied and rolled back by the one program after the other.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;

use sqlx::PgConnection;

use super::{dbmate, migrations, orrery_in, run_dbmate_in, status};
use crate::harness::{Role, TestDatabase};

async fn ledger(connection: &mut PgConnection) -> Vec<String> {
    sqlx::query_scalar("select version from public.schema_migrations order by version")
        .fetch_all(connection)
        .await
        .unwrap()
}

#[tokio::test]
async fn each_migration_is_applied_and_rolled_back_by_both() {
    let Some(program) = dbmate().await else { return };
    let database = TestDatabase::create_empty().await;
    let url = database.url(Role::Operator);
    let mut connection = database.connect(Role::Operator).await;
    let folder = tempfile::tempdir().unwrap();
    let mut names: Vec<_> = fs::read_dir(migrations())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(|first: char| first.is_ascii_digit()))
        .collect();
    names.sort();
    let run = |arguments: &[&str]| run_dbmate_in(program, folder.path(), &url, arguments).unwrap();
    let mut versions: Vec<String> = Vec::new();
    for (number, name) in names.iter().enumerate() {
        fs::copy(migrations().join(name), folder.path().join(name)).unwrap();
        let orrery = orrery_in(folder.path(), &database);
        let before = versions.clone();
        versions.push(name[..14].to_owned());
        let (applied, pending) = (vec![true; number + 1], [vec![true; number], vec![false]].concat());

        // Up by orrery, down by dbmate.
        assert_eq!(orrery.up(|_| ()).await.unwrap(), 1, "{name}");
        assert_eq!(ledger(&mut connection).await, versions);
        let output = run(&["status"]);
        assert!(output.contains(&format!("[X] {name}\n\nApplied: {}\nPending: 0", number + 1)), "{output}");
        run(&["rollback"]);
        assert_eq!(status(&orrery).await, pending, "{name}");
        assert_eq!(ledger(&mut connection).await, before);

        // Up by dbmate, down by orrery.
        run(&["up"]);
        assert_eq!(status(&orrery).await, applied, "{name}");
        assert_eq!(ledger(&mut connection).await, versions);
        assert!(orrery.down(|_| ()).await.unwrap().ends_with(name));
        let output = run(&["status"]);
        assert!(output.contains(&format!("[ ] {name}\n\nApplied: {number}\nPending: 1")), "{output}");
        assert_eq!(ledger(&mut connection).await, before);

        // What stays is by either in turn.
        if number % 2 == 0 {
            run(&["up"]);
        } else {
            orrery.up(|_| ()).await.unwrap();
        }
        assert_eq!(ledger(&mut connection).await, versions);
    }
}
