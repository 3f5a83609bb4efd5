//! Kinds of columns. Each file defines one kind: the contract fields and columns that it fits, how a value is decoded
//! and checked, the value of a new row, how the column is selected and written as a message, and how an update compares
//! and assigns it.
//!
//! A description names the kind of each field by a function, for example `&kind::text(2_048)`. A format that only one
//! slice uses is a function of that slice: [`text_checked`].

mod boolean;
mod children;
mod code;
mod decimal;
mod document;
mod double;
mod enumeration;
mod etag;
mod hash;
mod integer;
mod limits;
mod name;
mod object;
mod one_of;
mod payload;
mod revision;
mod sql;
mod status;
mod text;
mod text_list;
mod text_map;
mod timestamp;
mod uid;

#[cfg(test)]
mod tests;

use std::fmt::Debug;

use bytes::BufMut as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet};

pub use self::boolean::{Boolean, boolean};
pub(super) use self::children::{MANY_CHILDREN, ONE_CHILD};
pub use self::code::{Code, code};
pub use self::decimal::{Decimals, decimal};
pub use self::document::{Document, document};
pub use self::double::{DoubleKind, double};
pub use self::enumeration::{EnumNames, Enumeration, enumeration};
pub use self::etag::{Etag, etag};
pub use self::hash::{Hash, hash};
pub use self::integer::{IntegerKind, big_integer, integer};
pub use self::limits::Stated;
pub(super) use self::limits::check as check_limits;
pub use self::name::{Name, name};
pub use self::one_of::{OneOf, one_of};
pub(super) use self::payload::oneof_of;
pub use self::payload::{InnerField, Member, MemberFields, Members, Payload, payload};
pub use self::revision::{Revision, revision};
pub use self::status::{MAX_PHASE_BYTES, Status, status};
pub use self::text::{Checked, Free, TextFormat, TextKind, text, text_checked, text_not_null};
pub use self::text_list::{TextList, text_list};
pub(super) use self::text_map::is_text_map;
pub use self::text_map::{TextMap, annotations, labels};
pub use self::timestamp::{TimestampKind, created_at, measured_at, timestamp, updated_at};
pub use self::uid::{Uid, uid, uid_of};
use super::constraints::Constraints;
use super::mask::{KeySet, Reach};
use super::slot::{Portion, Slot};
use super::tuple::{NULL, put_prefixed};
use crate::db::array::ElementType;
use crate::error::Violation;
use crate::uid::UidKind;

/// The first byte of jsonb's binary format. The text follows it.
const JSONB_VERSION: u8 = 1;

/// A kind of column.
pub trait ColumnKind: Debug + Send + Sync {
    /// Whether it fits a field of the contract.
    fn fits(&self, field: &ContractField<'_>) -> bool;

    /// The rules that the contract may state for its field: one of them must be stated, because [`ColumnKind::put`]
    /// checks it.
    fn limits(&self, stated: Stated<'_>) -> Vec<Constraints>;

    /// The wire form of the field's value.
    fn wire_form(&self) -> WireForm {
        WireForm::Bytes
    }

    /// Its column; `None` if it has none.
    fn column(&self) -> Option<StoredColumn>;

    /// Its special meaning, if it has one.
    fn role(&self) -> FieldRole {
        FieldRole::Stored
    }

    /// Whether the service computes it, whatever the caller sends.
    fn is_computed(&self) -> bool {
        false
    }

    /// The type of the array in which values of input tuples travel to the database.
    fn element_type(&self) -> ElementType;

    /// The type of the array in which values of new rows travel to the database: that of the column.
    fn stored_type(&self) -> ElementType {
        self.element_type()
    }

    /// Checks the value of the field `name` and appends it to an input tuple.
    ///
    /// # Errors
    /// The rule that it breaks.
    fn put(&self, name: &str, slot: &Slot<'_>, reading: Reading<'_>, tuple: &mut Vec<u8>) -> Result<(), Violation>;

    /// Appends one column of a key that may be stored already, perhaps by another program.
    ///
    /// # Errors
    /// The rule that it breaks.
    fn put_stored_key(&self, name: &str, slot: &Slot<'_>, tuple: &mut Vec<u8>) -> Result<(), Violation> {
        self.put(name, slot, Reading::ALL, tuple)
    }

    /// Checks that a column of a key, put by [`ColumnKind::put_stored_key`], is valid for a new row.
    ///
    /// # Errors
    /// What is wrong with it.
    fn check_new_key(&self, _key: &str) -> Result<(), String> {
        Ok(())
    }

    /// The stored value of a new row if the input tuple has null; `None` for null.
    fn default_value(&self) -> Option<&'static [u8]> {
        None
    }

    /// Appends the stored value of a new row, given the value in its input tuple. `now` is in microseconds since
    /// 2000-01-01 UTC.
    fn put_new(&self, value: Option<&[u8]>, _now: i64, row: &mut Vec<u8>) {
        match value.or(self.default_value()) {
            Some(value) => put_prefixed(row, value),
            None => row.put_i32(NULL),
        }
    }

    /// Appends the selected value of a new row, given the value in its input tuple.
    fn put_selected(&self, value: Option<&[u8]>, now: i64, tuple: &mut Vec<u8>) {
        self.put_new(value, now, tuple);
    }

    /// The SQL that selects the column `t.name`.
    fn select(&self, column: &str) -> String {
        column.to_owned()
    }

    /// The SQL that selects the part of the column `t.name` that a mask names; `None` if that is the whole column.
    fn select_part(&self, _column: &str, _reach: &Reach) -> Option<String> {
        None
    }

    /// How a selected value becomes a field of a message.
    fn output(&self) -> PutField;

    /// The names of an enum's values, for [`ColumnKind::output`].
    fn enum_names(&self) -> EnumNames {
        &[]
    }

    /// Itself, if it is a payload: the kind of all fields of a oneof.
    fn payload(&self) -> Option<&Payload> {
        None
    }

    /// The part of the field that the rest of a mask's path names.
    ///
    /// # Errors
    /// The reason if it names nothing: the end of a sentence that begins with the path.
    fn reach(&self, _inner: &str) -> Result<Reach, &'static str> {
        Err("goes into a field that has no parts")
    }

    /// How an update changes the column.
    fn assign(&self, name: &str, change: Change<'_>) -> Assignment;

    /// A stored value as an SQL literal, for cursors; `None` if rows cannot be ordered by this kind or the value is
    /// invalid.
    fn literal(&self, _value: &[u8]) -> Option<String> {
        None
    }

    /// Whether rows can be ordered by columns of this kind.
    fn is_orderable(&self) -> bool {
        false
    }
}

/// Appends a field of a message from a selected value that is not null. A plain function, so that the loop over columns
/// stays tight.
pub type PutField = fn(out: &mut Vec<u8>, target: OutputField, value: &[u8]);

/// The field that a value is written to.
#[derive(Clone, Copy, Debug)]
pub struct OutputField {
    /// Its number.
    pub number: u32,
    /// The names of its values, if it is an enum.
    pub names: EnumNames,
    /// Its members, if it is a payload.
    pub members: Option<&'static Members>,
}

/// The wire form of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireForm {
    /// A varint.
    Varint,
    /// Eight bytes.
    Fixed64,
    /// Bytes. If the field appears several times, the last value counts.
    Bytes,
    /// A message. If the field appears several times, the values are merged.
    Message,
    /// A list: every value counts.
    List,
}

/// The column of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredColumn {
    /// Its type, as Postgres's `format_type` prints it.
    pub sql_type: &'static str,
    /// Whether it may be null.
    pub nullable: bool,
    /// Most digits before and after the point of a number that callers may send.
    pub digits: Option<(usize, usize)>,
}

impl StoredColumn {
    const fn new(sql_type: &'static str, nullable: bool) -> Self {
        Self { sql_type, nullable, digits: None }
    }
}

/// The special meaning of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldRole {
    /// Nothing.
    Stored,
    /// The row's own uid. A create without one gets a new one.
    OwnUid(UidKind),
    /// A hash of the stored row; it has no column.
    Etag,
    /// A number that grows by one with every change of the row.
    Revision,
    /// When the row was created: set by the caller or the store on creation, then never.
    Created,
    /// When the row was last changed: set by the store.
    Updated,
    /// When something was measured: set by the caller, else by the store.
    Measured,
    /// The row's status.
    Status,
    /// An integer that the service sets if the caller sends 0.
    CompletedInteger,
    /// Rows of another table; it has no column.
    Children,
}

/// How a value is decoded.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    /// The portion that is decoded.
    pub portion: Portion<'a>,
    /// Whether the row exists and unset fields keep their values: then no field is required.
    pub keeps_unset: bool,
    /// Whether an unset number is null in the input tuple, so that an update can tell it from 0.
    pub unset_is_null: bool,
}

impl Reading<'_> {
    /// The whole value, for a child. Children are always sent whole: an unset number is 0.
    pub const ALL: Self = Self { portion: Portion::All, keeps_unset: false, unset_is_null: false };
}

/// The part of a column that an update changes.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// The column is overwritten where the row has a value.
    IfSet,
    /// The column is overwritten; where the row has no value it is cleared.
    Whole,
    /// These keys of an object are overwritten.
    Keys(&'a KeySet, UnsetPhase),
    /// All of a status but its phase is overwritten. `if_set`: only where the row has details.
    Details {
        /// Whether details that the row leaves out stay.
        if_set: bool,
    },
}

/// What happens to a phase that a mask names and the row leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnsetPhase {
    /// It stays.
    Kept,
    /// It becomes the phase of a new row.
    Default,
}

impl<'a> Change<'a> {
    /// The change for a mask. Without a mask, a field is overwritten if it is set. The same holds if the mask names the
    /// whole field and `keeps_unset` is true.
    pub(crate) fn new(reach: Option<&'a Reach>, keeps_unset: bool) -> Self {
        match reach {
            None => Self::IfSet,
            Some(Reach::Whole | Reach::Details { phase: true }) if keeps_unset => Self::IfSet,
            Some(Reach::Whole | Reach::Details { phase: true }) => Self::Whole,
            Some(Reach::Details { phase: false }) => Self::Details { if_set: keeps_unset },
            Some(Reach::Keys(keys)) if keeps_unset => Self::Keys(keys, UnsetPhase::Kept),
            Some(Reach::Keys(keys)) => Self::Keys(keys, UnsetPhase::Default),
        }
    }
}

/// The assignment of a column of an existing row, as SQL over `i`, the values that were sent, and `t`, the stored row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The new value.
    pub value: String,
    /// The condition that it differs from the stored one.
    pub differs: String,
}

impl Assignment {
    fn new(name: &str, value: String) -> Self {
        let differs = format!("{value} is distinct from t.{name}");
        Self { value, differs }
    }

    /// The value that was sent, or the stored one if none was sent.
    fn if_set(name: &str) -> Self {
        Self::new(name, format!("coalesce(i.{name}, t.{name})"))
    }

    /// The value that was sent, or this one if none was sent.
    fn or(name: &str, default: &str) -> Self {
        Self::new(name, format!("coalesce(i.{name}, {default})"))
    }
}

/// A field of the contract.
#[derive(Clone, Copy, Debug)]
pub struct ContractField<'a> {
    /// Its descriptor.
    pub field: &'a FieldDescriptorProto,
    /// The message that it belongs to.
    pub message: &'a DescriptorProto,
    /// The whole contract.
    pub contract: &'a FileDescriptorSet,
}

impl ContractField<'_> {
    fn is_list(&self) -> bool {
        self.field.label() == Label::Repeated
    }

    fn is(&self, wanted: Type) -> bool {
        self.field.r#type() == wanted && !self.is_list()
    }

    fn is_message(&self, name: &str) -> bool {
        self.is(Type::Message) && self.field.type_name() == name
    }

    /// Whether it is a map from texts to texts.
    fn is_text_map(&self) -> bool {
        self.message.nested_type.iter().any(|nested| {
            self.field.type_name().ends_with(&format!(".{}", nested.name()))
                && nested.options.as_ref().is_some_and(prost_types::MessageOptions::map_entry)
                && nested.field.iter().all(|entry| entry.r#type() == Type::String)
        })
    }

    /// Its enum, if that is defined in a file or in the field's message.
    fn enumeration(&self) -> Option<&EnumDescriptorProto> {
        if !self.is(Type::Enum) {
            return None;
        }
        let (scope, name) = self.field.type_name().strip_prefix('.')?.rsplit_once('.')?;
        let of_file = self.contract.file.iter().filter(|file| file.package() == scope).flat_map(|file| &file.enum_type);
        let inside = scope.ends_with(self.message.name()).then_some(&self.message.enum_type).into_iter().flatten();
        of_file.chain(inside).find(|found| found.name() == name)
    }
}

/// Appends a value in jsonb's binary format: what `put` appends behind the version.
fn put_jsonb<E>(tuple: &mut Vec<u8>, put: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
    let at = tuple.len();
    tuple.put_i32(0);
    tuple.push(JSONB_VERSION);
    put(tuple)?;
    super::tuple::end_value(tuple, at);
    Ok(())
}

/// The text of a value in jsonb's binary format.
#[inline]
fn json_of(jsonb: &[u8]) -> &[u8] {
    jsonb.get(1..).unwrap_or_default()
}

/// A text from the wire, if Postgres can store it.
fn storable_text(bytes: &[u8], path: impl FnOnce() -> String) -> Result<&str, Violation> {
    match std::str::from_utf8(bytes) {
        Err(_) => Err(Violation::new(path(), "must be valid UTF-8")),
        Ok(text) if text.contains('\0') => {
            Err(Violation::new(path(), "must not hold NUL characters: Postgres cannot store them"))
        }
        Ok(text) => Ok(text),
    }
}

/// The text in a slot; empty if it is unset.
pub(super) fn text_of<'a>(slot: &'a Slot<'_>, name: &str) -> Result<&'a str, Violation> {
    match slot {
        Slot::Bytes(bytes) => storable_text(bytes, || name.to_owned()),
        Slot::Unset | Slot::Entries(_) | Slot::Number(_) | Slot::Member { .. } => Ok(""),
    }
}

/// The bits of a number in a slot; 0 if it is unset.
fn bits_of(slot: &Slot<'_>) -> u64 {
    match slot {
        Slot::Number(bits) => *bits,
        Slot::Unset | Slot::Bytes(_) | Slot::Entries(_) | Slot::Member { .. } => 0,
    }
}

/// The int64 in a slot.
pub(super) fn int64_of(slot: &Slot<'_>) -> i64 {
    bits_of(slot).cast_signed()
}

/// The int32 in a slot: as many bits of the varint (protobuf.dev, "Encoding").
pub(super) fn int32_of(slot: &Slot<'_>) -> i32 {
    (bits_of(slot) as u32).cast_signed()
}

fn put_nothing(_out: &mut Vec<u8>, _target: OutputField, _value: &[u8]) {}

/// A text as a field; an empty one is unset.
fn put_text(out: &mut Vec<u8>, target: OutputField, value: &[u8]) {
    if !value.is_empty() {
        super::wire::put_bytes(out, target.number, value);
    }
}

/// An integer, bigint or boolean as a varint: sign-extended to 64 bits (protobuf.dev, "Encoding").
fn put_integer(out: &mut Vec<u8>, target: OutputField, value: &[u8]) {
    let value = match *value {
        [a, b, c, d] => i64::from(i32::from_be_bytes([a, b, c, d])),
        [truth] => i64::from(truth),
        _ => value.try_into().map_or(0, i64::from_be_bytes),
    };
    if value != 0 {
        super::wire::put_number(out, target.number, value.cast_unsigned());
    }
}
