//! Audits of small data sets on disk.

use std::path::{Path, PathBuf};

use image::{GrayImage, ImageFormat, Luma, Rgb, RgbImage};
use serde_json::json;

use super::super::look;
use crate::artifact::Audit;

fn check(params: &serde_json::Value) -> Result<Audit, Vec<String>> {
    look(params).map(|look| look.audit)
}

/// A picture of stripes in a direction of its own, so that no two are alike.
fn save(path: PathBuf, side: u32, seed: u32) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let level = |x: u32, y: u32| ((x * (3 + seed * 7) + y * (5 + seed * seed * 11)) * 97 / side % 251) as u8;
    GrayImage::from_fn(side, side, |x, y| Luma([level(x, y)])).save(path).unwrap();
}

/// A mask with a square of foreground.
fn mask(path: PathBuf, side: u32, square: u32) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    GrayImage::from_fn(side, side, |x, y| Luma([if x < square && y < square { 255 } else { 0 }])).save(path).unwrap();
}

fn folders(root: &Path, more: &serde_json::Value) -> Audit {
    let mut params = json!({ "format": "folders", "path": root });
    params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    check(&params).unwrap()
}

#[test]
fn masks_are_joined_missing_ones_named_and_lesions_that_vanish_counted() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for (index, name) in ["a/1", "a/2", "a/3", "a/4", "b/1", "b/2"].into_iter().enumerate() {
        save(root.join(format!("{name}.png")), 32, index as u32);
    }
    mask(root.join("a/1_mask.png"), 32, 9);
    mask(root.join("a/1_mask_1.png"), 32, 20);
    mask(root.join("a/2_mask.png"), 32, 1);
    mask(root.join("a/4_mask.png"), 32, 0);
    let text = folders(root, &json!({ "size": 8 })).text();
    assert_eq!(
        text,
        "6 images: 4 a, 2 b\n\
         all are 32 × 32\n\
         all are grey, 8 bits\n\
         3 images with a mask, 1 with several, which are joined\n\
         no image of class b has a mask\n\
         no image names its patient, so no split can keep patients apart\n\
         warning: 1 image of class a without a mask, which the others of it have: a/3.png\n\
         warning: 1 image with a mask that has no foreground: a/4.png\n\
         warning: 1 image whose lesion vanishes at 8 × 8: a/2.png\n"
    );
}

#[test]
fn equal_and_nearly_equal_pictures_are_told_by_class_and_patient() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for (index, name) in ["1", "2", "3", "4"].into_iter().enumerate() {
        save(root.join(format!("{name}.png")), 64, index as u32);
    }
    std::fs::copy(root.join("1.png"), root.join("5.png")).unwrap();
    std::fs::copy(root.join("2.png"), root.join("6.png")).unwrap();
    let picture = image::open(root.join("3.png")).unwrap();
    picture.brighten(1).save_with_format(root.join("7.png"), ImageFormat::Png).unwrap();
    let rows = "image,label,patient\n1.png,a,p\n2.png,a,q\n3.png,a,r\n4.png,b,s\n5.png,b,p\n6.png,a,q\n7.png,a,t\n";
    std::fs::write(root.join("labels.csv"), rows).unwrap();
    let audit = check(&json!({ "format": "manifest", "path": root })).unwrap();
    let told: Vec<String> = audit.findings.iter().filter(|it| it.topic == "twins").map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "1 pair of pictures in two classes (4.76 % of all pairs), equal to another: 1.png and 5.png",
            "1 pair of pictures of one patient, equal to another",
            "1 pair of pictures of different or unknown patients (4.76 % of all pairs), nearly equal to another \
             (at most 3 of 64 bits of dHash): 3.png and 7.png",
        ]
    );
}

#[test]
fn odd_ones_out_left_out_files_and_doubtful_values_are_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for (index, name) in ["1", "2", "3"].into_iter().enumerate() {
        save(root.join(format!("{name}.png")), 16, index as u32);
    }
    save(root.join("4.png"), 20, 5);
    save(root.join("spare.png"), 20, 6);
    save(root.join("Doe_Jane.png"), 16, 7);
    RgbImage::from_fn(16, 16, |x, y| Rgb([(x * 16) as u8, (y * 16) as u8, 7])).save(root.join("5.png")).unwrap();
    GrayImage::new(16, 16).save(root.join("6.png")).unwrap();
    let rows =
        "image,label,patient\n1.png,a,p\n2.png,a,NA\n3.png,a,NA\n4.png,a,q\n5.png,a,q\n6.png,b,\nDoe_Jane.png,b,r\n";
    std::fs::write(root.join("labels.csv"), rows).unwrap();
    let audit = check(&json!({ "format": "manifest", "path": root, "size": 16, "limit": 7 })).unwrap();
    let told = |topic: &str| -> Vec<String> {
        audit.findings.iter().filter(|it| it.topic == topic).map(ToString::to_string).collect()
    };
    assert_eq!(told("sizes"), ["pictures differ: 16 × 16 (6 images); 20 × 20 (1 image): 4.png"]);
    assert_eq!(told("samples"), ["pictures differ: grey, 8 bits (6 images); in colour, 8 bits (1 image): 5.png"]);
    assert_eq!(told("intensities"), ["1 image of one grey level alone: 6.png"]);
    assert_eq!(told("privacy"), ["1 image whose file name may tell a person or a date of birth: Doe_Jane.png"]);
    assert_eq!(told("files"), ["1 file left out, in no row of the manifest: spare.png"]);
    assert!(told("values")[0].contains("placeholders for a missing value in 2 rows"), "{:?}", told("values"));
    assert_eq!(
        told("patients"),
        ["1 image without a patient: 6.png", "class b has 1 patient, so no fold can hold it apart: r"]
    );
}

#[test]
fn a_phantom_is_audited_without_looking_for_twins() {
    let audit = check(&json!({ "format": "phantom", "count": 120, "size": 16, "seed": 3 })).unwrap();
    assert_eq!(audit.warnings().count(), 0, "{}", audit.text());
    assert!(audit.text().starts_with("120 images of 30 patients: "), "{}", audit.text());
}

#[test]
fn all_unusable_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    save(folder.path().join("a/1.png"), 8, 1);
    std::fs::write(folder.path().join("a/2.png"), "no picture").unwrap();
    std::fs::write(folder.path().join("a/3.jpg"), [0xFF, 0xD8, 0xFF, 0xE0]).unwrap();
    let problems = check(&json!({ "format": "folders", "path": folder.path() })).unwrap_err();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].starts_with("a/2.png: ") && problems[1].starts_with("a/3.jpg: "), "{problems:?}");
}
