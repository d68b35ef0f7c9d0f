//! One encoding per value, so that equal values have equal digests.
//!
//! Every value starts with a tag byte. Integers and floats are eight bytes, little-endian; every sequence carries its
//! length first; maps are sorted by key. `-0.0` is folded to `0.0` and NaN is refused, because it equals nothing.
//! An integer and a float of the same size differ: `1` and `1.0` are two values.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::value::digest::Digest;
use crate::value::preimage::Preimage;

/// A value that can enter a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing, as an option that is not set.
    Null,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number with a fraction; never NaN once encoded.
    Float(f64),
    /// A text in UTF-8.
    Text(String),
    /// A digest of bytes elsewhere.
    Digest(Digest),
    /// Values in an order that matters.
    List(Vec<Value>),
    /// Values by name, in an order that does not matter.
    Map(BTreeMap<String, Value>),
}

/// Written as [`Value::to_json`] is, without making it.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(truth) => serializer.serialize_bool(*truth),
            Self::Int(int) => serializer.serialize_i64(*int),
            Self::Float(float) => serializer.serialize_f64(*float),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Digest(digest) => digest.serialize(serializer),
            Self::List(items) => serializer.collect_seq(items),
            Self::Map(fields) => serializer.collect_map(fields),
        }
    }
}

/// An encoding that grows piece by piece, where building a [`Value`] first would cost more than hashing it.
///
/// The caller gives as many values as a list or map says, and the names of a map in ascending order, each before its value.
#[derive(Clone, Debug, Default)]
pub struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    /// Begins a map of so many pairs.
    pub fn map(&mut self, fields: usize) {
        encode_length(7, fields, &mut self.bytes);
    }

    /// Begins a list of so many values.
    pub fn list(&mut self, items: usize) {
        encode_length(6, items, &mut self.bytes);
    }

    /// A text, or the name of a field.
    pub fn text(&mut self, text: &str) {
        encode_text(4, text, &mut self.bytes);
    }

    /// A digest.
    pub fn digest(&mut self, digest: &Digest) {
        self.bytes.push(5);
        self.bytes.extend(digest.as_bytes());
    }

    /// A value that is at hand as a whole.
    pub fn value(&mut self, value: &Value) -> Result<(), CanonicalError> {
        value.encode(&mut self.bytes)
    }

    /// What was given so far, to be given to [`Encoder::encoded`] again; the encoder is empty again.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// What was given, which is one whole value, to be kept; the encoder is empty again.
    pub fn preimage(&mut self) -> Preimage {
        Preimage::new(self.take())
    }

    /// Values whose encoding was made before.
    pub fn encoded(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// Forgets what was given.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    /// The digest of all that was given; the encoder is empty again.
    pub fn finish(&mut self) -> Digest {
        let digest = Digest::of(&self.bytes);
        self.bytes.clear();
        digest
    }
}

/// Why a value has no encoding.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    /// NaN equals nothing, not even itself, so that no key could ever be found again.
    #[error("a number is NaN, which cannot be part of a key")]
    NotANumber,
    /// The integer does not fit 64 bits with a sign.
    #[error("the integer {0} is above 9223372036854775807")]
    IntegerRange(u64),
}

impl Value {
    /// A map of the given pairs.
    pub fn map<K: Into<String>>(pairs: impl IntoIterator<Item = (K, Value)>) -> Self {
        Self::Map(pairs.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }

    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Takes over a JSON value; a number with a fraction or exponent becomes a float.
    pub fn from_json(json: &serde_json::Value) -> Result<Self, CanonicalError> {
        use serde_json::Value as Json;
        Ok(match json {
            Json::Null => Self::Null,
            Json::Bool(truth) => Self::Bool(*truth),
            Json::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
                (Some(int), _, _) => Self::Int(int),
                (None, Some(int), _) => return Err(CanonicalError::IntegerRange(int)),
                (None, None, Some(float)) => Self::Float(float),
                (None, None, None) => return Err(CanonicalError::NotANumber),
            },
            Json::String(text) => Self::Text(text.clone()),
            Json::Array(items) => Self::List(items.iter().map(Self::from_json).collect::<Result<_, _>>()?),
            Json::Object(fields) => Self::Map(
                fields
                    .iter()
                    .map(|(key, value)| Ok((key.clone(), Self::from_json(value)?)))
                    .collect::<Result<_, CanonicalError>>()?,
            ),
        })
    }

    /// The value as JSON for people to read; digests become their hexadecimal text.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match self {
            Self::Null => Json::Null,
            Self::Bool(truth) => Json::Bool(*truth),
            Self::Int(int) => Json::from(*int),
            Self::Float(float) => Json::from(*float),
            Self::Text(text) => Json::String(text.clone()),
            Self::Digest(digest) => Json::String(digest.to_string()),
            Self::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Self::Map(fields) => {
                Json::Object(fields.iter().map(|(key, value)| (key.clone(), value.to_json())).collect())
            }
        }
    }

    /// The digest of the canonical encoding.
    pub fn digest(&self) -> Result<Digest, CanonicalError> {
        let mut bytes = Vec::new();
        self.encode(&mut bytes)?;
        Ok(Digest::of(&bytes))
    }

    /// Appends the canonical encoding.
    pub fn encode(&self, bytes: &mut Vec<u8>) -> Result<(), CanonicalError> {
        match self {
            Self::Null => bytes.push(0),
            Self::Bool(truth) => bytes.extend([1, u8::from(*truth)]),
            Self::Int(int) => {
                bytes.push(2);
                bytes.extend(int.to_le_bytes());
            }
            Self::Float(float) if float.is_nan() => return Err(CanonicalError::NotANumber),
            Self::Float(float) => {
                bytes.push(3);
                // Adding positive zero turns -0.0 into 0.0 and leaves every other number alone.
                bytes.extend((float + 0.0).to_bits().to_le_bytes());
            }
            Self::Text(text) => encode_text(4, text, bytes),
            Self::Digest(digest) => {
                bytes.push(5);
                bytes.extend(digest.as_bytes());
            }
            Self::List(items) => {
                encode_length(6, items.len(), bytes);
                for item in items {
                    item.encode(bytes)?;
                }
            }
            Self::Map(fields) => {
                encode_length(7, fields.len(), bytes);
                for (key, value) in fields {
                    encode_text(4, key, bytes);
                    value.encode(bytes)?;
                }
            }
        }
        Ok(())
    }
}

fn encode_text(tag: u8, text: &str, bytes: &mut Vec<u8>) {
    encode_length(tag, text.len(), bytes);
    bytes.extend(text.as_bytes());
}

fn encode_length(tag: u8, length: usize, bytes: &mut Vec<u8>) {
    bytes.push(tag);
    bytes.extend((length as u64).to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn digest(json: &str) -> Digest {
        let json: serde_json::Value = serde_json::from_str(json).expect("the test's JSON is valid");
        Value::from_json(&json).expect("no NaN in JSON").digest().expect("no NaN in JSON")
    }

    #[test]
    fn order_of_fields_and_spelling_of_numbers_change_nothing() {
        assert_eq!(digest(r#"{"a": 0.10, "b": 1}"#), digest(r#"{"b": 1, "a": 0.1}"#));
        assert_eq!(digest("-0.0"), digest("0.0"));
    }

    #[test]
    fn values_that_look_alike_differ() {
        assert_ne!(digest("1"), digest("1.0"));
        assert_ne!(digest("1"), digest("\"1\""));
        assert_ne!(digest(r#"["ab", "c"]"#), digest(r#"["a", "bc"]"#));
        assert_ne!(digest("[[], []]"), digest("[[[]]]"));
        assert_ne!(digest("null"), digest("false"));
    }

    #[test]
    fn nan_is_refused() {
        assert_eq!(Value::Float(f64::NAN).digest(), Err(CanonicalError::NotANumber));
    }

    #[test]
    fn encoder_gives_the_digest_of_the_value() {
        let inner = Value::Float(0.5);
        let value = Value::map([
            ("a", Value::List(vec![Value::text("x"), Value::Digest(Digest::of(b"y"))])),
            ("b", inner.clone()),
        ]);
        let mut encoder = Encoder::default();
        for _ in 0..2 {
            encoder.map(2);
            encoder.text("a");
            encoder.list(2);
            encoder.text("x");
            encoder.digest(&Digest::of(b"y"));
            encoder.text("b");
            encoder.value(&inner).expect("it is a number");
            let whole = encoder.take();
            encoder.encoded(&whole);
            assert_eq!(Ok(encoder.finish()), value.digest());
        }
    }

    #[test]
    fn value_is_written_as_its_json_is() {
        let value = Value::map([
            (
                "z",
                Value::List(vec![Value::Null, Value::Bool(true), Value::Int(-3), Value::Float(0.1), Value::Float(2.0)]),
            ),
            ("a", Value::map([("ü\n\"", Value::Digest(Digest::of(b"x"))), ("", Value::text("\u{1}"))])),
        ]);
        assert_eq!(serde_json::to_string(&value).unwrap(), value.to_json().to_string());
    }

    proptest! {
        #[test]
        fn encoding_tells_lists_of_texts_apart(a: Vec<String>, b: Vec<String>) {
            let value = |texts: &[String]| Value::List(texts.iter().map(Value::text).collect());
            let same = value(&a).digest().unwrap() == value(&b).digest().unwrap();
            prop_assert_eq!(same, a == b);
        }
    }
}
