//! Values that are unique besides the key.

use std::collections::HashSet;

use futures::future::join_all;
use orrery_kit::resource::Resource;
use orrery_proto::r#type::v1::{ErrorReason, WriteMode, WriteStart};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::contract::{CreateShelfRequest, Shelf, UpdateShelfRequest};
use super::descriptions::SHELF;
use super::fixture::{SHELVES, Shelves, shelf, told};
use crate::harness::{Role, refusal};
use crate::resources::skipping;
use crate::writes::stream::{assert_status, mask, write};

fn labelled(slot: i32, label: &str) -> Shelf {
    Shelf { label: label.to_owned(), ..shelf(slot) }
}

fn coded(slot: i32, zone: &str, code: &str) -> Shelf {
    Shelf { zone: zone.to_owned(), code: code.to_owned(), ..shelf(slot) }
}

async fn create(slice: &Shelves, shelf: Shelf) -> Result<Shelf, Status> {
    let request = CreateShelfRequest { shelf: Some(shelf), ..Default::default() };
    Ok(slice.client().create_shelf(request).await?.into_inner())
}

async fn update(slice: &Shelves, shelf: Shelf, paths: &[&str]) -> Result<Shelf, Status> {
    let update_mask = (!paths.is_empty()).then(|| mask(paths));
    let request = UpdateShelfRequest { shelf: Some(shelf), update_mask, ..Default::default() };
    Ok(slice.client().update_shelf(request).await?.into_inner())
}

/// Asserts that a call was refused because the shelf in `slot` already has the value.
#[track_caller]
fn assert_taken(answer: Result<Shelf, Status>, field: &str, slot: i32) {
    let status = answer.unwrap_err();
    let told = refusal(&status);
    assert_eq!((told.code, told.reason.as_str()), (Code::AlreadyExists, "RESOURCE_EXISTS"), "{status:?}");
    assert_eq!(told.fields, [format!("shelf.{field}")]);
    let holder = status.get_details_resource_info().unwrap();
    assert_eq!(holder.resource_type, "orrery.test.v1.Shelf");
    assert_eq!(holder.resource_name, format!("north/a/{slot}"));
}

#[tokio::test]
async fn a_single_write_that_takes_anothers_value_names_the_field_and_the_holder() {
    let slice = Shelves::new().await;
    create(&slice, labelled(-1, "Bolts")).await.unwrap();
    assert_taken(create(&slice, labelled(2, "BOLTS")).await, "label", -1);
    create(&slice, labelled(2, "Nuts")).await.unwrap();
    assert_taken(update(&slice, labelled(2, "bolts"), &["label"]).await, "label", -1);
    assert_taken(update(&slice, labelled(2, "bolts"), &[]).await, "label", -1);
    // A row may change the letter case of its own value, and fields outside the mask are not checked.
    update(&slice, labelled(-1, "BOLTS"), &["label"]).await.unwrap();
    update(&slice, Shelf { note: "x".to_owned(), ..labelled(2, "bolts") }, &["note"]).await.unwrap();
    // Any number of rows may have no value.
    create(&slice, shelf(3)).await.unwrap();
    create(&slice, shelf(4)).await.unwrap();
    // A value that was given up is free.
    update(&slice, labelled(-1, ""), &["label"]).await.unwrap();
    update(&slice, labelled(2, "bolts"), &["label"]).await.unwrap();
}

#[tokio::test]
async fn of_two_columns_one_alone_may_change_and_meet_what_is_stored_in_the_other() {
    let slice = Shelves::new().await;
    for (slot, zone, code) in [(-1, "a", "1"), (2, "a", "2"), (3, "b", "1")] {
        create(&slice, coded(slot, zone, code)).await.unwrap();
    }
    assert_taken(create(&slice, coded(9, "b", "1")).await, "code", 3);
    // The zone keeps its stored value if the mask leaves it out or it is not sent.
    assert_taken(update(&slice, coded(2, "b", "1"), &["code"]).await, "code", -1);
    assert_taken(update(&slice, coded(2, "", "1"), &[]).await, "code", -1);
    assert_taken(update(&slice, coded(3, "a", ""), &["zone"]).await, "code", -1);
    let cleared = update(&slice, coded(2, "", "1"), &["zone", "code"]).await.unwrap();
    assert_eq!((cleared.zone.as_str(), cleared.code.as_str()), ("", "1"));
    let (totals, _) = write(
        slice.channel(),
        SHELVES,
        WriteStart { update_mask: Some(mask(&["code"])), ..skipping(WriteMode::Upsert) },
        &[coded(3, "a", "2"), coded(5, "a", "1"), coded(6, "a", "2")],
    )
    .await;
    // The zone of the stored one is b, whatever is sent.
    assert_eq!(told(&totals.errors), [(1, "ERROR_REASON_RESOURCE_EXISTS", "code")]);
    assert_eq!(totals.counts(), [1, 1, 0, 1, 0]);
}

#[tokio::test]
async fn in_a_chunk_a_value_that_is_taken_costs_its_row() {
    let slice = Shelves::new().await;
    create(&slice, labelled(-1, "Bolts")).await.unwrap();
    let rows = [labelled(7, "nuts"), labelled(5, "bolts"), labelled(1, "NUTS"), labelled(3, "nails"), shelf(4)];
    let (totals, end) = write(slice.channel(), SHELVES, WriteStart::default(), &rows).await;
    assert_status(&end.unwrap_err(), Code::InvalidArgument, "ROW_REJECTED");
    let exists = "ERROR_REASON_RESOURCE_EXISTS";
    assert_eq!(told(&totals.errors), [(1, exists, "label"), (2, exists, "label")]);
    assert_eq!(slice.count("shelf").await, 1);
    for mode in [WriteMode::Create, WriteMode::Upsert] {
        let (totals, end) = write(slice.channel(), SHELVES, skipping(mode), &rows).await;
        end.unwrap();
        // If two rows of a chunk have the same value, the one sent first stays, although its key is larger.
        assert_eq!(told(&totals.errors)[..2], [(1, exists, "label"), (2, exists, "label")][..]);
        assert!(totals.errors[0].message.contains("north/a/-1"), "{:?}", totals.errors[0]);
        assert!(totals.errors[1].message.contains("north/a/7"), "{:?}", totals.errors[1]);
        assert_eq!(slice.value("select label from warehouse.shelf where slot = 7").await.unwrap(), "nuts");
        sqlx::raw_sql("delete from warehouse.shelf where slot > 0").execute(&slice.pool).await.unwrap();
    }
}

#[tokio::test]
async fn a_row_that_is_refused_takes_nothing_from_those_behind_it() {
    let slice = Shelves::new().await;
    create(&slice, coded(-1, "a", "1")).await.unwrap();
    let rows = [Shelf { label: "bolts".to_owned(), ..coded(5, "a", "1") }, labelled(6, "bolts")];
    let (totals, end) = write(slice.channel(), SHELVES, skipping(WriteMode::Upsert), &rows).await;
    end.unwrap();
    assert_eq!(told(&totals.errors), [(0, "ERROR_REASON_RESOURCE_EXISTS", "code")]);
    assert_eq!(totals.created, 1);
}

#[tokio::test]
async fn of_32_creates_of_one_name_exactly_one_wins() {
    let slice = Shelves::new().await;
    let answers = join_all((1..=32).map(|slot| create(&slice, labelled(slot, "Bolts")))).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    let [Ok(winner)] = won.as_slice() else { panic!("{} have won", won.len()) };
    assert_eq!(lost.len(), 31);
    for answer in lost {
        assert_taken(answer, "label", winner.slot);
    }
    assert_eq!(slice.count("shelf").await, 1);
}

#[tokio::test]
async fn of_32_streams_with_one_name_each_loses_a_row_at_most() {
    let slice = Shelves::new().await;
    let writes = (0..32).map(|writer| {
        let slice = &slice;
        async move {
            let mut rows: Vec<Shelf> =
                (0..100).map(|n| labelled(writer * 100 + n, &format!("l-{writer}-{n}"))).collect();
            rows[50].label = if writer % 2 == 0 { "Bolts" } else { "bolts" }.to_owned();
            let (totals, end) = write(slice.separate_channel(), SHELVES, skipping(WriteMode::Upsert), &rows).await;
            end.unwrap();
            (writer, totals)
        }
    });
    let mut winners = HashSet::new();
    for (writer, totals) in join_all(writes).await {
        assert_eq!(totals.created + totals.rejected, 100, "{totals:?}");
        match totals.errors.as_slice() {
            [] => drop(winners.insert(writer)),
            [error] => {
                assert_eq!((error.offset, error.reason()), (50, ErrorReason::ResourceExists));
                assert_eq!(error.field, "label");
                assert!(error.message.contains("north/a/"), "{error:?}");
            }
            errors => panic!("{errors:?}"),
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(slice.count("shelf").await, 3_200 - 31);
}

/// A resource, its children and its dependents.
fn family(resource: &'static Resource, found: &mut Vec<&'static Resource>) {
    found.push(resource);
    let dependents = resource.description.dependents.iter().map(|dependent| -> &'static Resource { dependent });
    resource.child_tables.iter().map(|table| table.resource).chain(dependents).for_each(|other| family(other, found));
}

#[tokio::test]
async fn every_unique_key_has_its_index_and_every_key_is_the_tables() {
    let slice = Shelves::new().await;
    let mut operator = slice.database.connect(Role::Operator).await;
    let mut resources = Vec::new();
    family(&orrery_catalog::store::product::PRODUCT, &mut resources);
    family(&orrery_orders::store::order::ORDER, &mut resources);
    family(&orrery_records::store::tag::TAG, &mut resources);
    family(&orrery_records::store::tag_group::TAG_GROUP, &mut resources);
    family(&orrery_records::store::artifact::ARTIFACT, &mut resources);
    family(&orrery_records::store::product_link::PRODUCT_LINK, &mut resources);
    family(&orrery_records::store::macrodata_catalog::MACRODATA_CATALOG, &mut resources);
    family(&SHELF, &mut resources);
    let mut unique_keys = 0;
    for resource in resources {
        let description = resource.description;
        let primary = description.key.to_vec();
        let schema = description.table.split('.').next().unwrap();
        let declared =
            description.unique.iter().map(|unique| (format!("{schema}.{}", unique.index), unique.expressions));
        unique_keys += description.unique.len();
        let indexes: Vec<(String, bool, Vec<String>)> = sqlx::query_as(
            "select indexrelid::regclass::text, indisprimary, \
                    array(select replace(pg_get_indexdef(indexrelid, n, true), '\"', '') from generate_series(1, indnkeyatts) n) \
               from pg_index \
              where indrelid = $1::regclass and indisunique and indisvalid and indimmediate and indpred is null",
        )
        .bind(description.table)
        .fetch_all(&mut operator)
        .await
        .unwrap();
        // Postgres writes key words in capitals, breaks lines and names the types of constants.
        let plain = |expression: &str| {
            let words: Vec<&str> = expression.split_ascii_whitespace().collect();
            let plain = words.join(" ").to_lowercase().replace("::text", "").replace(" else null end", " end");
            plain
                .strip_prefix("( case")
                .and_then(|rest| rest.strip_suffix(')'))
                .map(|rest| format!("case{rest}"))
                .unwrap_or(plain)
        };
        let has = |name: Option<&str>, columns: &[&str]| {
            let named = |index: &str| name.is_none_or(|name| name == index || name.ends_with(&format!(".{index}")));
            indexes.iter().any(|(index, is_primary, of)| {
                let is_same =
                    of.iter().map(|expression| plain(expression)).eq(columns.iter().map(|column| plain(column)));
                named(index) && is_same && (name.is_some() || *is_primary)
            })
        };
        assert!(has(None, &primary), "{}: {indexes:?} has no primary key {primary:?}", description.table);
        for (index, expressions) in declared {
            assert!(
                has(Some(&index), expressions),
                "{}: {indexes:?} has no {index} {expressions:?}",
                description.table
            );
        }
    }
    assert!(unique_keys >= 8);
}
