//! The encoding of groups in temporary files.

#![allow(clippy::unwrap_used, reason = "tests")]

use chrono::DateTime;

use super::stored::{Part, decode, encode};
use crate::mapping::plan::Values;
use crate::mapping::rule::Assigned;
use crate::mapping::target::Scalar;

#[test]
fn a_part_comes_back_as_it_was() {
    let time = |seconds, nanos| Scalar::Instant(DateTime::from_timestamp(seconds, nanos).unwrap());
    let scalars = [
        Scalar::Text(String::new()),
        Scalar::Text("é".into()),
        Scalar::Integer(i64::MIN),
        Scalar::Unsigned(u64::MAX),
        Scalar::Double(-0.0),
        Scalar::Boolean(false),
        Scalar::Enumerator(-1),
        time(-62_135_596_800, 0),
        time(253_402_300_799, 999_999_999),
    ];
    let keys = scalars.iter().map(|scalar| (format!("{scalar:?}"), scalar.clone())).collect();
    let mut assigned = vec![Assigned::Nothing, Assigned::Keys(keys), Assigned::Keys(Vec::new())];
    assigned.extend(scalars.map(Assigned::One));
    let values = Values { assigned: assigned.clone(), elements: vec![0, 255], left_out: 7, ..Values::default() };
    let part = Part { begun: 3, line: 9, refused: true, values: Some(Box::new(values)) };
    let (key, Part { begun, line, refused, values }) = decode(&encode("k", part)).unwrap();
    assert_eq!((key.as_str(), begun, line, refused), ("k", 3, 9, true));
    let Values { assigned: back, elements, left_out, .. } = *values.unwrap();
    assert_eq!((format!("{back:?}"), elements, left_out), (format!("{assigned:?}"), vec![0, 255], 7));
    let nothing = decode(&encode("", Part { begun: 0, line: 0, refused: false, values: None })).unwrap();
    assert!(nothing.1.values.is_none());
}
