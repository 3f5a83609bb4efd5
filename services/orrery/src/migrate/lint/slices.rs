//! The slices: each table belongs to one, and so does each file.

use squawk_syntax::ast::{self, AstNode as _};
use squawk_syntax::{SyntaxElement, SyntaxKind, SyntaxToken};

use super::finding::Hit;
use super::rules::Own;
use super::section::{Parsed, range, segments};

/// The schemas of the slices.
const SLICES: &[&str] = &["catalog", "orders", "records"];

/// A slice that a section names, and where.
pub(super) struct Touch {
    /// The offset.
    pub(super) at: usize,
    /// The slice.
    pub(super) slice: &'static str,
}

/// Tables that are created or changed outside of the slices.
pub(super) fn owners(parsed: &Parsed<'_>) -> Vec<Hit> {
    let altered = parsed.nodes().filter_map(|node| {
        let relation = ast::AlterTable::cast(node.clone()).and_then(|alter| alter.table_relation_name());
        let relation = relation.or_else(|| ast::CreateIndex::cast(node.clone())?.table_relation_name())?;
        Some((segments(relation.syntax()), range(&node).start))
    });
    let dropped = parsed.nodes().filter_map(ast::DropTable::cast).flat_map(|drop| {
        let at = range(drop.syntax()).start;
        drop.table_name_refs().map(move |name| (segments(name.syntax()), at))
    });
    let names = parsed.created_tables().into_iter().chain(altered).chain(dropped);
    names
        .filter(|(name, _)| !matches!(&name[..], [schema, _] if SLICES.contains(&schema.as_str())))
        .map(|(name, at)| {
            let why = match &name[..] {
                [schema, _] => format!("{} belongs to no slice: {schema} is none", name.join(".")),
                _ => format!("{} is written without a schema, so it belongs to no slice", name.join(".")),
            };
            Hit::new(Own::RequireOwnerSlice, at).why(why)
        })
        .collect()
}

/// The slices that a section names, one for each statement and slice.
pub(super) fn touched(parsed: &Parsed<'_>) -> Vec<Touch> {
    let mut found: Vec<Touch> = Vec::new();
    for statement in &parsed.statements {
        let start = range(statement.syntax()).start;
        let tokens: Vec<_> = statement
            .syntax()
            .descendants_with_tokens()
            .filter_map(SyntaxElement::into_token)
            .filter(|token| !matches!(token.kind(), SyntaxKind::WHITESPACE | SyntaxKind::COMMENT))
            .collect();
        for (number, token) in tokens.iter().enumerate() {
            let name = token.text().trim_matches('"');
            let Some(slice) = SLICES.iter().find(|slice| slice.eq_ignore_ascii_case(name)) else { continue };
            let before = number.checked_sub(1).and_then(|before| tokens.get(before)).map(SyntaxToken::text);
            let after = tokens.get(number + 1).map(SyntaxToken::text);
            // A schema is the first part of a name, or follows the word.
            let names_schema = before.is_some_and(|word| word.eq_ignore_ascii_case("schema"));
            if (names_schema || (after == Some(".") && before != Some(".")))
                && !found.iter().any(|touch| touch.at == start && touch.slice == *slice)
            {
                found.push(Touch { at: start, slice });
            }
        }
    }
    found
}

/// The statements that name another slice than `owner`, the slice of the file.
pub(super) fn foreign(parsed: &Parsed<'_>, owner: Option<&str>) -> Vec<Hit> {
    let foreign = touched(parsed).into_iter().filter(|touch| owner.is_some_and(|owner| owner != touch.slice));
    foreign
        .map(|Touch { at, slice }| {
            let owner = owner.unwrap_or_default();
            Hit::new(Own::BanSeveralSlices, at)
                .why(format!("the file belongs to {owner}, and the statement names the slice {slice}"))
        })
        .collect()
}
