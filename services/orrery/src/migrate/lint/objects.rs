//! Objects that the database does not have.

use squawk_syntax::SyntaxNode;
use squawk_syntax::ast::{self, AstNode as _};

use super::finding::Hit;
use super::rules::Own;
use super::section::{Parsed, range, segments};

/// Types that bring a sequence.
const SERIAL: &[&str] = &["serial", "serial2", "serial4", "serial8", "smallserial", "bigserial"];

/// Statements that create such objects. A down section may create them again: then its up section dropped them.
pub(super) fn hits(parsed: &Parsed<'_>) -> Vec<Hit> {
    parsed.nodes().filter_map(|node| Some(Hit::new(banned(&node)?, range(&node).start))).collect()
}

fn banned(node: &SyntaxNode) -> Option<Own> {
    let kind = node.kind();
    let rules = [
        (ast::ReferencesConstraint::can_cast(kind) || ast::ForeignKeyConstraint::can_cast(kind), Own::BanForeignKey),
        (ast::CreateFunction::can_cast(kind) || ast::CreateAggregate::can_cast(kind), Own::BanFunction),
        (ast::CreateProcedure::can_cast(kind), Own::BanProcedure),
        (ast::CreateTrigger::can_cast(kind), Own::BanTrigger),
        (ast::CreateEventTrigger::can_cast(kind), Own::BanEventTrigger),
        (ast::CreateRule::can_cast(kind), Own::BanRule),
        (ast::CreateMaterializedView::can_cast(kind), Own::BanMaterializedView),
        (ast::EnumType::can_cast(kind), Own::BanEnumType),
        (ast::CreateSequence::can_cast(kind) || is_serial(node) || is_identity(node), Own::BanSequence),
        (ast::CreateExtension::can_cast(kind), Own::BanExtension),
        (ast::Do::can_cast(kind), Own::BanDoBlock),
    ];
    rules.into_iter().find_map(|(is, rule)| is.then_some(rule))
}

fn is_serial(node: &SyntaxNode) -> bool {
    ast::PathType::cast(node.clone())
        .and_then(|kind| segments(kind.path_ref()?.syntax()).pop())
        .is_some_and(|name| SERIAL.contains(&name.as_str()))
}

fn is_identity(node: &SyntaxNode) -> bool {
    ast::GeneratedIdentity::can_cast(node.kind()) || ast::AddGenerated::can_cast(node.kind())
}
