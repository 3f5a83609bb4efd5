//! Finds statements that a section must not contain, before anything runs: those that begin or end transactions, and
//! those that Postgres refuses inside of a transaction.

use super::file::Section;
use super::statement::{ScriptStatement, statements};

/// A statement that a section must not contain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The offset of the statement in the section.
    pub(super) at: usize,
    /// Whether it begins or ends a transaction. Otherwise Postgres refuses it in one.
    pub(super) controls_transaction: bool,
    /// The problem and its solution.
    pub(super) problem: String,
}

/// Checks whether a section can run.
///
/// # Errors
/// The line of the first such statement in the file, from 1, and the problem.
pub(super) fn check(section: &Section) -> Result<(), (usize, String)> {
    refusals(section).into_iter().next().map_or(Ok(()), |Refusal { at, problem, .. }| {
        Err((section.first_line + section.sql[..at].matches('\n').count(), problem))
    })
}

/// All statements that the section must not contain.
pub(super) fn refusals(section: &Section) -> Vec<Refusal> {
    let statements = statements(&section.sql);
    let refusal = |statement: &ScriptStatement| refuse(statement, section.transaction, statements.len());
    statements.iter().filter_map(refusal).collect()
}

fn refuse(statement: &ScriptStatement, transaction: bool, of: usize) -> Option<Refusal> {
    let refusal = |controls_transaction, problem| Refusal { at: statement.start, controls_transaction, problem };
    if let Some(words) = controls_transaction(statement) {
        let rule = if transaction {
            "a migration and its row in schema_migrations share one transaction, which orrery begins and ends"
        } else {
            "then the migration would not share a transaction with its row in schema_migrations"
        };
        return Some(refusal(true, format!("`{words}` is not allowed in a migration: {rule}; remove it")));
    }
    let words = needs_no_transaction(statement)?;
    let problem = if transaction {
        format!(
            "`{words}` cannot run in a transaction: move it to a file of its own with transaction:false, written \
             without a space"
        )
    } else {
        format!("`{words}` must be the only statement of its section, because several run in one transaction")
    };
    (transaction || of > 1).then(|| refusal(false, problem))
}

/// The keywords of a statement that begins or ends a transaction. Savepoints are allowed.
fn controls_transaction(statement: &ScriptStatement) -> Option<String> {
    let back_to_savepoint = [&["rollback", "to"][..], &["rollback", "work", "to"], &["rollback", "transaction", "to"]];
    if back_to_savepoint.iter().any(|words| statement.begins(words)) {
        return None;
    }
    let controls: [&[&str]; 9] = [
        &["start", "transaction"],
        &["prepare", "transaction"],
        &["commit", "prepared"],
        &["rollback", "prepared"],
        &["begin"],
        &["commit"],
        &["end"],
        &["rollback"],
        &["abort"],
    ];
    controls.iter().find(|words| statement.begins(words)).map(|words| words.join(" "))
}

/// The keywords of a statement that Postgres always refuses in a transaction. For others it depends on their options,
/// and the server checks that.
fn needs_no_transaction(statement: &ScriptStatement) -> Option<String> {
    let never: [&[&str]; 7] = [
        &["vacuum"],
        &["alter", "system"],
        &["create", "database"],
        &["drop", "database"],
        &["create", "tablespace"],
        &["drop", "tablespace"],
        &["discard", "all"],
    ];
    if let Some(words) = never.iter().find(|words| statement.begins(words)) {
        return Some(words.join(" "));
    }
    // The word is reserved, so it is never a bare name.
    let concurrently = statement
        .words
        .windows(2)
        .any(|pair| pair[0] == "concurrently" && !["false", "off"].contains(&pair[1].as_str()))
        || statement.words.last().is_some_and(|word| word == "concurrently");
    let kinds: [&[&str]; 5] =
        [&["create", "index"], &["create", "unique", "index"], &["drop", "index"], &["reindex"], &["alter", "table"]];
    let kind = kinds.iter().find(|words| concurrently && statement.begins(words))?;
    Some(format!("{} concurrently", kind.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(sql: &str, transaction: bool) -> Result<(), (usize, String)> {
        check(&Section { sql: format!("-- migrate:up\n{sql}"), first_line: 7, transaction })
    }

    #[test]
    fn what_begins_or_ends_a_transaction_is_refused_in_every_section() {
        for words in [
            "begin",
            "start transaction",
            "commit",
            "end",
            "rollback",
            "abort",
            "prepare transaction",
            "commit prepared",
            "rollback prepared",
        ] {
            let sql = format!(
                "create table t ();\n/* why */ {}\n  'x';\nselect 1;",
                words.to_uppercase().replace(' ', " --;\n ")
            );
            for transaction in [true, false] {
                let (line, problem) = told(&sql, transaction).expect_err(words);
                assert!(line == 9 && problem.starts_with(&format!("`{words}` is not allowed")), "{line}: {problem}");
            }
        }
        for sql in ["commit and chain", "begin isolation level serializable", "end work", "COMMIT", "Rollback;"] {
            assert!(told(sql, true).is_err() && told(sql, false).is_err(), "{sql}");
        }
    }

    #[test]
    fn what_cannot_run_in_a_transaction_is_told_to_go_elsewhere_and_alone() {
        for (sql, words) in [
            ("create index concurrently if not exists i on t (a)", "create index concurrently"),
            ("create unique index\n concurrently i on t (a)", "create unique index concurrently"),
            ("drop index concurrently i", "drop index concurrently"),
            ("reindex index concurrently i", "reindex concurrently"),
            ("reindex (verbose, concurrently) index i", "reindex concurrently"),
            ("alter table t detach partition p concurrently", "alter table concurrently"),
            ("vacuum (analyze) t", "vacuum"),
            ("VACUUM", "vacuum"),
            ("alter system set work_mem = '1GB'", "alter system"),
            ("create database d", "create database"),
            ("drop database d", "drop database"),
            ("discard all", "discard all"),
        ] {
            let (line, problem) = told(&format!("select 1;\n{sql};"), true).expect_err(sql);
            assert!(line == 9 && problem.starts_with(&format!("`{words}` cannot run")), "{line}: {problem}");
            assert_eq!(told(sql, false), Ok(()), "{sql}");
            let (_, problem) = told(&format!("{sql}; select 1"), false).expect_err(sql);
            assert!(problem.contains("only statement"), "{problem}");
        }
    }

    #[test]
    fn what_only_looks_like_it_is_left_to_the_server() {
        for sql in [
            "do $$ begin perform 1; end $$",
            "do $x$ begin commit; end $x$",
            "create function f() returns int begin atomic select 1; end",
            "create procedure p() language plpgsql as $$ begin commit; end $$",
            "savepoint s; rollback to s; rollback work to savepoint s; release s",
            "-- commit;\n/* begin; */ select 'commit; end;'",
            "create table \"begin\" (\"end\" int)",
            "select begin, commit from t",
            "create table begin_end (a int)",
            "set transaction read write",
            "prepare p as select 1",
            "create index concurrently_i on t (a)",
            "drop index \"concurrently\"",
            "reindex (concurrently false) index i",
            "refresh materialized view concurrently v",
            "alter database d set work_mem = '1GB'",
            "",
            ";;",
        ] {
            assert_eq!(told(sql, true), Ok(()), "{sql}");
        }
    }
}
