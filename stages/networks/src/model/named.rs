//! Params whose value is a name.

use std::fmt;

use serde::Deserializer;
use serde::de::{self, Visitor};

/// Deserializes a value by its name; `find` gives the error of an unknown name.
///
/// Derived enums give serde's error instead, which neither suggests a name nor says that it is one.
pub(super) fn named<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    expected: &'static str,
    find: fn(&str) -> Result<T, String>,
) -> Result<T, D::Error> {
    struct Name<T> {
        expected: &'static str,
        find: fn(&str) -> Result<T, String>,
    }

    impl<T> Visitor<'_> for Name<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.expected)
        }

        fn visit_str<E: de::Error>(self, name: &str) -> Result<T, E> {
            (self.find)(name).map_err(E::custom)
        }
    }

    deserializer.deserialize_str(Name { expected, find })
}
