//! `format = "folders"`: one folder a class, `x.png` with its mask `x_mask.png` beside it.
//!
//! Names are in natural order, 9 before 10. An image without a mask has no foreground. Hidden files and files whose names
//! do not end as PNG, JPEG or TIFF are ignored. Patients are unknown.

use std::collections::BTreeMap;
use std::path::Path;

use orchestrate_engine::stage::FileName;

use super::listing::{ListedImage, Listing, classify};
use super::natural::{self, names_in};
use super::params::Params;
use super::picture;

/// Ending of a mask's name, after that of its image.
const MASK_SUFFIX: &str = "_mask";

/// Lists every image and mask, in natural order.
///
/// Errors: unreadable folders, folders without images, masks without an image, and so on, one sentence each.
pub(super) fn files(params: &Params, path: &Path) -> Result<Vec<FileName>, Vec<String>> {
    let folders: Vec<String> = names_in(path)?.into_iter().filter(|name| path.join(name).is_dir()).collect();
    if folders.is_empty() {
        return Err(vec![format!("{} has no folders, and a folder a class is expected", path.display())]);
    }
    let mut names = Vec::new();
    let mut problems = Vec::new();
    for folder in folders {
        match names_in(&path.join(&folder)) {
            Ok(mut files) => {
                files.retain(|name| is_picture(name));
                if files.is_empty() {
                    problems.push(format!("{} has no PNG, JPEG or TIFF files", path.join(&folder).display()));
                }
                names.extend(files.into_iter().map(|file| format!("{folder}/{file}")));
            }
            Err(more) => problems.extend(more),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let in_path = |problem: String| format!("{}: {problem}", path.display());
    let listing = read(params, names.iter().map(String::as_str).collect())
        .map_err(|problems| problems.into_iter().map(in_path).collect::<Vec<_>>())?;
    Ok(listing.limited(params.limit).files().map(|name| FileName::new(&name, path.join(&name))).collect())
}

/// Makes the listing of these files, given in any order.
pub(super) fn read(params: &Params, mut names: Vec<&str>) -> Result<Listing, Vec<String>> {
    names.sort_by(|a, b| natural::compare(a, b));
    let mut problems = Vec::new();
    let mut masks: BTreeMap<&str, (&str, bool)> = BTreeMap::new();
    for &name in &names {
        if let Some(image) = stem(name).strip_suffix(MASK_SUFFIX)
            && let Some((other, _)) = masks.insert(image, (name, false))
        {
            problems.push(format!("`{other}` and `{name}` are masks of the same image"));
        }
    }
    names.retain(|name| !stem(name).ends_with(MASK_SUFFIX));
    let mask_of = |name: &&str| {
        let (mask, used) = masks.get_mut(stem(name))?;
        if std::mem::replace(used, true) {
            problems.push(format!("`{mask}` is the mask of two images, `{name}` and one of another format"));
        }
        Some((*mask).to_owned())
    };
    let masks_of_images: Vec<Option<String>> = names.iter().map(mask_of).collect();
    problems.extend(masks.values().filter(|(_, used)| !used).map(|(mask, _)| format!("mask `{mask}` has no image")));
    let labels: Vec<&str> = names.iter().map(|name| name.split_once('/').unwrap_or_default().0).collect();
    let place = |row: usize| format!("`{}`", names[row]);
    let (indices, classes) = classify(&labels, params.classes.as_deref(), place, &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    let image =
        |((name, mask), label): ((&str, _), _)| ListedImage { name: name.to_owned(), label, patient: None, mask };
    let images = names.into_iter().zip(masks_of_images).zip(indices).map(image).collect();
    Ok(Listing { images, classes, columns: Vec::new() })
}

fn is_picture(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, extension)| picture::EXTENSIONS.contains(&extension.to_lowercase().as_str()))
}

fn stem(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params() -> Params {
        serde_json::from_str(r#"{"format": "folders", "path": "x"}"#).unwrap()
    }

    #[test]
    fn images_come_in_natural_order_with_their_masks() {
        let names = vec!["b/10.png", "b/9.png", "b/9_mask.png", "a/x.jpg", "a/x_mask.tif"];
        let listing = read(&params(), names).unwrap();
        let images: Vec<_> =
            listing.images.iter().map(|image| (image.name.as_str(), image.label, image.mask.as_deref())).collect();
        let expected =
            [("a/x.jpg", 0, Some("a/x_mask.tif")), ("b/9.png", 1, Some("b/9_mask.png")), ("b/10.png", 1, None)];
        assert_eq!(images, expected);
        assert_eq!(listing.classes, ["a", "b"]);
    }

    #[test]
    fn everything_that_does_not_fit_is_named() {
        let names =
            vec!["a/x_mask.png", "a/y.png", "a/y.jpg", "a/y_mask.png", "a/z.png", "a/z_mask.png", "a/z_mask.tif"];
        assert_eq!(
            read(&params(), names).unwrap_err(),
            [
                "`a/z_mask.png` and `a/z_mask.tif` are masks of the same image",
                "`a/y_mask.png` is the mask of two images, `a/y.png` and one of another format",
                "mask `a/x_mask.png` has no image",
            ]
        );
    }

    #[test]
    fn files_are_found_below_folders_of_classes() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let write = |name: &str| {
            std::fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            std::fs::write(root.join(name), "").unwrap();
        };
        ["glioma/2.PNG", "glioma/2_mask.png", "glioma/.DS_Store", "glioma/notes.txt", "healthy/1.png", "readme.txt"]
            .into_iter()
            .for_each(write);
        let files = files(&params(), root).unwrap();
        let names: Vec<_> = files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["glioma/2.PNG", "glioma/2_mask.png", "healthy/1.png"]);
        write("empty/notes.txt");
        let problems = super::files(&params(), root).unwrap_err();
        assert_eq!(problems, [format!("{} has no PNG, JPEG or TIFF files", root.join("empty").display())]);
        let problems = super::files(&params(), &root.join("glioma")).unwrap_err();
        assert_eq!(
            problems,
            [format!("{} has no folders, and a folder a class is expected", root.join("glioma").display())]
        );
    }
}
