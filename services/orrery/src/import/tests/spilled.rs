//! Groups that memory does not hold give what they give when it does, to the byte and in the same order.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::orders::{HEADER, MAPPING};
use super::*;
use crate::mapping::GroupMemory;
use crate::resource::ORDERS;

/// Everything that comes out of a file, as text, with so many bytes for groups.
fn items(name: &str, bytes: &[u8], mapping: &str, memory: usize, folder: &Path) -> Vec<String> {
    let mapping = Mapping::parse(Path::new("mapping.toml"), mapping).unwrap();
    let input = Input::new(name.to_owned(), Box::new(Cursor::new(bytes.to_vec())), None).unwrap();
    let mut rows = FileRows::open(&ORDERS, Path::new(name), input, None, Some(&mapping)).unwrap();
    rows.set_group_memory(GroupMemory { bytes: memory, folder: folder.to_owned() });
    let mut items = Vec::new();
    loop {
        match rows.next() {
            // A map has no order of its own.
            Ok(Some(FileItem::Row(row))) => {
                let mut order = Order::decode(row.bytes).unwrap();
                let labels = std::mem::take(&mut order.labels);
                items.push(format!("{} EncodedRow {} {order:?} {:?}", rows.records, row.line, sorted(&labels)));
            }
            Ok(Some(item)) => items.push(format!("{} {item:?}", rows.records)),
            Ok(None) => return items,
            Err(error) => {
                items.push(format!("{error:#}"));
                return items;
            }
        }
    }
}

fn assert_same(bytes: &[u8], mapping: &str, memory: usize) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let expected = items("x.csv", bytes, mapping, usize::MAX, folder.path());
    let spilled = items("x.csv", bytes, mapping, memory, folder.path());
    assert!(spilled == expected, "{memory} bytes: {spilled:#?} instead of {expected:#?}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "files are left");
    spilled
}

/// All kinds of values: each pick, keys of open paths, times, elements of rows and of records.
const ALL_KINDS: &str = r#"
[group]
by = "uid"

[fields]
uid = { column = "order", prefix = "ord_", transforms = ["upper"], same = "all" }
customer_id = { column = "who", pick = "last" }
create_ts = { column = "city", pick = "latest" }
"labels.a" = { column = "sku", pick = "first" }
"labels.tag/*" = { column = "street", split = ";", value = "true", pick = "last-non-empty" }
"status.details.city" = { column = "city" }

[[line_items]]
[line_items.fields]
sku = { column = "sku" }
quantity = { column = "count" }

[[addresses]]
each = "row"
[addresses.fields]
kind = { value = "billing" }
city = { column = "city", pick = "last-non-empty" }
"#;

#[test]
fn groups_that_do_not_fit_give_the_same_rows_in_the_same_order() {
    // Each order comes again and again, far apart, and each pass goes through them in another order.
    let mut text = HEADER.to_owned();
    for pass in 0..5_u64 {
        for place in 0..997_u64 {
            let order = place * (pass * 2 + 3) % 997;
            let (count, who) = (if (order, pass) == (5, 3) { "x".into() } else { place.to_string() }, place % 7);
            writeln!(text, "{order},w{who},s{pass},{count},20{:02}-01-01T00:00:00Z,a;b{place}", (place + pass) % 20)
                .unwrap();
        }
    }
    for mapping in [MAPPING.to_owned(), ALL_KINDS.to_owned()] {
        // From a part a run to a few runs; 997 orders of 5 lines take some 700 kB.
        for memory in [0, 5_000, 100_000, 400_000] {
            let items = assert_same(text.as_bytes(), &mapping, memory);
            assert_eq!(items.len(), 998, "996 orders, a record that was refused, and its order");
        }
    }
}

#[test]
fn a_record_that_may_be_of_any_group_costs_every_group_wherever_they_are() {
    let mut text = HEADER.to_owned();
    for place in 0..3_000 {
        match place {
            1_500 | 2_500 => text.push_str(",,a,1,,\n"),
            40 => text.push_str("40,,a,x,,\n"),
            _ => writeln!(text, "{},,a,1,,", place % 400).unwrap(),
        }
    }
    let items = assert_same(text.as_bytes(), MAPPING, 3_000);
    assert_eq!(items.iter().filter(|item| item.contains("may contain a refused record")).count(), 399);
    assert_eq!(items.iter().filter(|item| item.contains("one of its records was refused")).count(), 1);
    assert_eq!(items.iter().filter(|item| item.contains(" EncodedRow ")).count(), 0);
}

#[test]
fn a_group_larger_than_a_row_may_be_is_refused_with_its_size_and_memory_does_not_hold_it() {
    let mut text = HEADER.to_owned();
    let sku = "s".repeat(1024 * 1024);
    for place in 0..40 {
        writeln!(text, "{},,{sku},1,,", if place % 2 == 0 { 1 } else { place }).unwrap();
    }
    let items = assert_same(text.as_bytes(), MAPPING, 2_000_000);
    let refused: Vec<&String> = items.iter().filter(|item| item.contains("has more than 15 MiB")).collect();
    assert!(refused.len() == 1 && refused[0].contains("bytes"), "{refused:?}");
    assert_eq!(items.len(), 20);
}

#[test]
fn a_folder_that_takes_no_file_ends_the_import() {
    let text = format!("{HEADER}1,ann,a,1,,\n");
    let items = items("x.csv", text.as_bytes(), MAPPING, 0, Path::new("/nowhere"));
    assert_eq!(items.len(), 1);
    assert!(
        items[0].contains(
            "a temporary file in /nowhere cannot be written; choose another folder with \
        --temp-dir"
        ),
        "{items:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_file_gives_the_same_however_much_memory_there_is(
        records in prop::collection::vec((0..12_u8, prop::sample::select(vec!["", "a", "b"]), 0..14_u8), 0..60),
        memory in prop::sample::select(vec![0_usize, 1_000, 2_500, 8_000]),
        all_kinds in any::<bool>(),
    ) {
        let mut text = HEADER.to_owned();
        for (order, who, count) in records {
            let order = if order == 11 { String::new() } else { order.to_string() };
            let count = if count == 13 { "x".to_owned() } else { count.to_string() };
            // A record without an order costs every other one; seldom.
            if !order.is_empty() || count == "0" {
                writeln!(text, "{order},{who},{who},{count},20{count:0>2}-01-01T00:00:00Z,{who};{count}").unwrap();
            }
        }
        assert_same(text.as_bytes(), if all_kinds { ALL_KINDS } else { MAPPING }, memory);
    }
}
