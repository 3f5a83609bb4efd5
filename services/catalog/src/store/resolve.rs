//! Products by their names: those of some names, by the index of the order by name; and the names of all, page by page.

use std::collections::HashMap;
use std::ops::ControlFlow;

use orrery_kit::context::Reads;
use orrery_kit::db::sql::{literal, literal_array};
use orrery_kit::db::{CopyEnd, CopyRequest};
use orrery_kit::deadline::Deadline;
use orrery_kit::error::Error;
use orrery_kit::read::filter::Filter;
use orrery_kit::read::order::Order;
use orrery_kit::read::scan::{Cursor, Scan};
use orrery_kit::resource::mask::MaskPath;
use orrery_kit::resource::tuple::Columns;
use orrery_proto::catalog::v1::Product;
use prost::Message as _;
use prost::bytes::Bytes;
use prost::encoding::decode_varint;

use super::product::{NAME_KEY, NAME_KEY_CHARS, PRODUCT};

/// The most bytes of a name that is read. No longer name is exactly what a request may ask for, and the memory of a
/// name is bounded.
const MAX_NAME_BYTES: usize = 8_192;
/// The most rows of a page of all names.
const PAGE_ROWS: usize = 20_000;
/// The most rows of a query for some names.
const MAX_ROWS: usize = 1_000;
/// The most names of a query, and the most bytes of them.
const BATCH_NAMES: usize = 250;
const BATCH_BYTES: usize = 64 * 1024;

/// The uids of the products that have a name, in order; for some names.
pub type Uids = HashMap<String, Vec<String>>;

/// The condition that a product is in one of these phases; any if there are none.
///
/// # Errors
/// [`Error::Invalid`] for `phases`.
pub fn in_phases(phases: &[String]) -> Result<Filter, Error> {
    Filter::default().phases("phases", "status", phases).checked()
}

/// The products that have exactly one of these different names: the first few of each name, at most `most`. What would
/// take longer than the progress interval of a stream is missing, as are names that no product has.
///
/// # Errors
/// [`Error::DeadlineExceeded`] if the caller's deadline passes; errors of the database.
pub async fn named(
    reads: &Reads,
    mut names: Vec<&str>,
    phases: &Filter,
    most: usize,
    deadline: Deadline,
) -> Result<Uids, Error> {
    // In the order of the index.
    names.sort_unstable();
    let mut found = Uids::new();
    let mut rest = &names[..];
    while !rest.is_empty() {
        let (batch, later) = rest.split_at(fitting(rest));
        rest = later;
        let mut pending = batch.to_vec();
        find(reads, &mut pending, phases, most, deadline, &mut found).await?;
        if !pending.is_empty() {
            found.retain(|name, _| !pending.contains(&name.as_str()));
            break;
        }
    }
    Ok(found)
}

/// How many of the names make a query: at least one.
fn fitting(names: &[&str]) -> usize {
    let mut bytes = 0;
    let fits = |name: &&&str| {
        bytes += name.len();
        bytes <= BATCH_BYTES
    };
    names.iter().take(BATCH_NAMES).take_while(fits).count().max(1)
}

/// Finds the products that have one of the pending names. Names of which enough is known are no longer pending.
async fn find(
    reads: &Reads,
    pending: &mut Vec<&str>,
    phases: &Filter,
    most: usize,
    deadline: Deadline,
    found: &mut Uids,
) -> Result<(), Error> {
    let mut after = None;
    let mut limit = MAX_ROWS;
    while !pending.is_empty() {
        let select = select(pending, phases, after.as_ref(), limit);
        let rows = match reads.read(|| rows(reads, &select, deadline)).await {
            Ok(rows) => rows,
            Err(error) if error.may_be_too_large() && limit > 1 => {
                limit /= 2;
                continue;
            }
            // Too many products have one of the names, and too few of them are in the phases.
            Err(Error::DeadlineExceeded) if !deadline.expired() => return Ok(()),
            Err(error) => return Err(error),
        };
        let ended = rows.len() < limit;
        for (uid, name) in rows {
            let reached = key(&name).to_owned();
            let uids = found.entry(name).or_default();
            after = Some((reached, uid.clone()));
            if uids.len() < most {
                uids.push(uid);
            }
        }
        match &after {
            Some((reached, _)) if !ended => pending.retain(|&name| {
                let enough = found.get(name).is_some_and(|uids| uids.len() >= most);
                key(name) >= reached.as_str() && !enough
            }),
            _ => pending.clear(),
        }
    }
    Ok(())
}

/// What the index has of a name.
fn key(name: &str) -> &str {
    let end = name.char_indices().nth(NAME_KEY_CHARS).map_or(name.len(), |(end, _)| end);
    &name[..end]
}

fn select(names: &[&str], phases: &Filter, after: Option<&(String, String)>, limit: usize) -> String {
    let mut keys: Vec<&str> = names.iter().map(|name| key(name)).collect();
    keys.dedup();
    let after = after.map(|(key, uid)| format!(" and ({NAME_KEY}, t.uid) > ({}, {})", literal(key), literal(uid)));
    format!(
        "select t.uid, t.name from catalog.product as t \
         where {NAME_KEY} = any ({}) and t.name = any ({}) and {}{} \
         order by {NAME_KEY}, t.uid limit {limit}",
        literal_array(&keys),
        literal_array(names),
        phases.sql(),
        after.unwrap_or_default()
    )
}

/// The uids and names that a select returns.
async fn rows(reads: &Reads, select: &str, deadline: Deadline) -> Result<Vec<(String, String)>, Error> {
    let mut rows = Vec::new();
    let timeout = reads.stream.progress_interval;
    let end = reads
        .copy_out(CopyRequest { select, timeout, deadline }, |tuple| {
            let mut columns = Columns::new(tuple).map(Option::unwrap_or_default);
            let mut next = || String::from_utf8_lossy(columns.next().unwrap_or_default()).into_owned();
            rows.push((next(), next()));
            Ok(ControlFlow::Continue(()))
        })
        .await?;
    match end {
        CopyEnd::Broken(error) => Err(error),
        CopyEnd::Whole | CopyEnd::Stopped => Ok(rows),
    }
}

/// The uids and names of all products, page by page, in the order of uids.
#[derive(Debug)]
pub struct AllNames {
    scan: Scan,
    cursor: Cursor,
}

/// A page of uids and names.
#[derive(Clone, Debug, Default)]
pub struct NamesPage {
    rows: Bytes,
    /// Whether no page follows.
    pub end: bool,
}

impl AllNames {
    /// Those of the products that pass a filter.
    ///
    /// # Errors
    /// [`Error::Internal`] if the description has changed.
    pub fn new(reads: &Reads, phases: Filter) -> Result<Self, Error> {
        let mask = MaskPath::of(&PRODUCT, &["uid", "name"]).map_err(Error::internal)?;
        let filter = phases.at_most_bytes("name", MAX_NAME_BYTES);
        let cursor = Cursor::start(&filter);
        Ok(Self { scan: Scan::internal(reads, &PRODUCT, &mask, filter, Order::NATURAL), cursor })
    }

    /// The next page.
    ///
    /// # Errors
    /// As [`Scan::page`].
    pub async fn next_page(&mut self, deadline: Deadline) -> Result<NamesPage, Error> {
        let page = self.scan.page(&mut self.cursor, PAGE_ROWS, deadline).await?;
        Ok(NamesPage { rows: page.body.into(), end: page.end })
    }
}

impl NamesPage {
    /// A page of products with these uids and names.
    #[cfg(test)]
    pub(crate) fn of(products: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut body = Vec::new();
        for (uid, name) in products {
            prost::encoding::message::encode(1, &Product { uid, name, ..Product::default() }, &mut body);
        }
        Self { rows: body.into(), end: true }
    }

    /// The bytes of the rows that are left.
    pub fn bytes(&self) -> usize {
        self.rows.len()
    }

    /// The next row.
    ///
    /// # Errors
    /// [`Error::Internal`] for a page that is none.
    pub fn next_row(&mut self) -> Result<Option<Product>, Error> {
        if self.rows.is_empty() {
            return Ok(None);
        }
        // Each row is a field of a message: its key, its length, and the product.
        decode_varint(&mut self.rows).map_err(Error::internal)?;
        Product::decode_length_delimited(&mut self.rows).map(Some).map_err(Error::internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_what_the_index_has() {
        let long = "é".repeat(130);
        assert_eq!(key(&long).chars().count(), 128);
        assert_eq!((key(""), key("mug")), ("", "mug"));
        assert!(NAME_KEY.contains(&format!(", {NAME_KEY_CHARS})")));
    }

    #[test]
    fn the_columns_that_are_read_exist() {
        let read: Vec<&str> = MaskPath::of(&PRODUCT, &["name", "uid"])
            .expect("fields")
            .iter()
            .map(|path| PRODUCT.fields[path.field].name)
            .collect();
        assert_eq!(read, ["uid", "name"]);
        assert!(MaskPath::of(&PRODUCT, &["uid", "title"]).is_err_and(|why| why.contains("title")));
    }

    #[test]
    fn a_query_has_a_bounded_text_and_at_least_one_name() {
        assert_eq!(fitting(&["a"; 600]), 250);
        let long = "x".repeat(2_048);
        assert_eq!(fitting(&[long.as_str(); 600]), 32);
        assert_eq!(fitting(&["x".repeat(100_000).as_str(), "a"]), 1);
    }

    #[test]
    fn names_are_quoted_and_keys_that_are_shared_stand_once() {
        let (one, another) = ("x".repeat(128) + "'a", "x".repeat(128) + "'b");
        let sql = select(&[&one, &another], &Filter::default(), Some(&("k'".to_owned(), "u\\".to_owned())), 7);
        assert_eq!(sql.matches("'a'").count() + sql.matches("'b'").count(), 2, "{sql}");
        assert!(sql.contains(&format!("any (array['{}']::text[])", "x".repeat(128))), "{sql}");
        assert!(sql.contains("> ('k''',  E'u\\\\')"), "{sql}");
    }

    #[test]
    fn a_page_is_read_row_by_row() {
        let mut page = NamesPage::of([("prd_a", "Mug"), ("prd_b", "")].map(|(uid, name)| (uid.into(), name.into())));
        let mut row = || page.next_row().expect("rows").map(|product| (product.uid, product.name));
        assert_eq!(row(), Some(("prd_a".to_owned(), "Mug".to_owned())));
        assert_eq!(row(), Some(("prd_b".to_owned(), String::new())));
        assert_eq!((row(), page.bytes()), (None, 0));
        let mut broken = NamesPage { rows: Bytes::from_static(b"\x0a\x05a"), end: true };
        assert!(broken.next_row().is_err());
    }
}
