//! An undo that is interrupted, or that cannot go on.

#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::time::Duration;

use super::{FILES, ROWS, deployed};
use crate::harness::operator::{ended, orrery};
use crate::migrations::{applied, run};
use crate::schema_changes::fixture::{Fixture, versions};

/// Runs `what` when the values of a column begin to be copied. `new.name` is the table that takes them.
async fn when_copying(fixture: &mut Fixture, what: &str) {
    let trigger = format!(
        "create function public.copying() returns trigger language plpgsql as $$
         begin
            if new.phase = 'copying' then {what}; end if;
            return new;
         end $$;
         create trigger copying before insert on undone.item for each row execute function public.copying()"
    );
    run(&mut fixture.operator, &trigger).await;
}

/// A database with a second deployment, whose undo `what` meets.
async fn disturbed(what: &str) -> Fixture {
    let mut fixture = deployed().await;
    fixture.succeeds("undo --yes").await;
    fixture.deploy().await;
    when_copying(&mut fixture, what).await;
    fixture
}

impl Fixture {
    /// The column, its values and the table are what they were, and the deployment counts.
    async fn is_deployed(&mut self) {
        assert_eq!((self.shaded().await, self.count("catalog.shade").await), (ROWS * 9 / 10, 100));
        assert_eq!(self.deployments().await.last().unwrap(), &(versions(&FILES), "deployed".to_owned()));
        assert_eq!(self.count("undone.item where phase = 'copying'").await, 0);
    }
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

#[tokio::test]
async fn up_calls_an_interrupted_undo_off() {
    let sleeper = "create function public.sleep() returns trigger language plpgsql as \
                   'begin perform pg_sleep(600); return new; end'";
    let wait =
        "execute format('create trigger wait before insert on undone.%I execute function public.sleep()', new.name)";
    let mut fixture = disturbed(wait).await;
    run(&mut fixture.operator, sleeper).await;
    let arguments = fixture.arguments("undo --yes");
    let mut child = orrery(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).spawn().unwrap();
    while fixture.count("pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'").await == 0 {
        assert!(child.try_wait().unwrap().is_none());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!fixture.columns().await.contains(&"shade".to_owned()));
    // While it copies it keeps other migrators out.
    let waits = fixture.migrate("up --patience 1").await;
    assert!(waits.stderr.contains("another run is migrating this database; gave up after 1 s"), "{waits:?}");

    child.kill().unwrap();
    child.wait().unwrap();
    let end = "select pg_terminate_backend(pid) from pg_stat_activity \
               where datname = current_database() and wait_event = 'PgSleep'";
    run(&mut fixture.operator, end).await;
    let told = fixture.succeeds("up").await;
    for expected in
        ["Found catalog.product.shade half set aside", "Put catalog.shade back with its rows", "is called off"]
    {
        assert!(told.contains(expected), "{told}");
    }
    fixture.is_deployed().await;
}

/// What another program has added is neither dropped nor set aside.
#[tokio::test]
async fn a_schema_that_changes_meanwhile_is_left_alone() {
    let mut fixture = disturbed("create table catalog.other as select 1 as uid").await;
    let refused = fixture.fails("undo --yes").await;
    assert!(refused.contains("the schema has changed since the trial"), "{refused}");
    assert!(refused.contains("`drop table catalog.other`; undo again"), "{refused}");
    assert_eq!(fixture.count("catalog.other").await, 1);
    assert!(fixture.columns().await.contains(&"shade".to_owned()));
    fixture.succeeds("up").await;
    fixture.is_deployed().await;
    run(&mut fixture.operator, "drop trigger copying on undone.item").await;
    fixture.succeeds("undo --yes").await;
    assert_eq!(fixture.count("catalog.other").await, 1);
    assert!(!fixture.columns().await.contains(&"shade".to_owned()));
}

/// The domain cannot be dropped, because a table that is set aside has a column of it.
#[tokio::test]
async fn an_undo_that_fails_leaves_all_as_it_was() {
    let name = "29990101000000_paint.sql";
    let file = "-- migrate:up\ncreate domain catalog.color as text;\n\
                create table catalog.paint (uid text collate \"C\" primary key, color catalog.color);\n\
                grant select, insert, update, delete on catalog.paint to catalog_service;\n\
                comment on table catalog.paint is 'A paint.';\n\
                -- migrate:down\ndrop table catalog.paint;\ndrop domain catalog.color;\n";
    let mut fixture = Fixture::new(&[(name, file)]).await;
    fixture.deploy().await;
    run(&mut fixture.operator, "insert into catalog.paint values ('pnt_1', 'red')").await;
    let refused = fixture.fails("undo --yes").await;
    assert!(refused.contains("other objects depend on it"), "{refused}");
    assert_eq!(fixture.count("catalog.paint where color = 'red'").await, 1);
    assert_eq!(fixture.deployments().await, [(versions(&[(name, file)]), "deployed".to_owned())]);
    assert!(applied(&mut fixture.operator).await.contains(&name[..14].to_owned()));
}
