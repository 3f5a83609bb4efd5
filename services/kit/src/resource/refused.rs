//! Errors for rows that the database refused: they name the resource, the key, and the field if it is known.

use sqlx::postgres::PgDatabaseError;

use super::{Field, Resource};
use crate::error::refused::{RefusalKind, RowRefusal, database_error, with_constraint};
use crate::error::{Error, shortened};

impl Error {
    /// Logs that the row of this name is skipped. No caller is told.
    pub fn warn_of_passed_over(&self, resource: &'static Resource, name: &str) {
        let cause = std::error::Error::source(self).map(ToString::to_string);
        let (resource, name) = (resource.description.message, shortened(name));
        tracing::warn!(resource, name, cause, "the database refuses to change a row; it is passed over");
    }

    /// The same error; if the database refused a row, with the name of that row. `field` is the field of the request
    /// that holds the row.
    #[must_use]
    pub fn of_refused_row(self, resource: &'static Resource, name: &str, field: &str) -> Self {
        match self {
            Self::RowRefused(refusal) => Self::RowRefused(Box::new(refusal.of(resource, name, field))),
            error => error,
        }
    }
}

impl RowRefusal {
    /// The same refusal with the name of its row. `field` is the field of the request that holds the row; empty if none
    /// does.
    #[must_use]
    pub fn of(mut self, resource: &'static Resource, name: &str, field: &str) -> Self {
        self.row = Some((resource.description.message, name.to_owned()));
        if let Some(error) = database_error(&self.cause) {
            self.violation.field = field_of(resource, error).unwrap_or_default();
            let own = error.table().is_some_and(|table| tables(resource).any(|(bare, ..)| bare == table));
            if self.kind == RefusalKind::ReferenceMissing && !own {
                self.kind = RefusalKind::Referenced;
                self.violation.description = with_constraint("something else still points at it", error);
            }
        }
        if !field.is_empty() {
            self.violation = self.violation.within(field);
        }
        self
    }
}

/// The tables that a row is stored in, without their schema: its own, and its child tables with the owner's fields that
/// hold the children.
fn tables(
    resource: &'static Resource,
) -> impl Iterator<Item = (&'static str, &'static Resource, Option<&'static str>)> {
    let bare = |resource: &Resource| {
        let table = resource.description.table;
        table.split_once('.').map_or(table, |(_, table)| table)
    };
    let child_tables = resource
        .child_tables
        .iter()
        .map(move |child_table| (bare(child_table.resource), child_table.resource, Some(child_table.name)));
    std::iter::once((bare(resource), resource, None)).chain(child_tables)
}

/// The field that a refusal is about: the column, or the field in the name of the constraint, as Postgres names
/// constraints: `product_name_check`.
fn field_of(resource: &'static Resource, error: &PgDatabaseError) -> Option<String> {
    let table = error.table()?;
    let (_, resource, child_table) = tables(resource).find(|(bare, ..)| *bare == table)?;
    let named = error.column().or_else(|| error.constraint()?.strip_prefix(table)?.strip_prefix('_'));
    let is_named = |name: &str| {
        named.and_then(|named| named.strip_prefix(name)).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
    };
    let fields = resource.fields.iter().filter(|field| is_named(field.name));
    let field = fields.max_by_key(|field| field.name.len()).map(Field::contract_name);
    match (child_table, field) {
        // The database does not tell which child it was.
        (Some(child_table), _) => Some(child_table.to_owned()),
        (None, field) => field.map(str::to_owned),
    }
}
