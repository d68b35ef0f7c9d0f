//! A guess of params from the files of a data set, for a check or a first spec. Runs guess nothing.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::columns::{Columns, Sheet};
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
    /// Columns of the manifest that are nothing of these.
    pub unused: Vec<String>,
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
/// - A CSV file, a folder with `labels.csv`, or a folder with one CSV file that names images: a manifest.
/// - A folder with `1.mat` and so on: Cheng's set.
/// - Every other folder has a folder a class, with masks and patients told by names if a pattern fits them.
/// - `given`: columns by param, as a person named them
///
/// Errors: a CSV file that names images, but whose columns are not clear; several such files; `given` without any.
pub fn guess(path: &Path, given: &[(&'static str, String)]) -> Result<Guess, String> {
    let manifest = |path: &Path, Columns { named, unused }| Guess {
        format: Format::Manifest,
        path: path.to_owned(),
        named,
        unused,
    };
    if path.is_file() || path.join(manifest::DEFAULT_NAME).is_file() {
        let csv = if path.is_file() { path.to_owned() } else { path.join(manifest::DEFAULT_NAME) };
        // A file that cannot be read is told by the check that follows.
        let Some(sheet) = Sheet::read(&csv) else { return Ok(manifest(path, Columns::default())) };
        return Ok(manifest(path, sheet.columns(given)?));
    }
    let of_files = |format, named| Guess { format, path: path.to_owned(), named, unused: Vec::new() };
    let sheets: Vec<Sheet> = csv_files(path).iter().filter_map(|csv| Sheet::read(csv)).collect();
    let sheets: Vec<Sheet> = sheets.into_iter().filter(|sheet| sheet.names_images() || !given.is_empty()).collect();
    match sheets.as_slice() {
        [only] => Ok(manifest(&only.csv, only.columns(given)?)),
        [] if !given.is_empty() => Err("has no CSV file, and columns belong to one".to_owned()),
        [] if cheng::files(path).is_ok() => Ok(of_files(Format::ChengMat, Vec::new())),
        [] => Ok(of_files(Format::Folders, patterns(path))),
        several => {
            let names = several.iter().map(|sheet| sheet.csv.display().to_string()).collect::<Vec<_>>();
            Err(format!("has several CSV files that name images; name one of them in its place: {}", names.join(", ")))
        }
    }
}

/// Returns the CSV files of a folder.
fn csv_files(folder: &Path) -> Vec<PathBuf> {
    let names = natural::names_in(folder).unwrap_or_default();
    names.iter().filter(|name| name.to_lowercase().ends_with(".csv")).map(|name| folder.join(name)).collect()
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
        let guess = guess(folder.path(), &[]).unwrap();
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

    #[test]
    fn csv_file_that_names_images_wins_over_folders_or_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        for name in ["pics/1.png", "pics/2.png", "roi/1.png", "roi/2.png"] {
            write(name, "");
        }
        write("list.csv", "Scan file,Diagnosis (path),MRN,ROI,Age\npics/1.png,x,7,roi/1.png,50\npics/2.png,y,8,,51\n");
        let found = guess(folder.path(), &[]).unwrap();
        let named = with(&[("image", "Scan file"), ("label", "Diagnosis (path)"), ("patient", "MRN"), ("mask", "ROI")]);
        assert_eq!((found.format, found.named, found.unused), (Format::Manifest, named, vec!["Age".to_owned()]));
        let given = [("label", "Age".to_owned())];
        assert_eq!(guess(folder.path(), &given).unwrap().named[1], ("label", "Age".to_owned()));
        let error = guess(folder.path(), &[("label", "age".to_owned())]).unwrap_err();
        assert!(error.contains("there is no column `age`; the columns are: Scan file, "), "{error}");

        write("list.csv", "a,b\npics/1.png,x\npics/2.png,y\n");
        let error = guess(folder.path(), &[]).unwrap_err();
        assert!(error.contains("names images, but no column is known as that of the classes"), "{error}");
        assert!(error.ends_with("the columns are: a, b"), "{error}");
        write("more.csv", "image,label\npics/1.png,x\n");
        assert!(guess(folder.path(), &[]).unwrap_err().contains("several CSV files"));
        let nothing = guess(&folder.path().join("pics"), &given).unwrap_err();
        assert_eq!(nothing, "has no CSV file, and columns belong to one");
    }
}
