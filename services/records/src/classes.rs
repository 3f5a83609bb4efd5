//! Classes of products by the value of a metric: the thresholds of a classification spec.

use orrery_kit::decimal::Decimal;
use orrery_kit::error::Violation;

/// Most digits before and after the point of a threshold: those of a metric's value.
const DIGITS: (usize, usize) = (34, 18);

/// Classes, from the highest threshold to the lowest.
#[derive(Clone, Debug)]
pub struct Classes {
    thresholds: Vec<(Decimal, String)>,
    /// The class of what reaches no threshold.
    rest: Option<String>,
}

impl Classes {
    /// The classes with these names and thresholds. One threshold may be empty.
    ///
    /// # Errors
    /// What is wrong with a threshold, or that there are none. The field is the name of the class.
    pub fn new(entries: impl IntoIterator<Item = (String, String)>) -> Result<Self, Violation> {
        let mut classes = Self { thresholds: Vec::new(), rest: None };
        for (name, threshold) in entries {
            if threshold.is_empty() {
                if let Some(other) = &classes.rest {
                    return Err(Violation::new(name, format!("has no threshold, as {other}; one class may have none")));
                }
                classes.rest = Some(name);
                continue;
            }
            let value = Decimal::check(&threshold, DIGITS.0, DIGITS.1).and_then(|()| threshold.parse());
            match value {
                Ok(value) => classes.thresholds.push((value, name)),
                Err(error) => return Err(Violation::new(name, error.to_string())),
            }
        }
        classes.thresholds.sort_by(|(one, _), (other, _)| other.cmp(one));
        if let Some([(_, one), (_, other)]) = classes.thresholds.array_windows().find(|[one, other]| one.0 == other.0) {
            return Err(Violation::new(other, format!("has the threshold of {one}")));
        }
        if classes.thresholds.is_empty() && classes.rest.is_none() {
            return Err(Violation::new("", "is required"));
        }
        Ok(classes)
    }

    /// The class of a value; `None` if it reaches no threshold, or is no number.
    pub fn of(&self, value: &str) -> Option<&str> {
        let value: Decimal = value.parse().ok()?;
        let reached = self.thresholds.iter().find(|(threshold, _)| value >= *threshold);
        reached.map(|(_, name)| name).or(self.rest.as_ref()).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn classes(entries: &[(&str, &str)]) -> Result<Classes, Violation> {
        Classes::new(entries.iter().map(|(name, threshold)| ((*name).to_owned(), (*threshold).to_owned())))
    }

    #[test]
    fn a_value_is_of_the_highest_class_that_it_reaches() {
        let all = classes(&[("average", "1"), ("loser", ""), ("winner", "2.50")]).unwrap();
        for (value, class) in [
            ("2.5", "winner"),
            ("100000000000000000000000000000000000000", "winner"),
            ("2.499999999999999999", "average"),
            ("1.0", "average"),
            ("0.99", "loser"),
            ("-7", "loser"),
        ] {
            assert_eq!(all.of(value), Some(class), "{value}");
        }
        assert_eq!(all.of("NaN"), None);
        let some = classes(&[("winner", "0"), ("deep", "-10")]).unwrap();
        assert_eq!([some.of("0"), some.of("-0.1"), some.of("-10.1")], [Some("winner"), Some("deep"), None]);
    }

    #[test]
    fn classes_do_not_overlap() {
        let refused = |entries: &[(&str, &str)]| classes(entries).unwrap_err().field;
        assert_eq!(refused(&[("a", "1"), ("b", "1.0")]), "b");
        assert_eq!(refused(&[("a", ""), ("b", "")]), "b");
        assert_eq!(refused(&[("a", "1"), ("b", "x")]), "b");
        assert_eq!(refused(&[("a", "1e3")]), "a");
        assert_eq!(refused(&[("a", &"1".repeat(35))]), "a");
        assert_eq!(refused(&[]), "");
    }
}
