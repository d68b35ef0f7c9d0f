//! A canonical encoding that is kept, to be written as JSON.

use std::cell::Cell;

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use crate::value::digest::Digest;

/// The encoding of one value, of which a key is the digest; an [`Encoder`](crate::Encoder) gives it.
///
/// A value that gathers ten thousand others is ten thousand small maps, each some allocations; its encoding is one. It is
/// written as the [`Value`](crate::Value) is, without making that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preimage(Vec<u8>);

impl Preimage {
    pub(crate) fn new(encoding: Vec<u8>) -> Self {
        Self(encoding)
    }

    /// The digest of the value.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }
}

impl Serialize for Preimage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Rest { bytes: &self.0, at: Cell::new(0) }.serialize(serializer)
    }
}

/// What follows in an encoding; serializing it takes one value off.
struct Rest<'a> {
    bytes: &'a [u8],
    at: Cell<usize>,
}

/// Only an encoder makes a preimage.
const WHOLE: &str = "BUG: a canonical encoding is whole";

impl<'a> Rest<'a> {
    fn take(&self, length: usize) -> &'a [u8] {
        let start = self.at.get();
        self.at.set(start + length);
        self.bytes.get(start..start + length).expect(WHOLE)
    }

    fn byte(&self) -> u8 {
        self.take(1)[0]
    }

    fn word(&self) -> [u8; 8] {
        self.take(8).try_into().expect("eight bytes were taken")
    }

    fn length(&self) -> usize {
        usize::try_from(u64::from_le_bytes(self.word())).expect(WHOLE)
    }

    fn text(&self) -> &'a str {
        let length = self.length();
        std::str::from_utf8(self.take(length)).expect(WHOLE)
    }
}

impl Serialize for Rest<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.byte() {
            0 => serializer.serialize_unit(),
            1 => serializer.serialize_bool(self.byte() == 1),
            2 => serializer.serialize_i64(i64::from_le_bytes(self.word())),
            3 => serializer.serialize_f64(f64::from_le_bytes(self.word())),
            4 => serializer.serialize_str(self.text()),
            5 => Digest::from_bytes(self.take(32).try_into().expect("as many were taken")).serialize(serializer),
            6 => {
                let length = self.length();
                let mut items = serializer.serialize_seq(Some(length))?;
                for _ in 0..length {
                    items.serialize_element(self)?;
                }
                items.end()
            }
            7 => {
                let length = self.length();
                let mut fields = serializer.serialize_map(Some(length))?;
                for _ in 0..length {
                    assert_eq!(self.byte(), 4, "{WHOLE}");
                    fields.serialize_entry(self.text(), self)?;
                }
                fields.end()
            }
            tag => panic!("{WHOLE}: there is no tag {tag}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::value::canonical::{Encoder, Value};

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            (-1e9..1e9).prop_map(|float: f64| Value::Float(float + 0.0)),
            any::<String>().prop_map(Value::Text),
            any::<[u8; 4]>().prop_map(|bytes| Value::Digest(Digest::of(&bytes))),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::List),
                prop::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|fields: BTreeMap<String, Value>| Value::Map(fields)),
            ]
        })
    }

    proptest! {
        #[test]
        fn preimage_is_written_and_digested_as_its_value_is(value in values()) {
            let mut encoder = Encoder::default();
            encoder.value(&value).expect("there is no NaN");
            let preimage = encoder.preimage();
            prop_assert_eq!(serde_json::to_string(&preimage).unwrap(), serde_json::to_string(&value).unwrap());
            prop_assert_eq!(Ok(preimage.digest()), value.digest());
        }
    }
}
