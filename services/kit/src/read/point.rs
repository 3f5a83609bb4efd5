//! Reading by key: one row, or the rows of some uids.

use std::collections::HashMap;

use bytes::Bytes;
use orrery_proto::wire::Encoded;
use sqlx::postgres::PgRow;
use sqlx::{Row as _, ValueRef as _};

use super::filter::Filter;
use super::order::Order;
use super::scan::Scan;
use crate::context::Context;
use crate::db::array::ArrayParameter;
use crate::db::{Database, Statement};
use crate::deadline::Deadline;
use crate::error::{Error, Violation};
use crate::resource::Resource;
use crate::resource::mask::Reached;
use crate::resource::select::Selection;
use crate::uid::UidKind;

/// Most uids of one batch.
const MAX_BATCH: usize = 1_000;

/// Appends a row as a tuple; its first `columns` columns.
pub(crate) fn put_tuple(row: &PgRow, columns: usize, tuple: &mut Vec<u8>) -> Result<(), Error> {
    for at in 0..columns {
        let value = row.try_get_raw(at)?;
        if value.is_null() {
            tuple.extend_from_slice(&(-1_i32).to_be_bytes());
        } else {
            let bytes = value.as_bytes().map_err(Error::Internal)?;
            tuple.extend_from_slice(&(bytes.len() as i32).to_be_bytes());
            tuple.extend_from_slice(bytes);
        }
    }
    Ok(())
}

/// One row by its uid.
///
/// # Errors
/// [`Error::Invalid`] for `uid`, [`Error::NotFound`].
pub async fn get(
    database: &Database,
    resource: &'static Resource,
    selection: &Selection,
    kind: UidKind,
    uid: &str,
    deadline: Deadline,
) -> Result<Encoded, Error> {
    kind.check(uid).map_err(|why| Error::invalid("uid", why))?;
    let table = resource.description.table;
    let mut statement =
        Statement::new(format!("select {} from {table} as t where t.uid = $1", selection.sql), 1).bind(uid)?;
    // Masks come from callers: only the text that selects everything is sure to come again.
    statement.keep_prepared = selection.is_whole();
    let rows = database.fetch(&statement, deadline).await?;
    let row =
        rows.first().ok_or_else(|| Error::NotFound { resource: resource.description.message, name: uid.to_owned() })?;
    Ok(Encoded { body: message(row, selection)?, tail: Bytes::new(), rows: 1 })
}

/// A row as a message.
pub(crate) fn message(row: &PgRow, selection: &Selection) -> Result<Bytes, Error> {
    let mut tuple = Vec::with_capacity(512);
    put_tuple(row, selection.columns, &mut tuple)?;
    let mut body = Vec::with_capacity(tuple.len() + 64);
    selection.put_message(&tuple, &mut body);
    Ok(body.into())
}

/// The rows of some uids, in their order, as field 1 of the answer, and the uids without a row as field 2.
///
/// # Errors
/// [`Error::Invalid`] for `uids`; [`Error::AnswerTooLarge`] if the rows exceed a message.
pub async fn batch_get(
    context: &Context,
    resource: &'static Resource,
    mask: &[Reached],
    kind: UidKind,
    uids: &[String],
    deadline: Deadline,
) -> Result<Encoded, Error> {
    if uids.is_empty() || uids.len() > MAX_BATCH {
        return Err(Error::invalid("uids", format!("must hold 1 to {MAX_BATCH} uids, not {}", uids.len())));
    }
    let filter = Filter::default().uids("uids", "uid", kind, uids).checked()?;
    let mut scan = Scan::new(context, resource, mask, filter, Order::NATURAL);
    scan.keep_keys = true;
    let page = scan.whole(MAX_BATCH, context.stream.max_message_bytes, deadline).await?;
    let bytes = page.body.len();
    let rows = Bytes::from(page.body);
    let mut found = HashMap::with_capacity(page.keys.len());
    let mut start = 0;
    for (key, end) in page.keys {
        found.insert(key, rows.slice(start..end));
        start = end;
    }
    let mut body = Vec::with_capacity(bytes);
    let mut tail = Vec::new();
    let mut rows = 0;
    for uid in uids {
        match found.get(uid.as_bytes()) {
            Some(row) => {
                body.extend_from_slice(row);
                rows += 1;
            }
            None => prost::encoding::string::encode(2, uid, &mut tail),
        }
    }
    Ok(Encoded { body: body.into(), tail: tail.into(), rows })
}

/// Which of these uids have no row, in their order.
///
/// # Errors
/// What the database says.
pub async fn missing(
    database: &Database,
    resource: &'static Resource,
    uids: &[String],
    deadline: Deadline,
) -> Result<Vec<String>, Error> {
    let table = resource.description.table;
    let statement = Statement::new(
        format!(
            "select u.uid from unnest($1::text[]) with ordinality as u (uid, ordinal) \
             where not exists (select from {table} as t where t.uid = u.uid) order by u.ordinal"
        ),
        uids.len(),
    )
    .bind(ArrayParameter::texts(uids))?;
    let rows = database.fetch(&statement, deadline).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Whether a list of uids is one that can be looked up.
///
/// # Errors
/// [`Error::Invalid`] for `uids`.
pub fn check_uids(kind: UidKind, uids: &[String], most: usize) -> Result<(), Error> {
    if uids.is_empty() || uids.len() > most {
        return Err(Error::invalid("uids", format!("must hold 1 to {most} uids, not {}", uids.len())));
    }
    let violations: Vec<Violation> = uids
        .iter()
        .enumerate()
        .filter_map(|(at, uid)| kind.check(uid).err().map(|why| Violation::new(format!("uids[{at}]"), why)))
        .collect();
    if violations.is_empty() { Ok(()) } else { Err(Error::Invalid(violations)) }
}
