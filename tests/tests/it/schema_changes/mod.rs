//! Changes of the schema of a database that is used: `orrery migrate` and its commands.

mod branches;
mod compatibility;
mod deploy;
mod fixture;
mod interrupted;
mod lint;
mod policy;
mod undo;
