//! Payloads in the rules of a resource and in its description, and a resource with a payload and no rules for it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use orrery_kit::resource::kind::{self, ColumnKind, Member, Payload};
use orrery_kit::resource::row::{Integer, Text, Texts};
use orrery_kit::resource::rules::Rules;
use orrery_kit::resource::{Description, Resource};
use orrery_proto::r#type::v1::WriteMode;

use super::*;
use crate::harness::assert_invalid;
use crate::resources::{in_mode, skipping};
use crate::shelves::STOCKTAKES;
use crate::shelves::contract::stocktake::Finding;
use crate::shelves::contract::{
    CreateStocktakeRequest, FILE_DESCRIPTOR_SET, GetStocktakeRequest, Stocktake, UpdateStocktakeRequest,
};
use crate::shelves::descriptions::{PALLET, SHELF_DESCRIPTION, TANK};
use crate::shelves::fixture::told;

type Resolve = fn(&Resource) -> Result<Box<dyn Rules>, String>;

#[track_caller]
fn assert_refused(description: Description, why: &str) {
    let description: &'static Description = Box::leak(Box::new(description));
    let panic = catch_unwind(AssertUnwindSafe(|| drop(Resource::compile(description, "things")))).unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(text.contains(why), "{text}");
}

#[test]
fn a_wrong_field_of_a_payload_in_rules_is_found_when_the_service_starts() {
    let cases: [(Resolve, &str); 6] = [
        (|shelf| shelf.payload("note").and(Err(String::new())), "has no payload in a column note"),
        (|shelf| shelf.payload("load").and(Err(String::new())), "has no payload in a column load"),
        (
            |shelf| shelf.payload_column::<Text>("body", "drum", "note").and(Err(String::new())),
            "orrery.test.v1.Shelf has no field drum.note",
        ),
        (
            |shelf| shelf.payload_column::<Text>("body", "tank", "note").and(Err(String::new())),
            "orrery.test.v1.Shelf has no field tank.note",
        ),
        (
            |shelf| shelf.payload_column::<Text>("body", "tank", "volume").and(Err(String::new())),
            "field tank.volume of orrery.test.v1.Shelf is no Text",
        ),
        (
            |shelf| shelf.payload_column::<Texts>("body", "pallet", "attributes").and(Err(String::new())),
            "field pallet.attributes of orrery.test.v1.Shelf is no Texts",
        ),
    ];
    for (rules, why) in cases {
        let Description { descriptors, key, fields, children, .. } = SHELF_DESCRIPTION;
        let own = Description::new(SHELF_DESCRIPTION.message, SHELF_DESCRIPTION.table);
        assert_refused(Description { rules, descriptors, key, fields, children, ..own }, why);
    }
    // What fits is resolved.
    let Description { descriptors, key, fields, children, .. } = SHELF_DESCRIPTION;
    let own = Description::new(SHELF_DESCRIPTION.message, SHELF_DESCRIPTION.table);
    let description = Box::leak(Box::new(Description { descriptors, key, fields, children, ..own }));
    let shelf = Resource::compile(description, "shelves");
    shelf.payload_column::<Integer>("body", "tank", "volume").unwrap();
}

fn leaked<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

fn kind_of(kind: impl ColumnKind + 'static) -> &'static dyn ColumnKind {
    leaked(kind)
}

type Fields = Vec<(&'static str, &'static dyn ColumnKind)>;

/// A stocktake with this payload.
fn described(payload: Payload, discriminator: &'static dyn ColumnKind) -> Description {
    let fields: Fields = vec![
        ("warehouse", kind_of(kind::name(63))),
        ("aisle", kind_of(kind::name(63))),
        ("slot", kind_of(kind::integer(-1_000, 1_000_000))),
        ("day", kind_of(kind::name(63))),
        ("quantity", kind_of(kind::integer(i32::MIN, i32::MAX))),
        ("finding", kind_of(payload)),
        ("finding_kind", discriminator),
        ("etag", kind_of(kind::etag())),
    ];
    let own = Description::new("orrery.test.v1.Stocktake", "warehouse.stocktake");
    let key = &["warehouse", "aisle", "slot", "day"];
    Description { descriptors: FILE_DESCRIPTOR_SET, key, fields: leaked(fields), ..own }
}

fn finding(members: Vec<Member>) -> Payload {
    Payload { oneof: "finding", discriminator: "finding_kind", members: leaked(members) }
}

/// A pallet, and a tank with other kinds.
fn with_tank(change: impl Fn(&mut Fields)) -> Payload {
    let mut fields = TANK.fields.to_vec();
    change(&mut fields);
    finding(vec![PALLET, Member { field: "tank", fields: leaked(fields) }])
}

#[test]
fn a_payload_that_does_not_fit_the_contract_is_found_when_the_service_starts() {
    let beside = || kind_of(kind::one_of(&["pallet", "tank"]).optional());
    let good = finding(vec![PALLET, TANK]);
    for (payload, why) in [
        (
            with_tank(|fields| fields[0].1 = kind_of(kind::text(63))),
            "field tank.liquid: the contract states [at most 64 bytes, without \"\\0\"], but ",
        ),
        (
            with_tank(|fields| fields[0].1 = kind_of(kind::integer(0, 9))),
            "the kind of field tank.liquid does not fit its type",
        ),
        (with_tank(|fields| fields.push(("depth", kind_of(kind::text(64))))), "no field tank.depth"),
        (with_tank(|fields| fields.truncate(3)), "field tank.codes has no kind"),
        (
            with_tank(|fields| fields[1].1 = kind_of(kind::integer(1, 1_000).computed())),
            "field tank.volume: the contract states",
        ),
        (finding(vec![PALLET]), "field tank is no member of the payload"),
        (finding(vec![PALLET, TANK, Member { field: "drum", ..TANK }]), "no field drum in the oneof finding"),
        (Payload { discriminator: "quantity", ..good }, "the discriminator quantity is no text column"),
        (Payload { discriminator: "colour", ..good }, "the discriminator colour is no text column"),
        (Payload { oneof: "load", ..good }, "field pallet has no kind"),
    ] {
        assert_refused(described(payload, beside()), why);
    }
    assert_eq!(Resource::compile(leaked(described(good, beside())), "stocktakes").fields.len(), 8);
}

#[test]
fn a_oneof_that_cannot_be_a_payload_is_found_when_the_service_starts() {
    let body = || Payload { oneof: "load", discriminator: "load_kind", ..finding(vec![PALLET, TANK]) };
    for (message, why) in [
        ("Scattered", "the fields of the oneof load are no neighbours"),
        ("Loaded", "the oneof load has rules, which a payload does not keep"),
        ("Weighed", "field pallet: a member of a payload has no rules in the contract"),
        ("Titled", "field tank is no message that is defined in a file"),
    ] {
        let fields: Fields = vec![
            ("warehouse", kind_of(kind::name(63))),
            ("body", kind_of(body())),
            ("load_kind", kind_of(kind::one_of(&["pallet", "tank"]).optional())),
        ];
        let own = Description::new(format!("orrery.test.v1.{message}").leak(), "warehouse.thing");
        let (descriptors, key) = (FILE_DESCRIPTOR_SET, &["warehouse"]);
        assert_refused(Description { descriptors, key, fields: leaked(fields), ..own }, why);
    }
}

#[tokio::test]
async fn rules_read_and_set_fields_of_a_payload() {
    let slice = Shelves::new().await;
    let codes = |codes: &[&str]| codes.iter().map(|&code| code.to_owned()).collect::<Vec<_>>();
    let counted = Pallet { codes: codes(&["x", "y", "z"]), code_count: 77, ..pallet("00000001") };
    let made = slice.made(holding(1, Load::Pallet(counted.clone()))).await.unwrap();
    assert_eq!(made.load, Some(Load::Pallet(Pallet { code_count: 3, ..counted.clone() })));
    let sorted = Tank { codes: codes(&["b", "c", "a"]), liquid: "H2O".to_owned(), ..tank(7) };
    let expected = Tank { codes: codes(&["a", "b", "c"]), liquid: "water".to_owned(), ..tank(7) };
    slice.written(WriteStart::default(), &[holding(2, Load::Tank(sorted))]).await;
    assert_eq!(slice.load_of(2).await, Some(Load::Tank(expected.clone())));
    let unnamed = holding(2, Load::Tank(Tank { liquid: "unnamed".to_owned(), ..tank(8) }));
    let changed = slice.changed(unnamed, &["tank.liquid", "tank.volume"]).await.unwrap();
    assert_eq!(changed.load, Some(Load::Tank(Tank { liquid: String::new(), volume: 8, ..expected })));
    // What a rule sets is written if the mask names it.
    let more = holding(1, Load::Pallet(Pallet { codes: codes(&["x"]), ..counted.clone() }));
    slice.changed(more.clone(), &["pallet.codes"]).await.unwrap();
    assert_eq!(
        slice.got(1, &["pallet.code_count"]).await.unwrap().load,
        Some(Load::Pallet(Pallet { code_count: 3, ..Pallet::default() }))
    );
    slice.changed(more, &["pallet.codes", "pallet.code_count"]).await.unwrap();
    let Some(Load::Pallet(read)) = slice.load_of(1).await else { panic!("no pallet") };
    assert_eq!((read.codes, read.code_count), (codes(&["x"]), 1));
    // The kind is completed, and must agree.
    let wrong = Shelf { load_kind: "tank".to_owned(), ..holding(3, Load::Pallet(pallet("00000003"))) };
    assert_invalid(slice.made(wrong.clone()).await, "FIELD_INVALID", "shelf.load_kind");
    let totals = slice.written(skipping(WriteMode::Upsert), &[wrong]).await;
    assert_eq!(told(&totals.errors), [(0, "ERROR_REASON_FIELD_INVALID", "load_kind")]);
    // A list of texts in a column of its own.
    let wet = Shelf { tags: codes(&["dry", "wet"]), ..shelf(4) };
    assert_invalid(slice.made(wet).await, "FIELD_INVALID", "shelf.tags[1]");
}

#[tokio::test]
async fn rules_read_fields_of_the_stored_payload() {
    let slice = Shelves::new().await;
    let note =
        |slot, hash: &str, note: &str| holding(slot, Load::Pallet(Pallet { note: note.to_owned(), ..pallet(hash) }));
    let rows = [note(1, "00000001", "frozen"), note(2, "00000002", "fresh"), holding(3, Load::Tank(tank(7)))];
    slice.written(WriteStart::default(), &rows).await;
    // A key of that name that another program stored for another member is not read.
    slice.add_keys(3, r#"{"note": "frozen"}"#).await;
    let rows = [note(1, "00000001", "fresh"), note(2, "00000002", "frozen"), holding(3, Load::Tank(tank(8)))];
    let totals = slice.written(skipping(WriteMode::Upsert), &rows).await;
    assert_eq!(told(&totals.errors), [(0, "ERROR_REASON_FIELD_INVALID", "pallet.note")]);
    assert_eq!(totals.counts(), [0, 2, 0, 1, 0]);
    let refused = slice.changed(note(2, "00000002", "fresh"), &["pallet"]).await;
    assert_invalid(refused, "FIELD_INVALID", "shelf.pallet.note");
    slice.changed(holding(3, Load::Tank(tank(9))), &["tank"]).await.unwrap();
}

fn stocktake(kind: &str, finding: Option<Finding>) -> Stocktake {
    Stocktake {
        warehouse: "north".to_owned(),
        aisle: "a".to_owned(),
        slot: 1,
        day: "monday".to_owned(),
        finding_kind: kind.to_owned(),
        finding,
        ..Stocktake::default()
    }
}

async fn update(slice: &Shelves, stocktake: Stocktake, paths: &[&str]) -> Stocktake {
    let update_mask = (!paths.is_empty()).then(|| mask(paths));
    let request = UpdateStocktakeRequest { stocktake: Some(stocktake), update_mask, ..Default::default() };
    slice.client().update_stocktake(request).await.unwrap().into_inner()
}

/// A resource without children and unique values, so that a single update is one statement.
#[tokio::test]
async fn a_payload_is_created_and_updated_in_one_statement() {
    let slice = Shelves::new().await;
    let full = Some(Finding::Pallet(full_pallet()));
    let request = CreateStocktakeRequest { stocktake: Some(stocktake("pallet", full.clone())), ..Default::default() };
    let made = slice.client().create_stocktake(request).await.unwrap().into_inner();
    assert_eq!(made.finding, full);
    let stored = "select finding from warehouse.stocktake";
    assert_eq!(slice.value(stored).await.as_deref(), Some(FULL_PALLET));
    let key = GetStocktakeRequest {
        warehouse: "north".to_owned(),
        aisle: "a".to_owned(),
        slot: 1,
        day: "monday".to_owned(),
        read_mask: None,
    };
    assert_eq!(slice.client().get_stocktake(key.clone()).await.unwrap().into_inner(), made);
    sqlx::raw_sql(r#"update warehouse.stocktake set finding = '{"a": 1.50, "fill": 0.25, "note": "x"}'"#)
        .execute(&slice.pool)
        .await
        .unwrap();
    let filled = |fill: f64| Some(Finding::Pallet(Pallet { fill, ..Pallet::default() }));
    let changed = update(&slice, stocktake("", filled(0.5)), &[]).await;
    let note = Pallet { note: "x".to_owned(), fill: 0.5, ..Pallet::default() };
    assert_eq!(changed.finding, Some(Finding::Pallet(note)));
    assert_eq!(changed, slice.client().get_stocktake(key).await.unwrap().into_inner());
    update(&slice, stocktake("", filled(0.75)), &["pallet.fill", "pallet.note"]).await;
    assert_eq!(slice.value(stored).await.as_deref(), Some(r#"{"a": 1.50, "fill": 0.75}"#));
    // Nobody compares the kind with the member: a member that is not the new kind changes nothing.
    let tank = || Some(Finding::Tank(tank(7)));
    for (kind, paths) in [("", &[][..]), ("", &["tank"]), ("tank", &["tank"]), ("pallet", &["finding_kind", "tank"])] {
        let kept = update(&slice, stocktake(kind, tank()), paths).await;
        assert_eq!((kept.finding_kind.as_str(), kept.finding), ("pallet", filled(0.75)), "{kind} {paths:?}");
    }
    let switched = update(&slice, stocktake("tank", tank()), &["finding_kind", "tank.volume"]).await;
    assert_eq!((switched.finding_kind.as_str(), switched.finding), ("tank", tank()));
    assert_eq!(slice.value(stored).await.as_deref(), Some(r#"{"a": 1.50, "volume": 7}"#));
    let rows = [stocktake("tank", tank())];
    for (mode, counts) in [(WriteMode::Upsert, [0, 0, 1, 0, 0]), (WriteMode::Update, [0, 0, 1, 0, 0])] {
        let (totals, end) = write(slice.channel(), STOCKTAKES, in_mode(mode), &rows).await;
        end.unwrap();
        assert_eq!(totals.counts(), counts);
    }
    // A masked upsert sends the kind too, but leaves the stored one.
    let rows = [stocktake("pallet", Some(Finding::Pallet(pallet("00000001"))))];
    let masked = WriteStart { update_mask: Some(mask(&["pallet"])), ..WriteStart::default() };
    let (totals, end) = write(slice.channel(), STOCKTAKES, masked, &rows).await;
    end.unwrap();
    assert_eq!(totals.counts(), [0, 0, 1, 0, 0]);
}

#[tokio::test]
async fn rows_with_a_payload_are_replaced_like_others() {
    let slice = Shelves::new().await;
    let replace = || skipping(WriteMode::Replace);
    let of_day = |day: &str, finding| Stocktake { day: day.to_owned(), ..stocktake("tank", finding) };
    let rows = ["monday", "tuesday"].map(|day| of_day(day, Some(Finding::Tank(tank(7)))));
    write(slice.channel(), STOCKTAKES, replace(), &rows).await.1.unwrap();
    sqlx::raw_sql(r#"update warehouse.stocktake set finding = finding || '{"a": 1}'"#)
        .execute(&slice.pool)
        .await
        .unwrap();
    let rows = [of_day("monday", Some(Finding::Tank(tank(8))))];
    let (totals, end) = write(slice.channel(), STOCKTAKES, replace(), &rows).await;
    end.unwrap();
    assert_eq!((totals.updated, totals.deleted), (1, 1));
    let stored = "select string_agg(finding::text, ' ') from warehouse.stocktake";
    assert_eq!(slice.value(stored).await.as_deref(), Some(r#"{"a": 1, "volume": 8}"#));
    // A row without a key says that its owner has no rows, but not if it has a payload.
    for finding in [Finding::Pallet(full_pallet()), Finding::Tank(tank(7))] {
        let row = Stocktake { finding_kind: String::new(), ..of_day("", Some(finding)) };
        let (totals, end) = write(slice.channel(), STOCKTAKES, replace(), &[row]).await;
        end.unwrap();
        assert_eq!(told(&totals.errors), [(0, "ERROR_REASON_FIELD_INVALID", "day")]);
        assert_eq!((totals.deleted, slice.count("stocktake").await), (0, 1));
    }
    let nothing = Stocktake { finding_kind: String::new(), ..of_day("", None) };
    let (totals, end) = write(slice.channel(), STOCKTAKES, replace(), &[nothing]).await;
    end.unwrap();
    assert_eq!((totals.deleted, slice.count("stocktake").await), (1, 0));
}
