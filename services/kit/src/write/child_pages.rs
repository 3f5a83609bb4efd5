//! Reads the stored children of some owners, page by page.

use std::sync::Arc;

use super::rows::ARRAY_ROWS;
use crate::db::{Statement, Transaction};
use crate::error::Error;
use crate::read::point::put_tuple;
use crate::resource::Resource;
use crate::resource::select::column;
use crate::resource::tuple::prefix;

/// A read of the children of some owners, page by page in the order of their keys.
#[derive(Clone, Debug)]
pub(super) struct ChildPages {
    owner: &'static Resource,
    children: &'static Resource,
    columns: usize,
    first: Arc<str>,
    next: Arc<str>,
}

impl ChildPages {
    /// Pages of a select list with this many columns. It begins with the columns of the children's key.
    pub(super) fn new(owner: &'static Resource, children: &'static Resource, list: &str, columns: usize) -> Self {
        let owners = owner.key_length();
        let in_owners = owner_condition(owner, children);
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
        Self { owner, children, columns, first, next }
    }

    /// The statements: of the first page, and of the next ones.
    pub(super) fn sql(&self) -> impl Iterator<Item = (&'static str, Arc<str>)> {
        [("first page", Arc::clone(&self.first)), ("next page", Arc::clone(&self.next))].into_iter()
    }

    /// Pages of whole input tuples.
    pub(super) fn of_rows(owner: &'static Resource, nth: usize) -> Self {
        let children = owner.child_tables[nth].resource;
        let inputs: Vec<String> = children.inputs().map(column).collect();
        Self::new(owner, children, &inputs.join(", "), inputs.len())
    }

    /// Reads the children of some owners, by their keys.
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
            let mut last: Option<Vec<u8>> = None;
            loop {
                let most = transaction.max_statement_rows().min(2 * ARRAY_ROWS);
                let sql = if last.is_some() { &self.next } else { &self.first };
                let mut page = Statement::new(Arc::clone(sql), most);
                page = self.owner.bind_keys(page, batch.iter().copied())?;
                if let Some(last) = &last {
                    page = self.children.bind_key(page, last)?;
                }
                let rows = transaction.fetch(page.bind(most as i64)?).await?;
                let mut tuple = Vec::new();
                for row in &rows {
                    tuple.clear();
                    put_tuple(row, self.columns, &mut tuple)?;
                    on_row(&tuple);
                }
                if rows.len() < most {
                    break;
                }
                last = Some(prefix(&tuple, self.children.key_length()).to_vec());
            }
        }
        Ok(())
    }
}

/// The condition that a child belongs to one of some owners, whose keys are the first parameters.
fn owner_condition(owner: &Resource, children: &Resource) -> String {
    let own: Vec<&str> = children.description.key.iter().take(owner.key_length()).copied().collect();
    if let [column] = own[..] {
        return format!("t.{column} = any ($1)");
    }
    let columns = own.iter().map(|column| format!("t.{column}")).collect::<Vec<_>>().join(", ");
    let arrays = owner.key_fields().zip(1..).map(|(field, n)| format!("${n}::{}", field.element_type().array_name()));
    format!("({columns}) in (select * from unnest({}))", arrays.collect::<Vec<_>>().join(", "))
}
