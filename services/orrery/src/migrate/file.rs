//! A migration file in dbmate's format. What dbmate would ignore silently is refused here.

use std::fmt;
use std::path::Path;

/// A migration: a version, a section that applies it, and a section that rolls it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// Fourteen digits: the time when the file was created.
    pub version: String,
    /// The file name without its folder.
    pub file_name: String,
    /// Applies the migration.
    pub up: Section,
    /// Rolls it back.
    pub down: Section,
}

/// The `up` or `down` section of a migration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The text of the statements.
    pub sql: String,
    /// The line of the file on which `sql` begins, from 1.
    pub first_line: usize,
    /// Whether the statements run in one transaction. False if the file says `transaction:false`.
    pub transaction: bool,
}

/// An error in a migration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError {
    /// The file's name.
    pub file_name: String,
    /// The line, from 1; `None` if it concerns the whole file.
    pub line: Option<usize>,
    /// The problem and its solution.
    pub problem: String,
}

impl std::error::Error for FileError {}

impl fmt::Display for FileError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(formatter, "{}:{line}: {}", self.file_name, self.problem),
            None => write!(formatter, "{}: {}", self.file_name, self.problem),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

/// A line that starts a section.
struct Directive {
    direction: Direction,
    /// From 0.
    line: usize,
    /// The offset of the line in the file.
    start: usize,
    transaction: bool,
}

/// Whether dbmate would treat a file of this name as a migration.
pub(super) fn is_migration_name(name: &str) -> bool {
    let is_sql = Path::new(name).extension().is_some_and(|extension| extension == "sql");
    is_sql && name.starts_with(|first: char| first.is_ascii_digit())
}

impl Migration {
    /// Parses a migration file.
    pub(crate) fn parse(file_name: &str, text: &str) -> Result<Self, FileError> {
        let fail = |line: Option<usize>, problem: &str| FileError {
            file_name: file_name.to_owned(),
            line: line.map(|line| line + 1),
            problem: problem.to_owned(),
        };
        let digits = file_name.bytes().take_while(u8::is_ascii_digit).count();
        if digits != 14 {
            return Err(fail(None, "a migration's name starts with its version, 14 digits (YYYYMMDDHHMMSS)"));
        }
        let mut directives = Vec::new();
        let mut start = 0;
        for (number, line) in text.split_inclusive('\n').enumerate() {
            let directive = read_directive(line).map_err(|problem| fail(Some(number), &problem))?;
            if let Some((direction, transaction)) = directive {
                directives.push(Directive { direction, line: number, start, transaction });
            } else if directives.is_empty() && !is_blank(line) {
                return Err(fail(Some(number), "there is a statement before -- migrate:up"));
            }
            start += line.len();
        }
        let [up, down] = directives.as_slice() else {
            let problem = "a migration has one -- migrate:up and, after it, one -- migrate:down";
            return Err(fail(directives.get(2).map(|third| third.line), problem));
        };
        if (up.direction, down.direction) != (Direction::Up, Direction::Down) {
            return Err(fail(Some(up.line), "a migration has first -- migrate:up, then -- migrate:down, each once"));
        }
        let section = |directive: &Directive, end: usize| Section {
            sql: text[directive.start..end].to_owned(),
            first_line: directive.line + 1,
            transaction: directive.transaction,
        };
        Ok(Self {
            version: file_name[..digits].to_owned(),
            file_name: file_name.to_owned(),
            up: section(up, down.start),
            down: section(down, text.len()),
        })
    }
}

fn is_blank(line: &str) -> bool {
    let line = line.trim_start();
    line.is_empty() || line.starts_with("--")
}

/// Parses a line as a directive: its direction, and whether its section runs in a transaction. `None` for other lines.
fn read_directive(line: &str) -> Result<Option<(Direction, bool)>, String> {
    let Some(comment) = line.trim_start().strip_prefix("--") else { return Ok(None) };
    let comment = comment.trim();
    if !comment.get(..8).is_some_and(|word| word.eq_ignore_ascii_case("migrate:")) {
        return Ok(None);
    }
    let mut words = comment.split_whitespace();
    let direction = match words.next() {
        Some("migrate:up") => Direction::Up,
        Some("migrate:down") => Direction::Down,
        other => return Err(format!("`{}` is neither migrate:up nor migrate:down", other.unwrap_or_default())),
    };
    if !line.starts_with("--") {
        return Err("a directive must be at the start of its line; dbmate ignores an indented one".to_owned());
    }
    let mut transaction = true;
    for option in words {
        transaction = match option {
            "transaction:true" => true,
            "transaction:false" => false,
            _ => {
                return Err(format!(
                    "`{option}` is not an option; the only one is transaction:false, without a space (dbmate silently \
                     ignores others)"
                ));
            }
        };
    }
    Ok(Some((direction, transaction)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    const NAME: &str = "20260102030405_add_thing.sql";

    fn parse(text: &str) -> Result<Migration, String> {
        Migration::parse(NAME, text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_file_is_cut_at_its_directives() {
        let found =
            parse("-- why\n\n-- migrate:up\ncreate table t ();\n\n--migrate:down  transaction:false\ndrop table t;\n")
                .unwrap();
        assert_eq!(found.version, "20260102030405");
        assert_eq!(found.up.sql, "-- migrate:up\ncreate table t ();\n\n");
        assert_eq!((found.up.first_line, found.up.transaction), (3, true));
        assert_eq!(found.down.sql, "--migrate:down  transaction:false\ndrop table t;\n");
        assert_eq!((found.down.first_line, found.down.transaction), (6, false));
    }

    #[test]
    fn what_dbmate_passes_over_is_refused_with_its_line() {
        let cases = [
            ("-- migrate:up transaction: false\n-- migrate:down\n", ":1: `transaction:` is not an option"),
            ("-- migrate:up\n-- migrate:down transaction=false\n", ":2: `transaction=false` is not an option"),
            ("-- migrate:up\n  -- migrate:down\n", ":2: a directive must be at the start"),
            ("-- migrate:up\n-- migrate:dwon\n", ":2: `migrate:dwon` is neither"),
            ("-- Migrate:Up\n-- migrate:down\n", ":1: `Migrate:Up` is neither"),
            ("select 1;\n-- migrate:up\n-- migrate:down\n", ":1: there is a statement before"),
            ("-- migrate:down\n-- migrate:up\n", ":1: a migration has first"),
            ("-- migrate:up\n-- migrate:up\n", ":1: a migration has first"),
            ("-- migrate:up\n-- migrate:down\n-- migrate:up\n", ":3: a migration has one"),
            ("-- migrate:up\n", ": a migration has one"),
            ("", ": a migration has one"),
        ];
        for (text, expected) in cases {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with(&format!("{NAME}{expected}")), "{text:?} gave {error}");
        }
    }

    #[test]
    fn a_version_has_fourteen_digits() {
        for name in ["1_a.sql", "2026010203040_a.sql", "202601020304055_a.sql"] {
            assert!(Migration::parse(name, "-- migrate:up\n-- migrate:down\n").is_err(), "{name}");
        }
    }
}
