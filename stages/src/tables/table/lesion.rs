//! Division of images by the size of their lesion: the foreground pixels of the ground truth, at the network's input
//! size.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::SeqAccessDeserializer;
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Name of the dimension.
pub(crate) const LESION_SIZE: &str = "lesion_size";

/// The division of images by the size of their lesion.
#[derive(Clone, Debug, PartialEq)]
pub enum LesionSizes {
    /// Three bins of equal number, as near as equal sizes allow, of the images that any input has scored.
    Tertiles,
    /// Bins between these numbers of pixels, each the least of its bin.
    Edges(Vec<u32>),
}

impl LesionSizes {
    /// Returns the problem of edges that do not ascend.
    pub(crate) fn problem(&self) -> Option<String> {
        let Self::Edges(edges) = self else { return None };
        let ascend = edges.windows(2).all(|pair| pair[0] < pair[1]);
        (edges.is_empty() || edges[0] == 0 || !ascend)
            .then(|| "`lesion_sizes` must be ascending numbers of pixels, the first at least 1".to_owned())
    }

    /// Returns the bins for distinct images with their sizes; images without foreground are in none.
    pub(super) fn bins(&self, images: &BTreeSet<(String, u32)>) -> SizeBins {
        SizeBins(match self {
            Self::Edges(edges) => edges.clone(),
            Self::Tertiles => tertiles(images.iter().map(|(_, pixels)| *pixels).filter(|&pixels| pixels > 0).collect()),
        })
    }
}

/// Bins between ascending edges.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SizeBins(Vec<u32>);

impl SizeBins {
    /// The labels of the bins, the smallest first.
    pub(super) fn labels(&self) -> Vec<String> {
        let edges = &self.0;
        let (Some(first), Some(last)) = (edges.first(), edges.last()) else { return vec!["≥1 px".to_owned()] };
        let between = edges.windows(2).map(|pair| match pair[1] - pair[0] {
            1 => format!("{} px", pair[0]),
            _ => format!("{}–{} px", pair[0], pair[1] - 1),
        });
        std::iter::once(format!("<{first} px")).chain(between).chain([format!("≥{last} px")]).collect()
    }

    /// The bin of an image; `None` without foreground.
    pub(super) fn bin(&self, pixels: u32) -> Option<usize> {
        (pixels > 0).then(|| self.0.partition_point(|&edge| edge <= pixels))
    }
}

/// Returns the edges above the terciles, so that an image of exactly that size is below, as in `pandas.qcut`.
fn tertiles(mut sizes: Vec<u32>) -> Vec<u32> {
    sizes.sort_unstable();
    let Some(last) = sizes.len().checked_sub(1) else { return Vec::new() };
    let edge = |third: usize| {
        // The tercile lies between two sizes; both numbers are whole thirds, so nothing is rounded.
        let (index, rest) = (third * last / 3, third * last % 3);
        let below = u64::from(sizes[index]);
        let above = u64::from(sizes[(index + 1).min(last)]);
        ((3 * below + (above - below) * rest as u64) / 3 + 1) as u32
    };
    let mut edges = vec![edge(1), edge(2)];
    edges.dedup();
    edges.retain(|&edge| edge <= sizes[last]);
    edges
}

impl JsonSchema for LesionSizes {
    fn schema_name() -> Cow<'static, str> {
        "LesionSizes".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "const": "tertiles", "description": "Three bins of equal number." },
            { "type": "array", "items": { "type": "integer", "minimum": 1 }, "minItems": 1 },
        ] })
    }
}

impl Serialize for LesionSizes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Tertiles => serializer.serialize_str("tertiles"),
            Self::Edges(edges) => edges.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for LesionSizes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizesVisitor)
    }
}

struct SizesVisitor;

impl<'de> Visitor<'de> for SizesVisitor {
    type Value = LesionSizes;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("`\"tertiles\"` or ascending numbers of pixels, `[500, 1500]`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<LesionSizes, E> {
        match text {
            "tertiles" => Ok(LesionSizes::Tertiles),
            _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, edges: A) -> Result<LesionSizes, A::Error> {
        Deserialize::deserialize(SeqAccessDeserializer::new(edges)).map(LesionSizes::Edges)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn bins(sizes: &LesionSizes, pixels: &[u32]) -> SizeBins {
        sizes.bins(&pixels.iter().enumerate().map(|(image, &pixels)| (image.to_string(), pixels)).collect())
    }

    #[test]
    fn an_edge_is_the_least_size_of_its_bin() {
        let bins = bins(&LesionSizes::Edges(vec![500, 1500, 1501]), &[]);
        assert_eq!(bins.labels(), ["<500 px", "500–1499 px", "1500 px", "≥1501 px"]);
        let found = [0, 1, 499, 500, 1499, 1500, 1501].map(|pixels| bins.bin(pixels));
        assert_eq!(found, [None, Some(0), Some(0), Some(1), Some(1), Some(2), Some(3)]);
    }

    /// Sizes 10, 20, 30, 40, 50, 60, 70: the terciles are at indices 2 and 4, 30 and 50, which are in the bins below.
    /// Of 10, 20, 30, 40 they lie at indices 1 and 2, 20 and 30; of 10, 20, 30 at 2/3 and 4/3, 16.7 and 23.3.
    #[test]
    fn tertiles_worked_by_hand_and_as_pandas_qcut_makes_them() {
        let labels = |pixels: &[u32]| bins(&LesionSizes::Tertiles, pixels).labels();
        assert_eq!(labels(&[70, 10, 0, 30, 20, 50, 60, 40]), ["<31 px", "31–50 px", "≥51 px"]);
        assert_eq!(labels(&[10, 20, 30, 40]), ["<21 px", "21–30 px", "≥31 px"]);
        assert_eq!(labels(&[10, 20, 30]), ["<17 px", "17–23 px", "≥24 px"]);
    }

    #[test]
    fn equal_sizes_make_fewer_bins() {
        let labels = |pixels: &[u32]| bins(&LesionSizes::Tertiles, pixels).labels();
        assert_eq!(labels(&[5, 5, 5]), ["≥1 px"]);
        assert_eq!(labels(&[5, 5, 5, 9]), ["<6 px", "≥6 px"]);
        assert_eq!(labels(&[0]), ["≥1 px"]);
    }

    #[test]
    fn sizes_are_read_and_written() {
        for written in [json!("tertiles"), json!([500, 1500])] {
            let sizes: LesionSizes = serde_json::from_value(written.clone()).unwrap();
            assert_eq!((sizes.problem(), serde_json::to_value(&sizes).unwrap()), (None, written));
        }
        for wrong in [json!([]), json!([0, 5]), json!([5, 5])] {
            assert!(serde_json::from_value::<LesionSizes>(wrong).unwrap().problem().is_some());
        }
        assert!(serde_json::from_value::<LesionSizes>(json!("halves")).is_err());
    }
}
