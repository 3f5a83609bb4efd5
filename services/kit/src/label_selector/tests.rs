#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> LabelSelector {
    LabelSelector::parse(text).unwrap()
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn the_grammar_of_kubernetes() {
    for (text, canonical) in [
        ("", ""),
        (" \t\r\n ", ""),
        ("a", "a"),
        (" a ", "a"),
        ("!a", "!a"),
        ("! a", "!a"),
        ("a=b", "a=b"),
        ("a==b", "a=b"),
        (" a = b ", "a=b"),
        ("a=", "a="),
        ("a==,b", "a=,b"),
        ("a!=b", "a!=b"),
        ("a != b", "a!=b"),
        ("a!=", "a!="),
        ("a in (x)", "a in (x)"),
        ("a in(y,x,y)", "a in (x,y)"),
        ("a\tnotin\n( y , x )", "a notin (x,y)"),
        ("a in ()", "a in ()"),
        ("a in (,)", "a in ()"),
        ("a in (,b)", "a in (,b)"),
        ("a in (b,,c)", "a in (,b,c)"),
        ("in", "in"),
        ("in in (in,notin)", "in in (in,notin)"),
        ("notin=in", "notin=in"),
        ("!in,!notin", "!in,!notin"),
        ("app.kubernetes.io/name=web,tier in (a,b),!legacy", "app.kubernetes.io/name=web,tier in (a,b),!legacy"),
        ("a,a,a=b", "a,a,a=b"),
    ] {
        assert_eq!(parse(text).to_string(), canonical, "{text:?}");
    }
}

#[test]
fn what_breaks_the_grammar_is_placed() {
    for (text, position, part) in [
        (",", 0, "expected a label key, found \",\""),
        ("a,", 2, "expected a label key, found the end"),
        ("a,,b", 2, "expected a label key, found \",\""),
        ("=b", 0, "expected a label key"),
        ("a b", 2, "found \"b\""),
        ("a=b c", 4, "expected \",\" or the end, found \"c\""),
        ("a===b", 3, "found \"=\""),
        ("a=!b", 2, "found \"!\""),
        ("!a=b", 2, "expected \",\" or the end, found \"=\""),
        ("!!a", 1, "found \"!\""),
        ("!", 1, "found the end"),
        ("a!b", 1, "found \"!\""),
        ("a in", 4, "expected \"(\", found the end"),
        ("a in x", 5, "expected \"(\""),
        ("a in (x", 7, "expected \",\" or \")\", found the end"),
        ("a in (x y)", 8, "found \"y\""),
        ("a in (x))", 8, "found \")\""),
        ("a in (x)b", 8, "found \"b\""),
        ("a in (!x)", 6, "found \"!\""),
        ("ain (x)", 4, "found \"(\""),
        ("a IN (x)", 2, "found \"IN\""),
        ("(a)", 0, "found \"(\""),
        ("a>1", 1, "comparisons < and > are not supported"),
        ("a < 1", 2, "comparisons < and > are not supported"),
        ("a,-b", 2, "label key"),
        ("Example.com/a", 0, "prefix of a label key"),
        ("a=b/c", 2, "label value"),
        ("a=-", 2, "label value"),
        ("a in (b, c-)", 9, "label value"),
        ("é=a", 0, "label key"),
        ("a=\0", 2, "label value"),
        ("a=b;c", 2, "label value"),
    ] {
        let error = LabelSelector::parse(text).expect_err(text);
        assert_eq!(error.position, position, "{text:?}: {error}");
        assert!(error.message.contains(part), "{text:?}: {error}");
    }
}

#[test]
fn limits_hold_and_what_they_allow_passes() {
    let full = format!("{}=b", "a".repeat(63)) + &" ".repeat(MAX_BYTES - 65);
    assert_eq!(full.len(), MAX_BYTES);
    assert!(LabelSelector::parse(&full).is_ok());
    assert!(LabelSelector::parse(&(full + " ")).is_err());

    let keys = |count: usize| vec!["a"; count].join(",");
    assert_eq!(parse(&keys(MAX_REQUIREMENTS)).requirements().len(), MAX_REQUIREMENTS);
    assert!(LabelSelector::parse(&keys(MAX_REQUIREMENTS + 1)).is_err());

    let values = |count: usize| format!("a in ({}),b notin (x)", vec!["v"; count].join(","));
    assert!(LabelSelector::parse(&values(MAX_VALUES - 1)).is_ok());
    assert!(LabelSelector::parse(&values(MAX_VALUES)).is_err());
}

#[test]
fn absent_labels_fulfil_the_negations() {
    let some = labels(&[("env", "prod"), ("tier", ""), ("season", "2026")]);
    for (text, selected) in [
        ("", true),
        ("env", true),
        ("!env", false),
        ("nothing", false),
        ("!nothing", true),
        ("env=prod", true),
        ("env=test", false),
        ("nothing=prod", false),
        ("nothing=", false),
        ("tier=", true),
        ("env!=prod", false),
        ("env!=test", true),
        ("nothing!=prod", true),
        ("env in (prod,test)", true),
        ("env in (test)", false),
        ("nothing in (prod)", false),
        ("tier in (,a)", true),
        ("env notin (prod,test)", false),
        ("env notin (test)", true),
        ("nothing notin (prod)", true),
        ("env=prod,season=2026,!nothing", true),
        ("env=prod,season=2025", false),
    ] {
        assert_eq!(parse(text).matches(&some), selected, "{text:?}");
    }
}

#[test]
fn conditions_in_sql() {
    for (text, sql) in [
        ("env=prod", r#"(labels @> '{"env":"prod"}'::jsonb)"#),
        ("env=", r#"(labels @> '{"env":""}'::jsonb)"#),
        ("env in (a,b)", r#"(labels @> any (array['{"env":"a"}', '{"env":"b"}']::jsonb[]))"#),
        ("env in (a)", r#"(labels @> '{"env":"a"}'::jsonb)"#),
        ("a.b/c", r"(labels ? 'a.b/c' and (labels -> 'a.b/c') is not null)"),
        ("!env", r"((labels -> 'env') is null)"),
        ("env!=prod", r"(labels ->> 'env' is distinct from 'prod')"),
        ("env notin (a,b)", r"((labels ->> 'env' in ('a', 'b')) is not true)"),
        ("old=true", r#"(labels @> any (array['{"old":"true"}', '{"old":true}']::jsonb[]))"#),
        ("n=1.50", r#"(labels @> any (array['{"n":"1.50"}', '{"n":1.50}']::jsonb[]) and labels ->> 'n' in ('1.50'))"#),
        ("n=007", r#"(labels @> '{"n":"007"}'::jsonb)"#),
        ("n=1.", ""),
        ("n!=null", r"(coalesce(labels ->> 'n', (labels -> 'n')::text) is distinct from 'null')"),
    ] {
        let Ok(selector) = LabelSelector::parse(text) else {
            assert_eq!(sql, "", "{text:?}");
            continue;
        };
        assert_eq!(selector.to_sql("labels", |text| format!("'{text}'")), [sql], "{text:?}");
    }
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ab]",
        Just("in".to_owned()),
        Just("notin".to_owned()),
        "([a-z0-9]([-a-z0-9]{0,4}[a-z0-9])?(\\.[a-z0-9]{1,4}){0,2}/)?[A-Za-z0-9]([-_.A-Za-z0-9]{0,8}[A-Za-z0-9])?",
    ]
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof!["[xy]?", Just("in".to_owned()), "([A-Za-z0-9]([-_.A-Za-z0-9]{0,8}[A-Za-z0-9])?)?"]
}

fn set() -> impl Strategy<Value = Vec<String>> {
    btree_map(value(), Just(()), 1..5).prop_map(|set| set.into_keys().collect())
}

fn requirement() -> impl Strategy<Value = Requirement> {
    let operator = prop_oneof![
        value().prop_map(Operator::Equals),
        value().prop_map(Operator::NotEquals),
        set().prop_map(Operator::In),
        set().prop_map(Operator::NotIn),
        Just(Operator::Exists),
        Just(Operator::DoesNotExist),
    ];
    (key(), operator).prop_map(|(key, operator)| Requirement { key, operator })
}

fn selector() -> impl Strategy<Value = LabelSelector> {
    vec(requirement(), 0..8).prop_map(|requirements| LabelSelector { requirements })
}

proptest! {
    #[test]
    fn a_selector_is_its_text(selector in selector()) {
        prop_assert_eq!(LabelSelector::parse(&selector.to_string()), Ok(selector));
    }

    #[test]
    fn spaces_between_words_mean_nothing(selector in selector(), spaces in vec("[ \t\r\n]{0,3}", 40)) {
        let mut spaces = spaces.iter().cycle();
        let mut spaced = String::new();
        for c in selector.to_string().chars() {
            // "!=" and "==" are one sign; everything around signs may be spaced.
            let inside = c == '=' && spaced.ends_with('!');
            let sign = "=!(),".contains(c);
            if sign && !inside {
                spaced += spaces.next().unwrap();
            }
            spaced.push(c);
            if sign && c != '!' {
                spaced += spaces.next().unwrap();
            }
        }
        prop_assert_eq!(LabelSelector::parse(&spaced), Ok(selector));
    }

    #[test]
    fn any_text_is_answered(text in "\\PC{0,60}|[ab=!(),<> inot\u{e9}\0]{0,60}") {
        match LabelSelector::parse(&text) {
            Ok(selector) => prop_assert_eq!(LabelSelector::parse(&selector.to_string()), Ok(selector)),
            Err(error) => {
                prop_assert!(error.position <= text.len() && text.is_char_boundary(error.position));
                prop_assert!(error.message.len() < 600);
            }
        }
    }

    #[test]
    fn negations_are_complements(key in key(), set in set(), labels in btree_map(key(), value(), 0..4)) {
        let holds = |operator| Requirement { key: key.clone(), operator }.matches(&labels);
        prop_assert_ne!(holds(Operator::Exists), holds(Operator::DoesNotExist));
        prop_assert_ne!(holds(Operator::In(set.clone())), holds(Operator::NotIn(set.clone())));
        prop_assert_ne!(holds(Operator::Equals(set[0].clone())), holds(Operator::NotEquals(set[0].clone())));
        prop_assert_eq!(
            holds(Operator::In(set.clone())),
            set.iter().any(|value| holds(Operator::Equals(value.clone())))
        );
    }

    #[test]
    fn every_requirement_is_one_condition_and_quotes_only_through_the_function(selector in selector()) {
        let conditions = selector.to_sql("c", |_| "$".to_owned());
        prop_assert_eq!(conditions.len(), selector.requirements().len());
        for condition in conditions {
            prop_assert!(condition.starts_with('(') && condition.ends_with(')'));
            prop_assert!(!condition.contains(['\'', '"', '\\']));
        }
    }
}
