use orrery_proto::catalog::v1::ProductMetric;
use prost::Message as _;

use super::*;
use crate::resource::Description;
use crate::resource::kind::{self, ColumnKind};
use crate::resource::tuple::Columns;
use crate::uid::UidKind;

const FIELDS: &[(&str, &dyn ColumnKind)] = &[
    ("product_uid", &kind::uid_of(UidKind { prefix: "prd_" })),
    ("name", &kind::name(63)),
    ("value", &kind::decimal(34, 18)),
    ("unit", &kind::text_not_null(32)),
    ("as_of_ts", &kind::measured_at()),
];

/// The metrics of a product, which belong to it.
fn compiled(owner: &'static [&'static str]) -> Result<Resource, String> {
    let description: &'static Description = Box::leak(Box::new(Description {
        fields: FIELDS,
        key: &["product_uid", "name"],
        owner,
        ..Description::new("orrery.catalog.v1.ProductMetric", "catalog.product_metric")
    }));
    Resource::try_compile(description, "product_metrics")
}

#[test]
fn an_owner_is_a_part_of_the_key() {
    for owner in [&[][..], &["product_uid"]] {
        assert_eq!(compiled(owner).map(drop), Ok(()), "{owner:?}");
    }
    for owner in [&["name"][..], &["product_uid", "name"], &["nonsense"], &["product_uid", "name", "unit"]] {
        let why = format!("the owner's columns {owner:?} are not the first ones of the key, and fewer");
        assert_eq!(compiled(owner).map(drop), Err(why));
    }
}

/// What a message says, and the columns of the key that are known.
fn said(message: &[u8]) -> Option<(OwnerRow, Vec<String>)> {
    let metric = compiled(&["product_uid"]).expect("a resource");
    let mut tuple = b"before".to_vec();
    let said = metric.owner_row(message, &mut tuple);
    let key = tuple.strip_prefix(b"before").expect("what was there");
    let columns = Columns::new(key).map(|column| String::from_utf8_lossy(column.unwrap_or_default()).into_owned());
    assert!(said.is_some() || key.is_empty());
    said.map(|said| (said, columns.collect()))
}

fn metric(product_uid: &str, name: &str, value: &str) -> Vec<u8> {
    let (product_uid, name, value) = (product_uid.to_owned(), name.to_owned(), value.to_owned());
    ProductMetric { product_uid, name, value, ..ProductMetric::default() }.encode_to_vec()
}

#[test]
fn what_can_be_read_of_a_key_is_known() {
    let known = |said, columns: &[&str]| Some((said, columns.iter().map(|&text| text.to_owned()).collect()));
    assert_eq!(said(&metric("prd_1", "stock", "much")), known(OwnerRow::Key, &["prd_1", "stock"]));
    // A key of any form may be stored.
    assert_eq!(said(&metric("1", "Stock?", "")), known(OwnerRow::Key, &["1", "Stock?"]));
    assert_eq!(said(&metric("prd_1", "", "")), known(OwnerRow::Nothing, &["prd_1"]));
    assert_eq!(said(&metric("prd_1", "", "7")), known(OwnerRow::UnknownKey, &["prd_1"]));
    assert_eq!(said(&metric("prd_1", "a\0b", "7")), known(OwnerRow::UnknownKey, &["prd_1"]));
    for nobody in ["", "a\0b"] {
        assert_eq!(said(&metric(nobody, "stock", "7")), None);
    }
    assert_eq!(said(b""), None);
}

#[test]
fn invalid_bytes_say_as_much_as_stands_before_them() {
    let known = |said, columns: &[&str]| Some((said, columns.iter().map(|&text| text.to_owned()).collect()));
    let broken = |product_uid: &str, name: &str| [metric(product_uid, name, ""), vec![0xff]].concat();
    assert_eq!(said(&broken("prd_1", "stock")), known(OwnerRow::Key, &["prd_1", "stock"]));
    assert_eq!(said(&broken("prd_1", "")), known(OwnerRow::UnknownKey, &["prd_1"]));
    assert_eq!(said(&broken("", "")), None);
    // The name as a number.
    assert_eq!(said(&[metric("prd_1", "", ""), vec![0x10, 7]].concat()), known(OwnerRow::UnknownKey, &["prd_1"]));
    // A field that the contract does not have.
    assert_eq!(said(&[metric("prd_1", "", ""), vec![0xf8, 0x7f, 7]].concat()), known(OwnerRow::Nothing, &["prd_1"]));
}
