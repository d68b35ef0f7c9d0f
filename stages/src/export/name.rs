//! Names of files, made of names of images.

use std::collections::HashSet;
use std::path::{Component, Path};

use orchestrate_engine::stage::StageError;

/// Extensions that the extension of the format replaces.
const REPLACED: [&str; 6] = ["png", "jpg", "jpeg", "tif", "tiff", "mat"];

/// Gives names an extension, and keeps their subfolders. A name that another image has taken gets the extension after
/// its own.
///
/// Errors: all names that lead out of the folder.
pub(super) fn file_names<'a>(
    names: impl Iterator<Item = &'a str> + Clone,
    extension: &str,
) -> Result<Vec<String>, StageError> {
    let wrong: Vec<String> = names.clone().filter(|name| !is_inside(name)).map(|name| format!("`{name}`")).collect();
    if !wrong.is_empty() {
        return Err(StageError::new(format!(
            "these names of images are no files below a folder, so nothing was written: {}",
            wrong.join(", ")
        )));
    }
    let mut taken = HashSet::new();
    let file = |name: &str| {
        let whole = format!("{name}.{extension}");
        let stem = name.rsplit_once('.').filter(|(_, end)| REPLACED.contains(&end.to_lowercase().as_str()));
        let replaced = stem.map_or_else(|| whole.clone(), |(stem, _)| format!("{stem}.{extension}"));
        let mut file = if taken.contains(&replaced) { whole } else { replaced };
        while !taken.insert(file.clone()) {
            file = format!("{file}.{extension}");
        }
        file
    };
    Ok(names.map(file).collect())
}

fn is_inside(name: &str) -> bool {
    let path = Path::new(name);
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    plain && path.file_name().is_some() && !name.contains(['\\', '\0']) && !name.ends_with('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Result<Vec<String>, String> {
        file_names(names.iter().copied(), "png").map_err(|error| error.to_string())
    }

    #[test]
    fn subfolders_are_kept_and_extensions_replaced() {
        assert_eq!(names(&["a/1.jpg", "a/2.png", "3"]).unwrap(), ["a/1.png", "a/2.png", "3.png"]);
        assert_eq!(names(&["v1.2"]).unwrap(), ["v1.2.png"]);
    }

    #[test]
    fn images_that_differ_in_the_extension_get_files_of_their_own() {
        assert_eq!(names(&["1.png", "1.jpg", "1.jpg.png"]).unwrap(), ["1.png", "1.jpg.png", "1.jpg.png.png"]);
    }

    #[test]
    fn names_that_lead_out_of_the_folder_are_refused_all_at_once() {
        let error = names(&["ok.png", "../x.png", "/etc/passwd", "a/../../b", "", "c\\..\\d"]).unwrap_err();
        for name in ["`../x.png`", "`/etc/passwd`", "`a/../../b`", "``", "`c\\..\\d`"] {
            assert!(error.contains(name), "{name} in {error}");
        }
        assert!(!error.contains("ok.png"), "{error}");
    }
}
