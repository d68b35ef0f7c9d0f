//! Artifacts and action results, apart from their storage.

use serde::{Deserialize, Serialize};

use crate::value::canonical::{CanonicalError, Value};
use crate::value::digest::Digest;
use crate::value::producer::Producer;

/// The digest of everything that a stage can see: its kind, version, params and inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ActionKey(pub Digest);

impl ActionKey {
    /// The first eight bytes, which stand for the key in notes of use: if two keys share them, one of them is kept
    /// longer.
    pub(crate) fn prefix(&self) -> u64 {
        self.0.prefix()
    }
}

/// The digest of an artifact: of the names and contents of its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OutputDigest(pub Digest);

/// One file of an artifact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Relative name with `/` between folders, for example `scores.parquet`.
    pub name: String,
    /// Digest of the contents.
    pub digest: Digest,
    /// Length of the contents.
    pub size_bytes: u64,
}

/// A set of named files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Sorted by name, no name twice.
    pub files: Vec<FileEntry>,
}

impl Artifact {
    /// Makes an artifact of files in any order.
    pub fn new(mut files: Vec<FileEntry>) -> Self {
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Self { files }
    }

    /// Returns the digest of names and contents.
    pub fn digest(&self) -> OutputDigest {
        let files = self.files.iter().map(|file| (file.name.as_str(), Value::Digest(file.digest)));
        OutputDigest(Value::map(files).digest().expect("names and digests hold no NaN"))
    }

    /// Sums up the lengths of all files.
    pub fn size_bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.size_bytes))
    }
}

/// Refuses names outside of an artifact or too long for a filesystem; the error is the reason.
pub(crate) fn check_name(name: &str) -> Result<(), &'static str> {
    let bad = |part: &str| part.is_empty() || part == "." || part == "..";
    if name.split('/').any(bad) {
        Err("it is absolute, or has an empty, `.` or `..` part")
    } else if name.contains(['\\', '\0']) {
        Err("it has a backslash or a zero byte")
    } else if name.len() > 4096 || name.split('/').any(|part| part.len() > 255) {
        Err("it is too long")
    } else {
        Ok(())
    }
}

/// The recorded result of a key: its outputs, and their provenance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActionResult<P = serde_json::Value> {
    /// Named outputs in the order in which the stage declares them.
    pub outputs: Vec<(String, OutputDigest)>,
    /// The preimage of the key: JSON once it is read from a store, and any value that serializes to it when it is
    /// recorded.
    pub preimage: P,
    /// The node of its first run, for example `score[model=tiny,fold=3]`; provenance only.
    pub node: String,
    /// The kind of its stage.
    pub kind: String,
    /// Its first run; provenance only.
    pub run: String,
    /// Run time of the stage.
    pub elapsed_ms: u64,
    /// When it was recorded, in milliseconds since 1970.
    pub recorded_ms: u64,
    /// The device on which it ran, for example `cpu`; provenance only.
    pub device: String,
    /// The user, host and program that recorded it; none in records of earlier programs; provenance only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub producer: Option<Producer>,
}

impl ActionResult {
    /// Returns the outputs of other results, from which this one was made.
    ///
    /// The preimage's field `inputs` names them by port: a digest, or for gathered points a list of objects, each with
    /// a field `digest`.
    pub fn inputs(&self) -> Vec<OutputDigest> {
        use serde_json::Value as Json;
        let ports = self.preimage["inputs"].as_object().into_iter().flat_map(serde_json::Map::values);
        let digests = ports.flat_map(|port| match port {
            Json::Array(items) => items.iter().map(|item| &item["digest"]).collect(),
            digest => vec![digest],
        });
        digests.filter_map(|digest| Some(OutputDigest(digest.as_str()?.parse().ok()?))).collect()
    }

    /// Returns the key of which the preimage is one.
    ///
    /// JSON shows a digest as the text of its digits, so they are told from other texts by their fields: the values of
    /// `files`, and [`ActionResult::inputs`]. Errors: a number that no key can hold.
    pub fn key(&self) -> Result<ActionKey, CanonicalError> {
        let mut preimage = Value::from_json(&self.preimage)?;
        if let Value::Map(fields) = &mut preimage {
            fields.get_mut("files").into_iter().for_each(|files| files.each_mut().for_each(Value::read_digest));
            for port in fields.get_mut("inputs").into_iter().flat_map(Value::each_mut) {
                port.read_digest();
                port.each_mut().filter_map(|item| item.field_mut("digest")).for_each(Value::read_digest);
            }
        }
        preimage.digest().map(ActionKey)
    }

    /// Returns the producer in words.
    pub fn produced_by(&self) -> String {
        self.producer.as_ref().map_or_else(|| Producer::UNKNOWN.to_owned(), Producer::to_string)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::value::canonical::Encoder;
    use crate::value::preimage::Preimage;

    #[test]
    fn inputs_are_read_from_their_fields_and_from_no_other() {
        let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| OutputDigest(Digest::of(name.as_bytes())));
        let point = |digest| json!({ "digest": digest, "labels": [["fold", d]] });
        let preimage = json!({
            "files": { "image.png": d },
            "inputs": { "images": a, "cams": [point(b), point(c)], "none": [] },
            "params": { "text": d },
        });
        let (outputs, node, kind, run, device) = Default::default();
        let (elapsed_ms, recorded_ms, producer) = Default::default();
        let result = ActionResult { outputs, preimage, node, kind, run, elapsed_ms, recorded_ms, device, producer };
        let mut inputs = result.inputs();
        inputs.sort_unstable();
        let mut expected = [a, b, c];
        expected.sort_unstable();
        assert_eq!(inputs, expected);
    }

    #[test]
    fn key_follows_from_the_json_of_its_preimage_whatever_stands_in_it() {
        let hex = Digest::of(b"text").to_string();
        let digest = |name: &str| Value::Digest(Digest::of(name.as_bytes()));
        let list = |items: &[Value]| Value::List(items.to_vec());
        let floats = [1.0, -0.0, 0.1, 1e300, 5e-324, f64::MAX, 1.0 / 3.0, 1e16, 123_456_789.0].map(Value::Float);
        let ints = [i64::MIN, i64::MAX, 0, 1].map(Value::Int);
        let label = list(&[Value::text("fold"), Value::text(&hex)]);
        let point = Value::map([("digest", digest("a")), ("labels", list(&[label]))]);
        let preimage = Value::map([
            ("env", Value::map([("A", Value::text(&hex)), ("B", Value::Null)])),
            ("file_order", list(&[Value::text(&hex)])),
            ("files", Value::map([(hex.as_str(), digest("file")), ("\u{1}ü\"", digest("other"))])),
            ("inputs", Value::map([("cams", list(&[point])), ("none", list(&[])), ("one", digest("b"))])),
            ("observed", Value::map([("version", Value::text(hex.to_uppercase()))])),
            (
                "params",
                Value::map([
                    ("digest", Value::text(&hex)),
                    ("files", Value::map([("x", Value::text(&hex))])),
                    ("floats", list(&floats)),
                    ("ints", list(&ints)),
                    ("truth", list(&[Value::Bool(true), Value::Null, Value::text("")])),
                ]),
            ),
            ("version", Value::Int(3)),
        ]);
        let key = ActionKey(preimage.digest().unwrap());
        let mut encoder = Encoder::default();
        encoder.value(&preimage).unwrap();
        let text = serde_json::to_string(&Preimage::from(encoder)).unwrap();
        let (outputs, node, kind, run, device) = Default::default();
        let (elapsed_ms, recorded_ms, producer) = Default::default();
        let preimage = serde_json::from_str(&text).unwrap();
        let mut result = ActionResult { outputs, preimage, node, kind, run, elapsed_ms, recorded_ms, device, producer };
        assert_eq!(result.key(), Ok(key));
        for (field, value) in [("params", json!({})), ("version", json!(4)), ("files", json!({})), ("inputs", json!(1))]
        {
            let right = std::mem::replace(&mut result.preimage[field], value);
            assert_ne!(result.key(), Ok(key), "{field}");
            result.preimage[field] = right;
        }
        result.preimage["version"] = json!(u64::MAX);
        assert!(result.key().is_err());
    }
}
