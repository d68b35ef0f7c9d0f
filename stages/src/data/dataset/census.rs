//! Census of Cheng's brain tumour set: counts to compare a download with the set as its author describes it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use rayon::prelude::*;

use super::cheng::{CLASSES, read_annotation};
use crate::problems::all_or_problems;

/// Numbers of slices by class, and of patients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Census {
    /// Slices by class, in the order of the labels 1, 2, 3.
    pub classes: Vec<(&'static str, usize)>,
    /// Different patients.
    pub patients: usize,
}

/// Reads class and patient of each of these `.mat` files.
///
/// Errors: every unreadable file, one sentence each.
pub fn census(files: &[PathBuf]) -> Result<Census, Vec<String>> {
    let read = |path: &PathBuf| {
        let bytes = std::fs::read(path).map_err(|error| error.to_string());
        bytes.and_then(read_annotation).map_err(|problem| format!("{}: {problem}", path.display()))
    };
    let annotations = all_or_problems(files.par_iter().map(read).collect::<Vec<_>>())?;
    let count = |class: usize| annotations.iter().filter(|annotation| annotation.label as usize == class).count();
    let classes = CLASSES.iter().enumerate().map(|(class, name)| (*name, count(class))).collect();
    let patients: BTreeSet<&str> = annotations.iter().filter_map(|annotation| annotation.patient.as_deref()).collect();
    Ok(Census { classes, patients: patients.len() })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Labels 1, 2, 3, 3, 1, 2 and six patients: `tests/reference/mat.py`.
    #[test]
    fn classes_and_patients_are_counted_and_unreadable_files_named() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/mat");
        let mut files: Vec<PathBuf> = (1..=6).map(|number| folder.join(format!("{number}.mat"))).collect();
        let expected = Census { classes: vec![("meningioma", 2), ("glioma", 2), ("pituitary", 2)], patients: 6 };
        assert_eq!(census(&files), Ok(expected));
        files.extend([folder.join("7.mat"), folder.join("../mat.json")]);
        let problems = census(&files).unwrap_err();
        assert_eq!(problems.len(), 2);
        assert!(problems[0].contains("7.mat: ") && problems[1].contains("it is no MATLAB v7.3 file"), "{problems:?}");
    }
}
