//! Checks that the targets of references exist, for rows and their children. The service of another slice is asked
//! before the transaction begins, once for all rows: a transaction must not wait for another service. Targets in the
//! same slice are looked up and locked in the transaction.

use std::borrow::Cow;
use std::collections::HashSet;

use sqlx::Row as _;

use super::locking::Locking;
use crate::context::Writes;
use crate::db::array::ArrayParameter;
use crate::db::{Statement, Transaction};
use crate::deadline::Deadline;
use crate::error::{Error, Violation};
use crate::resource::child_table::provided;
use crate::resource::kind::{InnerField, MemberFields};
use crate::resource::refusal::Refusal;
use crate::resource::row::{ColumnType as _, Row, Texts, rows};
use crate::resource::tuple::Columns;
use crate::resource::{ReferenceTarget, Resource};

/// A reference to something that does not exist.
#[derive(Clone, Debug)]
pub(super) struct DanglingReference {
    /// The place of the row among those checked.
    pub(super) row: usize,
    /// The path of the column within the row.
    path: String,
    /// The key that it names.
    target: String,
}

impl DanglingReference {
    /// The same, for a row at another place.
    pub(super) fn of_row(&self, row: usize) -> Self {
        Self { row, ..self.clone() }
    }

    /// The refusal of the row.
    pub(super) fn refusal(&self) -> Refusal {
        let violation = Violation::new(&self.path, format!("{} does not exist", self.target));
        Refusal { error: Error::ReferenceMissing(violation.clone()), violation }
    }
}

/// A reference column of the row itself or of its children.
struct ReferenceColumn {
    /// The child table; `None` for the row itself.
    child_table: Option<usize>,
    column: &'static str,
    /// The column's place in the tuple of the row or child.
    position: usize,
    /// The field of a member that holds the reference, if the column is a payload.
    inner: Option<(&'static MemberFields, &'static InnerField)>,
    target: ReferenceTarget,
}

/// Where a row names a target.
#[derive(Clone, Copy, Debug, Default)]
struct TargetPlace {
    /// The place among the children.
    child: usize,
    /// The place in the list, if the field is one.
    item: Option<usize>,
}

impl ReferenceColumn {
    fn all(resource: &'static Resource) -> Vec<Self> {
        let of = |of: &'static Resource, child_table: Option<usize>| {
            let owner_columns = child_table.map_or(0, |nth| resource.child_tables[nth].owner_columns);
            of.description.references.iter().filter_map(move |reference| {
                let inner = of.fields.iter().find_map(|field| Some((field.name, field.inner(reference.column)?)));
                let (column, inner) = inner.map_or((reference.column, None), |(column, inner)| (column, Some(inner)));
                // A child's tuple does not contain the columns of its owner's key.
                let position = of.input_position(column)?.checked_sub(owner_columns)?;
                Some(Self { child_table, column: reference.column, position, inner, target: reference.target })
            })
        };
        let child_tables = resource.child_tables.iter().enumerate();
        of(resource, None)
            .chain(child_tables.flat_map(|(nth, child_table)| of(child_table.resource, Some(nth))))
            .collect()
    }

    /// The targets that a row's tuple names, each with its place.
    fn targets<'t>(&self, resource: &Resource, tuple: &'t [u8]) -> Vec<(TargetPlace, Cow<'t, str>)> {
        let mut found = Vec::new();
        match self.child_table {
            None => self.add_targets(Row::new(tuple), 0, &mut found),
            Some(nth) => {
                let children = provided(resource, nth, tuple).unwrap_or_default();
                rows(children).enumerate().for_each(|(place, child)| self.add_targets(child, place, &mut found));
            }
        }
        found
    }

    /// Adds the targets that a row or child names.
    fn add_targets<'t>(&self, row: Row<'t>, child: usize, found: &mut Vec<(TargetPlace, Cow<'t, str>)>) {
        let Some((member, inner)) = self.inner else {
            let value = Columns::new(row.tuple()).nth(self.position).flatten();
            let target = value.and_then(|value| std::str::from_utf8(value).ok());
            found.extend(target.map(|target| (TargetPlace { child, item: None }, Cow::Borrowed(target))));
            return;
        };
        let Some(value) = row.inner_value(self.position, member, inner) else { return };
        if inner.is_text_list() {
            let targets = Texts::read(&value).unwrap_or_default().into_iter().enumerate();
            found.extend(targets.map(|(nth, target)| (TargetPlace { child, item: Some(nth) }, Cow::Owned(target))));
        } else if let Ok(target) = String::from_utf8(value) {
            found.push((TargetPlace { child, item: None }, Cow::Owned(target)));
        }
    }

    fn path(&self, resource: &Resource, place: TargetPlace) -> String {
        let item = place.item.map_or(String::new(), |nth| format!("[{nth}]"));
        match self.child_table.and_then(|nth| resource.child_tables.get(nth)) {
            None => format!("{}{item}", self.column),
            Some(child_table) if child_table.single => format!("{}.{}{item}", child_table.name, self.column),
            Some(child_table) => format!("{}[{}].{}{item}", child_table.name, place.child, self.column),
        }
    }

    /// The different targets that rows name, in order.
    fn all_targets<'t>(columns: &[&Self], resource: &Resource, tuples: &[&'t [u8]]) -> Vec<Cow<'t, str>> {
        let of_row = |tuple: &&'t [u8]| -> Vec<(TargetPlace, Cow<'t, str>)> {
            columns.iter().flat_map(|column| column.targets(resource, tuple)).collect()
        };
        let mut targets: Vec<Cow<'_, str>> = tuples.iter().flat_map(of_row).map(|(_, target)| target).collect();
        targets.sort_unstable();
        targets.dedup();
        targets
    }

    /// The first dangling reference of each row.
    fn dangling(
        columns: &[&Self],
        resource: &Resource,
        tuples: &[&[u8]],
        is_missing: impl Fn(&str) -> bool,
    ) -> Vec<DanglingReference> {
        let first = |(row, tuple): (usize, &&[u8])| {
            columns.iter().find_map(|column| {
                let mut targets = column.targets(resource, tuple).into_iter();
                let (place, target) = targets.find(|(_, target)| is_missing(target))?;
                Some(DanglingReference { row, path: column.path(resource, place), target: target.into_owned() })
            })
        };
        tuples.iter().enumerate().filter_map(first).collect()
    }
}

/// Whether a row refers to rows of another slice.
pub(super) fn refers_elsewhere(resource: &'static Resource, tuple: &[u8]) -> bool {
    let columns = ReferenceColumn::all(resource);
    let mut elsewhere = columns.iter().filter(|column| matches!(column.target, ReferenceTarget::Elsewhere));
    elsewhere.any(|column| !column.targets(resource, tuple).is_empty())
}

/// The rows with a reference to a missing row of another slice, each with its first such column.
///
/// # Errors
/// The errors of [`ForeignReferences::missing`](crate::references::ForeignReferences::missing).
pub(super) async fn missing_elsewhere(
    context: &Writes,
    resource: &'static Resource,
    tuples: &[&[u8]],
    deadline: Deadline,
) -> Result<Vec<DanglingReference>, Error> {
    let columns = ReferenceColumn::all(resource);
    let columns: Vec<&ReferenceColumn> =
        columns.iter().filter(|column| matches!(column.target, ReferenceTarget::Elsewhere)).collect();
    let targets = ReferenceColumn::all_targets(&columns, resource, tuples);
    if targets.is_empty() {
        return Ok(Vec::new());
    }
    let foreign = context.foreign.as_ref().ok_or_else(|| Error::internal("nothing knows what exists elsewhere"))?;
    let missing = foreign.missing(targets.into_iter().map(Cow::into_owned).collect(), deadline).await?;
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    Ok(ReferenceColumn::dangling(&columns, resource, tuples, |target| missing.contains(target)))
}

/// The rows with a reference to a missing row of the same slice, each with its first such column. Existing targets are
/// locked, so that they remain until the commit.
///
/// # Errors
/// The errors of the database.
pub(super) async fn missing_in_slice(
    transaction: &mut Transaction<'_>,
    resource: &'static Resource,
    tuples: &[&[u8]],
) -> Result<Vec<DanglingReference>, Error> {
    let columns = ReferenceColumn::all(resource);
    let mut tables: Vec<(&str, &str)> = Vec::new();
    for column in &columns {
        if let ReferenceTarget::Table { table, column } = column.target
            && !tables.contains(&(table, column))
        {
            tables.push((table, column));
        }
    }
    let mut dangling: Vec<DanglingReference> = Vec::new();
    for (table, key) in tables {
        let refers_there = |reference: &&ReferenceColumn| match reference.target {
            ReferenceTarget::Table { table: other, column } => (other, column) == (table, key),
            ReferenceTarget::Elsewhere => false,
        };
        let columns: Vec<&ReferenceColumn> = columns.iter().filter(refers_there).collect();
        let targets = ReferenceColumn::all_targets(&columns, resource, tuples);
        let mut found = HashSet::new();
        for targets in targets.chunks(transaction.max_statement_rows()) {
            let lock = Locking::targets(table, key).text(transaction);
            let select = Statement::new(lock, targets.len()).bind(ArrayParameter::texts(targets))?;
            for row in transaction.fetch(select).await? {
                found.insert(row.try_get::<String, _>(0)?);
            }
        }
        dangling.extend(ReferenceColumn::dangling(&columns, resource, tuples, |target| !found.contains(target)));
    }
    Ok(dangling)
}

/// The statements of a resource's references, each with a name, for people who read them.
pub(super) fn sql(resource: &'static Resource) -> Vec<(String, String)> {
    let columns = ReferenceColumn::all(resource).into_iter();
    let mut tables: Vec<(&str, &str)> = Vec::new();
    let statements = columns.filter_map(|ReferenceColumn { column, target, .. }| match target {
        ReferenceTarget::Table { table, column: key } if !tables.contains(&(table, key)) => {
            tables.push((table, key));
            Some(Locking::targets(table, key).sql(&format!("lock what {column} refers to")))
        }
        ReferenceTarget::Table { .. } | ReferenceTarget::Elsewhere => None,
    });
    statements.flatten().collect()
}
