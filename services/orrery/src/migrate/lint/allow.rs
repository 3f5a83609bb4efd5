//! Comments that allow what a rule finds: `-- lint: allow RULE: WHY`, directly above the statement, or at the head of
//! the section for a rule about the whole section.

use squawk_syntax::{SyntaxKind, SyntaxToken};

use super::finding::Hit;
use super::rules::Own;
use super::section::Parsed;
use super::squawk::{self, Setting};

/// What the comments of a section allow.
struct Allowance {
    /// The offset of the comment.
    at: usize,
    rule: String,
    /// The offset of the statement beneath it.
    statement: Option<usize>,
    /// Whether no statement is above it.
    at_head: bool,
    used: bool,
}

/// Removes what is allowed from `hits`, and adds what is wrong with the comments.
pub(super) fn apply(parsed: &Parsed<'_>, hits: Vec<Hit>) -> Vec<Hit> {
    let (mut allowances, mut left) = read(parsed);
    for hit in hits {
        let statement = hit.at.and_then(|at| statement_of(parsed, at));
        let mut silenced = false;
        for allowance in allowances.iter_mut().filter(|allowance| allowance.rule == hit.rule) {
            let covers = match statement {
                Some(_) => allowance.statement == statement,
                None => allowance.at_head,
            };
            allowance.used |= covers;
            silenced |= covers;
        }
        if !silenced {
            left.push(hit);
        }
    }
    let unused = allowances.iter().filter(|allowance| !allowance.used);
    left.extend(unused.map(|Allowance { at, rule, .. }| {
        Hit::new(Own::UnusedAllowance, *at)
            .why(format!("{rule} finds nothing there, or nothing that this place covers"))
    }));
    left
}

/// The text of an allowance, if a comment is meant as one: what follows `lint:`.
pub(super) fn instruction(comment: &str) -> Option<&str> {
    comment.trim().strip_prefix("--")?.trim_start().strip_prefix("lint:").map(str::trim)
}

/// The allowances of a section, and what is wrong with its comments.
fn read(parsed: &Parsed<'_>) -> (Vec<Allowance>, Vec<Hit>) {
    let (mut allowances, mut wrong) = (Vec::new(), Vec::new());
    let starts: Vec<usize> = parsed.starts().collect();
    for token in parsed.tokens().filter(|token| token.kind() == SyntaxKind::COMMENT) {
        let at = usize::from(token.text_range().start());
        let words = token.text().trim_start_matches(['-', '/', '*', ' ']);
        if words.starts_with("squawk_ignore") || words.starts_with("squawk_disable") {
            wrong.push(Hit::new(Own::UnsupportedSquawkComment, at));
        }
        let Some(text) = instruction(token.text()) else { continue };
        match rule_of(text) {
            Ok(rule) => {
                let statement = beneath(&token).filter(|start| starts.contains(start));
                let at_head = starts.iter().all(|start| *start > at);
                allowances.push(Allowance { at, rule, statement, at_head, used: false });
            }
            Err(why) => wrong.push(Hit::new(Own::InvalidAllowance, at).why(why)),
        }
    }
    (allowances, wrong)
}

/// The rule of `allow RULE: WHY`.
fn rule_of(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("allow ").ok_or("after `lint:` only `allow RULE: WHY` has a meaning")?;
    let (rule, why) = rest.split_once(':').map_or((rest, ""), |(rule, why)| (rule, why));
    let rule = rule.trim();
    can_allow(rule)?;
    if why.trim().is_empty() {
        return Err(format!("it does not say why {rule} is allowed"));
    }
    Ok(rule.to_owned())
}

/// Whether a comment or the baseline may allow what a rule finds.
///
/// # Errors
/// Why not.
pub(super) fn can_allow(name: &str) -> Result<(), String> {
    if let Some(own) = enum_iterator::all::<Own>().find(|own| own.name() == name) {
        let fixed = || format!("{name} cannot be allowed");
        return own.can_be_allowed().then_some(()).ok_or_else(fixed);
    }
    match squawk::rules().find(|(rule, _)| rule.to_string() == name) {
        Some((_, Setting::On(_))) => Ok(()),
        Some((_, Setting::Off(_))) => Err(format!("the rule {name} is off")),
        None => Err(format!("there is no rule {name:?}")),
    }
}

/// The offset of what follows a comment, unless an empty line is between them.
fn beneath(comment: &SyntaxToken) -> Option<usize> {
    let mut token = comment.next_token()?;
    loop {
        match token.kind() {
            SyntaxKind::COMMENT => {}
            SyntaxKind::WHITESPACE if token.text().matches('\n').count() < 2 => {}
            SyntaxKind::WHITESPACE => return None,
            _ => return Some(usize::from(token.text_range().start())),
        }
        token = token.next_token()?;
    }
}

/// The start of the statement that contains `at`, or of the last one before it.
fn statement_of(parsed: &Parsed<'_>, at: usize) -> Option<usize> {
    parsed.starts().filter(|start| *start <= at).max()
}
