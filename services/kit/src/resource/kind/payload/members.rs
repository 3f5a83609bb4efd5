//! The members of a payload, joined with the contract.

use bytes::BufMut as _;
use prost_reflect::{MessageDescriptor, OneofDescriptor};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

use super::{Member, Payload, values};
use crate::db::array::ElementType;
use crate::error::Violation;
use crate::resource::bounds::MAX_VIOLATIONS;
use crate::resource::constraints::Constraints;
use crate::resource::field::{Field, FieldSource};
use crate::resource::find_message;
use crate::resource::json::JsonText;
use crate::resource::kind::{FieldRole, JSONB_VERSION, OutputField, PutField, Reading};
use crate::resource::mask::{KeySet, Reach};
use crate::resource::row::{ColumnType as _, Texts};
use crate::resource::slot::{Portion, Slot};
use crate::resource::tuple::{Columns, NULL, end_value};
use crate::resource::wire::{FieldReader, Malformed};

/// The option that holds a oneof's rules.
const ONEOF_OPTION: &str = "buf.validate.oneof";

/// The members of a payload with the numbers of their fields.
#[derive(Debug)]
pub struct Members {
    /// The name of the oneof.
    pub oneof: &'static str,
    /// The members, in the order of their numbers.
    pub members: Vec<MemberFields>,
}

/// One member of a payload: a field of the oneof, and the fields of its message.
#[derive(Debug)]
pub struct MemberFields {
    /// The name of its field.
    pub name: &'static str,
    /// The number of its field.
    pub number: u32,
    /// The fields of its message, in the order in which jsonb sorts their names.
    pub fields: Vec<InnerField>,
}

/// A field of a member's message.
#[derive(Debug)]
pub struct InnerField {
    pub(in crate::resource) field: Field,
    /// Its path in masks and in errors: `circle.radius`.
    path: &'static str,
    /// The type of its JSON value.
    pub(super) element: ElementType,
    /// The first byte of its JSON value, if that is an object or an array.
    pub(super) opening: Option<u8>,
    output: PutField,
    target: OutputField,
}

impl Members {
    /// Joins a payload with the fields of its oneof in the message of a resource.
    ///
    /// # Errors
    /// What does not match.
    pub(in crate::resource) fn compile(
        payload: &'static Payload,
        contract: &FileDescriptorSet,
        message: &DescriptorProto,
        annotated: &MessageDescriptor,
    ) -> Result<Self, String> {
        let oneof = annotated.oneofs().find(|oneof| oneof.name() == payload.oneof);
        check_option(&oneof.ok_or_else(|| format!("no oneof {}", payload.oneof))?)?;
        let mut fields: Vec<&FieldDescriptorProto> =
            message.field.iter().filter(|field| oneof_of(message, field) == Some(payload.oneof)).collect();
        fields.sort_by_key(|field| field.number());
        let known = |name: &str| fields.iter().any(|field| field.name() == name);
        if let Some(unknown) = payload.members.iter().find(|member| !known(member.field)) {
            return Err(format!("no field {} in the oneof {}", unknown.field, payload.oneof));
        }
        let member = |field: &&FieldDescriptorProto| {
            let member = payload.members.iter().find(|member| member.field == field.name());
            let member = member.ok_or_else(|| format!("field {} is no member of the payload", field.name()))?;
            MemberFields::compile(member, contract, field, annotated)
        };
        Ok(Self { oneof: payload.oneof, members: fields.iter().map(member).collect::<Result<_, _>>()? })
    }

    /// The member whose field has this name.
    pub(in crate::resource) fn named(&self, name: &[u8]) -> Option<&MemberFields> {
        self.members.iter().find(|member| member.name.as_bytes() == name)
    }

    /// The member whose field has this number.
    pub(in crate::resource) fn numbered(&self, number: u32) -> Option<&MemberFields> {
        self.members.iter().find(|member| member.number == number)
    }

    /// A field of a member.
    pub(in crate::resource) fn inner(&self, member: &str, name: &str) -> Option<&Field> {
        self.named(member.as_bytes())?.field(name.as_bytes()).map(|inner| &inner.field)
    }

    /// What a path of a mask reaches: a member, or one of its fields.
    ///
    /// # Errors
    /// The reason if it names nothing: the end of a sentence that begins with the path.
    pub(in crate::resource) fn reach(&self, name: &str, inner: Option<&str>) -> Result<Reach, String> {
        let member = self.named(name.as_bytes()).ok_or("names no field")?;
        let Some(inner) = inner else { return Ok(Reach::Keys(KeySet::one(member.name))) };
        let field = member.field(inner.as_bytes()).ok_or_else(|| {
            let known: Vec<&str> = member.fields.iter().map(InnerField::name).collect();
            format!("names no field of {name}; there are {}", known.join(", "))
        })?;
        Ok(Reach::Keys(KeySet::one(field.path)))
    }

    /// Appends the value of an input tuple: null if no member is set. If the mask names fields of members and none is
    /// set, those fields are removed from the stored object, so that none of them may be required.
    pub(in crate::resource) fn put(
        &self,
        slot: &Slot<'_>,
        reading: Reading<'_>,
        tuple: &mut Vec<u8>,
        violations: &mut Vec<Violation>,
    ) {
        if let Slot::Member { member, bytes } = slot {
            return member.put(bytes, reading, tuple, violations);
        }
        if let Portion::Keys(keys) = reading.portion {
            let mut nothing = Vec::new();
            let named = self.members.iter().flat_map(|member| &member.fields).filter(|inner| keys.contain(inner.path));
            violations.extend(named.filter_map(|inner| inner.put(&Slot::Unset, reading, &mut nothing).err()));
        }
        tuple.put_i32(NULL);
    }
}

impl MemberFields {
    fn compile(
        member: &'static Member,
        contract: &FileDescriptorSet,
        field: &FieldDescriptorProto,
        annotated: &MessageDescriptor,
    ) -> Result<Self, String> {
        let name = member.field;
        let annotated = annotated.get_field_by_name(name).ok_or_else(|| format!("no field {name}"))?;
        if Constraints::of(&annotated)? != Constraints::default() {
            return Err(format!("field {name}: a member of a payload has no rules in the contract"));
        }
        let inner = find_message(contract, field.type_name().trim_start_matches('.'));
        let (Some(inner), Some(annotated)) = (inner, annotated.kind().as_message().cloned()) else {
            return Err(format!("field {name} is no message that is defined in a file"));
        };
        let known = |name: &str| inner.field.iter().any(|field| field.name() == name);
        if let Some((unknown, _)) = member.fields.iter().find(|(name, _)| !known(name)) {
            return Err(format!("no field {name}.{unknown}"));
        }
        let compile = |field: &FieldDescriptorProto| {
            let rules =
                annotated.get_field_by_name(field.name()).ok_or_else(|| format!("no field {}", field.name()))?;
            InnerField::compile(member, contract, &inner, field, &Constraints::of(&rules)?)
        };
        let mut fields = inner.field.iter().map(compile).collect::<Result<Vec<_>, String>>()?;
        fields.sort_by_key(|inner| (inner.name().len(), inner.name()));
        let number = u32::try_from(field.number()).map_err(|error| error.to_string())?;
        Ok(Self { name, number, fields })
    }

    /// The field of its message with this name.
    pub(in crate::resource) fn field(&self, name: &[u8]) -> Option<&InnerField> {
        self.fields.iter().find(|inner| inner.name().as_bytes() == name)
    }

    /// Appends the value of an input tuple from an encoded message: `{"circle": {"radius": 2}}`. Of a member that the
    /// mask does not name, only the name is put.
    pub(super) fn put(
        &self,
        message: &[u8],
        reading: Reading<'_>,
        tuple: &mut Vec<u8>,
        violations: &mut Vec<Violation>,
    ) {
        let slots = match self.slots(message) {
            Ok(slots) => slots,
            Err(Malformed) => return violations.push(Violation::new(self.name, "is no message of its type")),
        };
        let at = tuple.len();
        tuple.put_i32(0);
        tuple.push(JSONB_VERSION);
        let mut json = JsonText::new(tuple);
        self.open(&mut json);
        let (mut column, mut count) = (Vec::new(), 0);
        for (inner, slot) in self.fields.iter().zip(&slots).filter(|(inner, _)| self.reaches(reading.portion, inner)) {
            column.clear();
            if let Err(violation) = inner.put(slot, reading, &mut column) {
                violations.push(violation);
                if violations.len() >= MAX_VIOLATIONS {
                    break;
                }
                continue;
            }
            let Some(value) = Columns::new(&column).next().flatten() else { continue };
            inner.put_entry(&mut json, count, value);
            count += 1;
        }
        json.put(b"}}");
        violations.extend(json.finish().err().map(|why| Violation::new(self.name, why)));
        end_value(tuple, at);
    }

    /// Begins the value of a tuple.
    pub(super) fn open(&self, json: &mut JsonText<'_>) {
        json.put(b"{");
        json.put_string(self.name);
        json.put(b": {");
    }

    /// Whether a field is taken from the message that was sent: not if the service computes it.
    fn reaches(&self, portion: Portion<'_>, inner: &InnerField) -> bool {
        if inner.is_computed() {
            return false;
        }
        match portion {
            Portion::All => true,
            Portion::Keys(keys) => keys.contain(self.name) || keys.contain(inner.path),
            Portion::Details | Portion::Nothing => false,
        }
    }

    /// The values of a message's fields, in the order of the inner fields.
    fn slots<'a>(&self, message: &'a [u8]) -> Result<Vec<Slot<'a>>, Malformed> {
        let mut slots = Vec::with_capacity(self.fields.len());
        slots.resize_with(self.fields.len(), || Slot::Unset);
        let mut reader = FieldReader::new(message);
        while let Some((number, value)) = reader.next()? {
            // Unknown fields are skipped, as protobuf prescribes.
            if let Some(at) = self.fields.iter().position(|inner| inner.field.number == number) {
                slots[at].take(self.fields[at].field.wire_form, value)?;
            }
        }
        Ok(slots)
    }
}

impl InnerField {
    fn compile(
        member: &'static Member,
        contract: &FileDescriptorSet,
        message: &DescriptorProto,
        field: &FieldDescriptorProto,
        rules: &Constraints,
    ) -> Result<Self, String> {
        // Leaked on purpose, as the names of fields are.
        let path: &'static str = String::leak(format!("{}.{}", member.field, field.name()));
        let source = FieldSource { kinds: member.fields, key: false, contract, message, path };
        Self::new(path, Field::compile(&source, field, rules)?)
    }

    /// A field with its path.
    pub(super) fn new(path: &'static str, field: Field) -> Result<Self, String> {
        let is_plain = matches!(field.kind.role(), FieldRole::Stored | FieldRole::CompletedInteger);
        if !is_plain || field.kind.payload().is_some() {
            return Err(format!("field {path}: a payload has no fields of the kind {:?}", field.kind));
        }
        let element = field.stored_type();
        // Behind the version.
        let opening = field.kind.default_value().and_then(|json| json.get(1)).copied();
        let opening = opening.filter(|_| element == ElementType::Json);
        let target = OutputField { number: field.number, names: field.kind.enum_names(), members: None };
        Ok(Self { field, path, element, opening, output: field.kind.output(), target })
    }

    /// Its name, which is its key in the stored object.
    pub fn name(&self) -> &'static str {
        self.field.name
    }

    /// Its path in masks and in errors: `circle.radius`.
    pub fn path(&self) -> &'static str {
        self.path
    }

    /// Whether it is a list of texts.
    pub(crate) fn is_text_list(&self) -> bool {
        Texts::fits(&self.field)
    }

    /// Whether the service computes it, whatever the caller sends.
    pub(in crate::resource) fn is_computed(&self) -> bool {
        self.field.kind.is_computed()
    }

    /// Checks a value and appends it to a tuple; null if it is unset.
    fn put(&self, slot: &Slot<'_>, reading: Reading<'_>, tuple: &mut Vec<u8>) -> Result<(), Violation> {
        let reading = Reading { portion: Portion::All, unset_is_null: true, ..reading };
        self.field.kind.put(self.path, slot, reading, tuple)
    }

    /// Appends its field of the member's message from a value in a selected tuple.
    pub(super) fn put_output(&self, out: &mut Vec<u8>, value: &[u8]) {
        (self.output)(out, self.target, value);
    }

    /// Puts its entry in the stored object; `nth` is its place there.
    pub(super) fn put_entry(&self, json: &mut JsonText<'_>, nth: usize, value: &[u8]) {
        json.separate(nth);
        json.put_string(self.name());
        json.put(b": ");
        values::put(self.element, value, json);
    }
}

/// The oneof of a field, unless it was made for the presence of that field alone.
pub(in crate::resource) fn oneof_of<'m>(message: &'m DescriptorProto, field: &FieldDescriptorProto) -> Option<&'m str> {
    if field.proto3_optional() {
        return None;
    }
    let nth = usize::try_from(field.oneof_index?).ok()?;
    message.oneof_decl.get(nth).map(prost_types::OneofDescriptorProto::name)
}

/// Rules of the oneof itself are not checked here, so that the contract must state none: an update may leave the
/// payload out.
fn check_option(oneof: &OneofDescriptor) -> Result<(), String> {
    let option = oneof.parent_pool().get_extension_by_name(ONEOF_OPTION);
    if option.is_some_and(|option| oneof.options().has_extension(&option)) {
        return Err(format!("the oneof {} has rules, which a payload does not keep", oneof.name()));
    }
    Ok(())
}
