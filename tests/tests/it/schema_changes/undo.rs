//! `orrery migrate undo`: what a rollback would drop is set aside, and comes back.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::time::Duration;

use super::fixture::{Fixture, SHADE, SHADE_INDEX, versions};
use crate::harness::operator::{ended, orrery};
use crate::migrations::{applied, run};

const TABLE: (&str, &str) = (
    "29990101000002_create_shade.sql",
    "-- migrate:up\n\
     create table catalog.shade (\n\
         name text collate \"C\" primary key,\n\
         note text\n\
     );\n\
     create index shade_note_idx on catalog.shade (note);\n\
     grant select, insert, update, delete on catalog.shade to catalog_service;\n\
     comment on table catalog.shade is 'A shade.';\n\n\
     -- migrate:down\n\
     drop table catalog.shade;\n",
);
const FILES: [(&str, &str); 3] = [SHADE, SHADE_INDEX, TABLE];
const ROWS: i64 = 5_000;

/// A database after a deployment whose column and table are filled.
async fn deployed() -> Fixture {
    let mut fixture = Fixture::new(&FILES).await;
    fixture.deploy().await;
    let rows = format!(
        "insert into catalog.product (uid, name, shade)
         select 'prd_' || n, 'Product', case when n % 10 = 0 then 'none' else 'shade ' || n end
           from generate_series(1, {ROWS}) as n;
         insert into catalog.shade select 'shade ' || n, 'note' from generate_series(1, 100) as n"
    );
    run(&mut fixture.operator, &rows).await;
    fixture
}

impl Fixture {
    /// Runs a command that succeeds.
    async fn succeeds(&self, words: &str) -> String {
        let result = self.migrate(words).await;
        assert_eq!(result.code, Some(0), "{result:?}");
        result.stdout
    }

    /// Runs a command that fails.
    async fn fails(&self, words: &str) -> String {
        let result = self.migrate(words).await;
        assert_eq!(result.code, Some(1), "{result:?}");
        result.stderr
    }

    async fn count(&mut self, of: &str) -> i64 {
        let select = format!("select count(*) from {of}");
        sqlx::query_scalar(sqlx::AssertSqlSafe(select)).fetch_one(&mut self.operator).await.unwrap()
    }

    /// How many products have the shade that they were given.
    async fn shaded(&mut self) -> i64 {
        self.count("catalog.product where shade = 'shade ' || substr(uid, 5)").await
    }

    /// The names of the indexes of the new table.
    async fn indexes(&mut self) -> Vec<String> {
        sqlx::query_scalar(
            "select indexname::text from pg_indexes where (schemaname, tablename) = ('catalog', 'shade') order by 1",
        )
        .fetch_all(&mut self.operator)
        .await
        .unwrap()
    }
}

#[tokio::test]
async fn what_a_rollback_drops_is_set_aside_and_comes_back() {
    let mut fixture = deployed().await;
    let indexes = fixture.indexes().await;
    assert!(indexes.len() == 2 && fixture.shaded().await == ROWS * 9 / 10);
    let shown = fixture.fails("undo").await;
    assert!(shown.contains("agree with --yes"), "{shown}");

    let told = fixture.succeeds("undo --yes").await;
    for expected in ["sets aside catalog.product.shade with its rows", "sets aside catalog.shade with its rows"] {
        assert!(told.contains(expected), "{told}");
    }
    assert!(!fixture.columns().await.contains(&"shade".to_owned()));
    assert_eq!(fixture.count("pg_tables where (schemaname, tablename) = ('catalog', 'shade')").await, 0);
    assert_eq!(fixture.count("pg_indexes where indexname = 'product_shade_idx'").await, 0);
    let missing = versions(&FILES);
    assert!(applied(&mut fixture.operator).await.iter().all(|version| !missing.contains(version)));
    assert_eq!(fixture.deployments().await, [(missing.clone(), "undone".to_owned())]);
    let listed = fixture.succeeds("undone").await;
    assert_eq!(listed.lines().count(), 2, "{listed}");
    assert!(listed.contains("29990101000000_catalog_product_shade  catalog.product.shade  aside  "), "{listed}");

    // An older service works on.
    run(&mut fixture.operator, "insert into catalog.product (uid, name) values ('prd_new', 'New')").await;
    run(&mut fixture.operator, "delete from catalog.product where uid = 'prd_1'").await;

    let told = fixture.succeeds("up").await;
    assert!(told.contains("Put catalog.shade back with its rows"), "{told}");
    assert!(told.contains("Copied catalog.product.shade back"), "{told}");
    assert_eq!((fixture.shaded().await, fixture.count("catalog.product").await), (ROWS * 9 / 10 - 1, ROWS));
    assert_eq!(fixture.count("catalog.product where shade = 'none'").await, ROWS / 10 + 1);
    assert_eq!((fixture.count("catalog.shade where note = 'note'").await, fixture.indexes().await), (100, indexes));
    assert_eq!(fixture.succeeds("undone").await, "Nothing is set aside\n");
    assert_eq!(fixture.count("pg_tables where schemaname = 'undone' and tablename <> 'item'").await, 0);
    assert!(fixture.fails("undo --yes").await.contains("there is no deployment to undo"));
}

/// Another program applied the migrations, and services wrote to what they made.
#[tokio::test]
async fn newer_rows_and_values_are_kept() {
    let mut fixture = deployed().await;
    fixture.succeeds("undo --yes").await;
    let by_hand = format!(
        "alter table catalog.product add column shade text not null default 'none';
         create table catalog.shade (name text collate \"C\" primary key, note text);
         insert into public.schema_migrations values ('{}'), ('{}');
         update catalog.product set shade = 'newer' where uid = 'prd_7';
         insert into catalog.shade values ('shade 7', 'newer')",
        &SHADE.0[..14],
        &TABLE.0[..14]
    );
    run(&mut fixture.operator, &by_hand).await;
    fixture.succeeds("up").await;
    assert_eq!(fixture.shaded().await, ROWS * 9 / 10 - 1);
    assert_eq!(fixture.count("catalog.product where shade = 'newer'").await, 1);
    assert_eq!(fixture.count("catalog.shade").await, 100);
    assert_eq!(fixture.count("catalog.shade where note = 'newer'").await, 1);
    assert_eq!(fixture.succeeds("undone").await, "Nothing is set aside\n");
}

/// A value without a column is not given up.
#[tokio::test]
async fn a_table_that_lacks_a_column_gets_no_rows_back() {
    let mut fixture = deployed().await;
    fixture.succeeds("undo --yes").await;
    let by_hand = format!(
        "create table catalog.shade (name text collate \"C\" primary key);
         insert into public.schema_migrations values ('{}')",
        &TABLE.0[..14]
    );
    run(&mut fixture.operator, &by_hand).await;
    let told = fixture.succeeds("up").await;
    assert!(told.contains("catalog.shade stays set aside"), "{told}");
    assert_eq!(fixture.count("undone.\"29990101000002_catalog_shade\" where note = 'note'").await, 100);
}

#[tokio::test]
async fn what_is_set_aside_is_purged_by_name_or_all() {
    let mut fixture = deployed().await;
    fixture.succeeds("undo --yes").await;
    assert!(fixture.fails("undone purge nothing").await.contains("nothing is set aside as nothing"));
    let purged = fixture.succeeds("undone purge 29990101000002_catalog_shade").await;
    assert_eq!(purged, "Purged 29990101000002_catalog_shade\n");
    assert_eq!(fixture.succeeds("undone list").await.lines().count(), 1);
    fixture.succeeds("undone purge --all").await;
    assert_eq!(fixture.succeeds("undone").await, "Nothing is set aside\n");
    fixture.succeeds("up").await;
    assert_eq!((fixture.shaded().await, fixture.count("catalog.shade").await), (0, 0));
}

#[tokio::test]
async fn what_would_lose_data_all_the_same_is_refused() {
    let mut fixture = Fixture::new(&[SHADE]).await;
    assert!(fixture.fails("undo --yes").await.contains("there is no deployment to undo"));
    fixture.deploy().await;
    let name = "29990101000005_change.sql";
    let text = "-- migrate:up\ncomment on column catalog.product.name is 'A name.';\n-- migrate:down\n\
                comment on column catalog.product.name is null;\ndelete from catalog.product;\n";
    fixture.add(name, text);
    fixture.succeeds("up").await;
    let refused = fixture.fails("undo --yes").await;
    assert!(refused.contains("29990101000005 is applied after the deployment"), "{refused}");
    // As if it belonged to the deployment.
    let versions = "update public.schema_deployments set versions = versions || '29990101000005'::text";
    run(&mut fixture.operator, versions).await;
    let refused = fixture.fails("undo --yes").await;
    assert!(refused.contains("29990101000005_change.sql:5: `delete` changes rows when it rolls back"), "{refused}");
    assert_eq!(fixture.branches().await, 0);
    assert!(fixture.columns().await.contains(&"shade".to_owned()));
}

/// Killed at any moment, the next run says what it found and finishes, and nothing is lost.
#[tokio::test]
async fn an_undo_that_is_killed_again_and_again_finishes() {
    let mut fixture = deployed().await;
    let mut kills = 0;
    for round in 0_i32.. {
        assert!(round < 50);
        let arguments = fixture.arguments("undo --yes");
        let mut child = orrery(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).spawn().unwrap();
        // Later and later, until the machine is fast enough.
        tokio::time::sleep(Duration::from_millis(300).mul_f64(1.15_f64.powi(round))).await;
        let is_killed = child.try_wait().unwrap().is_none();
        if is_killed {
            child.kill().unwrap();
            kills += 1;
        }
        let result = ended(child).await;
        if result.code == Some(0) {
            break;
        }
        // A session of the killed run may still hold the branch for a moment.
        assert!(is_killed || result.stderr.contains("branch undo"), "{result:?}");
        if is_killed && fixture.deployments().await[0].1 == "undoing" {
            let refused = fixture.migrate("deploy --yes").await;
            assert!(refused.stderr.contains("was interrupted; finish it with `orrery migrate undo`"), "{refused:?}");
        }
    }
    assert!(kills > 0);
    assert_eq!(fixture.deployments().await[0].1, "undone");
    assert!(!fixture.columns().await.iter().any(|column| column.contains("shade")));
    fixture.succeeds("up").await;
    assert_eq!((fixture.shaded().await, fixture.count("catalog.shade").await), (ROWS * 9 / 10, 100));
    assert_eq!(fixture.branches().await, 0);
}
