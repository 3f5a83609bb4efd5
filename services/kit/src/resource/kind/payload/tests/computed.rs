//! Fields of a member that the service computes.

use super::*;

const SEALED: Member = Member {
    field: "sealed",
    fields: &[
        ("name", &text(8)),
        ("seal_uid", &text(8).computed()),
        ("opened_ts", &timestamp().computed()),
        ("count", &integer(0, 9).computed()),
    ],
};
static PARCEL: Payload = Payload { oneof: "parcel", discriminator: "kind", members: &[SEALED] };

fn resource() -> Resource {
    static ALL: [Member; 1] = [SEALED];
    let members = Members { oneof: "parcel", members: vec![member(&ALL[0], 20)] };
    let mut resource = super::resource();
    resource.fields[2] = Field::of_payload("body", &PARCEL, members);
    resource
}

#[test]
fn what_is_sent_for_them_is_ignored() {
    let (mut message, mut tuple, mut violations) = (Vec::new(), Vec::new(), Vec::new());
    put_bytes(&mut message, 1, b"a");
    put_bytes(&mut message, 2, &[0xff; 99]);
    put_bytes(&mut message, 3, b"no time");
    put_number(&mut message, 4, 77);
    member(&SEALED, 20).put(&message, Reading::ALL, &mut tuple, &mut violations);
    assert_eq!(violations, []);
    assert_eq!(tuple[5..], *br#"{"sealed": {"name": "a"}}"#);
}

#[test]
fn masks_of_updates_do_not_name_them() {
    let resource = resource();
    for path in ["sealed.seal_uid", "sealed.opened_ts", "sealed.count"] {
        let refused = update_mask(&resource, Some(&mask(&[path])), "update_mask").expect_err("it is computed");
        assert_eq!(refused.description, format!("path {path:?} is output only"));
        assert!(read_mask(&resource, Some(&mask(&[path])), "read_mask").is_ok());
    }
    assert!(update_mask(&resource, Some(&mask(&["sealed.name"])), "update_mask").is_ok());
}

#[test]
fn a_mask_that_names_the_member_leaves_them() {
    let keys = KeySet::one("sealed");
    let Assignment { value, .. } = PARCEL.assign_beside("body", Change::Keys(&keys, UnsetPhase::Default), "t.kind");
    assert!(value.contains("- array['name']::text[]"), "{value}");
    let sent = "- array['seal_uid', 'opened_ts', 'count']::text[]";
    assert!(value.contains(sent), "{value}");
    // Without a mask, what a rule has set is written.
    let Assignment { value, .. } = PARCEL.assign_beside("body", Change::IfSet, "t.kind");
    assert!(!value.contains("seal_uid"), "{value}");
}
