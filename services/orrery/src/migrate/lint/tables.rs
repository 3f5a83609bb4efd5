//! What a file says about the tables and columns that it creates: rights, comments, references.

use std::collections::HashMap;

use orrery_kit::integrity::Column;
use squawk_syntax::SyntaxNode;
use squawk_syntax::ast::{self, AstNode as _};

use super::finding::Hit;
use super::rules::Own;
use super::section::{Parsed, range, segments};

/// The rights that the slice's role needs.
const RIGHTS: &[&str] = &["select", "insert", "update", "delete"];

/// New tables without a grant or without a comment.
pub(super) fn hits(parsed: &Parsed<'_>) -> Vec<Hit> {
    let commented: Vec<_> = comments(parsed).map(|(name, _)| name).collect();
    let granted = grants(parsed);
    let mut found = Vec::new();
    for (name, at) in parsed.created_tables() {
        let [schema, _] = &name[..] else { continue };
        let (table, role) = (name.join("."), format!("{schema}_service"));
        if !commented.contains(&name) {
            let instead = format!("comment on table {table} is '...'");
            found.push(Hit::new(Own::RequireTableComment, at).instead(instead));
        }
        if !granted.contains(&(name, role.clone())) {
            let instead = format!("grant select, insert, update, delete on {table} to {role}");
            found.push(Hit::new(Own::RequireTableGrant, at).instead(instead));
        }
    }
    found
}

/// The tables on which roles get all [`RIGHTS`], each with the role.
fn grants(parsed: &Parsed<'_>) -> Vec<(Vec<String>, String)> {
    let mut found = Vec::new();
    for grant in parsed.nodes().filter_map(ast::Grant::cast) {
        let Some(privileges) = grant.privileges() else { continue };
        let words = privileges.syntax().text().to_string().to_lowercase();
        let words: Vec<_> = words.split(|c: char| !c.is_alphanumeric()).collect();
        if !words.contains(&"all") && !RIGHTS.iter().all(|right| words.contains(right)) {
            continue;
        }
        let objects = grant.on_privilege_objects_clause();
        let tables: Vec<_> = objects
            .iter()
            .flat_map(|objects| objects.syntax().descendants().filter_map(ast::RelationNameRef::cast))
            .map(|name| segments(name.syntax()))
            .collect();
        let roles = grant.role_ref_list();
        for role in roles.iter().flat_map(ast::RoleRefList::role_refs) {
            let role = role.syntax().text().to_string().trim_matches('"').to_lowercase();
            found.extend(tables.iter().map(|table| (table.clone(), role.clone())));
        }
    }
    found
}

/// The comments on tables and columns, by full name. `None` for one that is taken away.
fn comments(parsed: &Parsed<'_>) -> impl Iterator<Item = (Vec<String>, Option<String>)> {
    parsed.nodes().filter_map(ast::CommentOn::cast).filter_map(|comment| {
        let object = comment.comment_object()?;
        let name = match &object {
            ast::CommentObject::ObjectColumn(column) => segments(column.name()?.syntax()),
            ast::CommentObject::ObjectTable(table) => segments(table.table_name_ref()?.syntax()),
            _ => return None,
        };
        Some((name, comment.literal().and_then(|literal| literal.string_value())))
    })
}

/// New columns that are named like references and do not say what they refer to, and comments on columns that are not
/// valid.
pub(super) fn references(parsed: &Parsed<'_>) -> Vec<Hit> {
    // The last comment on a column is the one that stays.
    let comments: HashMap<_, _> = comments(parsed).collect();
    let mut found = Vec::new();
    for (column, at) in new_columns(parsed) {
        let name = column.full_name();
        let path = vec![column.schema.clone(), column.table.clone(), column.name.clone()];
        let comment = comments.get(&path).cloned().flatten().unwrap_or_default();
        let named_like_one = column.name.ends_with("_uid") || column.name.ends_with("_uids");
        match column.references(&comment) {
            Err(invalid) => found.push(Hit::new(Own::RequireReferenceComment, at).why(invalid.to_string())),
            Ok(references) if references.is_empty() && named_like_one && !says_no_reference(&comment) => {
                let why = format!("nothing in this file documents what {name} refers to");
                found.push(Hit::new(Own::RequireReferenceComment, at).why(why));
            }
            Ok(_) => {}
        }
    }
    found
}

fn says_no_reference(comment: &str) -> bool {
    comment.strip_prefix("no reference:").is_some_and(|why| !why.trim().is_empty())
}

/// The columns of new tables, and columns that are added to tables. Those without a schema are another rule's.
fn new_columns(parsed: &Parsed<'_>) -> Vec<(Column, usize)> {
    let mut found = Vec::new();
    let mut add = |table: &[String],
                   node: &SyntaxNode,
                   name: Option<ast::ColumnName>,
                   kind: Option<ast::Type>,
                   key: &[String]| {
        let ([schema, table], Some(name)) = (table, name) else { return };
        let name = name.text();
        let key_here = node.descendants().any(|node| ast::PrimaryKeyConstraint::can_cast(node.kind()));
        let in_key = key_here || key.contains(&name);
        let not_null = node.descendants().any(|node| ast::NotNullConstraint::can_cast(node.kind()));
        let data_type = kind.map(|kind| type_name(&kind)).unwrap_or_default();
        let (schema, table) = (schema.clone(), table.clone());
        found.push((
            Column { schema, table, name, data_type, nullable: !not_null && !in_key, in_key },
            range(node).start,
        ));
    };
    for create in parsed.nodes().filter_map(ast::CreateTable::cast) {
        let table = create.table_name().map(|name| segments(name.syntax())).unwrap_or_default();
        let Some(list) = create.table_arg_list() else { continue };
        let key: Vec<String> = list
            .args()
            .filter_map(|arg| match arg {
                ast::TableArg::TableConstraint(ast::TableConstraint::PrimaryKeyConstraint(key)) => Some(key),
                _ => None,
            })
            .flat_map(|key| key.syntax().descendants().filter_map(ast::ColumnNameRef::cast).collect::<Vec<_>>())
            .map(|name| name.syntax().text().to_string().trim_matches('"').to_owned())
            .collect();
        for arg in list.args() {
            if let ast::TableArg::Column(column) = arg {
                add(&table, column.syntax(), column.name(), column.ty(), &key);
            }
        }
    }
    for alter in parsed.nodes().filter_map(ast::AlterTable::cast) {
        let table = alter.table_relation_name().map(|name| segments(name.syntax())).unwrap_or_default();
        for action in alter.actions() {
            if let ast::AlterTableAction::AddColumn(column) = action {
                add(&table, column.syntax(), column.column_name(), column.ty(), &[]);
            }
        }
    }
    found
}

/// A type as Postgres writes it, as far as references depend on it.
fn type_name(kind: &ast::Type) -> String {
    let text = kind.syntax().text().to_string().to_lowercase();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ").replace(" [", "[");
    let (base, list) = text.split_once('[').map_or((text.as_str(), ""), |(base, _)| (base, "[]"));
    let base = match base.split('(').next().unwrap_or_default().trim() {
        "varchar" | "character varying" => "character varying",
        other => other,
    };
    format!("{base}{list}")
}
