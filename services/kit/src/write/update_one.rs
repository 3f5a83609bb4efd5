//! Updates one row in one statement, which returns the updated row. It changes nothing if the row is not stored or
//! equals the new one; the caller then writes it as a batch, which distinguishes the two.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::rows::Overwrite;
use crate::db::array::ValueParameter;
use crate::db::{Statement, Transaction};
use crate::error::Error;
use crate::read::point::put_tuple;
use crate::resource::Resource;
use crate::resource::mask::UpdateMask;
use crate::resource::select::Selection;
use crate::resource::tuple::Columns;

/// After this many uses the server keeps the statement prepared. Masks come from callers, and a connection keeps only
/// some statements: a statement that is used once must not replace one that is used often.
const USES_BEFORE_PREPARED: usize = 8;

/// The statement that updates one row of a resource.
#[derive(Debug)]
pub(super) struct UpdateOne {
    resource: &'static Resource,
    sql: Arc<str>,
    selection: Selection,
    uses: AtomicUsize,
}

impl UpdateOne {
    /// The statement for a mask. `None` for a resource with children or with unique columns besides its key, which
    /// needs more than one statement, and for a mask that changes nothing.
    pub(super) fn new(resource: &'static Resource, mask: &UpdateMask) -> Option<Self> {
        if !resource.child_tables.is_empty() || !resource.description.unique.is_empty() {
            return None;
        }
        let selection = Selection::whole(resource);
        let sql = sql(resource, &Overwrite::new(resource, mask, false)?, &selection).into();
        Some(Self { resource, sql, selection, uses: AtomicUsize::new(0) })
    }

    /// The statement, for people who read it.
    pub(super) fn sql(&self) -> Arc<str> {
        Arc::clone(&self.sql)
    }

    /// Updates the row of this input tuple and returns all its stored columns as a tuple. `None` if nothing was
    /// changed. With `alone` the statement may run without a transaction, and is committed when this returns.
    ///
    /// # Errors
    /// [`Error::RowRefused`] if the database refuses the row; [`Error::ResultTooLarge`] if it does not return it, after
    /// which the transaction cannot be used; the errors of the database.
    pub(super) async fn run(
        &self,
        transaction: &mut Transaction<'_>,
        tuple: &[u8],
        alone: bool,
    ) -> Result<Option<Vec<u8>>, Error> {
        let mut statement = Statement::new(Arc::clone(&self.sql), 1);
        statement.keep_prepared = self.uses.fetch_add(1, Ordering::Relaxed) >= USES_BEFORE_PREPARED;
        for (field, value) in self.resource.inputs().zip(Columns::new(tuple)) {
            statement = statement.bind(ValueParameter::new(field.element_type(), value))?;
        }
        let rows = if alone { transaction.write_alone(statement).await? } else { transaction.write(statement).await? };
        let Some(row) = rows.first() else { return Ok(None) };
        let mut stored = Vec::with_capacity(512);
        put_tuple(row, self.selection.columns, &mut stored)?;
        Ok(Some(stored))
    }
}

fn sql(resource: &Resource, overwrite: &Overwrite, selection: &Selection) -> String {
    let values = (1..).zip(resource.inputs());
    let values: Vec<String> =
        values.map(|(number, field)| format!("${number}::{} as {}", field.element_type().name(), field.name)).collect();
    format!(
        "update {} as t\n       set {}\n  from (select {}) as i\n where {}\n   and ({})\nreturning {}",
        resource.description.table,
        overwrite.set(),
        values.join(", "),
        resource.key_equals(1),
        overwrite.differs,
        selection.sql
    )
}
