//! What a write does to the payloads of rows.

use super::{Batch, Overwriting};
use crate::resource::Field;
use crate::resource::kind::{InnerField, MemberFields};
use crate::resource::mask::Reach;
use crate::resource::row::{ColumnType, PayloadColumn, PayloadMember};
use crate::resource::tuple::Columns;

impl Batch<'_> {
    /// Whether the write sets or clears fields of a payload of the row at a place, if that is stored.
    pub fn writes_payload(&self, at: usize, payload: PayloadMember) -> bool {
        self.field_at(payload.place).is_some_and(|field| self.overwrites(at, field))
    }

    /// Whether the write changes fields of a payload of the row at a place, which is stored and was read. A number that
    /// is written in another way counts as changed.
    pub fn changes_payload(&self, at: usize, payload: PayloadMember) -> bool {
        if !self.writes_payload(at, payload) {
            return false;
        }
        let (Some(stored), Some(name)) = (self.stored(at), self.row(at).member(payload)) else { return true };
        let Some(member) = payload.members.named(name.as_bytes()) else { return true };
        member.fields.iter().any(|inner| {
            let before = stored.row().inner_value(payload.place, member, inner);
            self.inner_value_after(at, payload.place, member, inner) != before
        })
    }

    /// The value that a field of a payload has after the write: the one that is sent, or the stored one if the write
    /// leaves it. The stored row is known if it was read: see
    /// [`Rules::reads_stored`](crate::resource::rules::Rules::reads_stored).
    pub fn inner_after<T: ColumnType>(&self, at: usize, column: PayloadColumn<T>) -> Option<T::Owned> {
        T::read(&self.inner_value_after(at, column.place, column.member, column.inner)?).map(T::owned)
    }

    fn inner_value_after(&self, at: usize, place: usize, member: &MemberFields, inner: &InnerField) -> Option<Vec<u8>> {
        let sent = self.row(at).inner_value(place, member, inner);
        if !self.exists(at) {
            return sent;
        }
        let stored = || self.stored(at)?.row().inner_value(place, member, inner);
        let reached = match (self.mask.paths(), self.field_at(place)) {
            (Some(paths), Some(field)) => {
                let own = paths.iter().find(|path| self.resource.fields[path.field].name == field.name);
                match own.map(|path| &path.reach) {
                    None => return stored(),
                    Some(Reach::Keys(keys)) => keys.contain(member.name) || keys.contain(inner.path()),
                    Some(Reach::Whole | Reach::Details { .. }) => true,
                }
            }
            _ => true,
        };
        if !reached {
            stored()
        } else if self.mask.keeps_unset() || inner.is_computed() {
            sent.or_else(stored)
        } else {
            sent
        }
    }

    /// The field of a column of an input tuple.
    fn field_at(&self, place: usize) -> Option<&'static Field> {
        self.resource.inputs().nth(place)
    }

    /// Whether the write sets or clears a column of the row at a place, if that is stored.
    pub(super) fn overwrites(&self, at: usize, field: &Field) -> bool {
        let is_set = || {
            let place = self.resource.input_position(field.name);
            place.is_some_and(|place| Columns::new(self.row(at).tuple()).nth(place).flatten().is_some())
        };
        match self.overwriting(field) {
            Overwriting::Nothing => false,
            Overwriting::Set => is_set(),
            Overwriting::All => true,
        }
    }
}
