//! Names and labels as a spec writes them: one of them, or a list.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::SeqAccessDeserializer;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A dimension of rows or columns: the name of an axis or column, or several names that make one dimension.
///
/// The label of an input is that of the first of these names along which it varies; the first name is that of the
/// dimension. Along `["model", "unet"]` a U-Net stands below the classifiers.
#[derive(Clone, Debug, PartialEq)]
pub struct Dimension(pub Vec<String>);

impl Dimension {
    /// The name of the dimension.
    pub fn name(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }
}

impl JsonSchema for Dimension {
    fn schema_name() -> Cow<'static, str> {
        "Dimension".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "string" },
            { "type": "array", "items": { "type": "string" }, "minItems": 1 },
        ] })
    }
}

impl Serialize for Dimension {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [name] => serializer.serialize_str(name),
            names => names.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Dimension {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Labels::deserialize(deserializer).map(|names| Self(names.0))
    }
}

/// One label or a list of labels; numbers and truth values become the labels that axes give them.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Labels(pub Vec<String>);

impl JsonSchema for Labels {
    fn schema_name() -> Cow<'static, str> {
        "Labels".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let label = || json_schema!({ "type": ["string", "number", "boolean"] });
        json_schema!({ "anyOf": [label(), { "type": "array", "items": label() }] })
    }
}

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LabelsVisitor)
    }
}

struct LabelsVisitor;

impl<'de> Visitor<'de> for LabelsVisitor {
    type Value = Labels;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a label (a text, a number or a truth value) or a list of labels")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Labels, E> {
        Ok(Labels(vec![text.to_owned()]))
    }

    fn visit_bool<E: de::Error>(self, truth: bool) -> Result<Labels, E> {
        self.visit_str(&truth.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Labels, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Labels, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Labels, E> {
        // Adding zero turns -0.0 into 0.0: they are one value of an axis.
        self.visit_str(&(number + 0.0).to_string())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, labels: A) -> Result<Labels, A::Error> {
        let labels = Vec::<Labels>::deserialize(SeqAccessDeserializer::new(labels))?;
        Ok(Labels(labels.into_iter().flat_map(|labels| labels.0).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_those_of_axes_and_minus_zero_is_zero() {
        let labels: Labels = serde_json::from_str(r#"["q90", 200, 0.5, -0.0, 0.0, true, 1e-4]"#).unwrap();
        assert_eq!(labels.0, ["q90", "200", "0.5", "0", "0", "true", "0.0001"]);
    }
}
