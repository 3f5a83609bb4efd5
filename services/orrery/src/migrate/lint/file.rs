//! All rules on one file.

use super::super::check::refusals;
use super::super::file::{Migration, Section};
use super::finding::{Finding, Hit};
use super::rules::Own;
use super::section::Parsed;
use super::{allow, down, objects, slices, squawk, tables};

/// A finding about a whole file, in the rule's own words.
pub(super) fn whole_file(file: &str, line: usize, rule: Own) -> Finding {
    Finding {
        file: file.to_owned(),
        line,
        rule: rule.to_string(),
        why: rule.why().to_owned(),
        instead: rule.instead().to_owned(),
    }
}

/// What the rules find in the file `name` with this text. `file` is its name in the findings.
pub(super) fn lint(file: &str, name: &str, text: &str) -> Vec<Finding> {
    let migration = match Migration::parse(name, text) {
        Ok(migration) => migration,
        Err(error) => {
            let line = error.line.unwrap_or(1);
            return vec![Finding { why: error.problem, ..whole_file(file, line, Own::InvalidFile) }];
        }
    };
    let mut findings = before_sections(file, &migration, text);
    let finding = |section: &Section, hit: Hit| {
        let before = hit.at.map_or(0, |at| section.sql.bytes().take(at).filter(|byte| *byte == b'\n').count());
        Finding {
            file: file.to_owned(),
            line: section.first_line + before,
            rule: hit.rule,
            why: hit.why.into_owned(),
            instead: hit.instead.into_owned(),
        }
    };
    let (up, down) = match (Parsed::new(&migration.up), Parsed::new(&migration.down)) {
        (Ok(up), Ok(down)) => (up, down),
        (up, down) => {
            findings.extend(up.err().map(|hit| finding(&migration.up, hit)));
            findings.extend(down.err().map(|hit| finding(&migration.down, hit)));
            return findings;
        }
    };
    let owner = slices::touched(&up).into_iter().chain(slices::touched(&down)).next().map(|touch| touch.slice);
    for (parsed, taken_back) in [(&up, None), (&down, Some(&up))] {
        let mut hits = both(parsed, owner);
        hits.extend(squawk::hits(parsed, taken_back));
        if taken_back.is_some() {
            hits.extend(down::row_changes(parsed));
        } else {
            hits.extend(tables::hits(parsed));
            hits.extend(tables::references(parsed));
        }
        findings.extend(allow::apply(parsed, hits).into_iter().map(|hit| finding(parsed.section, hit)));
    }
    findings.sort_by_key(|finding| finding.line);
    findings
}

/// The rules that are the same for both sections, except squawk's.
fn both(parsed: &Parsed<'_>, owner: Option<&str>) -> Vec<Hit> {
    let syntax = parsed.parse.errors().into_iter().map(|error| {
        let why = format!("the parser does not understand it: {}", error.message().trim_end_matches('.'));
        Hit::new(Own::SyntaxError, usize::from(error.range().start())).why(why)
    });
    let refused = refusals(parsed.section).into_iter().map(|refusal| {
        let rule = if refusal.controls_transaction { Own::BanTransactionControl } else { Own::RequireTransactionFalse };
        Hit::new(rule, refusal.at).why(refusal.problem)
    });
    let mut hits: Vec<Hit> = syntax.chain(refused).collect();
    if !parsed.section.transaction && parsed.statements.len() > 1 {
        hits.push(Hit::section(Own::BanSeveralStatementsWithoutTransaction));
    }
    hits.extend(objects::hits(parsed));
    hits.extend(slices::owners(parsed));
    hits.extend(slices::foreign(parsed, owner));
    hits
}

/// Comments for the linter above the sections, where they have no effect.
fn before_sections(file: &str, migration: &Migration, text: &str) -> Vec<Finding> {
    let head = text.lines().take(migration.up.first_line - 1).enumerate();
    let misplaced = head.filter(|(_, line)| allow::instruction(line).is_some());
    misplaced.map(|(number, _)| whole_file(file, number + 1, Own::UnusedAllowance)).collect()
}
