//! Every statement of a resource, for people: what runs can be read. The statements depend on the mode and the mask of
//! a write and on the mask, filter and order of a read; shown are those of calls that name no mask, and of one that
//! names every field.

use crate::read::point::{select_keys, select_one};
use crate::resource::Resource;
use crate::resource::mask::{MaskPath, Reach, UpdateMask};
use crate::resource::select::Selection;
use crate::write::sql as write_sql;

/// A statement and what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// What it does.
    pub title: String,
    /// Its text.
    pub sql: String,
}

/// The statements of a resource, each once.
pub fn of(resource: &'static Resource) -> Vec<Shown> {
    let whole = Selection::whole(resource);
    let mut all = vec![
        shown("read one row", select_one(resource, &whole)),
        shown("find the keys that are stored", select_keys(resource)),
    ];
    let mutable = (0..resource.fields.len()).filter(|&field| resource.fields[field].is_mutable());
    let every_field = UpdateMask::Paths(mutable.map(|field| MaskPath { field, reach: Reach::Whole }).collect());
    for (title, sql) in write_sql::of(resource, &UpdateMask::Populated, &every_field) {
        all.push(shown(&title, sql));
    }
    let mut seen = std::collections::HashSet::new();
    all.retain(|statement| seen.insert(statement.sql.clone()));
    all
}

/// The statements as one file, which a reviewer reads.
pub fn file(resource: &'static Resource) -> String {
    let mut text = format!(
        "-- The statements of {}, as they run. Written by\n--   ORRERY_WRITE_SQL=1 cargo test --locked --workspace --test it -- statements\n",
        resource.description.message
    );
    for Shown { title, sql } in of(resource) {
        text += &format!("\n-- {title}\n{sql};\n");
    }
    text
}

fn shown(title: &str, sql: String) -> Shown {
    Shown { title: title.to_owned(), sql }
}
