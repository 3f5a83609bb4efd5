//! The statements in the files keep to what a sharded Postgres runs: the tables of a slice are spread by the first
//! column of their keys, and rows with the same value of it stand together. What Citus 13 says to each form stands in
//! deploy/adr/0010-statements-that-shard.md.
//!
//! The files are laid out by kit, so plain text is enough: a part of a statement ends where a line begins with `)`.

use std::collections::{BTreeMap, BTreeSet};

use orrery_kit::resource::Resource;

use super::{path, resources};
use crate::shelves::descriptions::STOCKTAKE;

/// Statements that lock rows of several shards, which a sharded database refuses, and why they stay. Each has another
/// form for it, whose title ends with [`SHARDED`].
const LOCKS: [(&str, &str); 3] = [
    ("find and lock the rows that are stored", "the other form writes each row again"),
    ("lock and read rows", "the other form writes each row again"),
    ("lock what product_uid refers to", "the other form writes each row again, and lets nobody else refer to it"),
];

/// Tables that every server has as a whole (Citus calls them reference tables): names, identifiers or contents are
/// unique there whatever the uids are, and links of products join them.
const ON_EVERY_SERVER: [&str; 5] = [
    "records.tag",
    "records.tag_classification",
    "records.tag_group",
    "records.macrodata_catalog",
    "records.macrodata_artifact",
];

/// The end of the title of a statement that only sharded databases run.
const SHARDED: &str = ", if the database is sharded";

/// A statement that recognizes rows by `xmin`, which a reference table has of its own on each server. It has another
/// form for sharded databases.
const UPDATE: &str = "update the rows that differ";

/// What is said about it.
const BY_XMIN: &str = "the servers of a reference table do not agree on xmin";

/// What no statement holds, and why.
const NOWHERE: [(&str, &str); 11] = [
    ("nextval(", "servers share no sequence"),
    ("clock_timestamp(", "volatile functions are refused in updates"),
    ("random(", "volatile functions are refused in updates"),
    ("gen_random_uuid(", "volatile functions are refused in updates"),
    ("merge into", "it is not planned over shards"),
    ("not exists (", "a correlated subquery is not planned over shards; use a left join"),
    ("force_generic_plan", "a generic plan does not know its shards"),
    ("advisory", "the lock is one of a single server"),
    ("full join", "it is not planned over shards"),
    ("case jsonb_typeof(", "as below"),
    ("case t.", "it is sent on as `case column when (column = ...)`, which fails; use `case when`"),
];

/// A statement of a file.
#[derive(Clone, Debug)]
struct Statement {
    file: String,
    title: String,
    sql: String,
}

/// How a part of a statement finds its shards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shards {
    /// By one value of the column that the tables are spread by.
    One,
    /// By many values.
    Many,
}

/// The statements of all files.
fn statements() -> Vec<Statement> {
    let mut all = Vec::new();
    for (slice, resource) in resources() {
        let path = path(slice, resource);
        // While another test writes the files, what it writes.
        let text = match std::env::var_os("ORRERY_WRITE_SQL") {
            None => std::fs::read_to_string(&path).expect("the file can be read"),
            Some(_) => orrery_kit::statements::file(resource),
        };
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for block in text.split("\n\n-- ").skip(1) {
            let (title, sql) = block.split_once('\n').expect("a title and a statement");
            all.push(Statement { file: file.clone(), title: title.to_owned(), sql: sql.trim_end().to_owned() });
        }
    }
    all
}

/// The column that each table is spread by.
pub(super) fn spread_by() -> BTreeMap<&'static str, &'static str> {
    fn add(resource: &'static Resource, tables: &mut BTreeMap<&'static str, &'static str>) {
        tables.insert(resource.description.table, resource.description.key[0]);
        resource.child_tables.iter().for_each(|child| add(child.resource, tables));
        resource.description.dependents.iter().for_each(|dependent| add(dependent, tables));
    }
    // The locks of owners; and the resource of the tests whose rows are replaced.
    let mut tables = BTreeMap::from([("records.owner_lock", "owner"), ("warehouse.owner_lock", "owner")]);
    add(&STOCKTAKE, &mut tables);
    for (_, resource) in resources() {
        add(resource, &mut tables);
    }
    // The numbers of identifiers belong to no resource.
    tables.insert("records.identifier_series", "name");
    tables
}

/// Whether the column of a table is compared with one value or many; `None` if with none.
fn shards(part: &str, alias: &str, column: &str) -> Option<Shards> {
    let compared = format!("{alias}.{column} = ");
    let others: Vec<&str> = part.match_indices(&compared).map(|(at, _)| &part[at + compared.len()..]).collect();
    // Of another alias: rows of arrays, of an earlier part, or of a table whose rows stand together with these.
    let is_of_another = |other: &&str| other.split_once('.').is_some_and(|(of, _)| of != alias && !of.contains(' '));
    let in_arrays = part.contains(&format!("({alias}.{column}, ")) && part.contains(") in (select * from unnest(");
    if others.iter().any(|other| other.starts_with(['$', '\''])) {
        Some(Shards::One)
    } else if in_arrays || others.iter().any(|other| other.starts_with("any (") || is_of_another(other)) {
        Some(Shards::Many)
    } else {
        None
    }
}

/// The columns of the rows that a part adds to a table.
fn columns_of_new<'p>(part: &'p str, table: &str) -> Vec<&'p str> {
    let columns = part.split_once(table).and_then(|(_, rest)| rest.split_once('('));
    let columns = columns.and_then(|(_, rest)| rest.split_once(')')).map(|(columns, _)| columns.split(", "));
    columns.map(Iterator::collect).unwrap_or_default()
}

/// What a sharded database would refuse, or do wrong.
pub(super) fn breaches(sql: &str, tables: &BTreeMap<&str, &str>) -> Vec<String> {
    let everywhere = NOWHERE.iter().filter(|(text, _)| sql.contains(text));
    let mut all: Vec<String> = everywhere.map(|(text, why)| format!("`{text}`: {why}")).collect();
    if sql.contains("xmin") {
        all.push(BY_XMIN.to_owned());
    }
    let mut slices = BTreeSet::new();
    for part in sql.split("\n)") {
        let words = part.split(|c: char| c.is_whitespace() || "(),;".contains(c));
        let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
        let mut is_spread = false;
        for pair in words.windows(2).enumerate() {
            let (at, &[verb, table]) = pair else { continue };
            let is_table = ["from", "join", "update", "into", "copy", "using"].contains(&verb) && table.contains('.');
            if !is_table || words[..at].last() == Some(&"distinct") {
                continue;
            }
            let Some(column) = tables.get(table) else {
                all.push(format!("{table} is not a table of a resource"));
                continue;
            };
            slices.insert(table.split('.').next());
            if ON_EVERY_SERVER.contains(&table) {
                continue;
            }
            if ["into", "copy"].contains(&verb) {
                if !columns_of_new(part, table).contains(column) {
                    all.push(format!("a new row of {table} has no {column}"));
                }
                continue;
            }
            let alias = words.get(at + 3).filter(|_| words.get(at + 2) == Some(&"as"));
            match alias.and_then(|alias| shards(part, alias, column)) {
                Some(shards) => is_spread |= shards == Shards::Many,
                None => all.push(format!("nothing says which {column} of {table}")),
            }
        }
        let locks = ["for update", "for no key update", "for share", "for key share"];
        if is_spread && locks.iter().any(|lock| part.contains(lock)) {
            all.push("locks rows of several shards".to_owned());
        }
        if part.contains("skip locked") {
            all.push("skips locked rows".to_owned());
        }
        let set = part.split_once("update ").and_then(|(_, rest)| rest.split_once("set ")).map_or("", |(_, set)| set);
        let set = set.split_once("\n where ").map_or(set, |(set, _)| set);
        if is_spread && ["case ", "coalesce(", "(select"].iter().any(|text| set.contains(text)) {
            all.push("an update of several shards computes, and may do so by immutable functions only".to_owned());
        }
    }
    if slices.len() > 1 {
        all.push(format!("joins slices, whose rows do not stand together: {slices:?}"));
    }
    all
}

#[test]
fn statements_keep_to_what_shards() {
    let (all, tables) = (statements(), spread_by());
    let (mut wrong, mut used) = (Vec::new(), BTreeSet::new());
    for statement in &all {
        let Statement { file, title, .. } = statement;
        for breach in breaches(&statement.sql, &tables) {
            if breach == BY_XMIN && !title.contains(SHARDED) && title.contains(UPDATE) {
                let sharded = title.replace(UPDATE, &format!("{UPDATE}{SHARDED}"));
                if !all.iter().any(|other| other.file == *file && other.title == sharded) {
                    wrong.push(format!("{file}: {title} has no form for a sharded database"));
                }
                continue;
            }
            if breach != "locks rows of several shards" || !LOCKS.iter().any(|(lock, _)| lock == title) {
                wrong.push(format!("{file}: {title}: {breach}"));
                continue;
            }
            used.insert(title.as_str());
            let sharded = format!("{title}{SHARDED}");
            if !all.iter().any(|other| other.file == *file && other.title == sharded) {
                wrong.push(format!("{file}: {title} has no form for a sharded database"));
            }
        }
    }
    let unused = LOCKS.iter().filter(|(title, _)| !used.contains(title));
    wrong.extend(unused.map(|(title, _)| format!("the exception \"{title}\" is not needed any more")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn statements_that_replace_rows_keep_to_what_shards() {
    let (all, tables) = (orrery_kit::statements::of(&STOCKTAKE), spread_by());
    for title in ["keys of some owners' rows, first page", "lock owners", "lock owners: leave no row", "delete rows"] {
        let statement = all.iter().find(|statement| statement.title == title);
        let statement = statement.unwrap_or_else(|| panic!("no statement {title}"));
        assert_eq!(breaches(&statement.sql, &tables), [""; 0], "{title}");
    }
}

#[test]
fn what_does_not_shard_is_found() {
    let (all, tables) = (statements(), spread_by());
    let broken = |file: &str, title: &str, from: &str, to: &str| {
        let statement = all.iter().find(|statement| statement.file == file && statement.title == title);
        let mut statement = statement.unwrap_or_else(|| panic!("no {title} in {file}")).clone();
        assert!(statement.sql.contains(from), "{title} does not hold {from}");
        statement.sql = statement.sql.replace(from, to);
        breaches(&statement.sql, &tables).join("; ")
    };
    let (one, update) = ("lock and read one row", UPDATE);
    let sharded = format!("{UPDATE}{SHARDED}");
    let create = "create one row, with many children";
    let cases = [
        ("product.sql", "read one row", "t.uid = $1", "t.name = $1", "nothing says which uid"),
        ("product.sql", "read one row", "t.uid = $1", "t.uid = t.name", "nothing says which uid"),
        ("product.sql", one, "t.uid = $1", "t.uid = any ($1)", "locks rows of several shards"),
        ("product.sql", one, "for update", "for update skip locked", "skips locked rows"),
        ("product.sql", sharded.as_str(), "is not distinct from i.old_name", "= i.old_xmin", "agree on xmin"),
        (
            "product.sql",
            update,
            "set name = i.name",
            "set name = coalesce(i.name, t.name)",
            "an update of several shards",
        ),
        ("product.sql", update, "update_ts = now()", "update_ts = clock_timestamp()", "volatile"),
        ("product.sql", update, "i.differing and t.uid = i.uid", "i.differing", "nothing says which uid"),
        ("product.sql", "create rows", "product (uid, name", "product (name", "has no uid"),
        ("product.sql", "create many rows", "product (uid, name", "product (name", "has no uid"),
        ("product_metric.sql", "delete rows", "t.product_uid = i.product_uid and ", "", "says which product_uid"),
        ("order_header.sql", "read one row", "orders.order_header", "orders.thing", "is not a table"),
        ("order_header.sql", create, "c0.order_uid = i.uid", "true", "nothing says which order_uid"),
        (
            "order_header.sql",
            create,
            "join orders.order_address as c1 on c1.order_uid = i.uid",
            "join catalog.product as c1 on c1.uid = i.uid",
            "joins slices",
        ),
    ];
    for (file, title, from, to, expected) in cases {
        let found = broken(file, title, from, to);
        assert!(found.contains(expected), "{title} with {to}: {found}");
    }
    for (text, _) in NOWHERE {
        assert!(!broken("product.sql", "read one row", "\n where", &format!("\n where {text}")).is_empty(), "{text}");
    }
}
