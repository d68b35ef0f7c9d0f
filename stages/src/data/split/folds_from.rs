//! Folds made elsewhere: a column of the manifest, or a MATLAB file such as `cvind.mat` of Cheng's brain tumour set
//! (figshare 1512427), with one number an image.

use std::borrow::Cow;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use orchestrate_cache::external;
use orchestrate_engine::stage::FileName;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::column::column;
use super::matlab;
use crate::artifact::Labels;
use crate::problems::all_or_problems;

/// Name of the file in the key, whatever its name on this machine.
pub(super) const FILE: &str = "folds.mat";

/// The variable in the file.
const VARIABLE: &str = "cvind";

/// Largest file; MATLAB takes eight bytes a number.
const BYTES_MAX: u64 = 1 << 30;

/// The most images to name, as with the folds of another data set all are wrong.
const NAMED_MAX: usize = 10;

/// Source of the folds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoldsFrom {
    /// The column of that name.
    Column(String),
    /// A MATLAB file with the vector `cvind`, one number in 1..=k an image, in the order of the data set.
    File(PathBuf),
}

impl FoldsFrom {
    /// Lists the file that a run will read.
    pub(super) fn files(&self) -> Result<Vec<FileName>, Vec<String>> {
        let Self::File(path) = self else { return Ok(Vec::new()) };
        match std::fs::metadata(path).and_then(|found| external::check(&found, BYTES_MAX)) {
            Ok(()) => Ok(vec![FileName::new(FILE, path)]),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(vec![format!("`folds_from`: there is no file {}", path.display())])
            }
            Err(error) => Err(vec![format!("`folds_from`: cannot read {}: {error}", path.display())]),
        }
    }

    /// Returns the fold in 0..k of each image; `file` has the bytes of the MATLAB file.
    ///
    /// Errors: an unreadable file; another number of values than of images; values outside 1..=k, by image.
    pub(super) fn folds(&self, labels: &Labels, folds: usize, file: Option<&[u8]>) -> Result<Vec<usize>, String> {
        let path = match self {
            Self::Column(name) => {
                let values = column(labels, name)?;
                return in_range(&format!("column `{name}`"), labels, &values, |value| value.parse().ok(), folds);
            }
            Self::File(path) => path.file_name().map_or(path.as_path(), Path::new).display(),
        };
        let bytes = file.ok_or_else(|| format!("{path} was not given"))?;
        let values = matlab::vector(bytes, VARIABLE).map_err(|problem| format!("{path}: {problem}"))?;
        if values.len() != labels.names.len() {
            let (found, images) = (values.len(), labels.names.len());
            return Err(format!(
                "{path} has {found} numbers for {images} images; it needs the whole data set, without `limit`, in its \
                 order"
            ));
        }
        let whole = |value: &f64| (value.fract() == 0.0).then_some(*value as usize);
        in_range(&path.to_string(), labels, &values, whole, folds)
    }
}

/// Returns the fold in 0..k of each image, from values that should parse to 1..=k.
///
/// Errors: other values, by image; `source` names where they come from.
fn in_range<V: fmt::Display>(
    source: &str,
    labels: &Labels,
    values: &[V],
    parse: impl Fn(&V) -> Option<usize>,
    folds: usize,
) -> Result<Vec<usize>, String> {
    let fold = |(image, value)| {
        let fold = parse(value).filter(|fold| (1..=folds).contains(fold));
        fold.map(|fold| fold - 1).ok_or_else(|| format!("{image} ({value})"))
    };
    all_or_problems(labels.names.iter().zip(values).map(fold)).map_err(|wrong| {
        let more = match wrong.len().saturating_sub(NAMED_MAX) {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        let named = wrong[..wrong.len().min(NAMED_MAX)].join(", ");
        format!("{source} must hold folds 1 to {folds}, but {} images have others: {named}{more}", wrong.len())
    })
}

impl From<String> for FoldsFrom {
    fn from(text: String) -> Self {
        let is_mat = Path::new(&text).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("mat"));
        if is_mat { Self::File(text.into()) } else { Self::Column(text) }
    }
}

impl JsonSchema for FoldsFrom {
    fn schema_name() -> Cow<'static, str> {
        "FoldsFrom".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let about = "The MATLAB file.";
        let file =
            json_schema!({ "type": "string", "format": "path", "description": about, "examples": ["cvind.mat"] });
        json_schema!({ "anyOf": [
            { "type": "string" },
            { "type": "object", "properties": { "file": file }, "required": ["file"], "additionalProperties": false },
        ] })
    }
}

impl Serialize for FoldsFrom {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Column(name) => serializer.serialize_str(name),
            Self::File(path) => serializer.collect_map([("file", path)]),
        }
    }
}

impl<'de> Deserialize<'de> for FoldsFrom {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FoldsVisitor)
    }
}

struct FoldsVisitor;

impl<'de> Visitor<'de> for FoldsVisitor {
    type Value = FoldsFrom;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a column, or the path of a `.mat` file")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<FoldsFrom, E> {
        Ok(text.to_owned().into())
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<FoldsFrom, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            file: PathBuf,
        }
        let Table { file } = Deserialize::deserialize(de::value::MapAccessDeserializer::new(map))?;
        Ok(FoldsFrom::File(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(images: usize) -> Labels {
        Labels {
            names: (1..=images).map(|image| format!("{image}.mat")).collect(),
            labels: vec![0; images],
            classes: vec!["x".to_owned()],
            patients: vec![None; images],
            columns: Vec::new(),
        }
    }

    fn mat(name: &str) -> Vec<u8> {
        std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/cvind").join(name)).unwrap()
    }

    #[test]
    fn a_text_is_a_column_unless_it_ends_as_a_matlab_file() {
        let read = |json: &str| serde_json::from_str::<FoldsFrom>(json).unwrap();
        assert_eq!(read(r#""cvind""#), FoldsFrom::Column("cvind".to_owned()));
        assert_eq!(read(r#""../data/cvind.mat""#), FoldsFrom::File("../data/cvind.mat".into()));
        for from in [read(r#""cvind""#), read(r#""/x/cvind.mat""#)] {
            assert_eq!(read(&serde_json::to_string(&from).unwrap()), from);
        }
        assert!(serde_json::from_str::<FoldsFrom>("5").is_err());
    }

    #[test]
    fn numbers_of_the_file_are_folds_in_the_order_of_images() {
        let from = FoldsFrom::File("/data/cvind.mat".into());
        let folds = from.folds(&labels(12), 5, Some(&mat("v73.mat"))).unwrap();
        assert_eq!(folds, from.folds(&labels(12), 5, Some(&mat("compressed.mat"))).unwrap());
        let values: Vec<f64> = folds.iter().map(|&fold| fold as f64 + 1.0).collect();
        assert_eq!(values, matlab::vector(&mat("plain.mat"), "cvind").unwrap());
    }

    #[test]
    fn folds_of_a_column_are_taken_as_they_are_and_other_values_named() {
        let folds = |values: [&str; 3], folds| {
            let columns = vec![("fold".to_owned(), values.map(str::to_owned).to_vec())];
            FoldsFrom::Column("fold".to_owned()).folds(&Labels { columns, ..labels(3) }, folds, None)
        };
        assert_eq!(folds(["3", "1", "2"], 3), Ok(vec![2, 0, 1]));
        let error = folds(["0", "2", "x"], 2).unwrap_err();
        assert_eq!(error, "column `fold` must hold folds 1 to 2, but 2 images have others: 1.mat (0), 3.mat (x)");
    }

    #[test]
    fn other_lengths_and_values_are_named() {
        let from = FoldsFrom::File("/data/cvind.mat".into());
        assert_eq!(
            from.folds(&labels(11), 5, Some(&mat("plain.mat"))).unwrap_err(),
            "cvind.mat has 12 numbers for 11 images; it needs the whole data set, without `limit`, in its order"
        );
        let values = matlab::vector(&mat("plain.mat"), "cvind").unwrap();
        let wrong: Vec<_> = (1..).zip(&values).filter(|(_, value)| **value > 2.0).collect();
        let error = from.folds(&labels(12), 2, Some(&mat("plain.mat"))).unwrap_err();
        let expected = format!("cvind.mat must hold folds 1 to 2, but {} images have others: ", wrong.len());
        assert!(error.starts_with(&expected), "{error}");
        assert!(error.contains(&format!("{}.mat ({})", wrong[0].0, wrong[0].1)), "{error}");
        let error = FoldsFrom::File("/no/such.mat".into()).files().unwrap_err();
        assert_eq!(error, ["`folds_from`: there is no file /no/such.mat"]);
    }
}
