//! `format = "folders"`: a folder a class, `x.png` with its mask `x_mask.png` beside it.
//!
//! Names come in natural order, 9 before 10. An image without a mask is one without foreground. Hidden files and files
//! that are no PNG, JPEG or TIFF by their names are left out. There are no patients.

use std::collections::BTreeMap;
use std::path::Path;

use orchestrate_engine::stage::FileName;

use super::listing::{Entry, Listing, classify};
use super::{Params, natural, picture};

/// What a mask's name has after that of its image.
const MASK_SUFFIX: &str = "_mask";

/// Every image and mask, in natural order.
///
/// Errors: all folders that cannot be read or have no images, masks without an image, and so on, one sentence each.
pub(super) fn files(params: &Params, path: &Path) -> Result<Vec<FileName>, Vec<String>> {
    let folders: Vec<String> = entries(path)?.into_iter().filter(|name| path.join(name).is_dir()).collect();
    if folders.is_empty() {
        return Err(vec![format!("{} has no folders, and a folder a class is expected", path.display())]);
    }
    let mut names = Vec::new();
    let mut problems = Vec::new();
    for folder in folders {
        match entries(&path.join(&folder)) {
            Ok(files) => {
                let pictures: Vec<_> = files.into_iter().filter(|name| is_picture(name)).collect();
                if pictures.is_empty() {
                    problems.push(format!("{} has no PNG, JPEG or TIFF files", path.join(&folder).display()));
                }
                names.extend(pictures.into_iter().map(|file| format!("{folder}/{file}")));
            }
            Err(more) => problems.extend(more),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let listing = read(params, &names)
        .map_err(|problems| {
            problems.iter().map(|problem| format!("{}: {problem}", path.display())).collect::<Vec<_>>()
        })?
        .limited(params.limit);
    let kept = listing.entries.into_iter().flat_map(|entry| [Some(entry.name), entry.mask]).flatten();
    Ok(kept.map(|name| FileName::new(&name, path.join(&name))).collect())
}

/// The listing that these files make, whatever their order.
pub(super) fn read(params: &Params, names: &[String]) -> Result<Listing, Vec<String>> {
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
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
    let mut images = Vec::new();
    for &name in names.iter().filter(|name| !stem(name).ends_with(MASK_SUFFIX)) {
        let mask = masks.get_mut(stem(name)).map(|(mask, used)| {
            if std::mem::replace(used, true) {
                problems.push(format!("`{mask}` is the mask of two images, `{name}` and one of another format"));
            }
            (*mask).to_owned()
        });
        images.push((name, mask));
    }
    problems.extend(masks.values().filter(|(_, used)| !used).map(|(mask, _)| format!("mask `{mask}` has no image")));
    let labels: Vec<_> =
        images.iter().map(|(name, _)| (format!("`{name}`"), name.split_once('/').unwrap_or_default().0)).collect();
    let (indices, classes) = match classify(&labels, params.classes.as_deref()) {
        Ok(classified) => classified,
        Err(unknown) => {
            problems.extend(unknown);
            return Err(problems);
        }
    };
    if !problems.is_empty() {
        return Err(problems);
    }
    let entries = images
        .into_iter()
        .zip(indices)
        .map(|((name, mask), label)| Entry { name: name.to_owned(), label, patient: None, mask })
        .collect();
    Ok(Listing { entries, classes, columns: Vec::new() })
}

/// Names in a folder that are not hidden, in natural order.
pub(super) fn entries(folder: &Path) -> Result<Vec<String>, Vec<String>> {
    let cannot_read = |error: std::io::Error| vec![format!("cannot read the folder {}: {error}", folder.display())];
    let mut names = Vec::new();
    let mut problems = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(cannot_read)? {
        match entry.map_err(cannot_read)?.file_name().into_string() {
            Ok(name) if name.starts_with('.') => {}
            Ok(name) => names.push(name),
            Err(name) => problems.push(format!("the name of {} is not in UTF-8", folder.join(name).display())),
        }
    }
    names.sort_by(|a, b| natural::compare(a, b));
    if problems.is_empty() { Ok(names) } else { Err(problems) }
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

    fn texts(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn images_come_in_natural_order_with_their_masks() {
        let names = texts(&["b/10.png", "b/9.png", "b/9_mask.png", "a/x.jpg", "a/x_mask.tif"]);
        let listing = read(&params(), &names).unwrap();
        let entries: Vec<_> =
            listing.entries.iter().map(|entry| (entry.name.as_str(), entry.label, entry.mask.as_deref())).collect();
        let expected =
            [("a/x.jpg", 0, Some("a/x_mask.tif")), ("b/9.png", 1, Some("b/9_mask.png")), ("b/10.png", 1, None)];
        assert_eq!(entries, expected);
        assert_eq!(listing.classes, ["a", "b"]);
    }

    #[test]
    fn everything_that_does_not_fit_is_named() {
        let names =
            texts(&["a/x_mask.png", "a/y.png", "a/y.jpg", "a/y_mask.png", "a/z.png", "a/z_mask.png", "a/z_mask.tif"]);
        assert_eq!(
            read(&params(), &names).unwrap_err(),
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
