//! Folds that somebody else made: a column of the manifest, or a MATLAB file such as `cvind.mat` of Cheng's brain
//! tumour set (figshare 1512427), with one number an image.

use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use orchestrate_cache::external;
use orchestrate_engine::stage::FileName;
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{column, matlab};
use crate::artifact::Labels;

/// The name of the file in the key, whatever it is called on this machine.
pub(super) const FILE: &str = "folds.mat";

/// The variable in the file.
const VARIABLE: &str = "cvind";

/// A larger file is no vector of folds: MATLAB takes eight bytes a number.
const BYTES_MAX: u64 = 1 << 30;

/// Wrong images that are named; a file of other folds is wrong for all of them.
const NAMED_MAX: usize = 10;

/// Where folds come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoldsFrom {
    /// The column of that name.
    Column(String),
    /// A MATLAB file with the vector `cvind`, one number in 1..=k an image, in the order of the data set.
    File(PathBuf),
}

/// As [`FoldsFrom::File`] is written once its path is resolved.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    file: PathBuf,
}

impl FoldsFrom {
    /// The file that a run will read.
    pub(super) fn files(&self) -> Result<Vec<FileName>, Vec<String>> {
        match self {
            Self::Column(_) => Ok(Vec::new()),
            Self::File(path) => match std::fs::metadata(path).and_then(|found| external::check(&found, BYTES_MAX)) {
                Ok(()) => Ok(vec![FileName::new(FILE, path)]),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    Err(vec![format!("`folds_from`: there is no file {}", path.display())])
                }
                Err(error) => Err(vec![format!("`folds_from`: cannot read {}: {error}", path.display())]),
            },
        }
    }

    /// The fold in 0..k of each image; `file` has the bytes of the MATLAB file.
    ///
    /// Errors: a file that cannot be read; another number of values than of images; values outside 1..=k, by image.
    pub(super) fn folds(&self, labels: &Labels, folds: usize, file: Option<&[u8]>) -> Result<Vec<usize>, String> {
        let path = match self {
            Self::Column(column) => return column::folds_from(labels, column, folds),
            Self::File(path) => path.file_name().map_or(path.as_path(), Path::new).display(),
        };
        let bytes = file.ok_or_else(|| format!("{path} was not given"))?;
        let values = matlab::vector(bytes, VARIABLE).map_err(|problem| format!("{path}: {problem}"))?;
        if values.len() != labels.names.len() {
            let (found, images) = (values.len(), labels.names.len());
            return Err(format!(
                "{path} has {found} numbers for {images} images; it needs the whole data set, without `limit`, in its order"
            ));
        }
        let fold = |value: f64| (1..=folds).find(|&fold| fold as f64 == value).map(|fold| fold - 1);
        let wrong: Vec<String> = labels
            .names
            .iter()
            .zip(&values)
            .filter(|(_, value)| fold(**value).is_none())
            .map(|(image, value)| format!("{image} ({value})"))
            .collect();
        if wrong.is_empty() {
            return Ok(values.into_iter().filter_map(fold).collect());
        }
        let more = wrong.len().saturating_sub(NAMED_MAX);
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        let named = wrong.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join(", ");
        Err(format!("{path} must hold folds 1 to {folds}, but {} images have others: {named}{more}", wrong.len()))
    }
}

impl From<String> for FoldsFrom {
    fn from(text: String) -> Self {
        let is_mat = Path::new(&text).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("mat"));
        if is_mat { Self::File(text.into()) } else { Self::Column(text) }
    }
}

impl Serialize for FoldsFrom {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Column(name) => serializer.serialize_str(name),
            Self::File(path) => Written { file: path.clone() }.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for FoldsFrom {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Form;

        impl<'de> Visitor<'de> for Form {
            type Value = FoldsFrom;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a column, or the path of a `.mat` file")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<FoldsFrom, E> {
                Ok(text.to_owned().into())
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<FoldsFrom, A::Error> {
                let Written { file } = Deserialize::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(FoldsFrom::File(file))
            }
        }

        deserializer.deserialize_any(Form)
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
