use super::*;
use crate::resource::kind::{self, ColumnKind};
use crate::resource::{Description, Field};

static DESCRIPTION: Description = Description {
    key: &["owner", "uid"],
    natural_order: &["owner", "number", "uid"],
    orders: &[
        DeclaredOrder { index: "line_create_ts_idx", columns: &[SortColumn::plain("create_ts")] },
        DeclaredOrder {
            index: "line_uid_sum_idx",
            columns: &[SortColumn::plain("uid"), SortColumn::indexed_as("sum", "coalesce(sum, 0)")],
        },
    ],
    ..Description::new("test.Line", "test.line")
};

fn resource() -> Resource {
    static TEXT: kind::TextKind<kind::Free> = kind::text(100);
    static INTEGER: kind::IntegerKind = kind::integer(1, 9).optional();
    static DECIMAL: kind::Decimals = kind::decimal(9, 9);
    static CREATED: kind::TimestampKind = kind::created_at();
    let field = |name, number, kind: &'static dyn ColumnKind| {
        let mut field = Field::new(name, number, kind);
        field.key = number < 3;
        field
    };
    Resource {
        description: &DESCRIPTION,
        fields: vec![
            field("owner", 1, &TEXT),
            field("uid", 2, &TEXT),
            field("number", 3, &INTEGER),
            field("sum", 4, &DECIMAL),
            field("create_ts", 5, &CREATED),
        ],
        child_tables: Vec::new(),
        plural: "lines",
        rules: crate::resource::rules::no_rules(),
    }
}

fn place(number: &[u8]) -> Vec<Vec<u8>> {
    vec![b"o'1".to_vec(), number.to_vec(), b"l".to_vec()]
}

#[test]
fn the_natural_order_is_the_descriptions() {
    let (order, resource) = (Order::NATURAL, resource());
    assert_eq!(order.order_by(&resource), "t.owner, t.number, t.uid");
    let position = order.position(&resource, place(&(-7_i32).to_be_bytes())).expect("a position");
    assert_eq!(order.after(&resource, &position), "(t.owner, t.number, t.uid) > ('o''1', -7, 'l')");
    assert_eq!(order.up_to(&resource, &position), "(t.owner, t.number, t.uid) <= ('o''1', -7, 'l')");
    assert!(position.values().eq(place(&(-7_i32).to_be_bytes())));
}

#[test]
fn another_order_ends_in_what_it_has_not_of_the_key() {
    let resource = resource();
    for (text, order_by) in [
        ("create_ts desc", "t.create_ts desc, t.owner desc, t.uid desc"),
        ("uid", "t.uid, coalesce(sum, 0), t.owner"),
        (" uid  asc ,sum ", "t.uid, coalesce(sum, 0), t.owner"),
        ("uid desc,sum desc,\towner desc", "t.uid desc, coalesce(sum, 0) desc, t.owner desc"),
        ("owner desc, number desc", "t.owner desc, t.number desc, t.uid desc"),
        (" ", "t.owner, t.number, t.uid"),
    ] {
        let order = Order::parse(&resource, text).expect(text);
        assert_eq!(order.order_by(&resource), order_by, "{text}");
    }
}

#[test]
fn an_order_that_no_index_has_is_refused_with_those_that_there_are() {
    let resource = resource();
    for (text, why) in [
        ("sum", "names no order of this resource"),
        ("number", "names no order of this resource"),
        ("create_ts, uid", "names no order of this resource"),
        ("create_ts, owner, uid, number", "names no order of this resource"),
        ("create_ts, create_ts", "names no order of this resource"),
        ("t.uid", "names no order of this resource"),
        ("UID", "names no order of this resource"),
        ("coalesce(sum, 0)", "names no order of this resource"),
        ("uid DESC", "has another word than \"asc\" or \"desc\" after a column"),
        ("uid asc desc", "has another word than \"asc\" or \"desc\" after a column"),
        ("uid,", "has no column before or after a comma"),
        (",", "has no column before or after a comma"),
        ("uid desc, sum", "has two directions; \"asc\" is meant where none is named"),
        ("uid asc, sum desc", "has two directions; \"asc\" is meant where none is named"),
    ] {
        let violation = Order::parse(&resource, text).expect_err(text);
        assert_eq!(violation.field, "order_by");
        let possible = "possible are \"owner, number, uid\", \"create_ts, owner, uid\", \"uid, sum, owner\", \
                        or the first columns of one of them, all ascending or each followed by \"desc\"";
        assert_eq!(violation.description, format!("{why}; {possible}"), "{text}");
    }
}

#[test]
fn tokens_are_bound_to_what_an_order_sorts_by() {
    let resource = resource();
    let canonical = |text: &str| Order::parse(&resource, text).expect("an order").canonical();
    // Tokens of earlier versions stay good: these two are what they are bound to.
    assert_eq!((canonical(""), canonical("create_ts")), (" asc".to_owned(), "create_ts asc".to_owned()));
    assert_eq!(canonical("uid"), "uid,sum=coalesce(sum, 0) asc");
    assert_eq!(canonical("uid"), canonical("uid asc, sum asc, owner"));
    assert_ne!(canonical("uid"), canonical("uid desc"));
    assert_ne!(canonical("owner"), canonical("uid"));
}

#[test]
fn what_is_no_place_is_none() {
    let resource = resource();
    for number in [&b""[..], b"abc", b"abcdefghi"] {
        assert_eq!(Order::NATURAL.position(&resource, place(number)), None);
    }
    assert_eq!(Order::NATURAL.position(&resource, place(&[0; 4])[..2].to_vec()), None);
    assert_eq!(Order::NATURAL.position(&resource, [place(&[0; 4]), place(&[0; 4])].concat()), None);
    // A null, and a tuple that ends too early.
    let of = |tuple: &[u8]| Order::NATURAL.position_of(&resource, tuple);
    let (owner, number, uid) = (b"\0\0\0\x01o", b"\0\0\0\x04\0\0\0\x05", b"\0\0\0\x01l");
    let whole = [&owner[..], number, uid].concat();
    assert_eq!(of(&[&whole[..], b"\0\0\0\0"].concat()).expect("a place"), of(&whole).expect("a place"));
    assert!(matches!(of(&[&owner[..], &[0xff; 4], uid].concat()), Err(Error::Internal(_))));
    assert!(matches!(of(&[&owner[..], number].concat()), Err(Error::Internal(_))));
}

/// What an order selects beside the key, with its value, and where each of its columns then comes from.
struct Beside {
    order: &'static str,
    sql: &'static str,
    value: Vec<u8>,
    whole: Vec<Vec<u8>>,
}

#[test]
fn a_position_is_found_by_the_key_and_what_is_selected_beside_it() {
    let resource = resource();
    let tuple = |values: &[Vec<u8>]| {
        let mut tuple = Vec::new();
        for value in values {
            crate::resource::tuple::put_prefixed(&mut tuple, value);
        }
        tuple
    };
    let (owner, uid) = (b"o".to_vec(), b"u".to_vec());
    let (number, time, sum) = (7_i32.to_be_bytes().to_vec(), 9_i64.to_be_bytes().to_vec(), vec![0; 8]);
    let key = tuple(&[owner.clone(), uid.clone()]);
    for Beside { order, sql, value, whole } in [
        Beside { order: "", sql: ", t.number", value: number.clone(), whole: vec![owner.clone(), number, uid.clone()] },
        Beside {
            order: "create_ts desc",
            sql: ", t.create_ts",
            value: time.clone(),
            whole: vec![time, owner.clone(), uid.clone()],
        },
        Beside { order: "uid", sql: ", coalesce(sum, 0)", value: sum.clone(), whole: vec![uid, sum, owner] },
    ] {
        let by = Order::parse(&resource, order).expect(order);
        assert_eq!(by.columns_beside_key(&resource), sql);
        let position = by.position_of_row(&resource, &key, &tuple(&[value])).expect(order);
        assert_eq!(Some(&position), by.position_of(&resource, &tuple(&whole)).ok().as_ref(), "{order}");
        // A column that is null has no position.
        assert!(by.position_of_row(&resource, &key, &(-1_i32).to_be_bytes()).is_err(), "{order}");
    }
}
