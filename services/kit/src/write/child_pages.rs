//! Reads the stored rows of some owners, page by page: children, dependents, and rows that a write replaces.

use std::collections::HashSet;
use std::sync::Arc;

use super::rows::ARRAY_ROWS;
use crate::db::{CopySource as _, Statement, Transaction};
use crate::error::Error;
use crate::read::point::put_tuple;
use crate::resource::select::column;
use crate::resource::tuple::prefix;
use crate::resource::{Field, Resource};

/// A read of the rows of some owners, page by page in the order of their keys.
#[derive(Clone, Debug)]
pub(super) struct ChildPages {
    children: &'static Resource,
    /// How many columns of their key are the owner's.
    owner_columns: usize,
    columns: usize,
    first: Arc<str>,
    next: Arc<str>,
}

impl ChildPages {
    /// Pages of a select list with this many columns. It begins with the columns of the children's key, of which the
    /// first `owners` are those of the owner.
    pub(super) fn new(children: &'static Resource, owners: usize, list: &str, columns: usize) -> Self {
        let in_owners = owner_condition(children, owners);
        let keys = children.key_columns("t");
        let table = children.description.table;
        let numbers = |from: usize, count: usize| {
            (from..from + count).map(|number| format!("${number}")).collect::<Vec<_>>().join(", ")
        };
        let after = format!("({keys}) > ({})", numbers(owners + 1, children.key_length()));
        let page = |after: &str, limit: usize| {
            format!("select {list}\n  from {table} as t\n where {in_owners}{after}\n order by {keys}\n limit ${limit}")
        };
        let first = page("", owners + 1).into();
        let next = page(&format!("\n   and {after}"), owners + children.key_length() + 1).into();
        Self { children, owner_columns: owners, columns, first, next }
    }

    /// The statements: of the first page, and of the next ones.
    pub(super) fn sql(&self) -> impl Iterator<Item = (&'static str, Arc<str>)> {
        [("first page", Arc::clone(&self.first)), ("next page", Arc::clone(&self.next))].into_iter()
    }

    /// Pages of whole input tuples.
    pub(super) fn of_rows(owner: &'static Resource, nth: usize) -> Self {
        let children = owner.child_tables[nth].resource;
        let inputs: Vec<String> = children.inputs().map(column).collect();
        Self::new(children, owner.key_length(), &inputs.join(", "), inputs.len())
    }

    /// Pages of keys.
    pub(super) fn of_keys(children: &'static Resource, owners: usize) -> Self {
        Self::new(children, owners, &children.key_columns("t"), children.key_length())
    }

    /// Reads the rows of some owners. The owners are tuples that begin with their columns.
    ///
    /// # Errors
    /// The errors of the database.
    pub(super) async fn read(
        &self,
        transaction: &mut Transaction<'_>,
        owners: &[&[u8]],
        mut on_row: impl FnMut(&[u8]) + Send,
    ) -> Result<(), Error> {
        for batch in owners.chunks(ARRAY_ROWS) {
            let mut place = Place::default();
            while self.read_page(transaction, batch, &mut place, &mut on_row).await? {}
        }
        Ok(())
    }

    /// Reads one page of the rows of at most [`ARRAY_ROWS`] owners: what follows `place`, which moves to its end.
    /// Returns whether there may be more.
    ///
    /// A page that ends within an owner is continued with the rest of this owner alone, and the pages after that ask
    /// for the other owners only. A condition on the key beside many owners would begin at that key for each of them,
    /// and pass the rows of all owners between.
    ///
    /// # Errors
    /// The errors of the database.
    pub(super) async fn read_page(
        &self,
        transaction: &mut Transaction<'_>,
        owners: &[&[u8]],
        place: &mut Place,
        mut on_row: impl FnMut(&[u8]) + Send,
    ) -> Result<bool, Error> {
        let limits = transaction.limits();
        let most = limits.max_statement_rows.min(limits.max_query_rows).min(2 * ARRAY_ROWS);
        let last = place.last.take();
        let page = if let Some(last) = &last {
            let page = Statement::new(Arc::clone(&self.next), most);
            let page = self.children.bind_key_prefixes(page, self.owner_columns, [last.as_slice()])?;
            self.children.bind_key(page, last)?
        } else {
            let page = Statement::new(Arc::clone(&self.first), most);
            self.children.bind_key_prefixes(page, self.owner_columns, self.left(owners, place).copied())?
        };
        let rows = transaction.fetch(page.bind(most as i64)?).await?;
        let (mut tuple, mut owner) = (Vec::new(), Vec::new());
        for row in &rows {
            tuple.clear();
            put_tuple(row, self.columns, &mut tuple)?;
            let own = prefix(&tuple, self.owner_columns);
            if own != owner {
                owner = own.to_vec();
                place.owners.insert(owner.clone());
            }
            on_row(&tuple);
        }
        if rows.len() < most {
            return Ok(last.is_some() && self.left(owners, place).next().is_some());
        }
        place.last = Some(prefix(&tuple, self.children.key_length()).to_vec());
        Ok(true)
    }

    /// The owners that no page was about.
    fn left<'o>(&self, owners: &'o [&'o [u8]], place: &Place) -> impl Iterator<Item = &'o &'o [u8]> + Clone {
        owners.iter().filter(|owner| !place.owners.contains(prefix(owner, self.owner_columns)))
    }
}

/// How far the rows of some owners were read.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// The owners with rows on the pages so far. All their rows were read, except for those after `last`.
    owners: HashSet<Vec<u8>>,
    /// The last key of the page, if its owner may have more rows.
    last: Option<Vec<u8>>,
}

/// The condition that a row belongs to one of some owners. Their columns are the first parameters.
fn owner_condition(children: &Resource, owners: usize) -> String {
    let own: Vec<&Field> = children.key_fields().take(owners).collect();
    if let [column] = own[..] {
        return format!("t.{} = any ($1)", column.name);
    }
    let columns = own.iter().map(|column| format!("t.{}", column.name)).collect::<Vec<_>>().join(", ");
    let arrays = own.iter().zip(1..).map(|(field, n)| format!("${n}::{}", field.element_type().array_name()));
    format!("({columns}) in (select * from unnest({}))", arrays.collect::<Vec<_>>().join(", "))
}
