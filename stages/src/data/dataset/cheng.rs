//! `format = "cheng-mat"`: Cheng's brain tumour set as it is published, a MATLAB v7.3 file a slice. Source: figshare
//! 1512427.
//!
//! A folder of `1.mat` … `3064.mat`, in the order of their numbers; other files are left out. A file is HDF5 behind 512
//! bytes of MATLAB's, with the struct `cjdata`: `label` (1 meningioma, 2 glioma, 3 pituitary), `PID` (patient, UTF-16),
//! `image` (any number type) and `tumorMask`. MATLAB stores columns one after the other, so that HDF5 has both pictures
//! transposed. Images become grey levels by min-max over the slice.

use std::path::{Path, PathBuf};

use hdf5_pure::{Dataset, File};
use orchestrate_engine::stage::FileName;

use super::folders::entries;
use super::listing::{Entry, Listing};
use super::natural;
use super::resize::Grid;
use super::scale::min_max;
use crate::data::hdf5::bounded_shape;

/// Class names by `label` − 1.
pub(super) const CLASSES: [&str; 3] = ["meningioma", "glioma", "pituitary"];

/// Most values of a picture, so that a damaged file cannot ask for all memory.
const VALUES_MAX: u64 = 1 << 24;

/// Every `N.mat` in the folder, in the order of the numbers.
pub(super) fn files(path: &Path) -> Result<Vec<FileName>, Vec<String>> {
    let numbered = |name: &String| {
        name.strip_suffix(".mat").is_some_and(|stem| !stem.is_empty() && stem.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let names: Vec<_> = entries(path)?.into_iter().filter(numbered).collect();
    if names.is_empty() {
        return Err(vec![format!("{} has no files 1.mat, 2.mat and so on", path.display())]);
    }
    Ok(names.into_iter().map(|name| FileName::new(&name, path.join(&name))).collect())
}

/// The command that fetches the files into this folder.
pub(super) fn how_to_fetch(path: &Path) -> String {
    let path = without_detours(path).display().to_string();
    let is_plain = |letter: char| letter.is_alphanumeric() || "/._-+,@%:=".contains(letter);
    let path = if path.chars().all(is_plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) };
    format!("orchestrate data brain-tumor --to {path}")
}

/// The path without `..` and links, as far as its folders are there.
fn without_detours(path: &Path) -> PathBuf {
    let known = path.ancestors().find_map(|folder| Some((folder, folder.canonicalize().ok()?)));
    let Some((folder, known)) = known else { return path.to_owned() };
    let rest = path.strip_prefix(folder).unwrap_or(Path::new(""));
    if rest.as_os_str().is_empty() { known } else { known.join(rest) }
}

/// The listing of these files, whatever their order, with what [`read_card`] gave for each.
pub(super) fn listing(cards: Vec<(String, Card)>) -> Listing {
    let mut entries: Vec<_> = cards
        .into_iter()
        .map(|(name, card)| Entry { mask: Some(name.clone()), name, label: card.label, patient: card.patient })
        .collect();
    entries.sort_by(|a, b| natural::compare(&a.name, &b.name));
    Listing { entries, classes: CLASSES.map(str::to_owned).to_vec(), columns: Vec::new() }
}

/// What a file says about its slice.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Card {
    /// Class index into [`CLASSES`].
    pub(super) label: u32,
    pub(super) patient: Option<String>,
}

/// Reads class and patient.
pub(super) fn read_card(bytes: Vec<u8>) -> Result<Card, String> {
    let file = open(bytes)?;
    let labels = field(&file, "label", |dataset| dataset.read_f64())?;
    let label = match labels.as_slice() {
        [label] => (1..=CLASSES.len()).find(|&index| *label == index as f64),
        _ => None,
    };
    let Some(label) = label else {
        return Err(format!("`cjdata/label` is {labels:?}; 1, 2 or 3 is expected"));
    };
    let units = field(&file, "PID", |dataset| dataset.read_u16())?;
    let patient = String::from_utf16(&units).map_err(|_| "`cjdata/PID` is no text".to_owned())?;
    let patient = patient.trim_matches(['\0', ' ']).to_owned();
    Ok(Card { label: label as u32 - 1, patient: Some(patient).filter(|patient| !patient.is_empty()) })
}

/// Reads the image as grey levels and the mask, both `[height, width]` as MATLAB shows them.
pub(super) fn read_slice(bytes: Vec<u8>) -> Result<(Grid, Grid), String> {
    let file = open(bytes)?;
    let (height, width, values) = matrix(&file, "image")?;
    let pixels = min_max(values.iter().copied()).map_err(|problem| format!("`cjdata/image`: {problem}"))?;
    let image = Grid { height, width, pixels };
    let (height, width, values) = matrix(&file, "tumorMask")?;
    let mask = Grid { height, width, pixels: values.into_iter().map(|value| u8::from(value != 0.0)).collect() };
    Ok((image, mask))
}

fn open(bytes: Vec<u8>) -> Result<File, String> {
    File::from_bytes(bytes).map_err(|error| format!("it is no MATLAB v7.3 file: {error}"))
}

fn field<T>(
    file: &File,
    name: &str,
    read: impl FnOnce(&Dataset) -> Result<Vec<T>, hdf5_pure::Error>,
) -> Result<Vec<T>, String> {
    let what = format!("cjdata/{name}");
    let wrong = |error: hdf5_pure::Error| format!("cannot read `{what}`: {error}");
    let dataset = file.dataset(&what).map_err(wrong)?;
    bounded_shape(&dataset, VALUES_MAX).map_err(|problem| format!("cannot read `{what}`: {problem}"))?;
    read(&dataset).map_err(wrong)
}

/// Height, width and values, row by row, of a matrix that is stored column by column.
fn matrix(file: &File, name: &str) -> Result<(usize, usize, Vec<f64>), String> {
    let mut shape = Vec::new();
    let stored = field(file, name, |dataset| {
        shape = dataset.shape()?;
        dataset.read_f64()
    })?;
    let [width, height] = shape[..] else {
        return Err(format!("`cjdata/{name}` has the shape {shape:?}; a matrix is expected"));
    };
    let (width, height) = (width as usize, height as usize);
    if stored.len() != width * height || stored.is_empty() {
        return Err(format!("`cjdata/{name}` has {} values for the shape {shape:?}", stored.len()));
    }
    let values = (0..height).flat_map(|row| (0..width).map(move |column| column * height + row));
    Ok((height, width, values.map(|place| stored[place]).collect()))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Reference {
        files: Vec<Expected>,
    }

    #[derive(Deserialize)]
    struct Expected {
        file: String,
        label: u32,
        patient: String,
        height: usize,
        width: usize,
        image: Vec<u8>,
        mask: Vec<u8>,
    }

    fn reference_dir() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/mat")
    }

    fn reference() -> Reference {
        serde_json::from_str(include_str!("../../../tests/reference/mat.json")).unwrap()
    }

    /// `tests/reference/mat.py` made the files and values.
    #[test]
    fn every_layout_and_type_gives_what_h5py_reads_transposed() {
        for expected in reference().files {
            let file = &expected.file;
            let bytes = std::fs::read(reference_dir().join(file)).unwrap();
            let card = read_card(bytes.clone()).unwrap_or_else(|error| panic!("{file}: {error}"));
            assert_eq!(card, Card { label: expected.label - 1, patient: Some(expected.patient) }, "{file}");
            let (image, mask) = read_slice(bytes).unwrap_or_else(|error| panic!("{file}: {error}"));
            assert_eq!(
                (image.size(), mask.size()),
                ((expected.height, expected.width), (expected.height, expected.width))
            );
            assert_eq!(image.pixels, expected.image, "{file}");
            assert_eq!(mask.pixels, expected.mask, "{file}");
        }
    }

    #[test]
    fn files_come_in_the_order_of_their_numbers_and_others_are_left_out() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["10.mat", "9.mat", "cvind.mat", "1.txt", ".mat"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let names: Vec<_> = files(folder.path()).unwrap().into_iter().map(|file| file.name).collect();
        assert_eq!(names, ["9.mat", "10.mat"]);
        let card = Card { label: 0, patient: None };
        let listing = listing(vec![("10.mat".to_owned(), card.clone()), ("9.mat".to_owned(), card)]);
        assert_eq!(listing.names(), ["9.mat", "10.mat"]);
    }

    #[test]
    fn the_command_that_fetches_names_the_folder_without_detours_and_quoted() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("experiments")).unwrap();
        let real = folder.path().canonicalize().unwrap();
        let path = folder.path().join("experiments/../data/brain-tumor");
        assert_eq!(
            how_to_fetch(&path),
            format!("orchestrate data brain-tumor --to {}/data/brain-tumor", real.display())
        );
        assert_eq!(
            how_to_fetch(Path::new("/no/my 'data'")),
            r"orchestrate data brain-tumor --to '/no/my '\''data'\'''"
        );
    }

    #[test]
    fn a_file_cut_anywhere_is_an_error_or_the_same_slice() {
        let expected = &reference().files[0];
        let bytes = std::fs::read(reference_dir().join(&expected.file)).unwrap();
        let whole = read_slice(bytes.clone()).unwrap();
        for end in (0..bytes.len()).step_by(37) {
            if let Ok(slice) = read_slice(bytes[..end].to_vec()) {
                assert_eq!(slice, whole, "cut at {end}");
            }
        }
        assert!(open(b"MATLAB 5.0 MAT-file".to_vec()).err().unwrap().starts_with("it is no MATLAB v7.3 file: "));
    }

    /// Found by fuzzing: numbers that claim to have ninety bytes each would have taken 1.5 GB.
    #[test]
    fn numbers_of_many_bytes_are_refused_before_memory_is_taken() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/found/matlab-elements-of-many-bytes");
        let error = read_slice(std::fs::read(path).unwrap()).unwrap_err();
        assert!(error.starts_with("cannot read `cjdata/"), "{error}");
        assert!(error.contains("it claims to have "), "{error}");
    }

    #[test]
    fn a_file_with_any_wrong_byte_is_an_error_or_some_slice_but_no_panic() {
        for expected in &reference().files {
            let bytes = std::fs::read(reference_dir().join(&expected.file)).unwrap();
            for place in (0..bytes.len()).step_by(23) {
                let mut damaged = bytes.clone();
                damaged[place] ^= 0xFF;
                let _ = (read_card(damaged.clone()), read_slice(damaged));
            }
        }
    }

    /// The images span 0..=255, so that min-max leaves them as they are; `tests/reference/mat.py` made the digests with
    /// h5py.
    #[test]
    #[expect(clippy::print_stderr, reason = "a skipped test says why")]
    fn real_files_give_what_h5py_reads() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/cheng-mat-30");
        let Ok(files) = files(&folder) else {
            eprintln!("skipped: there are no files in {}", folder.display());
            return;
        };
        #[derive(Deserialize)]
        struct Real {
            real: std::collections::BTreeMap<String, (u32, String, usize, usize, u64, u64)>,
        }
        let Real { real } = serde_json::from_str(include_str!("../../../tests/reference/mat.json")).unwrap();
        assert_eq!(files.len(), real.len());
        for file in files {
            let (label, patient, height, width, image_sum, mask_sum) = real[&file.name].clone();
            let bytes = std::fs::read(&file.path).unwrap();
            assert_eq!(read_card(bytes.clone()).unwrap(), Card { label: label - 1, patient: Some(patient) });
            let (image, mask) = read_slice(bytes).unwrap();
            assert_eq!((image.size(), mask.size()), ((height, width), (height, width)), "{}", file.name);
            assert_eq!((weighted(&image), weighted(&mask)), (image_sum, mask_sum), "{}", file.name);
        }
    }

    /// A sum in which every place counts differently, modulo 2⁶¹ − 1.
    fn weighted(grid: &Grid) -> u64 {
        let prime = (1_u128 << 61) - 1;
        grid.pixels.iter().fold(0_u128, |sum, &pixel| (sum * 1_000_003 + u128::from(pixel) + 1) % prime) as u64
    }
}
