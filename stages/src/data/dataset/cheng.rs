//! `format = "cheng-mat"`: Cheng's brain tumour data set as distributed, one MATLAB v7.3 file per slice. Source:
//! figshare 1512427.
//!
//! The folder holds `1.mat` … `3064.mat`; the images are in the order of the numbers, and other files are ignored. A
//! file is a MATLAB header of 512 bytes, then HDF5 with the struct `cjdata`: `label` (1 meningioma, 2 glioma, 3
//! pituitary), `PID` (patient, UTF-16), `image` (any type of number) and `tumorMask`. MATLAB stores matrices by column,
//! so the HDF5 arrays of image and mask are transposed. Min-max scaling of each slice makes the grey levels.

use std::path::{Path, PathBuf};

use hdf5_pure::File;
use orchestrate_engine::stage::FileName;

use super::listing::{ListedImage, Listing};
use super::min_max::min_max;
use super::natural::{self, names_in};
use super::resize::Grid;
use crate::data::hdf5::array;

/// Class names by `label` − 1.
pub(super) const CLASSES: [&str; 3] = ["meningioma", "glioma", "pituitary"];

/// The most values of an array, so that a damaged file cannot make us allocate all memory.
const VALUES_MAX: u64 = 1 << 24;

/// Lists every `N.mat` of the folder, in the order of the numbers.
pub(super) fn files(path: &Path) -> Result<Vec<FileName>, Vec<String>> {
    let numbered = |name: &String| {
        name.strip_suffix(".mat").is_some_and(|stem| !stem.is_empty() && stem.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let names: Vec<_> = names_in(path)?.into_iter().filter(numbered).collect();
    if names.is_empty() {
        return Err(vec![format!("{} has no files 1.mat, 2.mat and so on", path.display())]);
    }
    Ok(names.into_iter().map(|name| FileName::new(&name, path.join(&name))).collect())
}

/// Returns the command that downloads the files into this folder, for a shell.
pub(super) fn how_to_fetch(path: &Path) -> String {
    let path = resolved(path).display().to_string();
    let is_plain = |letter: char| letter.is_alphanumeric() || "/._-+,@%:=".contains(letter);
    let path = if path.chars().all(is_plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) };
    format!("orchestrate data brain-tumor --to {path}")
}

/// Resolves `..` and links in the part of the path that exists.
fn resolved(path: &Path) -> PathBuf {
    let existing = path.ancestors().find_map(|folder| Some((folder, folder.canonicalize().ok()?)));
    let Some((folder, canonical)) = existing else { return path.to_owned() };
    let rest = path.strip_prefix(folder).unwrap_or(Path::new(""));
    // To join an empty path would add a slash.
    if rest.as_os_str().is_empty() { canonical } else { canonical.join(rest) }
}

/// Makes the listing of the images from (file name, annotation), in the order of the numbers.
pub(super) fn listing(annotations: Vec<(String, Annotation)>) -> Listing {
    let image = |(name, Annotation { label, patient }): (String, Annotation)| ListedImage {
        file: name,
        label,
        patient,
        ..ListedImage::default()
    };
    let mut images: Vec<_> = annotations.into_iter().map(image).collect();
    images.sort_by(|a, b| natural::compare(&a.file, &b.file));
    Listing { images, classes: CLASSES.map(str::to_owned).to_vec(), columns: Vec::new() }
}

/// Class and patient of a slice.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Annotation {
    /// Class index into [`CLASSES`].
    pub(super) label: u32,
    pub(super) patient: Option<String>,
}

/// Reads class and patient from the bytes of a file.
pub(super) fn read_annotation(bytes: Vec<u8>) -> Result<Annotation, String> {
    let file = open(bytes)?;
    let (_, labels) = array(&file, "cjdata/label", VALUES_MAX, |dataset| dataset.read_f64())?;
    let label = match labels.as_slice() {
        [label] => (1..=CLASSES.len()).find(|&index| *label == index as f64),
        _ => None,
    };
    let Some(label) = label else {
        return Err(format!("`cjdata/label` is {labels:?}; 1, 2 or 3 is expected"));
    };
    let (_, code_units) = array(&file, "cjdata/PID", VALUES_MAX, |dataset| dataset.read_u16())?;
    let patient = String::from_utf16(&code_units).map_err(|_| "`cjdata/PID` is no text".to_owned())?;
    let patient = patient.trim_matches(['\0', ' ']).to_owned();
    Ok(Annotation { label: label as u32 - 1, patient: Some(patient).filter(|patient| !patient.is_empty()) })
}

/// Reads the image as grey levels and the mask as 0 or 1, both `[height, width]` as MATLAB shows them.
pub(super) fn read_slice(bytes: Vec<u8>) -> Result<(Grid, Grid), String> {
    let file = open(bytes)?;
    let image = matrix(&file, "cjdata/image", |values| min_max(values.iter().copied()))?;
    let mask =
        matrix(&file, "cjdata/tumorMask", |values| Ok(values.iter().map(|&value| (value != 0.0).into()).collect()))?;
    Ok((image, mask))
}

fn open(bytes: Vec<u8>) -> Result<File, String> {
    File::from_bytes(bytes).map_err(|error| format!("it is no MATLAB v7.3 file: {error}"))
}

/// Reads a matrix and transposes it from MATLAB's order to row by row; `to_bytes` converts its values.
fn matrix(file: &File, path: &str, to_bytes: impl Fn(&[f64]) -> Result<Vec<u8>, String>) -> Result<Grid, String> {
    let (shape, values) = array(file, path, VALUES_MAX, |dataset| dataset.read_f64())?;
    let [columns, rows] = shape[..] else {
        return Err(format!("`{path}` has the shape {shape:?}; a matrix is expected"));
    };
    let (columns, rows) = (columns as usize, rows as usize);
    if values.len() != columns * rows || values.is_empty() {
        return Err(format!("`{path}` has {} values for the shape {shape:?}", values.len()));
    }
    let pixels = to_bytes(&values).map_err(|problem| format!("`{path}`: {problem}"))?;
    Ok(Grid { height: columns, width: rows, pixels }.transposed())
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
            let annotation = read_annotation(bytes.clone()).unwrap_or_else(|error| panic!("{file}: {error}"));
            assert_eq!(annotation, Annotation { label: expected.label - 1, patient: Some(expected.patient) }, "{file}");
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
    fn files_are_in_the_order_of_their_numbers_and_others_are_ignored() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["10.mat", "9.mat", "cvind.mat", "1.txt", ".mat"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let names: Vec<_> = files(folder.path()).unwrap().into_iter().map(|file| file.name).collect();
        assert_eq!(names, ["9.mat", "10.mat"]);
        let annotation = Annotation { label: 0, patient: None };
        let listing = listing(vec![("10.mat".to_owned(), annotation.clone()), ("9.mat".to_owned(), annotation)]);
        assert_eq!(listing.names(), ["9.mat", "10.mat"]);
    }

    #[test]
    fn the_command_that_fetches_names_the_resolved_folder_quoted() {
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

    /// Found by fuzzing: a file with a claim of ninety bytes per number took 1.5 GB.
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
            for offset in (0..bytes.len()).step_by(23) {
                let mut damaged = bytes.clone();
                damaged[offset] ^= 0xFF;
                let _ = (read_annotation(damaged.clone()), read_slice(damaged));
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
            assert_eq!(
                read_annotation(bytes.clone()).unwrap(),
                Annotation { label: label - 1, patient: Some(patient) }
            );
            let (image, mask) = read_slice(bytes).unwrap();
            assert_eq!((image.size(), mask.size()), ((height, width), (height, width)), "{}", file.name);
            assert_eq!((weighted(&image), weighted(&mask)), (image_sum, mask_sum), "{}", file.name);
        }
    }

    /// A sum, modulo 2⁶¹ − 1, that depends on the position of every pixel.
    fn weighted(grid: &Grid) -> u64 {
        let prime = (1_u128 << 61) - 1;
        grid.pixels.iter().fold(0_u128, |sum, &pixel| (sum * 1_000_003 + u128::from(pixel) + 1) % prime) as u64
    }
}
