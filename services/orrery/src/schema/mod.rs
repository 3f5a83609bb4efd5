//! The schema of a Postgres database, read from its catalogs, and the statements that turn one schema into another.
//!
//! `orrery migrate diff` shows them and `orrery migrate branch` copies a schema with them. The rest of the program does
//! not know how the catalogs are read.
//!
//! Not part of a schema are: roles, settings of the database, tablespaces, versions of extensions, and the names of not
//! null constraints. What is not supported is an error of [`Schema::read`] that names it.

mod difference;
mod model;
mod quote;
mod read;

pub(crate) use self::difference::grants::changes as grant_changes;
pub use self::difference::{Change, Dropped, difference};
pub(crate) use self::model::Grants;
pub use self::model::Schema;
pub(crate) use self::quote::{identifier, literal};
pub(crate) use self::read::GRANTS_OF_DATABASE;
pub(crate) use self::read::tables::{Key as PrimaryKey, StoredTable, stored_sequences, stored_tables};

/// Tables that tools keep about a database: the applied migrations of dbmate and Orrery, and the deployments of Orrery.
/// They are not part of its schema.
pub(crate) const LEDGERS: [&str; 2] = ["public.schema_migrations", "public.schema_deployments"];

/// Schemas that Orrery manages itself, and that are not part of the schema of a database.
pub(crate) const LEFT_OUT_SCHEMAS: [&str; 1] = ["undone"];
