//! Which children are kept.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::resource::select::Selection;
use crate::resource::{Description, Field, Resource, kind};

static TEXT: kind::TextKind<kind::Free> = kind::text(100);

static CHILD: LazyLock<Resource> = LazyLock::new(|| {
    static DESCRIPTION: Description =
        Description { key: &["owner", "name"], ..Description::new("test.Child", "test.child") };
    let field = |name, number| {
        let mut field = Field::new(name, number, &TEXT);
        field.key = true;
        field
    };
    Resource {
        description: &DESCRIPTION,
        fields: vec![field("owner", 1), field("name", 2)],
        child_tables: Vec::new(),
        plural: "children",
        rules: crate::resource::rules::no_rules(),
    }
});

static OWNER: LazyLock<Resource> = LazyLock::new(|| {
    static DESCRIPTION: Description = Description::new("test.Owner", "test.owner");
    let mut uid = Field::new("uid", 1, &TEXT);
    uid.key = true;
    let rules = crate::resource::rules::no_rules();
    Resource { description: &DESCRIPTION, fields: vec![uid], child_tables: Vec::new(), plural: "owners", rules }
});

/// Sizes of an owner and of its children's names.
type Owner = (usize, Vec<usize>);

fn table() -> SelectedChildren {
    SelectedChildren { number: 5, resource: &CHILD, owner_columns: 1, selection: Selection::whole(&CHILD) }
}

fn tuple(values: &[&str]) -> Vec<u8> {
    let values = values.iter().map(|value| [&(value.len() as i32).to_be_bytes()[..], value.as_bytes()].concat());
    values.collect::<Vec<_>>().concat()
}

fn uid(rank: usize) -> String {
    format!("owner{rank:03}")
}

fn pending(owners: &[Owner], budget: ReadBudget, in_order: bool) -> PendingOwners {
    PendingOwners {
        resource: &OWNER,
        keys: (0..owners.len()).map(|rank| tuple(&[&uid(rank)])).collect(),
        sizes: owners.iter().map(|(size, _)| *size).collect(),
        in_order,
        budget,
        first_bytes: 0,
    }
}

/// The rows of all owners, in order.
fn rows(owners: &[Owner]) -> Vec<Vec<u8>> {
    let of = |(rank, (_, children)): (usize, &Owner)| {
        let row = move |&size: &usize| tuple(&[&uid(rank), &"x".repeat(size)]);
        children.iter().map(row).collect::<Vec<_>>()
    };
    owners.iter().enumerate().flat_map(of).collect()
}

/// What one owner's children are within its message.
fn fields(rank: usize, owner: &Owner) -> Vec<u8> {
    let (table, mut out) = (table(), Vec::new());
    for &size in &owner.1 {
        let tuple = tuple(&[&uid(rank), &"x".repeat(size)]);
        table.selection.put_field(table.number, &tuple, &mut Vec::new(), &mut out);
    }
    out
}

/// How many owners fit, the first one perhaps however large it is.
fn fitting(owners: &[Owner], budget: ReadBudget) -> usize {
    let mut used = 0;
    for (rank, owner) in owners.iter().enumerate() {
        used += owner.0 + fields(rank, owner).len();
        if used > budget.bytes && !(rank == 0 && budget.first_anyway) {
            return rank;
        }
    }
    owners.len()
}

fn owners(least: usize) -> impl Strategy<Value = Vec<Owner>> {
    proptest::collection::vec((1..40_usize, proptest::collection::vec(1..40_usize, 0..5)), least..7)
}

proptest! {
    #[test]
    fn the_first_owners_that_fit_are_taken_whole(
        owners in owners(1), extra in 0..400_usize, first_anyway: bool, surplus in 0..200_usize
    ) {
        let bytes = owners.iter().map(|owner| owner.0).sum::<usize>() + extra;
        let budget = ReadBudget { bytes, first_anyway, surplus, cut_off: true, rows: usize::MAX };
        let (pending, table) = (pending(&owners, budget, true), table());
        let mut collector = ChildCollector::new(&pending, &table, usize::MAX);
        let taken = fitting(&owners, budget);
        let mut broken = false;
        for row in rows(&owners) {
            if collector.take(&row).unwrap().is_break() {
                broken = true;
                break;
            }
        }
        // What is let go by begins with the row that was too much, which may be in the middle of its owner.
        let past: usize = rows(&owners[taken..]).iter().map(Vec::len).sum();
        prop_assert!(!broken || past > surplus);
        let (children, _) = collector.finish().unwrap();
        prop_assert_eq!(children.owners(), taken);
        for (rank, owner) in owners[..taken].iter().enumerate() {
            prop_assert_eq!(children.of(rank), &fields(rank, owner)[..]);
        }
    }

    #[test]
    fn owners_in_another_order_are_taken_all_or_not_at_all(owners in owners(2), bytes in 0..400_usize, surplus in 0..200_usize) {
        let budget = ReadBudget { bytes, first_anyway: true, surplus, cut_off: true, rows: usize::MAX };
        let (pending, table) = (pending(&owners, budget, false), table());
        let mut collector = ChildCollector::new(&pending, &table, usize::MAX);
        for row in rows(&owners) {
            if collector.take(&row).unwrap().is_break() {
                break;
            }
        }
        let all: usize = owners.iter().enumerate().map(|(rank, owner)| owner.0 + fields(rank, owner).len()).sum();
        match collector.finish() {
            Ok((children, _)) => prop_assert_eq!(children.owners(), owners.len()),
            Err(fewer) => {
                prop_assert!(all > bytes + surplus);
                prop_assert!((1..=owners.len() / 2).contains(&fewer), "{fewer} of {}", owners.len());
            }
        }
    }
}

#[test]
fn an_owner_whose_rows_may_be_incomplete_is_given_up() {
    let owners = [(10, vec![5, 5]), (10, vec![5]), (10, vec![])];
    let budget = ReadBudget { bytes: 1_000, first_anyway: true, surplus: 0, cut_off: true, rows: usize::MAX };
    let (pending, table) = (pending(&owners, budget, true), table());
    let mut collector = ChildCollector::new(&pending, &table, usize::MAX);
    for row in rows(&owners) {
        assert!(collector.take(&row).unwrap().is_continue());
    }
    collector.drop_owners_from_here();
    let (children, _) = collector.finish().unwrap();
    assert_eq!(children.owners(), 1);
    assert_eq!(children.of(0), &fields(0, &owners[0])[..]);
}

#[test]
fn the_first_owner_is_tried_alone_if_its_rows_may_be_incomplete() {
    let owners = [(10, vec![5, 5]), (10, vec![])];
    let budget = ReadBudget { bytes: 1_000, first_anyway: true, surplus: 0, cut_off: true, rows: usize::MAX };
    let (pending, table) = (pending(&owners, budget, true), table());
    let mut collector = ChildCollector::new(&pending, &table, usize::MAX);
    for row in rows(&owners) {
        assert!(collector.take(&row).unwrap().is_continue());
    }
    collector.drop_owners_from_here();
    assert_eq!(collector.finish(), Err(1));
}

#[test]
fn in_another_order_no_owner_may_be_large() {
    let owners = [(10, vec![40, 40]), (10, vec![])];
    let budget = ReadBudget { bytes: 50, first_anyway: true, surplus: 10, cut_off: true, rows: usize::MAX };
    let (pending, table) = (pending(&owners, budget, false), table());
    let mut collector = ChildCollector::new(&pending, &table, usize::MAX);
    assert!(collector.take(&rows(&owners)[0]).unwrap().is_break());
    assert_eq!(collector.finish(), Err(1));
}

#[test]
fn an_owner_beyond_the_limit_of_a_result_is_named() {
    let owners = [(10, vec![40, 40])];
    let budget = ReadBudget { bytes: 1, first_anyway: true, surplus: 0, cut_off: true, rows: usize::MAX };
    let (pending, table) = (pending(&owners, budget, true), table());
    let rows = rows(&owners);
    let mut collector = ChildCollector::new(&pending, &table, rows.concat().len() - 1);
    assert!(collector.take(&rows[0]).unwrap().is_continue());
    let refused = collector.take(&rows[1]).unwrap_err();
    assert!(matches!(refused, Error::RowTooLarge { resource: "test.Owner", ref name } if *name == uid(0)));
}

#[test]
fn a_lone_owner_knows_where_its_last_row_stands() {
    let owners = [(10, vec![1, 2])];
    let budget = ReadBudget { bytes: 1, first_anyway: true, surplus: 0, cut_off: true, rows: usize::MAX };
    let (pending, table) = (pending(&owners, budget, true), table());
    let mut collector = ChildCollector::new(&pending, &table, usize::MAX);
    for row in rows(&owners) {
        assert!(collector.take(&row).unwrap().is_continue());
    }
    assert!(collector.place().unwrap().values().eq([uid(0).as_bytes(), b"xx"]));
    assert_eq!(collector.seen(), 2);
}

#[test]
fn rows_of_others_are_passed_over() {
    let owners = [(10, vec![1]), (10, vec![1, 2])];
    let budget = ReadBudget { bytes: 1_000, first_anyway: true, surplus: 0, cut_off: true, rows: usize::MAX };
    let (pending, table) = (pending(&owners, budget, true), table());
    let mut collector = ChildCollector::new(&pending, &table, usize::MAX);
    let rows = rows(&owners);
    for row in [tuple(&["owner", "x"]), rows[0].clone(), tuple(&["owner000x", "x"]), rows[1].clone(), rows[2].clone()] {
        assert!(collector.take(&row).unwrap().is_continue());
    }
    assert!(collector.take(&tuple(&["owner002", "x"])).unwrap().is_continue());
    let (children, _) = collector.finish().unwrap();
    assert_eq!(children.owners(), 2);
    assert_eq!([children.of(0), children.of(1)], [fields(0, &owners[0]), fields(1, &owners[1])]);
}
