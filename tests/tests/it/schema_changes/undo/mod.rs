//! `orrery migrate undo`: what a rollback would drop is set aside, and comes back.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod unfinished;

use super::fixture::{Fixture, SHADE, SHADE_INDEX, versions};
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
    // An index on a table in use is built concurrently, which the transaction that sets data aside cannot do.
    run(&mut fixture.operator, "create index product_old_idx on catalog.product (name)").await;
    let text = "-- migrate:up\nalter table catalog.product add column tint text;\ndrop index catalog.product_old_idx;\n\
                -- migrate:down\nalter table catalog.product drop column tint;\n\
                create index product_old_idx on catalog.product (name);\n";
    fixture.add("29990101000006_change.sql", text);
    fixture.succeeds("up").await;
    let versions = "update public.schema_deployments set versions = versions || '29990101000006'::text";
    run(&mut fixture.operator, versions).await;
    let refused = fixture.fails("undo --yes").await;
    assert!(refused.contains("drops data and builds an index on a table in use"), "{refused}");
    assert_eq!(fixture.branches().await, 0);
    let columns = fixture.columns().await;
    assert!(columns.contains(&"shade".to_owned()) && columns.contains(&"tint".to_owned()));
}

/// The migration was changed: its index allows one of the rows.
#[tokio::test]
async fn rows_that_a_unique_index_does_not_allow_stay_set_aside() {
    let mut fixture = deployed().await;
    fixture.succeeds("undo --yes").await;
    let by_hand = format!(
        "create table catalog.shade (name text collate \"C\" primary key, note text);
         create unique index shade_note_key on catalog.shade (note);
         insert into public.schema_migrations values ('{}')",
        &TABLE.0[..14]
    );
    run(&mut fixture.operator, &by_hand).await;
    run(&mut fixture.operator, "insert into catalog.shade values ('shade 1', 'newer'), ('other', 'note')").await;
    let told = fixture.succeeds("up").await;
    let stays = "catalog.shade stays set aside: a unique index does not allow 99 of its rows beside newer ones";
    assert!(told.contains(stays), "{told}");
    assert_eq!(fixture.count("undone.\"29990101000002_catalog_shade\"").await, 100);
    run(&mut fixture.operator, "drop index catalog.shade_note_key").await;
    assert!(fixture.succeeds("up").await.contains("Copied catalog.shade back"));
    assert_eq!(fixture.count("catalog.shade where note = 'note'").await, 100);
    assert_eq!(fixture.count("catalog.shade where note = 'newer'").await, 1);
    assert_eq!(fixture.succeeds("undone").await, "Nothing is set aside\n");
}

/// However the column and its default were made.
#[tokio::test]
async fn values_that_nobody_gave_are_not_newer() {
    for (column, newer) in [
        ("add column shade text", 1),
        ("add column shade text, alter column shade set default 'none'", 1),
        ("add column shade text not null default lower('NONE')", 1),
        // Which of them are newer cannot be known.
        ("add column shade text not null default md5(random()::text)", 0),
    ] {
        let mut fixture = deployed().await;
        fixture.succeeds("undo --yes").await;
        let by_hand = format!(
            "alter table catalog.product {column};
             insert into public.schema_migrations values ('{}');
             update catalog.product set shade = 'newer' where uid = 'prd_7'",
            &SHADE.0[..14]
        );
        run(&mut fixture.operator, &by_hand).await;
        fixture.succeeds("up").await;
        assert_eq!(fixture.shaded().await, ROWS * 9 / 10 - newer, "{column}");
        assert_eq!(fixture.count("catalog.product where shade = 'newer'").await, newer, "{column}");
        assert_eq!(fixture.count("catalog.product where shade = 'none'").await, ROWS / 10, "{column}");
    }
}
