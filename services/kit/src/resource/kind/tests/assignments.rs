//! What an update assigns, as text that a reader can check.

use prost_types::FieldMask;

use super::*;
use crate::resource::rules::no_rules;

fn kinds() -> Vec<(&'static str, &'static dyn ColumnKind)> {
    static KINDS: &[(&str, &dyn ColumnKind)] = &[
        ("status", &status("active")),
        ("labels", &labels()),
        ("body", &document(1_000)),
        ("lines", &text_list(9, 99)),
        ("name", &text(99)),
        ("unit", &text_not_null(99)),
        ("side", &enumeration(SIDES)),
        ("other_side", &enumeration(SIDES).optional()),
        ("active", &boolean()),
        ("ratio", &double()),
        ("count", &integer(0, 9)),
        ("place", &integer(0, 9).optional()),
        ("line", &integer(0, 9).completed()),
        ("price", &decimal(9, 2).or_zero()),
        ("weight", &decimal(9, 2).optional()),
        ("due_ts", &timestamp()),
        ("as_of_ts", &measured_at()),
    ];
    KINDS.to_vec()
}

/// What is assigned under a mask of one path; without one what is set is.
fn assigned(path: &str) -> Assignment {
    static DESCRIPTION: Description = Description::new("test.v1.Thing", "test.thing");
    let fields = (1..).zip(kinds()).map(|(number, (name, kind))| Field::new(name, number, kind)).collect();
    let resource =
        Resource { description: &DESCRIPTION, fields, child_tables: Vec::new(), plural: "things", rules: no_rules() };
    let (path, if_set) = path.strip_suffix(" if set").map_or((path, false), |path| (path, true));
    let mask = FieldMask { paths: vec![path.to_owned()] };
    let paths = update_mask(&resource, Some(&mask), "mask").expect("a mask");
    let path = &paths.paths().expect("paths")[0];
    let field = &resource.fields[path.field];
    field.kind.assign(field.name, Change::new(Some(&path.reach), if_set))
}

fn assert_assigns(path: &str, expected: &str) {
    let Assignment { value, differs } = assigned(path);
    let name = path.split(['.', ' ']).next().unwrap_or_default();
    assert_eq!(value, expected, "{path}\n{value}");
    assert_eq!(differs, format!("{value} is distinct from t.{name}"));
}

#[test]
fn a_phase_alone_is_put_into_the_stored_status() {
    assert_assigns(
        "status.phase",
        r#"((case when jsonb_typeof(t.status) = 'object' then t.status else '{}' end)
 || jsonb_build_object('phase', coalesce(i.status -> 'phase', '"active"')))"#,
    );
    assert_assigns(
        "status.phase if set",
        r"(case when i.status -> 'phase' is null then t.status
      else (case when jsonb_typeof(t.status) = 'object' then t.status else '{}' end)
        || jsonb_build_object('phase', i.status -> 'phase') end)",
    );
}

#[test]
fn a_status_keeps_what_is_not_sent() {
    assert_assigns(
        "status",
        r#"(case when '{"phase": "active"}'::jsonb || i.status = t.status then t.status
      else '{"phase": "active"}'::jsonb
        || (select coalesce(jsonb_object_agg(n.key, case
                     when t.status -> n.key = n.value then t.status -> n.key
                     when jsonb_typeof(n.value) = 'string' and length(n.value #>> '{}') > 15
                      and t.status ->> n.key = n.value #>> '{}' then t.status -> n.key
                     else n.value end), '{}')
              from jsonb_each(i.status) as n) end)"#,
    );
    assert_assigns(
        "status if set",
        r"(case when i.status is null or i.status = t.status then t.status
      when i.status - 'phase' = '{}'
      then (case when jsonb_typeof(t.status) = 'object' then t.status else '{}' end) || i.status
      else (case when t.status -> 'phase' is null then '{}'
                 else jsonb_set('{}', '{phase}', t.status -> 'phase') end)
        || (select coalesce(jsonb_object_agg(n.key, case
                     when t.status -> n.key = n.value then t.status -> n.key
                     when jsonb_typeof(n.value) = 'string' and length(n.value #>> '{}') > 15
                      and t.status ->> n.key = n.value #>> '{}' then t.status -> n.key
                     else n.value end), '{}')
              from jsonb_each(i.status) as n) end)",
    );
}

#[test]
fn details_are_replaced_beside_the_stored_phase() {
    assert_assigns(
        "status.details",
        r"(          (case when t.status -> 'phase' is null then '{}'
                 else jsonb_set('{}', '{phase}', t.status -> 'phase') end)
        || (select coalesce(jsonb_object_agg(n.key, case
                     when t.status -> n.key = n.value then t.status -> n.key
                     when jsonb_typeof(n.value) = 'string' and length(n.value #>> '{}') > 15
                      and t.status ->> n.key = n.value #>> '{}' then t.status -> n.key
                     else n.value end), '{}')
              from jsonb_each(i.status) as n
             where n.key <> 'phase'))",
    );
    assert_assigns(
        "status.details.note",
        r"(((case when jsonb_typeof(t.status) = 'object' then t.status else '{}' end) - array['note']::text[])
 || (select coalesce(jsonb_object_agg(n.key, case
              when t.status -> n.key = n.value then t.status -> n.key
              when jsonb_typeof(n.value) = 'string' and length(n.value #>> '{}') > 15
               and t.status ->> n.key = n.value #>> '{}' then t.status -> n.key
              else n.value end), '{}')
       from jsonb_each(i.status) as n
      where n.key in ('note')))",
    );
}

#[test]
fn a_map_is_replaced_as_a_whole_or_by_keys() {
    assert_assigns(
        "labels",
        r#"(case when i.labels = t.labels then t.labels
      else (select coalesce(jsonb_object_agg(n.key, case
                     when t.labels ->> n.key = n.value #>> '{}' then t.labels -> n.key
                     when t.labels -> n.key = 'null' and n.value = '"null"' then 'null'
                     else n.value end), '{}')
              from jsonb_each(i.labels) as n) end)"#,
    );
    assert_assigns(
        "labels if set",
        r#"(case when i.labels is null or i.labels = t.labels then t.labels
      else (select coalesce(jsonb_object_agg(n.key, case
                     when t.labels ->> n.key = n.value #>> '{}' then t.labels -> n.key
                     when t.labels -> n.key = 'null' and n.value = '"null"' then 'null'
                     else n.value end), '{}')
              from jsonb_each(i.labels) as n) end)"#,
    );
    assert_assigns(
        "labels.season",
        r#"(((case when jsonb_typeof(t.labels) = 'object' then t.labels else '{}' end) - array['season']::text[])
 || (select coalesce(jsonb_object_agg(n.key, case
              when t.labels ->> n.key = n.value #>> '{}' then t.labels -> n.key
              when t.labels -> n.key = 'null' and n.value = '"null"' then 'null'
              else n.value end), '{}')
       from jsonb_each(i.labels) as n
      where n.key in ('season')))"#,
    );
}

#[test]
fn what_is_one_value_is_assigned_as_that() {
    for (path, expected) in [
        ("name", "coalesce(i.name, case when t.name = '' then '' end)"),
        ("name if set", "coalesce(i.name, t.name)"),
        ("unit", "coalesce(i.unit, '')"),
        ("side", "i.side"),
        ("side if set", "coalesce(i.side, t.side)"),
        (
            "other_side",
            "coalesce(i.other_side, \
             case when t.other_side <> all (array['left', 'right', 'behind']::text[]) then t.other_side end)",
        ),
        ("active if set", "coalesce(i.active, t.active)"),
        ("active", "coalesce(i.active, false)"),
        ("ratio", "coalesce(i.ratio, 0)"),
        ("ratio if set", "coalesce(i.ratio, t.ratio)"),
        ("count", "coalesce(i.count, 0)"),
        ("count if set", "coalesce(i.count, t.count)"),
        ("place", "i.place"),
        ("place if set", "coalesce(i.place, t.place)"),
        ("line", "coalesce(i.line, t.line)"),
        ("due_ts", "i.due_ts"),
        ("due_ts if set", "coalesce(i.due_ts, t.due_ts)"),
    ] {
        assert_assigns(path, expected);
    }
    // The digits of a decimal count; a time of measurement that is unset is no change.
    let assignment = |value: &str, differs: &str| Assignment { value: value.to_owned(), differs: differs.to_owned() };
    let kept = "i.price is not null and i.price is distinct from t.price::text";
    assert_eq!(assigned("price if set"), assignment("coalesce(i.price::numeric, t.price)", kept));
    let differs = "coalesce(i.price, '0') is distinct from t.price::text";
    assert_eq!(assigned("price"), assignment("coalesce(i.price, '0')::numeric", differs));
    assert_eq!(assigned("weight"), assignment("i.weight::numeric", "i.weight is distinct from t.weight::text"));
    let measured = "i.as_of_ts is not null and i.as_of_ts is distinct from t.as_of_ts";
    assert_eq!(assigned("as_of_ts"), assignment("coalesce(i.as_of_ts, now())", measured));
}

#[test]
fn lines_are_at_most_as_long_as_those_of_the_code() {
    let paths = ["status", "status.phase", "status.details", "status.details.note", "labels", "labels.a", "labels.a/*"];
    let more = ["body", "body.a", "lines", "name", "other_side"];
    for path in paths.iter().chain(&more) {
        for path in [(*path).to_owned(), format!("{path} if set")] {
            let Assignment { value, .. } = assigned(&path);
            let longest = value.lines().map(str::len).max();
            assert!(longest <= Some(120), "{path} {longest:?}\n{value}");
        }
    }
}
