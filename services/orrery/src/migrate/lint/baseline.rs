//! `lint-baseline`: what rules find in files that were merged before the rules were, and are never edited. A line is
//! `VERSION RULE COUNT: WHY`.

use super::allow::can_allow;
use super::finding::Finding;
use super::rules::Own;

/// The name of the file, in the folder of the migrations.
pub(super) const FILE: &str = "lint-baseline";

/// A line of the file.
#[derive(Debug, PartialEq, Eq)]
struct Entry<'a> {
    version: &'a str,
    rule: &'a str,
    count: usize,
}

/// Removes what the baseline `text`, the file `path`, accounts for, and adds what is wrong with the baseline.
/// `findings` holds the findings of each file, with its version; `whole` says that these are all files.
pub(super) fn apply(path: &str, text: &str, findings: &mut [(String, Vec<Finding>)], whole: bool) -> Vec<Finding> {
    let mut wrong = Vec::new();
    let mut seen = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let checked = Entry::parse(line).and_then(|entry| {
            if seen.contains(&(entry.version, entry.rule)) {
                return Err(format!("a line before it is about {} in {} as well", entry.rule, entry.version));
            }
            seen.push((entry.version, entry.rule));
            entry.remove_from(findings, whole)
        });
        if let Err(why) = checked {
            let rule = Own::InvalidBaseline;
            wrong.push(Finding {
                file: path.to_owned(),
                line: number + 1,
                rule: rule.to_string(),
                why,
                instead: rule.instead().to_owned(),
            });
        }
    }
    wrong
}

impl<'a> Entry<'a> {
    fn parse(line: &'a str) -> Result<Self, String> {
        let (entry, why) = line.split_once(':').map_or((line, ""), |(entry, why)| (entry, why));
        let words: Vec<&str> = entry.split_whitespace().collect();
        let [version, rule, count] = words[..] else {
            return Err("the line is not VERSION RULE COUNT: WHY".to_owned());
        };
        can_allow(rule)?;
        let count = count.parse().ok().filter(|count| *count > 0);
        let count = count.ok_or("the count is not a number of findings")?;
        if why.trim().is_empty() {
            return Err("it does not say why".to_owned());
        }
        Ok(Self { version, rule, count })
    }

    fn remove_from(&self, findings: &mut [(String, Vec<Finding>)], whole: bool) -> Result<(), String> {
        let Some((_, found)) = findings.iter_mut().find(|(version, _)| version == self.version) else {
            let missing = || format!("no file has the version {}", self.version);
            return (!whole).then_some(()).ok_or_else(missing);
        };
        let count = found.iter().filter(|finding| finding.rule == self.rule).count();
        if count != self.count {
            return Err(format!("{} finds {count} in {}, not {}", self.rule, self.version, self.count));
        }
        found.retain(|finding| finding.rule != self.rule);
        Ok(())
    }
}
