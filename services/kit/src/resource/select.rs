//! Encoding: a read_mask becomes a select list, and each selected tuple becomes the bytes of a message, in one pass
//! without intermediate values.

use xxhash_rust::xxh3::xxh3_64;

use super::kind::{OutputField, PutField};
use super::mask::{MaskPath, Reach};
use super::tuple::Columns;
use super::tuple::prefix;
use super::wire::{put_bytes, put_header, varint_length};
use super::{Field, Resource};

/// The field of a page message that holds its rows.
const ROWS_FIELD: u32 = 1;

/// What to select and how to write it as a message.
#[derive(Clone, Debug)]
pub struct Selection {
    /// The select list. The reader may append columns of its own.
    pub sql: String,
    /// The number of its columns.
    pub columns: usize,
    outputs: Vec<Output>,
    /// The number of the etag's field, if it is requested. Then every column is selected whole, before partial ones.
    etag: Option<u32>,
    /// The number of columns that the etag is computed from.
    stored: usize,
    /// The number of columns of the key. They come first.
    keys: usize,
    whole: bool,
    /// The numbers of the fields of the columns, in order; empty if only a part of some field is selected.
    fields: Vec<u32>,
    /// The children that are asked for, in the order of their fields.
    pub children: Vec<SelectedChildren>,
}

/// Children that are asked for: those in one field.
#[derive(Clone, Debug)]
pub struct SelectedChildren {
    /// The field of the owner's message that holds them.
    pub number: u32,
    /// The resource of the rows.
    pub resource: &'static Resource,
    /// How many columns of their key are the owner's key.
    pub owner_columns: usize,
    /// What is selected of each. The owner's key always comes first, and is not written into their messages.
    pub selection: Selection,
}

/// How one column is written.
#[derive(Clone, Copy, Debug)]
struct Output {
    /// The function that writes its value; `None` if it was selected only for the key or the etag.
    put: Option<PutField>,
    target: OutputField,
}

impl Output {
    fn of(field: &Field) -> Self {
        let target = OutputField { number: field.number, names: field.kind.enum_names(), members: field.members() };
        Self { put: Some(field.kind.output()), target }
    }

    fn nothing(field: &Field) -> Self {
        Self { put: None, ..Self::of(field) }
    }
}

impl Selection {
    /// The selection of a mask. The columns of the key are always selected, first.
    pub fn new(resource: &Resource, mask: &[MaskPath]) -> Self {
        let asked = mask.iter().map(|path| &resource.fields[path.field]);
        let etag = asked.filter(|field| field.is_etag()).map(|field| field.number).next();
        let mut columns = Vec::new();
        let mut outputs = Vec::new();
        let mut parts_of_columns = Vec::new();
        let (mut fields, mut partly) = (Vec::new(), false);
        for (at, field) in resource.fields.iter().enumerate().filter(|(_, field)| field.is_stored()) {
            let path = mask.iter().find(|path| path.field == at);
            if path.is_none() && !field.key && etag.is_none() {
                continue;
            }
            fields.push(field.number);
            let Some(path) = path else {
                columns.push(column(field));
                outputs.push(Output::nothing(field));
                continue;
            };
            match field.kind.select_part(&format!("t.{}", field.name), &path.reach) {
                Some(part) if etag.is_some() => {
                    partly = true;
                    columns.push(column(field));
                    outputs.push(Output::nothing(field));
                    parts_of_columns.push((part, Output::of(field)));
                }
                Some(part) => {
                    partly = true;
                    columns.push(part);
                    outputs.push(Output::of(field));
                }
                None => {
                    columns.push(column(field));
                    outputs.push(Output::of(field));
                }
            }
        }
        let stored = columns.len();
        for (part, output) in parts_of_columns {
            columns.push(part);
            outputs.push(output);
        }
        Self {
            sql: columns.join(", "),
            columns: columns.len(),
            outputs,
            etag,
            stored,
            keys: resource.key_length(),
            fields: if partly { Vec::new() } else { fields },
            whole: mask.len() == resource.fields.len() && mask.iter().all(|path| path.reach == Reach::Whole),
            children: mask.iter().filter_map(|path| SelectedChildren::new(resource, path)).collect(),
        }
    }

    /// Everything.
    pub fn whole(resource: &Resource) -> Self {
        Self::new(resource, &MaskPath::all(resource))
    }

    /// The key of a tuple of this selection, as a tuple.
    pub fn key<'t>(&self, tuple: &'t [u8]) -> &'t [u8] {
        prefix(tuple, self.keys)
    }

    /// Whether it selects all columns whole.
    pub(crate) fn has_all_columns(&self, resource: &Resource) -> bool {
        self.fields.len() == resource.stored().count()
    }

    /// Whether messages of rows can be made from their input tuples: no etag is asked for, and no part of a field.
    pub(crate) fn is_of_inputs(&self) -> bool {
        self.etag.is_none() && !self.fields.is_empty()
    }

    /// Appends the message of a row that was created from an input tuple at the time `now`, as if it had been read.
    pub(crate) fn put_created(
        &self,
        resource: &Resource,
        input: &[u8],
        now: i64,
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) {
        scratch.clear();
        let mut inputs = Columns::new(input);
        for field in resource.stored() {
            let value = if field.is_input() { inputs.next().flatten() } else { None };
            if self.fields.contains(&field.number) {
                field.put_created(value, now, scratch);
            }
        }
        self.put_message(scratch, out);
    }

    /// Whether it is everything.
    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// Appends a tuple as a message's bytes.
    pub fn put_message(&self, tuple: &[u8], out: &mut Vec<u8>) {
        let mut columns = Columns::new(tuple);
        for output in &self.outputs {
            let Some(value) = columns.next().flatten() else { continue };
            if let Some(put) = output.put {
                put(out, output.target, value);
            }
        }
        if let Some(number) = self.etag {
            let mut stored = Columns::new(tuple);
            stored.by_ref().take(self.stored).for_each(drop);
            put_bytes(out, number, etag(&tuple[..tuple.len() - stored.rest().len()]).as_bytes());
        }
    }

    /// Appends a tuple as one row of a page message.
    pub fn put_row(&self, tuple: &[u8], scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
        self.put_field(ROWS_FIELD, tuple, scratch, out);
    }

    /// Appends a tuple as a field that holds its message.
    pub fn put_field(&self, number: u32, tuple: &[u8], scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
        scratch.clear();
        self.put_message(tuple, scratch);
        put_bytes(out, number, scratch);
    }

    /// The part of a tuple behind this list: the columns that the reader selected after it.
    pub fn rest<'a>(&self, tuple: &'a [u8]) -> &'a [u8] {
        let mut columns = Columns::new(tuple);
        columns.by_ref().take(self.columns).for_each(drop);
        columns.rest()
    }
}

impl SelectedChildren {
    fn new(owner: &Resource, path: &MaskPath) -> Option<Self> {
        let child_table = &owner.child_tables[owner.fields[path.field].child_table()?];
        let wanted = |name: &str| match &path.reach {
            Reach::Keys(columns) => columns.contain(name),
            Reach::Whole | Reach::Details { .. } => true,
        };
        // The first fields name the owner.
        let fields = child_table
            .resource
            .fields
            .iter()
            .enumerate()
            .skip(child_table.owner_columns)
            .filter(|(_, field)| wanted(field.name));
        let mask: Vec<MaskPath> = fields.map(|(field, _)| MaskPath { field, reach: Reach::Whole }).collect();
        let owner_columns = child_table.owner_columns;
        Some(Self {
            number: child_table.number,
            resource: child_table.resource,
            owner_columns,
            selection: Selection::new(child_table.resource, &mask),
        })
    }
}

/// Appends a message, given in pieces, as one row of a page message.
pub fn put_row_of<'a>(pieces: impl Iterator<Item = &'a [u8]> + Clone, out: &mut Vec<u8>) {
    put_header(out, ROWS_FIELD, pieces.clone().map(<[u8]>::len).sum());
    pieces.for_each(|piece| out.extend_from_slice(piece));
}

/// Appends the message of a child as a field of its owner's message.
pub(crate) fn put_child(number: u32, message: &[u8], out: &mut Vec<u8>) {
    put_bytes(out, number, message);
}

/// The bytes that a message of this size takes as a row of a page message.
pub fn row_length(message: usize) -> usize {
    1 + varint_length(message as u64) + message
}

/// The SQL of a stored field as it is selected into a tuple. The table's alias is `t`.
pub(crate) fn column(field: &Field) -> String {
    field.kind.select(&format!("t.{}", field.name))
}

/// The etag of a tuple of all stored columns.
pub fn etag(tuple: &[u8]) -> String {
    format!("{:016x}", xxh3_64(tuple))
}
