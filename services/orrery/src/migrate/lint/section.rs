//! A section of a migration, parsed: its statements, where they are, and the names in them.

use std::collections::HashSet;

use squawk_syntax::ast::{self, AstNode as _};
use squawk_syntax::{Parse, SourceFile, SyntaxElement, SyntaxKind, SyntaxNode, SyntaxToken};

use super::super::file::Section;
use super::finding::Hit;
use super::rules::Own;

/// The longest section that is parsed, in bytes. The parser calls itself for each level of nesting, at most once for
/// each byte, so that longer ones might overflow [`STACK_BYTES`].
const MAX_BYTES: usize = 64 * 1024;
/// The stack on which sections are parsed. A level takes less than a kilobyte.
pub(super) const STACK_BYTES: usize = 256 * 1024 * 1024;

/// A parsed section.
pub(super) struct Parsed<'a> {
    pub(super) section: &'a Section,
    /// The text that was parsed: the section's, without comments for squawk. It has the same offsets.
    pub(super) text: String,
    pub(super) parse: Parse<SourceFile>,
    pub(super) statements: Vec<ast::Stmt>,
}

impl<'a> Parsed<'a> {
    /// Parses a section.
    ///
    /// # Errors
    /// It is too long.
    pub(super) fn new(section: &'a Section) -> Result<Self, Hit> {
        if section.sql.len() > MAX_BYTES {
            let why = format!("the section is longer than {} KiB, which is not checked", MAX_BYTES / 1024);
            return Err(Hit::section(Own::InvalidFile).why(why).instead("several files"));
        }
        // squawk obeys such comments by itself.
        let text = section.sql.replace("squawk-", "squawk_");
        let parse = SourceFile::parse(&text);
        let statements = parse.tree().stmts().collect();
        Ok(Self { section, text, parse, statements })
    }

    /// The offset of each statement, without the comments before it.
    pub(super) fn starts(&self) -> impl Iterator<Item = usize> {
        self.statements.iter().map(|statement| range(statement.syntax()).start)
    }

    /// All nodes.
    pub(super) fn nodes(&self) -> impl Iterator<Item = SyntaxNode> {
        self.parse.syntax_node().descendants()
    }

    /// All tokens, comments and white space included.
    pub(super) fn tokens(&self) -> impl Iterator<Item = SyntaxToken> {
        self.parse.syntax_node().descendants_with_tokens().filter_map(SyntaxElement::into_token)
    }

    /// The names that the section's statements define, with the schema if it is written.
    pub(super) fn defined(&self) -> HashSet<Vec<String>> {
        self.nodes().filter_map(ast::Path::cast).map(|path| segments(path.syntax())).collect()
    }

    /// The tables that the section creates, each with the offset of what creates it.
    pub(super) fn created_tables(&self) -> Vec<(Vec<String>, usize)> {
        let name = |node: &SyntaxNode| {
            let table = ast::CreateTable::cast(node.clone()).and_then(|create| create.table_name());
            let table = table.or_else(|| ast::CreateTableAs::cast(node.clone())?.table_name());
            let table = table.or_else(|| ast::CreateForeignTable::cast(node.clone())?.table_name());
            table.or_else(|| ast::IntoClause::cast(node.clone())?.table_name())
        };
        let created = self.nodes().filter_map(|node| Some((segments(name(&node)?.syntax()), range(&node).start)));
        created.collect()
    }
}

/// The names of a path, outermost first. Unquoted ones are in lower case.
pub(super) fn segments(node: &SyntaxNode) -> Vec<String> {
    let text = |node: SyntaxNode| {
        let defined = ast::PathSegment::cast(node.clone()).map(|segment| segment.text());
        defined.or_else(|| ast::PathSegmentRef::cast(node).map(|segment| segment.text()))
    };
    node.descendants().filter_map(text).collect()
}

/// The offsets of a node without the white space and comments at its start.
pub(super) fn range(node: &SyntaxNode) -> std::ops::Range<usize> {
    let whole = node.text_range();
    let first = node
        .descendants_with_tokens()
        .filter_map(SyntaxElement::into_token)
        .find(|token| !matches!(token.kind(), SyntaxKind::WHITESPACE | SyntaxKind::COMMENT));
    let start = first.map_or(whole.start(), |token| token.text_range().start());
    usize::from(start)..usize::from(whole.end())
}
