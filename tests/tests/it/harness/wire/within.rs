//! Rows written without a completion tag: in a `with`, or in the query of a `copy`. Such a statement must return their
//! number, or is rejected.

/// What is known about rows that a statement writes within another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum NestedWrites {
    /// There are none.
    #[default]
    Nothing,
    /// The statement returns their number in its first column, named `written`.
    Reported,
    /// Their number is unknown.
    Unreported,
}

impl NestedWrites {
    /// Inspects the text of one or several statements.
    pub(super) fn of(text: &str) -> Self {
        let (mut writes, mut told, mut several) = (false, false, false);
        let (mut depth, mut in_first_column) = (0_usize, false);
        let (mut before, mut last) = (String::new(), String::new());
        for token in Tokens(text) {
            several |= last == ";";
            match token.as_str() {
                "(" => depth += 1,
                ")" => depth = depth.saturating_sub(1),
                "insert" | "update" | "delete" | "merge" if last == "(" => writes = true,
                "select" if depth == 0 => in_first_column = true,
                "," | "from" | ";" if depth == 0 && in_first_column => {
                    in_first_column = false;
                    told |= before == "as" && last == "written";
                }
                _ => {}
            }
            before = std::mem::replace(&mut last, token);
        }
        told |= in_first_column && before == "as" && last == "written";
        match (writes, told && !several) {
            (false, _) => Self::Nothing,
            (true, true) => Self::Reported,
            (true, false) => Self::Unreported,
        }
    }
}

/// The number in the first column of a row, as text or as a binary `bigint`; `None` if there is none.
pub(super) fn first_number(row: &[u8]) -> Option<u64> {
    let (_, rest) = row.split_at_checked(2)?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let value = rest.get(..usize::try_from(i32::from_be_bytes(*length)).ok()?)?;
    // A text of eight digits would look like a binary number, and is too large anyway.
    match <[u8; 8]>::try_from(value) {
        Ok(binary) => u64::try_from(i64::from_be_bytes(binary)).ok(),
        Err(_) => std::str::from_utf8(value).ok()?.parse().ok(),
    }
}

/// Splits SQL into lower-case words and single characters, without literals, quoted names and comments.
struct Tokens<'t>(&'t str);

impl Iterator for Tokens<'_> {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        loop {
            self.0 = self.0.trim_start();
            let first = self.0.chars().next()?;
            if first.is_alphanumeric() || first == '_' {
                let word = self.take(|c| c.is_alphanumeric() || c == '_').to_lowercase();
                if word != "e" || !self.0.starts_with('\'') {
                    return Some(word);
                }
                self.pass_quoted('\'', true);
            } else if matches!(first, '\'' | '"') {
                self.pass_quoted(first, false);
            } else if self.0.starts_with("--") {
                self.take(|c| c != '\n');
            } else if self.0.starts_with("/*") {
                let end = self.0.find("*/").map_or(self.0.len(), |at| at + 2);
                self.0 = &self.0[end..];
            } else {
                self.0 = &self.0[first.len_utf8()..];
                return Some(first.to_string());
            }
        }
    }
}

impl<'t> Tokens<'t> {
    fn take(&mut self, of: impl Fn(char) -> bool) -> &'t str {
        let (taken, rest) = self.0.split_at(self.0.find(|c| !of(c)).unwrap_or(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Skips quoted text. Doubled quotes are treated as two literals, which has the same effect.
    fn pass_quoted(&mut self, quote: char, backslashes: bool) {
        let mut escaped = false;
        let end = self.0.char_indices().skip(1).find(|&(_, c)| {
            let ends = c == quote && !escaped;
            escaped = backslashes && c == '\\' && !escaped;
            ends
        });
        self.0 = &self.0[end.map_or(self.0.len(), |(at, _)| at + 1)..];
    }
}

#[test]
fn a_statement_that_writes_within_another_one_is_recognised() {
    let told = [
        "with u as (update t set a = 1 returning a) select (select count(*) from u) as written, 2 from s",
        "WITH old AS (select 1), d AS MATERIALIZED ( DELETE from t returning 1) SELECT count(*) AS written FROM d",
        "with i as (insert into t values ('it''s') returning 1) select count(*) from i",
    ];
    assert_eq!(told.map(NestedWrites::of), [NestedWrites::Reported, NestedWrites::Reported, NestedWrites::Unreported]);
    for untold in [
        "with d as (delete from t returning *) insert into u select * from d",
        "with d as (delete from t) select 1, 2 as written",
        "with d as (delete from t) select (select 1 as written)",
        "copy (delete from t returning a) to stdout",
        "with m as (/* so */ merge into t using u on true when matched then delete) select 'as written'",
        "begin; with d as (delete from t returning 1) select count(*) as written from d",
        r"select e'\'' ; with d as (delete from t) select 1",
    ] {
        assert_eq!(NestedWrites::of(untold), NestedWrites::Unreported, "{untold}");
    }
    for nothing in [
        "with due as materialized (select a from t for update skip locked) update t set a = 2 from due returning a",
        "insert into t (a) values ('(delete from t)')",
        "select a as \"(update\" from t -- (delete",
        r"select e'\'(delete' as written",
        "select count(*) as written from t",
        "update t set a = (select 1)",
        "",
    ] {
        assert_eq!(NestedWrites::of(nothing), NestedWrites::Nothing, "{nothing}");
    }
}
