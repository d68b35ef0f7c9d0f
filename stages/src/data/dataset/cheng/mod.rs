//! `format = "cheng-mat"`: Cheng's brain tumour data set as distributed, one MATLAB v7.3 file per slice. Source:
//! figshare 1512427.
//!
//! The folder holds `1.mat` … `3064.mat`; the images are in the order of the numbers, and other files are ignored. A
//! file is a MATLAB header of 512 bytes, which may be missing, then HDF5 with the struct `cjdata`: `label` (1
//! meningioma, 2 glioma, 3 pituitary), `PID` (patient, text or a whole number), `image` and `tumorMask` (any type of
//! number). Names of fields may be in any case, and so may the extension `.mat`. MATLAB stores matrices by column, so
//! the HDF5 arrays of image and mask are transposed, whatever program wrote them.

mod field;
mod slice;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use orchestrate_engine::stage::FileName;

use super::left_out::LeftOut;
use super::listing::{ListedImage, Listing};
use super::natural::{self, names_in};

pub(super) use slice::{Annotation, read_annotation, read_slice};

/// Class names by `label` − 1.
pub(super) const CLASSES: [&str; 3] = ["meningioma", "glioma", "pituitary"];

/// Lists every `N.mat` of the folder, in the order of the numbers.
///
/// Errors: no such file; two files of one number, such as `1.mat` and `1.MAT`.
pub(super) fn files(path: &Path) -> Result<Vec<FileName>, Vec<String>> {
    let names: Vec<_> = names_in(path)?.into_iter().filter(|name| number(name).is_some()).collect();
    if names.is_empty() {
        return Err(vec![format!("{} has no files 1.mat, 2.mat and so on", path.display())]);
    }
    let twice: Vec<_> = names
        .windows(2)
        .filter(|pair| number(&pair[0]) == number(&pair[1]))
        .map(|pair| format!("{} has both {} and {}, which name the same slice", path.display(), pair[0], pair[1]))
        .collect();
    if !twice.is_empty() {
        return Err(twice);
    }
    Ok(names.into_iter().map(|name| FileName::new(&name, path.join(&name))).collect())
}

/// Returns the number that a file is named after, without zeros before it.
fn number(name: &str) -> Option<&str> {
    let (stem, extension) = name.rsplit_once('.')?;
    let is_slice =
        extension.eq_ignore_ascii_case("mat") && !stem.is_empty() && stem.bytes().all(|byte| byte.is_ascii_digit());
    // Natural order puts equal numbers side by side.
    is_slice.then(|| stem.trim_start_matches('0'))
}

/// Lists the other files of the folder.
pub(super) fn left_out(path: &Path) -> Result<LeftOut, Vec<String>> {
    let mut left_out = LeftOut::default();
    for name in names_in(path)?.into_iter().filter(|name| number(name).is_none()) {
        left_out.add("no numbered .mat file", false, name);
    }
    Ok(left_out)
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
    Listing { images, classes: CLASSES.map(str::to_owned).to_vec(), columns: Vec::new(), empty: Vec::new() }
}
