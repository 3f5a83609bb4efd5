//! The parameters of a procedure, as `NAME=VALUE` on the command line.

use std::collections::BTreeMap;

use anyhow::Context as _;
use orrery_kit::config::{HumanDuration, parse_duration};
use orrery_proto::procedures::v1::{ListProceduresRequest, ParameterKind, Procedure, ProcedureParameter};
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Value};

use super::{ProceduresClient, waiting};
use crate::client::describe;

/// A parameter as it was given. Which values it takes, only the service knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GivenParameter {
    name: String,
    value: String,
}

/// Reads `NAME=VALUE`.
pub(super) fn parse_given(text: &str) -> Result<GivenParameter, String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => {
            Ok(GivenParameter { name: name.to_owned(), value: value.to_owned() })
        }
        _ => Err("must have the form PARAMETER=VALUE, such as dry_run=true".into()),
    }
}

/// Reads the values for a procedure of the service, after its description. None if there are none.
///
/// # Errors
/// The service cannot be asked or has no such procedure, or [`parse`] fails.
pub(super) async fn parse_for(
    client: &mut ProceduresClient,
    name: &str,
    given: &[GivenParameter],
) -> anyhow::Result<Option<Struct>> {
    if given.is_empty() {
        return Ok(None);
    }
    let request = ListProceduresRequest::default();
    let answer = client.call(&mut waiting, async |client| client.list_procedures(request.clone()).await).await;
    let procedures = answer.map_err(|status| anyhow::anyhow!(describe(&status)))?.into_inner().procedures;
    let procedure = procedures.iter().find(|procedure| procedure.name == name).with_context(|| {
        format!("the service has no procedure {name:?}, but {}", names(procedures.iter().map(|it| &*it.name)))
    })?;
    parse(procedure, given).map(Some)
}

/// Reads the values by the kinds of the procedure's parameters. The items of a list may be given together, separated by
/// commas, or one after the other.
///
/// # Errors
/// The first parameter that the procedure does not have, or that has a wrong value or more than one.
fn parse(procedure: &Procedure, given: &[GivenParameter]) -> anyhow::Result<Struct> {
    let mut fields: BTreeMap<String, Value> = BTreeMap::new();
    for GivenParameter { name, value } in given {
        let parameter = procedure.parameters.iter().find(|parameter| parameter.name == *name).with_context(|| {
            let known = names(procedure.parameters.iter().map(|it| &*it.name));
            format!("{} has no parameter {name:?}, but {known}", procedure.name)
        })?;
        let kind = parse_value(parameter, value).map_err(|problem| anyhow::anyhow!("{name}: {problem}"))?;
        match (fields.get_mut(name).and_then(|value| value.kind.as_mut()), kind) {
            (None, kind) => {
                fields.insert(name.clone(), Value { kind: Some(kind) });
            }
            (Some(Kind::ListValue(list)), Kind::ListValue(more)) => list.values.extend(more.values),
            (Some(_), _) => anyhow::bail!("{name}: it is given twice"),
        }
    }
    Ok(Struct { fields })
}

fn parse_value(parameter: &ProcedureParameter, text: &str) -> Result<Kind, String> {
    // A message has numbers of 64 bits with a fraction, which hold larger integers inexactly.
    const EXACT: u64 = 1 << 53;
    match ParameterKind::try_from(parameter.kind) {
        Ok(ParameterKind::Boolean) => match text {
            "true" => Ok(Kind::BoolValue(true)),
            "false" => Ok(Kind::BoolValue(false)),
            _ => Err(format!("{text:?} is neither true nor false")),
        },
        Ok(ParameterKind::Integer) => match text.parse::<i64>() {
            Ok(number) if number.unsigned_abs() <= EXACT => Ok(Kind::NumberValue(number as f64)),
            _ => Err(format!("{text:?} is not a whole number from -2^53 to 2^53")),
        },
        Ok(ParameterKind::Duration) => {
            // The service takes one number with one unit.
            parse_duration(text).map(|duration| Kind::StringValue(HumanDuration(duration).to_string()))
        }
        Ok(ParameterKind::Text) => Ok(Kind::StringValue(text.to_owned())),
        Ok(ParameterKind::TextList) => {
            let items = text.split(',').map(str::trim).filter(|_| !text.is_empty());
            let value = |item: &str| match item {
                "" => Err(format!("{text:?} has an empty item")),
                item => Ok(Value { kind: Some(Kind::StringValue(item.to_owned())) }),
            };
            Ok(Kind::ListValue(ListValue { values: items.map(value).collect::<Result<_, _>>()? }))
        }
        Ok(ParameterKind::Unspecified) | Err(_) => {
            Err("this version of orrery does not know which values it takes".into())
        }
    }
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    if names.is_empty() { "none at all".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn procedure() -> Procedure {
        let kinds = [
            ("dry_run", ParameterKind::Boolean),
            ("max_deletions", ParameterKind::Integer),
            ("grace", ParameterKind::Duration),
            ("note", ParameterKind::Text),
            ("relations", ParameterKind::TextList),
            ("other", ParameterKind::Unspecified),
        ];
        let parameter = |(name, kind): (&str, ParameterKind)| ProcedureParameter {
            name: name.to_owned(),
            kind: kind.into(),
            ..ProcedureParameter::default()
        };
        Procedure { name: "p".into(), parameters: kinds.map(parameter).into(), ..Procedure::default() }
    }

    fn parsed(given: &[&str]) -> Result<BTreeMap<String, Value>, String> {
        let given: Vec<GivenParameter> = given.iter().map(|text| parse_given(text)).collect::<Result<_, _>>()?;
        parse(&procedure(), &given).map(|values| values.fields).map_err(|error| error.to_string())
    }

    fn text(text: &str) -> Value {
        Value { kind: Some(Kind::StringValue(text.to_owned())) }
    }

    fn list(items: &[&str]) -> Value {
        let values = items.iter().map(|item| text(item)).collect();
        Value { kind: Some(Kind::ListValue(ListValue { values })) }
    }

    #[test]
    fn values_are_read_by_their_kinds() {
        for (given, value) in [
            ("dry_run=true", Value { kind: Some(Kind::BoolValue(true)) }),
            ("dry_run=false", Value { kind: Some(Kind::BoolValue(false)) }),
            ("max_deletions=-12", Value { kind: Some(Kind::NumberValue(-12.0)) }),
            ("max_deletions=9007199254740992", Value { kind: Some(Kind::NumberValue(9_007_199_254_740_992.0)) }),
            ("grace=1m30s", text("90s")),
            ("grace=0s", text("0ms")),
            ("note=a=b, c", text("a=b, c")),
            ("note=", text("")),
            ("note=true", text("true")),
            ("relations=", list(&[])),
            ("relations=a.b.c", list(&["a.b.c"])),
            ("relations=a, b,c", list(&["a", "b", "c"])),
        ] {
            let (name, _) = given.split_once('=').unwrap();
            assert_eq!(parsed(&[given]), Ok(BTreeMap::from([(name.to_owned(), value)])), "{given}");
        }
        assert_eq!(parsed(&["relations=a,b", "relations=c"]).unwrap()["relations"], list(&["a", "b", "c"]));
        assert_eq!(parsed(&["relations=a", "dry_run=true"]).unwrap().len(), 2);
        assert_eq!(parsed(&[]), Ok(BTreeMap::new()));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_parameter() {
        for (given, problem) in [
            (&["dry_run=yes"][..], "dry_run: \"yes\" is neither true nor false"),
            (&["dry_run="], "dry_run: \"\" is neither true nor false"),
            (&["max_deletions=1.5"], "max_deletions: \"1.5\" is not a whole number from -2^53 to 2^53"),
            (&["max_deletions=9007199254740993"], "is not a whole number"),
            (&["max_deletions=-9223372036854775808"], "is not a whole number"),
            (&["max_deletions=99999999999999999999"], "is not a whole number"),
            (&["grace=5"], "grace: \"5\" is not a duration"),
            (&["relations=a,,b"], "relations: \"a,,b\" has an empty item"),
            (&["other=1"], "other: this version of orrery does not know which values it takes"),
            (&["dry_run=true", "dry_run=true"], "dry_run: it is given twice"),
            (
                &["dryrun=true"],
                "p has no parameter \"dryrun\", but dry_run, max_deletions, grace, note, relations, other",
            ),
            (&["dry_run"], "must have the form PARAMETER=VALUE"),
            (&["=true"], "must have the form PARAMETER=VALUE"),
        ] {
            let error = parsed(given).unwrap_err();
            assert!(error.contains(problem), "{given:?}: {error}");
        }
        let none = parse(&Procedure { name: "p".into(), ..Procedure::default() }, &[parse_given("a=1").unwrap()]);
        assert_eq!(none.unwrap_err().to_string(), "p has no parameter \"a\", but none at all");
    }
}
