//! Payloads as rules see them: which member a row has, and single fields of a member.

use std::borrow::Cow;
use std::marker::PhantomData;

use super::{Changes, ColumnType, Row, WritableType};
use crate::resource::Resource;
use crate::resource::document::entries;
use crate::resource::kind::{InnerField, MemberFields, Members};
use crate::resource::tuple::Columns;

/// A payload, as a rule names it.
#[derive(Clone, Copy, Debug)]
pub struct PayloadMember {
    pub(in crate::resource) place: usize,
    pub(in crate::resource) members: &'static Members,
}

/// A field of one member of a payload, read as `T`.
#[derive(Debug)]
pub struct PayloadColumn<T> {
    pub(in crate::resource) place: usize,
    pub(in crate::resource) member: &'static MemberFields,
    pub(in crate::resource) inner: &'static InnerField,
    value: PhantomData<fn() -> T>,
}

impl<T> Clone for PayloadColumn<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for PayloadColumn<T> {}

impl<T> PayloadColumn<T> {
    /// Its path in masks and errors: `circle.radius`.
    pub fn path(self) -> &'static str {
        self.inner.path()
    }
}

/// A new value of an inner field; `None` if it is unset.
#[derive(Debug)]
pub(super) struct InnerChange {
    place: usize,
    member: &'static MemberFields,
    inner: &'static InnerField,
    value: Option<Vec<u8>>,
}

impl Resource {
    /// The payload in a column.
    ///
    /// # Errors
    /// There is none.
    pub fn payload(&self, column: &str) -> Result<PayloadMember, String> {
        let mut inputs = self.inputs().enumerate();
        let found = inputs.find_map(|(place, field)| Some((place, field.members()?)).filter(|_| field.name == column));
        let (place, members) =
            found.ok_or_else(|| format!("{} has no payload in a column {column}", self.description.message))?;
        Ok(PayloadMember { place, members })
    }

    /// A field of one member of the payload in a column.
    ///
    /// # Errors
    /// There is none, or it has another type.
    pub fn payload_column<T: ColumnType>(
        &self,
        column: &str,
        member: &str,
        field: &str,
    ) -> Result<PayloadColumn<T>, String> {
        let PayloadMember { place, members } = self.payload(column)?;
        let unknown = || format!("{} has no field {member}.{field}", self.description.message);
        let member = members.named(member.as_bytes()).ok_or_else(unknown)?;
        let inner = member.field(field.as_bytes()).ok_or_else(unknown)?;
        if !T::fits(&inner.field) {
            let wanted = std::any::type_name::<T>().rsplit("::").next().unwrap_or_default();
            return Err(format!("field {} of {} is no {wanted}", inner.path(), self.description.message));
        }
        Ok(PayloadColumn { place, member, inner, value: PhantomData })
    }
}

impl Row<'_> {
    /// The name of the member that the row has; `None` if it has none that the contract knows. A row that is stored has
    /// the one that its discriminator names.
    pub fn member(self, payload: PayloadMember) -> Option<&'static str> {
        let value = Columns::new(self.tuple).nth(payload.place).flatten()?;
        let (name, _) = entries(value.get(1..)?).next()?;
        payload.members.named(&name.text()).map(|member| member.name)
    }

    /// The value of an inner field; `None` if it is unset, or if the row has another member.
    pub fn inner<T: ColumnType>(self, column: PayloadColumn<T>) -> Option<T::Owned> {
        T::read(&self.inner_value(column.place, column.member, column.inner)?).map(T::owned)
    }

    /// The same in Postgres's binary format.
    pub(crate) fn inner_value(self, place: usize, member: &MemberFields, inner: &InnerField) -> Option<Vec<u8>> {
        member.value(Columns::new(self.tuple).nth(place).flatten()?, inner)
    }
}

impl Changes {
    /// Sets a field of a member. A row that has another member, or none, is not changed. If a field is set twice, the
    /// last value counts.
    pub fn set_inner<T: WritableType>(&mut self, column: PayloadColumn<T>, value: T::Value<'_>) {
        let mut bytes = Vec::new();
        T::write(value, &mut bytes);
        self.change_inner(column, Some(bytes));
    }

    /// Unsets a field of a member.
    pub fn unset_inner<T>(&mut self, column: PayloadColumn<T>) {
        self.change_inner(column, None);
    }

    fn change_inner<T>(&mut self, column: PayloadColumn<T>, value: Option<Vec<u8>>) {
        let PayloadColumn { place, member, inner, .. } = column;
        self.inner.push(InnerChange { place, member, inner, value });
    }

    /// The value of a column with the changes of its inner fields.
    pub(super) fn with_inner<'v>(&self, place: usize, value: &'v [u8]) -> Cow<'v, [u8]> {
        let mut value = Cow::Borrowed(value);
        for change in self.inner.iter().filter(|change| change.place == place) {
            if let Some(changed) = change.member.with(&value, change.inner, change.value.as_deref()) {
                value = Cow::Owned(changed);
            }
        }
        value
    }
}
