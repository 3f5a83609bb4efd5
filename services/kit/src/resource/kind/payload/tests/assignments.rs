//! What an update assigns, and what a mask selects, as text that a reader can check.

use super::*;

/// The new kind if the mask names it, and if it does not.
const SENT: &str = "i.kind";
const STORED: &str = "t.kind";

#[track_caller]
fn assert_assigns(change: Change<'_>, new_kind: &str, expected: &str) {
    let Assignment { value, differs } = SHAPE.assign_beside("body", change, new_kind);
    assert_eq!(value, expected, "\n{value}\n");
    assert_eq!(differs, format!("{value} is distinct from t.body"));
}

fn keys(names: &[&str]) -> KeySet {
    KeySet { names: names.iter().map(|&name| name.to_owned()).collect(), beginnings: Vec::new() }
}

#[test]
fn what_is_set_is_put_into_the_stored_object() {
    assert_assigns(
        Change::IfSet,
        STORED,
        r"(case when jsonb_typeof(t.body) <> 'object'
       and coalesce(i.body -> t.kind, '{}') = '{}' then t.body
      when i.body -> t.kind is not null
      then (case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
        || (i.body -> t.kind)
      else t.body end)",
    );
}

#[test]
fn another_kind_removes_the_keys_of_all_members() {
    assert_assigns(
        Change::IfSet,
        "coalesce(i.kind, t.kind)",
        r"(case when jsonb_typeof(t.body) <> 'object'
       and coalesce(i.body -> coalesce(i.kind, t.kind), '{}') = '{}' then t.body
      when i.body -> coalesce(i.kind, t.kind) is not null and t.kind = coalesce(i.kind, t.kind)
      then (case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
        || (i.body -> coalesce(i.kind, t.kind))
      when i.body -> coalesce(i.kind, t.kind) is not null
      then ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
            - array['digest', 'drawn_ts', 'extra', 'filled',
                    'name', 'points', 'radius', 'ratio',
                    'side', 'sides', 'tags', 'width']::text[])
        || (i.body -> coalesce(i.kind, t.kind))
      else t.body end)",
    );
}

#[test]
fn a_member_that_a_mask_names_is_replaced() {
    assert_assigns(
        Change::Keys(&keys(&["square", "point"]), UnsetPhase::Default),
        STORED,
        r"(case when jsonb_typeof(t.body) <> 'object'
       and coalesce(i.body -> t.kind, '{}') = '{}' then t.body
      when t.kind = 'square' and (i.body is null or i.body ? 'square')
      then ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
            - array['width', 'name']::text[])
        || coalesce(i.body -> 'square', '{}')
      when t.kind = 'point' and (i.body is null or i.body ? 'point')
      then ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
            - array[]::text[])
        || coalesce(i.body -> 'point', '{}')
      else t.body end)",
    );
}

#[test]
fn fields_that_a_mask_names_are_replaced_where_the_member_was_sent() {
    assert_assigns(
        Change::Keys(&keys(&["square.width"]), UnsetPhase::Kept),
        SENT,
        r"(case when jsonb_typeof(t.body) <> 'object'
       and coalesce(i.body -> i.kind, '{}') = '{}' then t.body
      when i.kind = 'square' and i.body ? 'square'
      then (case when t.kind = 'square'
                 then ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                       - array['width']::text[])
                 else ((case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end)
                       - array['digest', 'drawn_ts', 'extra', 'filled',
                               'name', 'points', 'radius', 'ratio',
                               'side', 'sides', 'tags', 'width']::text[]) end)
        || (coalesce(i.body -> 'square', '{}')
            - array['name']::text[])
      else t.body end)",
    );
}

#[test]
fn a_mask_selects_members_and_keys() {
    let part = |names: &[&str]| SHAPE.select_part("t.body", &Reach::Keys(keys(names)));
    assert_eq!(SHAPE.select("t.body"), "jsonb_set('{}', array[coalesce(t.kind, '')], t.body)");
    let whole = "(case when t.kind in ('square', 'point') then jsonb_set('{}', array[t.kind], t.body) end)";
    assert_eq!(part(&["square", "point", "square.name"]).as_deref(), Some(whole));
    assert_eq!(SHAPE.select_part("t.body", &Reach::Whole), None);
    let keys = "(case when t.kind in ('circle', 'square') then jsonb_set('{}', array[t.kind], \
                  (select coalesce(jsonb_object_agg(e.key, e.value), '{}') \
                     from jsonb_each(case when jsonb_typeof(t.body) = 'object' then t.body else '{}' end) as e \
                    where t.kind = 'circle' and e.key in ('name', 'side') or t.kind = 'square')) end)";
    assert_eq!(part(&["square", "circle.side", "circle.name"]).as_deref(), Some(keys));
}

#[test]
fn lines_are_at_most_as_long_as_those_of_the_code() {
    let every = SHAPE.every_member();
    let some = keys(&["circle.name", "square.width"]);
    for new_kind in [STORED, SENT, "coalesce(i.kind, t.kind)"] {
        let masked = [&every, &some].map(|keys| Change::Keys(keys, UnsetPhase::Default));
        for change in masked.into_iter().chain([Change::IfSet, Change::Whole]) {
            let Assignment { value, .. } = SHAPE.assign_beside("body", change, new_kind);
            let longest = value.lines().map(str::len).max();
            assert!(longest <= Some(110), "{longest:?}\n{value}");
        }
    }
}
