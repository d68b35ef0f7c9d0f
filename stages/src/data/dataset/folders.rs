//! `format = "folders"`: one folder a class, masks beside their images.
//!
//! Names are in natural order, 9 before 10. The param `mask` is the pattern of mask names; an image without a mask has
//! no foreground, and several masks of one image are joined. The param `patient` is the pattern of names that tell the
//! patient; without it, patients come from DICOM headers, or are unknown. Every other file below the folder is left
//! out, and the audit says why; only hidden ones are passed over in silence.

use std::collections::HashMap;
use std::path::Path;

use orchestrate_engine::stage::FileName;

use super::file::{self, is_picture};
use super::left_out::LeftOut;
use super::listing::{ListedImage, Listing, classify};
use super::mask_pattern::{MaskPattern, lookalike_stems};
use super::natural::{self, names_in};
use super::params::Params;
use super::patient_pattern::PatientPattern;

/// Pictures of the classes, by name below the folder, and the other files.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Scan {
    pub(super) pictures: Vec<String>,
    pub(super) left_out: LeftOut,
    /// True if images may lie in folders below those of classes.
    deep: bool,
}

/// Lists every image and mask, in natural order.
///
/// Errors: unreadable folders, folders without images, masks without an image, and so on, one sentence each.
pub(super) fn files(params: &Params, path: &Path) -> Result<Vec<FileName>, Vec<String>> {
    let Scan { pictures, .. } = scan(path, is_deep(params))?;
    let in_path = |problem: String| format!("{}: {problem}", path.display());
    let listing = read(params, pictures.iter().map(String::as_str).collect())
        .map_err(|problems| problems.into_iter().map(in_path).collect::<Vec<_>>())?;
    Ok(listing.limited(params.limit).files().map(|name| FileName::new(&name, path.join(&name))).collect())
}

/// Returns whether images lie in folders below those of their classes.
pub(super) fn is_deep(params: &Params) -> bool {
    params.patient.as_deref().and_then(|text| PatientPattern::parse(text).ok()).is_some_and(|it| it.is_deep())
}

/// Finds all files below the folder.
///
/// - `deep`: takes images from folders below those of classes, too
///
/// Errors: no folders of classes; folders that cannot be read; a class without pictures; links to nothing.
pub(super) fn scan(path: &Path, deep: bool) -> Result<Scan, Vec<String>> {
    let mut scan = Scan { deep, ..Scan::default() };
    let mut problems = Vec::new();
    let (folders, files): (Vec<_>, Vec<_>) = names_in(path)?.into_iter().partition(|name| path.join(name).is_dir());
    if folders.is_empty() {
        return Err(vec![format!("{} has no folders, and a folder a class is expected", path.display())]);
    }
    for file in files {
        let pictures = is_picture(&path.join(&file));
        scan.left_out.add("beside the folders of classes", pictures, file);
    }
    for folder in folders {
        let before = (scan.pictures.len(), scan.left_out.nested());
        match names_in(&path.join(&folder)) {
            Ok(names) => {
                for name in names.into_iter().map(|name| format!("{folder}/{name}")) {
                    scan.add(path, name, &mut problems);
                }
                if scan.pictures.len() == before.0 {
                    let folder = path.join(&folder);
                    problems.push(match scan.left_out.nested() - before.1 {
                        0 => format!("{} has no files that are read as images: {}", folder.display(), file::FORMATS),
                        nested => format!(
                            "{} has no images of its own, and the {nested} in folders below it are not read; move them \
                             up, set `patient = \"{{patient}}/*\"` if those are folders of patients, or name them in a \
                             manifest",
                            folder.display()
                        ),
                    });
                }
            }
            Err(more) => problems.extend(more),
        }
    }
    if problems.is_empty() { Ok(scan) } else { Err(problems) }
}

impl Scan {
    /// Adds a file or folder in the folder of a class.
    fn add(&mut self, root: &Path, name: String, problems: &mut Vec<String>) {
        let path = root.join(&name);
        match std::fs::metadata(&path) {
            Ok(found) if found.is_dir() => self.nested(root, &name, problems),
            Ok(_) if is_picture(&path) => self.pictures.push(name),
            Ok(_) => self.left_out.add(&ending(&name), is_other_picture(&name), name),
            Err(error) => problems.push(match std::fs::read_link(&path) {
                Ok(target) => format!("{} is a link to {}: {error}", path.display(), target.display()),
                Err(_) => format!("cannot read {}: {error}", path.display()),
            }),
        }
    }

    /// Leaves out all files below a folder in the folder of a class, or adds them; links to folders are not followed.
    fn nested(&mut self, root: &Path, folder: &str, problems: &mut Vec<String>) {
        let path = root.join(folder);
        if path.is_symlink() {
            return self.left_out.add("links to folders", true, folder.to_owned());
        }
        match names_in(&path) {
            Ok(names) => {
                for name in names.into_iter().map(|name| format!("{folder}/{name}")) {
                    match root.join(&name) {
                        _ if self.deep => self.add(root, name, problems),
                        path if path.is_dir() => self.nested(root, &name, problems),
                        path => self.left_out.add(LeftOut::NESTED, is_picture(&path), name),
                    }
                }
            }
            Err(more) => problems.extend(more),
        }
    }
}

/// Returns whether a name ends as that of a picture whose format is not read.
fn is_other_picture(name: &str) -> bool {
    const ENDINGS: [&str; 15] =
        ["bmp", "gif", "webp", "jp2", "j2k", "heic", "avif", "pgm", "ppm", "mha", "mhd", "nrrd", "img", "svs", "czi"];
    name.rsplit_once('.').is_some_and(|(_, ending)| ENDINGS.contains(&ending.to_lowercase().as_str()))
}

/// Returns the reason to leave out a file by its ending.
fn ending(name: &str) -> String {
    let (_, name) = name.rsplit_once('/').unwrap_or_default();
    match name.rsplit_once('.') {
        Some((_, ending)) => format!("ending .{}, which is not read", ending.to_lowercase()),
        None => "without an ending, and not DICOM".to_owned(),
    }
}

/// Makes the listing of these files, given in any order.
pub(super) fn read(params: &Params, mut names: Vec<&str>) -> Result<Listing, Vec<String>> {
    names.sort_by(|a, b| natural::compare(a, b));
    let mut problems = Vec::new();
    let pattern = match params.mask.as_deref().map(MaskPattern::parse).transpose() {
        Ok(pattern) => pattern.unwrap_or_default(),
        Err(problem) => return Err(vec![problem]),
    };
    let lower: Vec<String> = names.iter().map(|name| name.to_lowercase()).collect();
    // Folders keep their case, as `a` and `A` may be two classes.
    let parts = |index: usize| {
        let (folder, _) = names[index].rsplit_once('/').unwrap_or_default();
        let (_, file) = lower[index].rsplit_once('/').unwrap_or_default();
        (folder, file)
    };
    let stems: Vec<Vec<&str>> = (0..names.len()).map(|index| pattern.stems(stem(parts(index).1))).collect();
    let images: Vec<usize> = (0..names.len()).filter(|&index| stems[index].is_empty()).collect();
    let mut by_stem: HashMap<(&str, &str), Vec<usize>> = HashMap::new();
    for (position, &index) in images.iter().enumerate() {
        let (folder, file) = parts(index);
        by_stem.entry((folder, stem(file))).or_default().push(position);
    }
    for &index in &images {
        let (folder, file) = parts(index);
        let found = |stem: &str| by_stem.get(&(folder, stem)).map(|found| names[images[found[0]]]);
        if let Some(image) = lookalike_stems(stem(file)).into_iter().find_map(found) {
            let name = names[index];
            problems.push(format!(
                "`{name}` looks like a mask of `{image}`; set `mask` to the pattern of your masks' names, or rename it"
            ));
        }
    }
    let mut masks: Vec<Vec<String>> = vec![Vec::new(); images.len()];
    for (index, stems) in stems.iter().enumerate().filter(|(_, stems)| !stems.is_empty()) {
        let folder = parts(index).0;
        match stems.iter().find_map(|stem| by_stem.get(&(folder, *stem))).map(Vec::as_slice) {
            Some([image]) => masks[*image].push(names[index].to_owned()),
            Some(several) => {
                let several: Vec<_> = several.iter().map(|&image| format!("`{}`", names[images[image]])).collect();
                problems.push(format!(
                    "`{}` is the mask of {}, and must be of one",
                    names[index],
                    several.join(" and ")
                ));
            }
            None => problems.push(format!(
                "mask `{}` has no image; rename it, or set `mask` to the pattern of your masks' names",
                names[index]
            )),
        }
    }
    let labels: Vec<&str> = images.iter().map(|&index| names[index].split_once('/').unwrap_or_default().0).collect();
    let place = |row: usize| format!("`{}`", names[images[row]]);
    let (indices, classes) = classify(&labels, params.classes.as_deref(), place, &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    let pattern = params.patient.as_deref().and_then(|text| PatientPattern::parse(text).ok());
    let image = |((index, masks), label): ((usize, Vec<String>), u32)| {
        let file = names[index].to_owned();
        let below = stem(file.split_once('/').unwrap_or_default().1);
        let patient = pattern.as_ref().and_then(|pattern| pattern.patient(below)).map(str::to_owned);
        ListedImage { part: params.part_of(&file), file, label, patient, masks }
    };
    let images = images.into_iter().zip(masks).zip(indices).map(image).collect();
    Ok(Listing { images, classes, columns: Vec::new(), empty: Vec::new() })
}

/// Returns a file's name without its ending.
pub(super) fn stem(name: &str) -> &str {
    let name = name.strip_suffix(".gz").unwrap_or(name);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}
#[cfg(test)]
mod tests {
    use super::*;

    fn params() -> Params {
        serde_json::from_str(r#"{"format": "folders", "path": "x"}"#).unwrap()
    }

    #[test]
    fn images_are_in_natural_order_with_their_masks() {
        let names = vec!["b/10.png", "b/9.png", "b/9_mask.png", "a/x.jpg", "a/x_mask.tif"];
        let listing = read(&params(), names).unwrap();
        let images: Vec<_> =
            listing.images.iter().map(|image| (image.file.as_str(), image.label, image.masks.concat())).collect();
        let expected = [("a/x.jpg", 0, "a/x_mask.tif"), ("b/9.png", 1, "b/9_mask.png"), ("b/10.png", 1, "")]
            .map(|(file, label, masks)| (file, label, masks.to_owned()));
        assert_eq!(images, expected);
        assert_eq!(listing.classes, ["a", "b"]);
    }

    #[test]
    fn several_masks_belong_to_one_image_in_any_case() {
        let names = vec!["a/x.png", "a/x_mask.png", "a/x_MASK_1.PNG", "a/x (2).png", "a/x (2)_mask.png"];
        let listing = read(&params(), names).unwrap();
        let masks: Vec<_> = listing.images.iter().map(|image| image.masks.join(" ")).collect();
        assert_eq!(masks, ["a/x (2)_mask.png", "a/x_MASK_1.PNG a/x_mask.png"]);
        let of_isic = Params { mask: Some("{stem}_segmentation".to_owned()), ..params() };
        let listing = read(&of_isic, vec!["a/x.png", "a/x_Segmentation.png"]).unwrap();
        assert_eq!(listing.names(), ["a/x.png"]);
        assert_eq!(listing.images[0].masks, ["a/x_Segmentation.png"]);
        let problems = read(&params(), vec!["a/x.png", "a/x_Segmentation.png", "a/y_seg.png"]).unwrap_err();
        let expected = "`a/x_Segmentation.png` looks like a mask of `a/x.png`; set `mask` to the \
                        pattern of your masks' names, or rename it";
        assert_eq!(problems, [expected]);
    }

    #[test]
    fn names_tell_patients_by_a_pattern() {
        let params = |pattern: &str| Params { patient: Some(pattern.to_owned()), ..params() };
        let patients = |pattern: &str, names: &[&str]| {
            let images = read(&params(pattern), names.to_vec()).unwrap().images;
            images.into_iter().map(|image| image.patient.unwrap_or_default()).collect::<Vec<_>>()
        };
        let names = ["a/p1_1.png", "a/p1_1_mask.png", "a/p1_2.nii.gz", "b/P2_1.png", "b/other.png"];
        assert_eq!(patients("{patient}_*", &names), ["p1", "p1", "P2", ""]);
        let names = ["a/p1/1.png", "a/p1/1_mask.png", "a/p1/x/1.png", "b/p2/1.png"];
        assert_eq!(patients("{patient}/*", &names), ["p1", "p1", "p2"]);
        let listing = read(&params("{patient}/*"), names.to_vec()).unwrap();
        assert_eq!(
            (listing.classes, listing.images[0].masks.concat()),
            (vec!["a".into(), "b".into()], names[1].into())
        );

        let folder = tempfile::tempdir().unwrap();
        for name in names {
            std::fs::create_dir_all(folder.path().join(name).parent().unwrap()).unwrap();
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let files = files(&params("{patient}/*"), folder.path()).unwrap();
        assert_eq!(files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(), names);
    }

    #[test]
    fn every_inconsistent_file_is_named() {
        let names = vec!["a/x_mask.png", "a/y.png", "a/y.jpg", "a/y_mask.png", "A/x.png"];
        assert_eq!(
            read(&params(), names).unwrap_err(),
            [
                "mask `a/x_mask.png` has no image; rename it, or set `mask` to the pattern of your masks' names",
                "`a/y_mask.png` is the mask of `a/y.jpg` and `a/y.png`, and must be of one",
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
        let expected = "has no files that are read as images: PNG, JPEG, TIFF, DICOM and NIfTI";
        assert_eq!(problems, [format!("{} {expected}", root.join("empty").display())]);
        let problems = super::files(&params(), &root.join("glioma")).unwrap_err();
        assert_eq!(
            problems,
            [format!("{} has no folders, and a folder a class is expected", root.join("glioma").display())]
        );
    }

    #[test]
    fn every_other_file_is_left_out_with_a_reason() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let write = |name: &str, bytes: &[u8]| {
            std::fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            std::fs::write(root.join(name), bytes).unwrap();
        };
        let dicom = [&[0; 128], b"DICM".as_slice()].concat();
        for name in ["a/x.png", "a/IM0001", "a/w.bmp", "a/v.BMP", "a/README", "a/p/z.png", "a/p/q/n.txt", "top.png"] {
            write(name, if name.ends_with("IM0001") { &dicom } else { b"" });
        }
        let Scan { pictures, left_out, .. } = scan(root, false).unwrap();
        assert_eq!(pictures, ["a/IM0001", "a/x.png"]);
        let told: Vec<_> =
            left_out.0.iter().map(|it| (it.reason.as_str(), it.names.join(" "), it.suspicious)).collect();
        let expected = [
            ("beside the folders of classes", "top.png", true),
            ("without an ending, and not DICOM", "a/README", false),
            ("in folders below those of classes", "a/p/q/n.txt a/p/z.png", true),
            ("ending .bmp, which is not read", "a/v.BMP a/w.bmp", true),
        ];
        assert_eq!(told, expected.map(|(reason, names, suspicious)| (reason, names.to_owned(), suspicious)));

        std::os::unix::fs::symlink("/nowhere/y.png", root.join("a/y.png")).unwrap();
        write("b/deep/1.png", b"");
        let problems = scan(root, false).unwrap_err();
        assert!(problems[0].contains("a/y.png is a link to /nowhere/y.png: "), "{problems:?}");
        assert!(problems[1].contains("has no images of its own, and the 1 in folders below it"), "{problems:?}");
    }
}
