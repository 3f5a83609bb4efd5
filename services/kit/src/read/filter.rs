//! Conditions of a paged read, as SQL over the alias `t`. Each condition knows the request field that it came from, for
//! the violation if its value is invalid. The rules are the same for every resource.

use orrery_proto::r#type::v1::TimeRange;

use crate::db::sql::{literal, literal_array};
use crate::error::{Error, Violation};
use crate::label_selector::LabelSelector;
use crate::resource::Resource;
use crate::resource::key::Key;
use crate::timestamp;
use crate::uid::check_key;

/// Most uids of one filter.
const MAX_UIDS: usize = 1_000;
/// Most phases or names of one filter.
const MAX_NAMES: usize = 64;
/// Most bytes of a text to look for.
const MAX_CONTAINED_BYTES: usize = 256;
/// Most bytes of a phase or name that is asked for.
const MAX_NAME_BYTES: usize = 256;

/// Conditions that must all hold.
#[derive(Debug, Default)]
pub struct Filter {
    conditions: Vec<String>,
    violations: Vec<Violation>,
    unindexed: bool,
}

impl Filter {
    /// The conditions joined, or `true`.
    pub fn sql(&self) -> String {
        if self.conditions.is_empty() { "true".to_owned() } else { self.conditions.join(" and ") }
    }

    /// Whether there is no condition.
    pub fn is_empty(&self) -> bool {
        self.conditions.is_empty()
    }

    /// Whether there are conditions and no index serves any of them.
    pub fn is_unindexed(&self) -> bool {
        self.unindexed && self.conditions.len() == 1
    }

    /// The filter, if all values are valid.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every broken rule.
    pub fn checked(self) -> Result<Self, Error> {
        if self.violations.is_empty() { Ok(self) } else { Err(Error::Invalid(self.violations)) }
    }

    fn refuse(mut self, field: &str, why: impl Into<String>) -> Self {
        self.violations.push(Violation::new(field, why));
        self
    }

    fn when(mut self, condition: String) -> Self {
        self.conditions.push(condition);
        self
    }

    /// A label selector over a jsonb column. Empty: no condition.
    #[must_use]
    pub fn label_selector(mut self, field: &str, column: &str, selector: &str) -> Self {
        if selector.trim().is_empty() {
            return self;
        }
        match LabelSelector::parse(selector) {
            Ok(selector) => {
                self.conditions.extend(selector.to_sql(&format!("t.{column}"), literal));
                self
            }
            Err(error) => self.refuse(field, error.to_string()),
        }
    }

    /// Any of these phases of a status column. None: no condition.
    #[must_use]
    pub fn phases(self, field: &str, column: &str, phases: &[String]) -> Self {
        self.one_of(field, &format!("(t.{column} ->> 'phase')"), phases)
    }

    /// Any of these texts in a column. None: no condition.
    #[must_use]
    pub fn names(self, field: &str, column: &str, names: &[String]) -> Self {
        self.one_of(field, &format!("t.{column}"), names)
    }

    fn one_of(self, field: &str, expression: &str, texts: &[String]) -> Self {
        if texts.is_empty() {
            return self;
        }
        match is_one_of(expression, texts) {
            Ok(condition) => self.when(condition),
            Err(why) => self.refuse(field, why),
        }
    }

    /// Any of these uids in a column. None: no condition.
    #[must_use]
    pub fn uids(mut self, field: &str, column: &str, uids: &[String]) -> Self {
        if uids.is_empty() {
            return self;
        }
        if uids.len() > MAX_UIDS {
            return self.refuse(field, format!("has {} uids; at most {MAX_UIDS} are allowed", uids.len()));
        }
        for (at, uid) in uids.iter().enumerate() {
            if let Err(why) = check_key(uid) {
                self = self.refuse(&format!("{field}[{at}]"), why);
            }
        }
        self.when(format!("t.{column} = any({})", literal_array(uids)))
    }

    /// Any of these keys.
    #[must_use]
    pub fn keys(self, resource: &Resource, keys: &[Key]) -> Self {
        self.when(resource.key_in_literals(resource.description.key, keys.iter().map(Key::tuple)))
    }

    /// A text that a column equals, of at most `max_bytes` bytes. Empty: no condition.
    #[must_use]
    pub fn text(self, field: &str, column: &str, max_bytes: usize, text: &str) -> Self {
        if text.is_empty() {
            return self;
        }
        if text.len() > max_bytes || text.contains('\0') {
            return self.refuse(field, format!("must be at most {max_bytes} bytes, without NUL"));
        }
        self.when(format!("t.{column} = {}", literal(text)))
    }

    /// Rows whose column has no text: null, or an empty one that another program stored.
    #[must_use]
    pub fn unset(self, column: &str) -> Self {
        self.when(format!("coalesce(t.{column}, '') = ''"))
    }

    /// Texts of at most so many bytes in a column; no nulls. The server does not fetch longer ones to find out.
    #[must_use]
    pub fn at_most_bytes(self, column: &str, max_bytes: usize) -> Self {
        self.when(format!("octet_length(t.{column}) <= {max_bytes}"))
    }

    /// A code of this many letters A-Z that a column equals. Empty: no condition.
    #[must_use]
    pub fn code(self, field: &str, column: &str, letters: usize, code: &str) -> Self {
        if code.is_empty() {
            return self;
        }
        if code.len() != letters || !code.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return self.refuse(field, format!("must be {letters} letters A-Z"));
        }
        self.when(format!("t.{column} = {}", literal(code)))
    }

    /// Rows with at least one child whose column holds this uid. An empty uid is no condition.
    #[must_use]
    pub fn uid_in_child(self, field: &str, child: &Resource, column: &str, uid: &str) -> Self {
        if uid.is_empty() {
            return self;
        }
        if let Err(why) = check_key(uid) {
            return self.refuse(field, why);
        }
        let (table, owner) = (child.description.table, child.description.key[0]);
        self.when(format!(
            "exists (select from {table} as p where p.{owner} = t.uid and p.{column} = {})",
            literal(uid)
        ))
    }

    /// Rows whose column holds a value that one of these selects returns. Each select may use an index of its own,
    /// which conditions joined by `or` rarely do. Texts from outside must be [literals](crate::db::sql::literal) in
    /// them.
    #[must_use]
    pub fn among(self, column: &str, selects: &[String]) -> Self {
        self.when(format!("t.{column} in ({})", selects.join(" union ")))
    }

    /// Rows to which no row of another table refers. `table` and `referring` name that table and its column.
    #[must_use]
    pub fn not_referred_to(self, column: &str, table: &str, referring: &str) -> Self {
        self.when(format!("not exists (select from {table} as p where p.{referring} = t.{column})"))
    }

    /// Rows to which a row of another table refers that has one of these texts in its column `named`. None: no
    /// condition.
    #[must_use]
    pub fn referred_to_by(
        self,
        field: &str,
        column: &str,
        (table, referring, named): (&str, &str, &str),
        texts: &[String],
    ) -> Self {
        if texts.is_empty() {
            return self;
        }
        match is_one_of(&format!("p.{named}"), texts) {
            Ok(condition) => {
                self.when(format!("t.{column} in (select p.{referring} from {table} as p where {condition})"))
            }
            Err(why) => self.refuse(field, why),
        }
    }

    /// Rows whose list of texts, a jsonb array, holds any of these uids. None: no condition.
    #[must_use]
    pub fn uid_in_list(mut self, field: &str, column: &str, uids: &[String]) -> Self {
        if uids.is_empty() {
            return self;
        }
        if uids.len() > MAX_UIDS {
            return self.refuse(field, format!("has {} uids; at most {MAX_UIDS} are allowed", uids.len()));
        }
        for (at, uid) in uids.iter().enumerate() {
            if let Err(why) = check_key(uid) {
                self = self.refuse(&format!("{field}[{at}]"), why);
            }
        }
        self.when(format!("t.{column} ?| {}", literal_array(uids)))
    }

    /// A range of time in a column. Rows without a time are in no range, even in one without bounds. Bounds finer than
    /// a microsecond are exact. Unset: no condition.
    #[must_use]
    pub fn time_range(mut self, field: &str, column: &str, range: Option<&TimeRange>) -> Self {
        let Some(range) = range else { return self };
        let mut bounds = [None, None];
        for (at, (name, sign, time)) in
            [("start", ">=", &range.start), ("end", "<", &range.end)].into_iter().enumerate()
        {
            let Some(time) = time else { continue };
            match timestamp::bound_to_postgres(time.seconds, time.nanos) {
                Ok(microseconds) => {
                    bounds[at] = Some((time.seconds, time.nanos));
                    self.conditions.push(format!("t.{column} {sign} {}", timestamp::to_sql_literal(microseconds)));
                }
                Err(why) => self = self.refuse(&format!("{field}.{name}"), why),
            }
        }
        match bounds {
            [None, None] => self.when(format!("t.{column} is not null")),
            [Some(start), Some(end)] if end < start => self.refuse(&format!("{field}.end"), "lies before start"),
            _ => self,
        }
    }

    /// A text that a column contains, in any letter case. Empty: no condition.
    #[must_use]
    pub fn contains(mut self, field: &str, column: &str, text: &str) -> Self {
        if text.is_empty() {
            return self;
        }
        if text.len() > MAX_CONTAINED_BYTES || text.contains('\0') {
            return self.refuse(field, format!("must be at most {MAX_CONTAINED_BYTES} bytes, without NUL"));
        }
        self.unindexed = true;
        self.when(format!("strpos(lower(t.{column}), lower({})) > 0", literal(text)))
    }
}

/// The condition that an expression is one of these texts.
///
/// # Errors
/// What is wrong with the texts: the end of a sentence that begins with the field's name.
fn is_one_of(expression: &str, texts: &[String]) -> Result<String, String> {
    if texts.len() > MAX_NAMES {
        return Err(format!("has {} values; at most {MAX_NAMES} are allowed", texts.len()));
    }
    if texts.iter().any(|text| text.is_empty() || text.len() > MAX_NAME_BYTES || text.contains('\0')) {
        return Err(format!("holds a value that is not 1 to {MAX_NAME_BYTES} bytes without NUL"));
    }
    Ok(match texts {
        [text] => format!("{expression} = {}", literal(text)),
        texts => format!("{expression} = any({})", literal_array(texts)),
    })
}
