//! Who is told of a manifest, piece by piece: an encoder, which digests it, or a builder, which makes it readable.

use std::collections::BTreeMap;

use orchestrate_cache::{Digest, Encoder, Value};

/// Takes a value piece by piece: a list or map says how many values follow; the names of a map come in ascending order,
/// each as a text before its value.
pub(super) trait Sink {
    /// Begins a map.
    fn map(&mut self, fields: usize);
    /// Begins a list.
    fn list(&mut self, items: usize);
    /// A text, or the name of a field.
    fn text(&mut self, text: &str);
    fn digest(&mut self, digest: &Digest);
    fn value(&mut self, value: &Value);
}

impl Sink for Encoder {
    fn map(&mut self, fields: usize) {
        Self::map(self, fields);
    }

    fn list(&mut self, items: usize) {
        Self::list(self, items);
    }

    fn text(&mut self, text: &str) {
        Self::text(self, text);
    }

    fn digest(&mut self, digest: &Digest) {
        Self::digest(self, digest);
    }

    fn value(&mut self, value: &Value) {
        Self::value(self, value).expect("params are from TOML or JSON, which have no NaN");
    }
}

/// Makes a [`Value`] of what it is told.
#[derive(Default)]
pub(super) struct Builder {
    /// What has begun and lacks values, the innermost last.
    open: Vec<Open>,
    whole: Option<Value>,
}

enum Open {
    Map { left: usize, name: Option<String>, fields: BTreeMap<String, Value> },
    List { left: usize, items: Vec<Value> },
}

impl Builder {
    /// The value, after its last piece.
    pub(super) fn finish(self) -> Value {
        assert!(self.open.is_empty(), "BUG: a list or map of a manifest lacks values");
        self.whole.expect("a manifest is a value")
    }

    /// Puts a value in its place, and closes what it completes.
    fn put(&mut self, value: Value) {
        let left = match self.open.last_mut() {
            None => {
                self.whole = Some(value);
                return;
            }
            Some(Open::Map { left, name, fields }) => {
                fields.insert(name.take().expect("a name comes before its value"), value);
                left
            }
            Some(Open::List { left, items }) => {
                items.push(value);
                left
            }
        };
        *left -= 1;
        if *left == 0 {
            match self.open.pop() {
                Some(Open::Map { fields, .. }) => self.put(Value::Map(fields)),
                Some(Open::List { items, .. }) => self.put(Value::List(items)),
                None => unreachable!("it was just there"),
            }
        }
    }
}

impl Sink for Builder {
    fn map(&mut self, fields: usize) {
        match fields {
            0 => self.put(Value::Map(BTreeMap::new())),
            left => self.open.push(Open::Map { left, name: None, fields: BTreeMap::new() }),
        }
    }

    fn list(&mut self, items: usize) {
        match items {
            0 => self.put(Value::List(Vec::new())),
            left => self.open.push(Open::List { left, items: Vec::with_capacity(items) }),
        }
    }

    fn text(&mut self, text: &str) {
        match self.open.last_mut() {
            Some(Open::Map { name: name @ None, .. }) => *name = Some(text.to_owned()),
            _ => self.put(Value::text(text)),
        }
    }

    fn digest(&mut self, digest: &Digest) {
        self.put(Value::Digest(*digest));
    }

    fn value(&mut self, value: &Value) {
        self.put(value.clone());
    }
}
