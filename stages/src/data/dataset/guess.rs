//! A guess of params from the files of a data set, for a check or a first spec. Runs guess nothing.

use std::path::{Path, PathBuf};

use orchestrate_cache::external;
use serde_json::{Map, Value};

use super::params::{Format, Params};
use super::{cheng, folders, manifest, mask_pattern, natural, patient_pattern};

/// Params that were guessed.
#[derive(Clone, Debug, PartialEq)]
pub struct Guess {
    /// The format.
    pub format: Format,
    /// The folder, or the manifest.
    pub path: PathBuf,
    /// Names of columns, and patterns of names, by param; those that are not the default.
    pub named: Vec<(&'static str, String)>,
}

impl Guess {
    /// Returns them as params of the kind `dataset`.
    pub fn params(&self) -> Value {
        let mut params = Map::new();
        params.insert("format".to_owned(), Value::from(self.format.name()));
        params.insert("path".to_owned(), serde_json::json!(self.path));
        params.extend(self.named.iter().map(|(param, name)| ((*param).to_owned(), Value::from(name.as_str()))));
        Value::Object(params)
    }
}

/// Guesses how a file or folder is to be read.
///
/// - A CSV file, a folder with `labels.csv`, or a folder with one CSV file that names images and classes: a manifest.
/// - A folder with `1.mat` and so on: Cheng's set.
/// - Every other folder has a folder a class, with masks and patients told by names if a pattern fits them.
pub fn guess(path: &Path) -> Guess {
    let named = |format, path: &Path, named| Guess { format, path: path.to_owned(), named };
    if path.is_file() || path.join(manifest::DEFAULT_NAME).is_file() {
        let csv = if path.is_file() { path.to_owned() } else { path.join(manifest::DEFAULT_NAME) };
        return named(Format::Manifest, path, columns(&csv).unwrap_or_default());
    }
    if cheng::files(path).is_ok() {
        return named(Format::ChengMat, path, Vec::new());
    }
    if let Some(csv) = only_csv(path)
        && let Some(columns) = columns(&csv)
    {
        return named(Format::Manifest, &csv, columns);
    }
    named(Format::Folders, path, patterns(path))
}

/// Returns the CSV file of a folder, if there is one alone.
fn only_csv(folder: &Path) -> Option<PathBuf> {
    let names = natural::names_in(folder).ok()?;
    let mut found = names.into_iter().filter(|name| name.to_lowercase().ends_with(".csv"));
    let csv = found.next()?;
    found.next().is_none().then(|| folder.join(csv))
}

/// Usual names of columns by param, the likeliest first; the first is the default.
const COLUMNS: [(&str, &[&str]); 4] = [
    ("image", &["image", "file", "filename", "file_name", "path", "filepath", "file_path", "image_path", "image_file"]),
    ("label", &["label", "class", "diagnosis", "dx", "category", "target", "finding"]),
    ("mask", &["mask", "mask_path", "mask_file", "segmentation", "annotation"]),
    ("patient", &["patient", "patient_id", "patientid", "pid", "subject", "subject_id", "participant_id", "case_id"]),
];

/// The largest manifest whose columns are guessed.
const BYTES_MAX: u64 = 1 << 30;

/// Finds the columns of a CSV file that are not named by default; `None` if it names no images or classes.
fn columns(csv: &Path) -> Option<Vec<(&'static str, String)>> {
    let bytes = external::read(csv, BYTES_MAX).ok()?;
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes.as_slice());
    let header: Vec<String> = reader.headers().ok()?.iter().map(|name| name.trim().to_owned()).collect();
    let plain = |name: &str| name.to_lowercase().replace([' ', '-'], "_");
    let mut named = Vec::new();
    for (index, (param, names)) in COLUMNS.into_iter().enumerate() {
        // The default needs no param, whatever other columns there are.
        match names.iter().find_map(|name| header.iter().find(|column| plain(column) == *name)) {
            Some(column) if *column == names[0] => {}
            Some(column) => named.push((param, column.clone())),
            None if index < 2 => return None,
            None => {}
        }
    }
    Some(named)
}

/// Finds patterns of names in folders of classes.
fn patterns(path: &Path) -> Vec<(&'static str, String)> {
    let shallow = folders::scan(path, false).map(|scan| scan.pictures);
    let is_deep = shallow.is_err();
    let Ok(pictures) = shallow.or_else(|_| folders::scan(path, true).map(|scan| scan.pictures)) else {
        return Vec::new();
    };
    let lower: Vec<String> = pictures.iter().map(|name| name.to_lowercase()).collect();
    let parts = |name: &'_ String| name.rsplit_once('/').map(|(folder, file)| (folder.to_owned(), file.to_owned()));
    let owned: Vec<(String, String)> = lower.iter().filter_map(parts).collect();
    let names: Vec<(&str, &str)> = owned.iter().map(|(folder, file)| (folder.as_str(), folders::stem(file))).collect();
    let mut named = Vec::new();
    let mask = mask_pattern::guess(&names);
    named.extend(mask.clone().map(|pattern| ("mask", pattern)));
    let params = Params { format: Format::Folders, mask, ..Params::default() };
    let Ok(listing) = folders::read(&params, pictures.iter().map(String::as_str).collect()) else { return named };
    let images = listing.images.iter().filter_map(|image| image.file.split_once('/'));
    let images: Vec<(&str, &str)> = images.map(|(class, file)| (class, folders::stem(file))).collect();
    let pattern = patient_pattern::guess(&images);
    // Folders that are no patients are not to be read.
    named.extend(pattern.filter(|pattern| !is_deep || pattern.contains('/')).map(|pattern| ("patient", pattern)));
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guessed(files: &[(&str, &str)]) -> (Format, Vec<(&'static str, String)>) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let guess = guess(folder.path());
        (guess.format, guess.named)
    }

    fn with(pairs: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
        pairs.iter().map(|(param, name)| (*param, (*name).to_owned())).collect()
    }

    #[test]
    fn layouts_are_told_by_their_files() {
        let manifest = |header: &str| guessed(&[("labels.csv", header)]);
        assert_eq!(manifest("image,label,mask"), (Format::Manifest, Vec::new()));
        let named = with(&[("image", "File Name"), ("label", "dx"), ("patient", "patient_id")]);
        assert_eq!(guessed(&[("meta.csv", "dx,File Name,patient_id\n")]), (Format::Manifest, named));
        let (format, named) = guessed(&[("meta.csv", "a,b"), ("x/1.png", ""), ("y/1.png", "")]);
        assert_eq!((format, named), (Format::Folders, Vec::new()));
        assert_eq!(guessed(&[("1.mat", ""), ("2.mat", "")]).0, Format::ChengMat);
    }

    #[test]
    fn masks_and_patients_are_told_by_names() {
        let of = |names: &[&str]| guessed(&names.iter().map(|name| (*name, "")).collect::<Vec<_>>()).1;
        let isic = ["a/p1_1.png", "a/p1_1_segmentation.png", "a/p1_2.png", "a/p2_1.png", "b/p3_1.png", "b/p4_1.png"];
        assert_eq!(of(&isic), with(&[("mask", "{stem}_segmentation"), ("patient", "{patient}_*")]));
        let deep = ["a/p1/1.png", "a/p1/1_mask.png", "a/p1/2.png", "a/p2/1.png", "b/p3/1.png", "b/p4/1.png"];
        assert_eq!(of(&deep), with(&[("patient", "{patient}/*")]));
        assert_eq!(of(&["a/x/p1_1.png", "a/x/p1_2.png", "a/x/p2_1.png", "b/x/p3_1.png", "b/x/p4_1.png"]), []);
        assert_eq!(of(&["a/1.png", "b/2.png"]), []);
    }
}
