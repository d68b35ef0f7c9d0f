//! Preimages of keys: a key is the digest of its preimage, and people read the preimage as JSON.

use std::cell::Cell;

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};

use crate::value::canonical::{BOOL, DIGEST, Encoder, FLOAT, INT, LIST, MAP, NULL, TEXT};
use crate::value::digest::Digest;

/// The canonical encoding of one value, made by an [`Encoder`](crate::Encoder) and serialized as JSON.
///
/// The bytes are kept, not a [`Value`](crate::Value): a value that gathers ten thousand others is ten thousand small
/// maps, each some allocations, and its encoding is one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preimage(Vec<u8>);

impl Preimage {
    /// Returns the digest of the value.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }

    /// Returns the encoding, for another process.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Takes the encoding of a value that another process sent; `None` if it does not have the digest.
    pub fn from_bytes(bytes: Vec<u8>, digest: &Digest) -> Option<Self> {
        (Digest::of(&bytes) == *digest).then_some(Self(bytes))
    }

    /// Decodes the value as JSON; digests become hexadecimal texts.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("a preimage has text keys and finite numbers")
    }
}

/// Takes the encoding of one whole value.
impl From<Encoder> for Preimage {
    fn from(mut encoder: Encoder) -> Self {
        Self(encoder.take())
    }
}

impl Serialize for Preimage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Rest(Cell::new(&self.0)).serialize(serializer)
    }
}

/// The undecoded rest of an encoding; serializing it decodes one value.
struct Rest<'a>(Cell<&'a [u8]>);

/// Only an encoder makes a preimage.
const WHOLE: &str = "BUG: a canonical encoding is whole";

impl<'a> Rest<'a> {
    fn take(&self, length: usize) -> &'a [u8] {
        let (front, rest) = self.0.get().split_at_checked(length).expect(WHOLE);
        self.0.set(rest);
        front
    }

    fn byte(&self) -> u8 {
        self.take(1)[0]
    }

    fn number(&self) -> [u8; 8] {
        self.take(8).try_into().expect("eight bytes were taken")
    }

    fn length(&self) -> usize {
        usize::try_from(u64::from_le_bytes(self.number())).expect(WHOLE)
    }

    fn text(&self) -> &'a str {
        std::str::from_utf8(self.take(self.length())).expect(WHOLE)
    }
}

impl Serialize for Rest<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.byte() {
            NULL => serializer.serialize_unit(),
            BOOL => serializer.serialize_bool(self.byte() == 1),
            INT => serializer.serialize_i64(i64::from_le_bytes(self.number())),
            FLOAT => serializer.serialize_f64(f64::from_le_bytes(self.number())),
            TEXT => serializer.serialize_str(self.text()),
            DIGEST => Digest::from_bytes(self.take(32).try_into().expect("as many were taken")).serialize(serializer),
            LIST => {
                let length = self.length();
                let mut items = serializer.serialize_seq(Some(length))?;
                (0..length).try_for_each(|_| items.serialize_element(self))?;
                items.end()
            }
            MAP => {
                let length = self.length();
                let mut fields = serializer.serialize_map(Some(length))?;
                for _ in 0..length {
                    assert_eq!(self.byte(), TEXT, "{WHOLE}");
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
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::value::canonical::Value;

    fn preimage(value: &Value) -> Preimage {
        let mut encoder = Encoder::default();
        encoder.value(value).expect("there is no NaN");
        encoder.into()
    }

    /// A value and the JSON that people read of it.
    fn values() -> impl Strategy<Value = (Value, Json)> {
        let leaf = prop_oneof![
            Just((Value::Null, Json::Null)),
            any::<bool>().prop_map(|truth| (Value::Bool(truth), json!(truth))),
            any::<i64>().prop_map(|int| (Value::Int(int), json!(int))),
            (-1e9..1e9).prop_map(|float: f64| (Value::Float(float), json!(float + 0.0))),
            any::<String>().prop_map(|text| (Value::text(&text), json!(text))),
            any::<[u8; 4]>().prop_map(|bytes| {
                let digest = Digest::of(&bytes);
                (Value::Digest(digest), json!(digest.to_string()))
            }),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(|items| {
                    let (values, jsons) = items.into_iter().unzip();
                    (Value::List(values), Json::Array(jsons))
                }),
                prop::collection::btree_map(any::<String>(), inner, 0..6).prop_map(
                    |fields: BTreeMap<String, (Value, Json)>| {
                        let json = fields.iter().map(|(name, (_, json))| (name.clone(), json.clone())).collect();
                        let values = fields.into_iter().map(|(name, (value, _))| (name, value));
                        (Value::Map(values.collect()), Json::Object(json))
                    }
                ),
            ]
        })
    }

    proptest! {
        #[test]
        fn preimage_is_read_as_the_json_of_its_value_and_has_its_digest((value, json) in values()) {
            let preimage = preimage(&value);
            prop_assert_eq!(serde_json::to_string(&preimage).unwrap(), json.to_string());
            prop_assert_eq!(preimage.to_json(), json);
            prop_assert_eq!(Ok(preimage.digest()), value.digest());
        }
    }

    #[test]
    fn texts_are_escaped_as_json_escapes_them() {
        let value = Value::map([("ü\n\"", Value::Digest(Digest::of(b"x"))), ("", Value::text("\u{1}"))]);
        let json = json!({ "": "\u{1}", "ü\n\"": Digest::of(b"x").to_string() });
        assert_eq!(serde_json::to_string(&preimage(&value)).unwrap(), json.to_string());
    }
}
