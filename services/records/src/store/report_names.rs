//! What the files of combo reports need to know: artifacts by their identifiers, and identifiers by uids.

use std::collections::HashMap;

use orrery_kit::context::{Reads, Writes};
use orrery_kit::db::Statement;
use orrery_kit::db::array::ArrayParameter;
use orrery_kit::deadline::Deadline;
use orrery_kit::error::Error;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

/// Maximum number of rows of a statement.
const MAX_ROWS: usize = 1_000;

/// The uids of the artifacts of one kind in one catalog that have some identifiers, by identifier. An empty catalog
/// means the artifacts without one.
///
/// # Errors
/// The errors of the database.
pub async fn uids_of(
    writes: &Writes,
    kind: &str,
    catalog_uid: &str,
    identifiers: &[&str],
    deadline: Deadline,
) -> Result<HashMap<String, String>, Error> {
    // As the unique index has it.
    let sql = "select t.identifier, t.uid
  from records.macrodata_artifact as t
 where t.identifier = any ($1)
   and t.kind = $2
   and coalesce(t.catalog_uid, '') = $3";
    let mut found = HashMap::with_capacity(identifiers.len());
    for identifiers in identifiers.chunks(MAX_ROWS) {
        let select = Statement::new(sql, identifiers.len())
            .bind(ArrayParameter::texts(identifiers))?
            .bind(kind)?
            .bind(catalog_uid)?;
        pairs(&writes.fetch(&select, deadline).await?, &mut found)?;
    }
    Ok(found)
}

const IDENTIFIERS_OF: &str = "select t.uid, coalesce(t.identifier, '')
  from records.macrodata_artifact as t
 where t.uid = any ($1)";

/// The identifiers of the artifacts that are stored under some uids, by uid; empty for one without.
///
/// # Errors
/// The errors of the database.
pub async fn identifiers_of(
    writes: &Writes,
    uids: &[&str],
    deadline: Deadline,
) -> Result<HashMap<String, String>, Error> {
    let mut found = HashMap::with_capacity(uids.len());
    for uids in uids.chunks(MAX_ROWS) {
        let select = Statement::new(IDENTIFIERS_OF, uids.len()).bind(ArrayParameter::texts(uids))?;
        pairs(&writes.fetch(&select, deadline).await?, &mut found)?;
    }
    Ok(found)
}

/// The same for a call that reads.
///
/// # Errors
/// The errors of the database.
pub async fn read_identifiers(
    reads: &Reads,
    uids: &[&str],
    deadline: Deadline,
) -> Result<HashMap<String, String>, Error> {
    let mut found = HashMap::with_capacity(uids.len());
    for uids in uids.chunks(MAX_ROWS) {
        let select = Statement::new(IDENTIFIERS_OF, uids.len()).bind(ArrayParameter::texts(uids))?;
        let rows = reads.read(|| reads.fetch(&select, deadline)).await?;
        pairs(&rows, &mut found)?;
    }
    Ok(found)
}

/// Whether a catalog exists.
///
/// # Errors
/// The errors of the database.
pub async fn catalog_exists(writes: &Writes, uid: &str, deadline: Deadline) -> Result<bool, Error> {
    let sql = "select t.uid\n  from records.macrodata_catalog as t\n where t.uid = $1";
    Ok(!writes.fetch(&Statement::new(sql, 1).bind(uid)?, deadline).await?.is_empty())
}

fn pairs(rows: &[PgRow], found: &mut HashMap<String, String>) -> Result<(), Error> {
    for row in rows {
        found.insert(row.try_get(0)?, row.try_get(1)?);
    }
    Ok(())
}
