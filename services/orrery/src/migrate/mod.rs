//! `orrery migrate`: migrates a database's schema with the files of `migrations/`. The file format and the table of
//! applied migrations are dbmate's, so that dbmate can be used as well.
//!
//! - [`folder`], [`file`](mod@file), [`statement`]: the files, their sections, and the statements in these
//! - [`check`], [`lint`]: what a file must not contain, and what it should not
//! - [`history`]: the table of applied migrations
//! - [`apply`]: one migration after the other, up or down, by means of [`lock`] (one run at a time), [`run`] (the
//!   statements of a section) and [`unfinished`] (what an interrupted run left)
//! - [`branch`], [`trial`]: copies of the schema, and trials on them
//! - [`deploy`], [`undo`], [`undone`]: migrations of a database that is used, the way back, and what it sets aside
//! - [`diff`], [`dump`], [`new`]: the schema as SQL, and a new file
//! - [`command`], [`options`]: the command line
//! - [`failure`]: why an attempt failed, and when to try again

mod apply;
mod branch;
mod check;
mod command;
mod deploy;
mod diff;
mod dump;
mod failure;
mod file;
mod folder;
mod history;
mod lint;
mod lock;
mod new;
mod options;
mod run;
mod statement;
mod trial;
mod undo;
mod undone;
mod unfinished;

pub use self::apply::{LockTimeouts, Migrator};
pub use self::branch::{Branch, BranchContents, BranchInfo, Windows};
pub use self::command::{MigrateOptions, run};
pub use self::dump::dump;
pub use self::file::{FileError, Migration, Section};
pub use self::folder::Folder;

/// The offsets at which the statements of a script begin.
pub(crate) fn statement_starts(sql: &str) -> Vec<usize> {
    statement::statements(sql).into_iter().map(|statement| statement.start).collect()
}
