//! Canonical encoding of values: equal values have equal bytes, and so equal digests.
//!
//! Each value starts with a tag byte. Integers and floats take eight bytes, little-endian. Every text, list and map
//! carries its length first. Maps are sorted by key. `-0.0` is folded to `0.0`; NaN is refused, because it equals
//! nothing. An integer differs from a float: `1` and `1.0` are two values.
//!
//! [`Encoder`] writes the encoding; [`Preimage`](crate::Preimage) keeps it and decodes it for people.

use std::collections::BTreeMap;

use crate::value::digest::Digest;

/// Tag of [`Value::Null`].
pub(super) const NULL: u8 = 0;
/// Tag of [`Value::Bool`]; one byte follows.
pub(super) const BOOL: u8 = 1;
/// Tag of [`Value::Int`]; eight bytes follow.
pub(super) const INT: u8 = 2;
/// Tag of [`Value::Float`]; eight bytes follow.
pub(super) const FLOAT: u8 = 3;
/// Tag of [`Value::Text`]; its length and UTF-8 follow.
pub(super) const TEXT: u8 = 4;
/// Tag of [`Value::Digest`]; 32 bytes follow.
pub(super) const DIGEST: u8 = 5;
/// Tag of [`Value::List`]; its length and values follow.
pub(super) const LIST: u8 = 6;
/// Tag of [`Value::Map`]; its length follows, then each name as a text and its value.
pub(super) const MAP: u8 = 7;

/// A value in a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing, such as an unset option.
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
    /// Values in a significant order.
    List(Vec<Value>),
    /// Values by name; their order does not matter.
    Map(BTreeMap<String, Value>),
}

/// A canonical encoding, built piece by piece without a [`Value`].
///
/// The caller gives as many values as it announced for a list or map, and the names of a map in ascending order, each
/// before its value.
#[derive(Clone, Debug, Default)]
pub struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    /// Begins a map of `fields` pairs.
    pub fn map(&mut self, fields: usize) {
        self.length(MAP, fields);
    }

    /// Begins a list of `items` values.
    pub fn list(&mut self, items: usize) {
        self.length(LIST, items);
    }

    /// Appends a text, or the name of a field.
    pub fn text(&mut self, text: &str) {
        self.length(TEXT, text.len());
        self.bytes.extend(text.as_bytes());
    }

    /// Appends a digest.
    pub fn digest(&mut self, digest: &Digest) {
        self.bytes.push(DIGEST);
        self.bytes.extend(digest.as_bytes());
    }

    /// Appends a whole value.
    pub fn value(&mut self, value: &Value) -> Result<(), CanonicalError> {
        match value {
            Value::Null => self.bytes.push(NULL),
            Value::Bool(truth) => self.bytes.extend([BOOL, u8::from(*truth)]),
            Value::Int(int) => self.number(INT, int.to_le_bytes()),
            Value::Float(float) if float.is_nan() => return Err(CanonicalError::NotANumber),
            // Adding positive zero turns -0.0 into 0.0 and leaves every other number alone.
            Value::Float(float) => self.number(FLOAT, (float + 0.0).to_bits().to_le_bytes()),
            Value::Text(text) => self.text(text),
            Value::Digest(digest) => self.digest(digest),
            Value::List(items) => {
                self.list(items.len());
                items.iter().try_for_each(|item| self.value(item))?;
            }
            Value::Map(fields) => {
                self.map(fields.len());
                for (name, value) in fields {
                    self.text(name);
                    self.value(value)?;
                }
            }
        }
        Ok(())
    }

    /// Appends encoded values.
    pub fn encoded(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// Takes the bytes so far, for a later [`Encoder::encoded`], and leaves the encoder empty.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }

    /// Returns the digest of all bytes, and leaves the encoder empty; its memory stays for the next value.
    pub fn finish(&mut self) -> Digest {
        let digest = Digest::of(&self.bytes);
        self.clear();
        digest
    }

    /// Drops all bytes.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }

    fn length(&mut self, tag: u8, length: usize) {
        self.number(tag, (length as u64).to_le_bytes());
    }

    fn number(&mut self, tag: u8, bytes: [u8; 8]) {
        self.bytes.push(tag);
        self.bytes.extend(bytes);
    }
}

/// Why a value has no encoding.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    /// NaN equals nothing, not even itself, so no lookup would ever find the key again.
    #[error("a number is NaN, which cannot be part of a key")]
    NotANumber,
    /// The integer does not fit 64 bits with a sign.
    #[error("the integer {0} is above 9223372036854775807")]
    IntegerRange(u64),
}

impl Value {
    /// Makes a map of the given pairs.
    pub fn map<K: Into<String>>(pairs: impl IntoIterator<Item = (K, Value)>) -> Self {
        Self::Map(pairs.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }

    /// Makes a text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Converts a JSON value; a number with a fraction or exponent becomes a float.
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

    /// Iterates over the values of a list or map; none for any other value.
    pub(super) fn each_mut(&mut self) -> Box<dyn Iterator<Item = &mut Self> + '_> {
        match self {
            Self::List(items) => Box::new(items.iter_mut()),
            Self::Map(fields) => Box::new(fields.values_mut()),
            _ => Box::new(std::iter::empty()),
        }
    }

    /// Returns the value of a map's field.
    pub(super) fn field_mut(&mut self, name: &str) -> Option<&mut Self> {
        if let Self::Map(fields) = self { fields.get_mut(name) } else { None }
    }

    /// Turns the text of a digest into the digest that it shows.
    pub(super) fn read_digest(&mut self) {
        if let Self::Text(text) = self
            && let Ok(digest) = text.parse()
        {
            *self = Self::Digest(digest);
        }
    }

    /// Returns the digest of the canonical encoding.
    pub fn digest(&self) -> Result<Digest, CanonicalError> {
        let mut encoder = Encoder::default();
        encoder.value(self)?;
        Ok(encoder.finish())
    }
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
    fn each_kind_of_value_has_the_documented_bytes() {
        let length = |tag: u8, length: u8| [tag, length, 0, 0, 0, 0, 0, 0, 0];
        let list = [Value::Null, Value::Bool(true), Value::Int(-2), Value::Float(-0.0), Value::Digest(Digest::of(b""))];
        let mut encoder = Encoder::default();
        encoder.value(&Value::map([("a", Value::List(list.to_vec()))])).unwrap();
        let mut expected = [&length(7, 1)[..], &length(4, 1), b"a", &length(6, 5), &[0, 1, 1, 2, 254]].concat();
        expected.extend([255; 7]);
        expected.extend([3, 0, 0, 0, 0, 0, 0, 0, 0, 5]);
        expected.extend(Digest::of(b"").as_bytes());
        assert_eq!(encoder.take(), expected);
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

    proptest! {
        #[test]
        fn encoding_tells_lists_of_texts_apart(a: Vec<String>, b: Vec<String>) {
            let value = |texts: &[String]| Value::List(texts.iter().map(Value::text).collect());
            let same = value(&a).digest().unwrap() == value(&b).digest().unwrap();
            prop_assert_eq!(same, a == b);
        }
    }
}
