//! The down section: what takes back a statement of the up section is natural there, and what changes rows is not.

use std::collections::HashSet;

use squawk_linter::{Rule, Violation};
use squawk_syntax::SyntaxNode;
use squawk_syntax::ast::{self, AstNode as _};

use super::finding::Hit;
use super::rules::Own;
use super::section::{Parsed, range, segments};
use super::squawk;

/// Whether the statement of a down section with this violation takes back one of its up section.
pub(super) fn takes_back(violation: &Violation, down: &Parsed<'_>, up: &Parsed<'_>) -> bool {
    let found = |node: &SyntaxNode| {
        let whole = node.text_range();
        whole.contains_range(violation.text_range)
    };
    match violation.code {
        Rule::BanDropTable
        | Rule::BanDropView
        | Rule::BanDropType
        | Rule::BanDropDomain
        | Rule::BanDropSequence
        | Rule::BanDropFunction => {
            let defined = up.defined();
            let dropped = down.statements.iter().map(ast::Stmt::syntax).find(|statement| found(statement));
            dropped.is_some_and(|statement| outer_paths(statement).all(|name| defined.contains(&name)))
        }
        Rule::BanDropSchema => {
            let created: HashSet<_> =
                up.nodes().filter_map(ast::Schema::cast).map(|name| text(name.syntax())).collect();
            let drops = down.nodes().filter_map(ast::DropSchema::cast).filter(|drop| found(drop.syntax()));
            drops.flat_map(|drop| drop.schema_refs()).all(|name| created.contains(&text(name.syntax())))
        }
        Rule::RequireConcurrentIndexDeletion => {
            let plain: HashSet<_> = up
                .nodes()
                .filter_map(ast::CreateIndex::cast)
                .filter(|create| create.concurrently_token().is_none())
                .filter_map(|create| segments(create.index()?.syntax()).pop())
                .collect();
            let drops = down.nodes().filter_map(ast::DropIndex::cast).filter(|drop| found(drop.syntax()));
            drops
                .flat_map(|drop| drop.index_refs())
                .all(|name| segments(name.syntax()).pop().is_some_and(|name| plain.contains(&name)))
        }
        Rule::BanDropColumn
        | Rule::BanDropConstraint
        | Rule::BanDropNotNull
        | Rule::BanDropDefault
        | Rule::AddingNotNullableField
        | Rule::AddingRequiredField => {
            let made: HashSet<_> = actions(up).map(|(table, action)| (table, subject(&action))).collect();
            actions(down)
                .filter(|(_, action)| found(action.syntax()))
                .all(|(table, action)| made.contains(&(table, subject(&action))))
        }
        Rule::BanRevoke => up.nodes().any(|node| ast::Grant::can_cast(node.kind())),
        Rule::RenamingColumn | Rule::RenamingTable | Rule::RenamingObject | Rule::BanSetSchema => {
            squawk::violations(up).iter().any(|other| other.code == violation.code)
        }
        _ => false,
    }
}

/// Statements that change rows. `within` an up section they are a migration of rows; in a down section they are not.
pub(super) fn row_changes(down: &Parsed<'_>) -> Vec<Hit> {
    let verb = |node: &SyntaxNode| {
        let kind = node.kind();
        [
            (ast::Delete::can_cast(kind), "delete"),
            (ast::Truncate::can_cast(kind), "truncate"),
            (ast::Update::can_cast(kind), "update"),
            (ast::Merge::can_cast(kind), "merge"),
        ]
        .into_iter()
        .find_map(|(is, verb)| is.then_some(verb))
    };
    down.nodes()
        .filter_map(|node| Some((verb(&node)?, range(&node).start)))
        .map(|(verb, at)| {
            let lost = match verb {
                "delete" | "truncate" => "the rows that it deletes",
                _ => "the values that it overwrites",
            };
            Hit::new(Own::BanRowChangesInDown, at)
                .why(format!("`{verb}` in a down: applying the migration again does not bring back {lost}"))
        })
        .collect()
}

/// The names in a statement, each with its schema.
fn outer_paths(statement: &SyntaxNode) -> impl Iterator<Item = Vec<String>> {
    let is_outer =
        |path: &ast::PathRef| path.syntax().parent().is_none_or(|parent| !ast::PathRef::can_cast(parent.kind()));
    statement.descendants().filter_map(ast::PathRef::cast).filter(is_outer).map(|path| segments(path.syntax()))
}

/// The actions of all `alter table`, each with its table.
fn actions(parsed: &Parsed<'_>) -> impl Iterator<Item = (Vec<String>, ast::AlterTableAction)> {
    parsed.nodes().filter_map(ast::AlterTable::cast).flat_map(|alter| {
        let table = alter.table_relation_name().map(|name| segments(name.syntax())).unwrap_or_default();
        alter.actions().map(move |action| (table.clone(), action))
    })
}

/// The column or constraint that an action concerns.
fn subject(action: &ast::AlterTableAction) -> Option<String> {
    let column = match action {
        ast::AlterTableAction::AddColumn(add) => add.column_name().map(|name| text(name.syntax())),
        ast::AlterTableAction::DropColumn(drop) => drop.column_name_ref().map(|name| text(name.syntax())),
        ast::AlterTableAction::AlterColumn(alter) => alter.column_name_ref().map(|name| text(name.syntax())),
        _ => None,
    };
    let constraint = || match action {
        ast::AlterTableAction::AddConstraint(add) => {
            add.syntax().descendants().find_map(ast::ConstraintName::cast).map(|name| text(name.syntax()))
        }
        ast::AlterTableAction::DropConstraint(drop) => {
            drop.constraint_name_ref().and_then(|name| segments(name.syntax()).pop())
        }
        _ => None,
    };
    column.map(|name| format!("column {name}")).or_else(|| constraint().map(|name| format!("constraint {name}")))
}

/// The name that a node holds, in lower case unless it is quoted.
fn text(node: &SyntaxNode) -> String {
    let text = node.text().to_string();
    match text.trim().strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => text.trim().to_lowercase(),
    }
}
