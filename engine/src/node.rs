//! Identities of a node: its dense index in one plan, and its name across runs.

use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The dense index of a node in its plan, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub u32);

impl NodeId {
    /// Returns the node at a position of a list with one entry per node.
    pub fn from_index(index: usize) -> Self {
        Self(u32::try_from(index).expect("a plan has fewer than 2^32 nodes"))
    }

    /// Returns the position of the node in a list with one entry per node.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The name of a node for people: its stage at one point. Clones share the texts.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeName(Arc<Parts>);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Parts {
    name: String,
    stage: String,
    point: Point,
}

/// Axes with the labels of their values, in the order of declaration; a JSON object in logs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Point(pub Vec<(String, serde_json::Value)>);

impl NodeName {
    /// Names a stage at a point, for example `score[model=tiny,fold=3]`, or `table` if the point is empty.
    pub fn new(stage: impl Into<String>, point: Point) -> Self {
        let stage = stage.into();
        let name = if point.0.is_empty() { stage.clone() } else { format!("{stage}[{point}]") };
        Self(Arc::new(Parts { name, stage, point }))
    }

    /// Returns the whole name, for example `score[model=tiny,fold=3]`.
    pub fn as_str(&self) -> &str {
        &self.0.name
    }

    /// Returns the name of the stage.
    pub fn stage(&self) -> &str {
        &self.0.stage
    }

    /// Returns the point.
    pub fn point(&self) -> &Point {
        &self.0.point
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for NodeName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for NodeName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Parts::deserialize(deserializer).map(|parts| Self(Arc::new(parts)))
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (axis, label)) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match label {
                serde_json::Value::String(text) => write!(f, "{comma}{axis}={text}")?,
                other => write!(f, "{comma}{axis}={other}")?,
            }
        }
        Ok(())
    }
}

impl Serialize for Point {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(axis, label)| (axis, label)))
    }
}

impl<'de> Deserialize<'de> for Point {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let axes = IndexMap::<String, serde_json::Value>::deserialize(deserializer)?;
        Ok(Self(axes.into_iter().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn name_is_the_stage_at_its_point_in_order_of_declaration() {
        let point = Point(vec![("model".into(), json!("tiny")), ("fold".into(), json!(3))]);
        assert_eq!(NodeName::new("score", point).as_str(), "score[model=tiny,fold=3]");
        assert_eq!(NodeName::new("table", Point::default()).as_str(), "table");
    }

    #[test]
    fn name_survives_json_with_the_order_of_its_axes() {
        let point = Point(vec![("z".into(), json!("q90")), ("a".into(), json!(0.5))]);
        let name = NodeName::new("threshold", point);
        let json = serde_json::to_string(&name).expect("a name is plain data");
        assert_eq!(json, r#"{"name":"threshold[z=q90,a=0.5]","stage":"threshold","point":{"z":"q90","a":0.5}}"#);
        assert_eq!(serde_json::from_str::<NodeName>(&json).expect("it was just written"), name);
    }
}
