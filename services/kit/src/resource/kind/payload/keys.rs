//! Single keys of a payload, as rules read and set them in the value of a tuple.

use super::{InnerField, MemberFields, values};
use crate::resource::document::{Items, JsonValue, entries};
use crate::resource::json::JsonText;
use crate::resource::kind::{JSONB_VERSION, json_of};

impl MemberFields {
    /// The value of a field in Postgres's binary format; `None` if it is unset or does not fit the field, or if the row
    /// has another member.
    pub(in crate::resource) fn value(&self, jsonb: &[u8], inner: &InnerField) -> Option<Vec<u8>> {
        let (_, value) = self.stored(jsonb)?.find(|(key, _)| *key.text() == *inner.name().as_bytes())?;
        let mut found = Vec::new();
        values::read(inner, value, &mut found).map(|()| found)
    }

    /// The value of the tuple with a field set, or unset; `None` if the row has another member. The keys stay in the
    /// order in which jsonb has them.
    pub(in crate::resource) fn with(&self, jsonb: &[u8], inner: &InnerField, value: Option<&[u8]>) -> Option<Vec<u8>> {
        let mut changed = vec![JSONB_VERSION];
        let mut json = JsonText::unbounded(&mut changed);
        self.open(&mut json);
        let (mut new, mut count) = (value, 0);
        let own = inner.name().as_bytes();
        for (key, old) in self.stored(jsonb)? {
            let key = key.text();
            if let Some(value) = new.take_if(|_| (own.len(), own) <= (key.len(), &key)) {
                inner.put_entry(&mut json, count, value);
                count += 1;
            }
            if *key == *own {
                continue;
            }
            json.separate(count);
            json.put_string(&String::from_utf8_lossy(&key));
            json.put(b": ");
            match old {
                JsonValue::String(text) => json.put_string(&String::from_utf8_lossy(&text.text())),
                JsonValue::Other(raw) => json.put(raw),
            }
            count += 1;
        }
        if let Some(value) = new {
            inner.put_entry(&mut json, count, value);
        }
        json.put(b"}}");
        Some(changed)
    }

    /// The entries of the stored object, if it is that of this member.
    fn stored<'j>(&self, jsonb: &'j [u8]) -> Option<Items<'j>> {
        let (name, value) = entries(json_of(jsonb)).next()?;
        if *name.text() != *self.name.as_bytes() {
            return None;
        }
        match value {
            JsonValue::Other(object) => Some(entries(object)),
            JsonValue::String(_) => Some(entries(b"")),
        }
    }
}
