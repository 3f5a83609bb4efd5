//! Files that are not quite migrations: what dbmate does with each, and what orrery does.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;

use orrery::migrate::{Folder, LockTimeouts, Migrator};

use super::{dbmate, run_dbmate_in};
use crate::harness::{Role, TestDatabase};

const NAME: &str = "20260102030405_odd.sql";
const DOWN: &str = "-- migrate:down\ndrop table odd;\n";

/// What happens to a folder of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// Both apply it, or both find nothing to apply.
    Both,
    /// Both refuse it, with an error.
    Neither,
    /// dbmate applies it, but ignores something in it without a word. orrery refuses it.
    DbmateIgnores(&'static str),
    /// dbmate applies it. orrery is stricter, and refuses it.
    OnlyDbmate(&'static str),
}

use Outcome::{Both, DbmateIgnores, Neither, OnlyDbmate};

/// A file `NAME` with this text.
fn one(up: &str) -> Vec<(&'static str, String)> {
    vec![(NAME, format!("{up}\n{DOWN}"))]
}

fn table() -> Vec<(Vec<(&'static str, String)>, Outcome)> {
    let create = "-- migrate:up\ncreate table odd ();";
    let named = |name: &'static str| vec![(name, format!("{create}\n{DOWN}"))];
    vec![
        (one(create), Both),
        (one("--migrate:up\ncreate table odd ();"), Both),
        (one("-- migrate:up\r\ncreate table odd ();\r"), Both),
        (one("-- a comment\n\n-- migrate:up\ncreate table odd ();"), Both),
        (one("-- migrate:up transaction:true\ncreate table odd ();"), Both),
        (one("-- migrate:up transaction:false\ncreate table odd ();\ncreate index on odd ((1));"), Both),
        (vec![(NAME, "-- migrate:up\n-- migrate:down\n".to_owned())], Both),
        ([named("odd.sql"), vec![(NAME, "-- migrate:up\n-- migrate:down\n".to_owned())]].concat(), Both),
        (vec![(NAME, format!("{create}\n"))], Neither),
        (vec![(NAME, DOWN.to_owned())], Neither),
        (vec![(NAME, String::new())], Neither),
        (vec![(NAME, format!("{DOWN}{create}\n"))], Neither),
        (one("select 1;\n-- migrate:up\ncreate table odd ();"), Neither),
        (one("\u{feff}-- migrate:up\ncreate table odd ();"), Neither),
        (one("-- Migrate:Up\ncreate table odd ();"), Neither),
        (one("  -- migrate:up\ncreate table odd ();"), Neither),
        (vec![(NAME, format!("{create}\n  -- migrate:down\ndrop table odd;\n"))], Neither),
        (vec![(NAME, format!("{create}\n{DOWN}")), ("20260102030405_other.sql", format!("{create}\n{DOWN}"))], Neither),
        (
            one("-- migrate:up transaction:false\ncreate table odd ();\ncreate index concurrently on odd ((1));"),
            Neither,
        ),
        (one("-- migrate:up\ncreate table odd (a int);\ncreate index concurrently on odd (a);"), Neither),
        (one("-- migrate:up\ncreate table odd ();\ncommit;"), Neither),
        (one("-- migrate:up\n-- migrate:up\ncreate table odd ();"), Neither),
        (vec![(NAME, format!("{create}\n{DOWN}-- migrate:up\n"))], Neither),
        (vec![(NAME, format!("{create}\n{DOWN}-- migrate:down\n"))], Neither),
        (vec![(NAME, format!("{create}\n{DOWN}-- migrate:up\ncreate table other ();\n-- migrate:down\n"))], Neither),
        (
            one("-- migrate:up transaction: false\ncreate table odd ();"),
            DbmateIgnores("the option, because of the space"),
        ),
        (one("-- migrate:up transaction=false\ncreate table odd ();"), DbmateIgnores("the option")),
        (one("-- migrate:up lock_timeout:1\ncreate table odd ();"), DbmateIgnores("the option")),
        (
            vec![(NAME, format!("{create}\n-- migrate:down drops the table\ndrop table odd;\n"))],
            DbmateIgnores("the words after the directive"),
        ),
        (one("-- migrate:up\ncreate table odd ();\n-- migrate:dwon"), DbmateIgnores("the misspelt directive")),
        (named("1_odd.sql"), OnlyDbmate("it orders versions as texts, so 10 is before 9; orrery has one width")),
        (
            named("202601020304055_odd.sql"),
            OnlyDbmate("it orders versions as texts, so 10 is before 9; orrery has one width"),
        ),
    ]
}

#[tokio::test]
async fn odd_files_are_accepted_by_both_or_neither() {
    let Some(program) = dbmate().await else { return };
    let mut wrong = Vec::new();
    for (files, expected) in table() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in &files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let (theirs, ours) = (TestDatabase::create_empty().await, TestDatabase::create_empty().await);
        let dbmate = run_dbmate_in(program, folder.path(), &theirs.url(Role::Operator), &["up"]);
        let orrery = match Folder::read(folder.path()) {
            Ok(folder) => {
                Migrator::new(&ours.url(Role::Operator), folder, LockTimeouts::default()).up(|_| ()).await.map(|_| ())
            }
            Err(error) => Err(error),
        };
        let outcome = match (&dbmate, &orrery) {
            (Ok(_), Ok(())) => Some(Both),
            (Err(_), Err(_)) => Some(Neither),
            (Ok(_), Err(_)) if matches!(expected, DbmateIgnores(_) | OnlyDbmate(_)) => Some(expected),
            _ => None,
        };
        if outcome != Some(expected) {
            wrong.push(format!("{files:?}: expected {expected:?}, dbmate: {dbmate:?}, orrery: {orrery:?}"));
        } else if outcome == Some(Both) {
            assert_eq!(tables(&theirs).await, tables(&ours).await, "{files:?}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The tables and applied versions of a database.
async fn tables(database: &TestDatabase) -> Vec<String> {
    let mut connection = database.connect(Role::Operator).await;
    let tables: Vec<String> = sqlx::query_scalar(
        "select c.relname::text from pg_class as c where c.relnamespace = 'public'::regnamespace order by 1",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    if !tables.contains(&"schema_migrations".to_owned()) {
        return tables;
    }
    let versions: Vec<String> = sqlx::query_scalar("select version::text from public.schema_migrations order by 1")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    [tables, versions].concat()
}
