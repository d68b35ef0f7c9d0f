//! Data sets as they are distributed, in miniature: their audits, what reruns, and what may leave no trace.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use image::{GrayImage, ImageFormat, Luma, Rgb, RgbImage};

use crate::sandbox::Sandbox;

fn spec(dataset: &str) -> String {
    format!("[experiment]\nname = \"miniature\"\n\n[stages.images]\nkind = \"dataset\"\n{dataset}\n")
}

fn bytes(image: &GrayImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).expect("it is written to memory");
    bytes.into_inner()
}

/// A picture with a texture of its own.
fn picture(side: u32, seed: u32) -> GrayImage {
    let level = |x: u32, y: u32| ((x * (3 + seed * 7) + y * (5 + seed * seed * 11)) * 97 / side % 251) as u8;
    GrayImage::from_fn(side, side, |x, y| Luma([level(x, y)]))
}

/// A mask with a square of foreground at (x, x).
fn mask(side: u32, at: u32) -> GrayImage {
    let inside = |value: u32| (at..at + 6).contains(&value);
    GrayImage::from_fn(side, side, |x, y| Luma([if inside(x) && inside(y) { 255 } else { 0 }]))
}

/// Foreground pixels of an exported mask.
fn foreground(sandbox: &Sandbox, name: &str) -> usize {
    let path = sandbox.path(name);
    let mask = image::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).into_luma8();
    mask.pixels().filter(|pixel| pixel.0[0] == 255).count()
}

fn reference(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("stages/tests/reference").join(name);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// BUSI: several masks an image, and a class without lesions.
#[test]
fn masks_of_one_image_are_joined_and_a_hit_prints_the_audit_without_reading_an_image() {
    let sandbox = Sandbox::with_spec(&spec("format = \"folders\"\npath = \"busi\""));
    for (index, name) in ["benign/benign (1)", "benign/benign (2)", "normal/normal (1)"].into_iter().enumerate() {
        sandbox.write(&format!("busi/{name}.png"), bytes(&picture(32, index as u32), ImageFormat::Png));
        sandbox.write(&format!("busi/{name}_mask.png"), bytes(&mask(32, 2), ImageFormat::Png));
    }
    sandbox.write("busi/benign/benign (1)_mask_1.png", bytes(&mask(32, 20), ImageFormat::Png));
    sandbox.write("busi/benign/patient 7/deep.png", bytes(&picture(32, 9), ImageFormat::Png));
    let said = sandbox.orchestrate(&["run", "spec.toml"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("3 images: 2 benign, 1 normal\n"), "{}", said.out);
    assert!(said.out.contains("3 images with a mask, 1 with several, which are joined\n"), "{}", said.out);
    let warning = "warning: 1 file left out, in folders below those of classes: benign/patient 7/deep.png\n";
    assert!(said.out.contains(warning), "{}", said.out);
    assert_eq!(sandbox.orchestrate(&["data", "check", "busi"]).out.replace("busi: 1 warning\n", ""), {
        said.out.split_once('\n').expect("the node's name").1.trim_end().to_owned() + "\n"
    });

    let exported = sandbox.orchestrate(&["export", "masks", "spec.toml", "images", "--to", "masks"]);
    assert_eq!(exported.code, Some(0), "{}", exported.err);
    assert_eq!(foreground(&sandbox, "masks/benign/benign (1).png"), 72);
    assert_eq!(foreground(&sandbox, "masks/benign/benign (2).png"), 36);

    // A hit reads no image: files of the same size and time may hold anything.
    let again = sandbox.orchestrate(&["run", "spec.toml"]);
    assert_eq!(again.out, said.out);
    let hit = sandbox.run_well(&[]);
    assert!(hit.ran().is_empty());
    assert_eq!(hit.texts[0]["node"], "images");
    assert!(hit.texts[0]["text"].as_str().expect("a text").ends_with(warning), "{}", hit.texts[0]);
    // The names of files that are left out are in the key; the images stay the same bytes.
    let before = sandbox.run_well(&[]).nodes["images"]["output"].clone();
    sandbox.write("busi/benign/notes.txt", "x");
    let explained = sandbox.orchestrate(&["explain", "spec.toml", "images"]).out;
    assert!(
        explained.contains("left out, ending .txt, which is not read: not set → \"1: benign/notes.txt\""),
        "{explained}"
    );
    let after = sandbox.run_well(&[]);
    assert_eq!(after.ran(), ["images"]);
    let output = |outputs: &serde_json::Value, name: &str| outputs[name].clone();
    assert_eq!(output(&after.nodes["images"]["output"], "images"), output(&before, "images"));
    assert_ne!(output(&after.nodes["images"]["output"], "audit"), output(&before, "audit"));

    sandbox.write("busi/normal/stray_mask.png", bytes(&mask(32, 2), ImageFormat::Png));
    let said = sandbox.orchestrate(&["run", "spec.toml"]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("mask `normal/stray_mask.png` has no image"), "{}", said.err);
}

/// ISIC: pictures and masks in folders of their own, named in a CSV file.
#[test]
fn a_manifest_names_masks_elsewhere_and_lesions_that_vanish_are_counted() {
    let sandbox = Sandbox::with_spec(&spec("format = \"manifest\"\npath = \"isic\"\nsize = 8"));
    let mut rows = "image,label,patient,mask\n".to_owned();
    for index in 0..3 {
        let name = format!("ISIC_000000{index}");
        sandbox.write(&format!("isic/images/{name}.jpg"), bytes(&picture(64, index), ImageFormat::Jpeg));
        let mut mask = mask(64, 33);
        if index == 2 {
            mask.fill(0);
            mask.put_pixel(0, 0, Luma([255]));
        }
        sandbox.write(&format!("isic/masks/{name}_segmentation.png"), bytes(&mask, ImageFormat::Png));
        let label = if index == 0 { "nevus" } else { "melanoma" };
        rows += &format!("images/{name}.jpg,{label},NA,masks/{name}_segmentation.png\n");
    }
    sandbox.write("isic/labels.csv", &rows);
    let said = sandbox.orchestrate(&["run", "spec.toml"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let warning = "warning: 1 image whose lesion vanishes at 8 × 8: images/ISIC_0000002.jpg\n";
    assert!(said.out.contains(warning), "{}", said.out);
    assert!(
        said.out.contains("warning: column `patient` holds placeholders for a missing value in 3 rows"),
        "{}",
        said.out
    );

    sandbox.write("isic/labels.csv", rows.replace("melanoma", "melanoma|nevus"));
    let said = sandbox.orchestrate(&["run", "spec.toml"]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("column `label`") && said.err.contains("melanoma|nevus"), "{}", said.err);
}

/// LGG: colour TIFF files with a folder for each patient, so no folder is a class.
#[test]
fn colour_tiffs_by_patient_are_read_by_a_manifest_and_refused_as_folders() {
    let sandbox = Sandbox::with_spec(&spec("format = \"manifest\"\npath = \"lgg\""));
    let mut rows = "image,label,patient,mask\n".to_owned();
    for patient in ["TCGA_CS_4941", "TCGA_DU_5849"] {
        for slice in 1..3 {
            let grey = picture(32, slice * patient.len() as u32 + u32::from(patient.as_bytes()[5]));
            let colour = RgbImage::from_fn(32, 32, |x, y| Rgb([grey.get_pixel(x, y).0[0], 40, 7]));
            let mut tiff = Cursor::new(Vec::new());
            colour.write_to(&mut tiff, ImageFormat::Tiff).expect("it is written to memory");
            sandbox.write(&format!("lgg/{patient}/{patient}_{slice}.tif"), tiff.into_inner());
            let mask = bytes(&mask(32, slice), ImageFormat::Tiff);
            sandbox.write(&format!("lgg/{patient}/{patient}_{slice}_mask.tif"), mask);
            let file = format!("{patient}/{patient}_{slice}");
            rows += &format!("{file}.tif,tumour,{patient},{file}_mask.tif\n");
        }
    }
    sandbox.write("lgg/labels.csv", &rows);
    let said = sandbox.orchestrate(&["run", "spec.toml"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("4 images of 2 patients: 4 tumour of 2 patients\n"), "{}", said.out);
    assert!(said.out.contains("all are in colour, 8 bits\n"), "{}", said.out);
    // Taken for folders of classes, each patient is a class, which the audit shows.
    let said = sandbox.orchestrate(&["run", "spec.toml", "--set", "stages.images.format=\"folders\""]);
    assert!(said.out.contains("4 images: 2 TCGA_CS_4941, 2 TCGA_DU_5849\n"), "{}", said.out);
}

/// Cheng: the data set of the paper, with a patient as a number in another export.
#[test]
fn slices_of_matlab_keep_their_patients_and_files_that_are_no_slices_are_counted() {
    let sandbox = Sandbox::with_spec(&spec("format = \"cheng-mat\"\npath = \"cheng\""));
    for number in 1..=6 {
        sandbox.write(&format!("cheng/{number}.mat"), reference(&format!("mat/{number}.mat")));
    }
    sandbox.write("cheng/cvind.mat", "folds");
    let said = sandbox.orchestrate(&["run", "spec.toml"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("6 images of 6 patients: 2 meningioma of 2 patients, "), "{}", said.out);
    assert!(said.out.contains("1 file left out, no numbered .mat file: cvind.mat\n"), "{}", said.out);
}

/// A study from a hospital: slices of a series without endings, and a segmentation of them.
#[test]
fn a_dicom_study_gives_pseudonyms_and_masks_and_its_header_reaches_nothing() {
    let sandbox =
        Sandbox::with_spec(&spec("format = \"manifest\"\npath = \"study\"\nwindow = [40, 400]\nforeground = [1, 2]"));
    let mut rows = "image,label,mask\n".to_owned();
    for slice in 0..3 {
        sandbox.write(&format!("study/IM{slice}"), reference(&format!("dicom/slice-{slice}.dcm")));
        rows += &format!("IM{slice},ct,SEG\n");
    }
    sandbox.write("study/SEG", reference("dicom/seg-binary.dcm"));
    sandbox.write("study/labels.csv", &rows);
    let said = sandbox.orchestrate(&["run", "spec.toml"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("3 images of 1 patient: 3 ct of 1 patient\n"), "{}", said.out);
    assert!(said.out.contains("made grey levels by window [40, 400]\n"), "{}", said.out);
    assert!(said.out.contains("warning: 3 images with a pseudonym that no key protects"), "{}", said.out);
    let keyed = sandbox.orchestrate(&["run", "spec.toml", "--set", "stages.images.pseudonym_key=\"secret\""]);
    assert!(!keyed.out.contains("no key protects"), "{}", keyed.out);

    let mut folders = vec![sandbox.path(".orchestrate")];
    let mut searched = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the store can be read").map(|entry| entry.expect("an entry").path()) {
            if entry.is_dir() {
                folders.push(entry);
                continue;
            }
            let bytes = fs::read(&entry).expect("it can be read");
            searched += 1;
            for secret in ["MADE-UP", "Nobody", "19010203"] {
                let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
                assert!(!found, "{secret} is in {}", entry.display());
            }
        }
    }
    assert!(searched > 3, "{searched} files were searched");
    for said in [&said, &keyed] {
        assert!(!said.out.contains("Nobody") && !said.err.contains("Nobody") && !said.out.contains("MADE-UP"));
    }
}

/// A volume of 6 × 5 × 4 voxels of a byte, with the affine of its voxels' sizes.
fn nifti(voxel: impl Fn(usize, usize, usize) -> u8) -> Vec<u8> {
    let mut bytes = vec![0_u8; 352];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, &348_i32.to_le_bytes());
    for (index, length) in [3_i16, 6, 5, 4, 1, 1, 1, 1].into_iter().enumerate() {
        put(40 + 2 * index, &length.to_le_bytes());
    }
    put(70, &2_i16.to_le_bytes());
    put(72, &8_i16.to_le_bytes());
    for index in 0..8 {
        put(76 + 4 * index, &1_f32.to_le_bytes());
    }
    put(108, &352_f32.to_le_bytes());
    put(254, &1_i16.to_le_bytes());
    for row in 0..3 {
        put(280 + 16 * row + 4 * row, &1_f32.to_le_bytes());
    }
    put(344, b"n+1\0");
    for z in 0..4 {
        for y in 0..5 {
            bytes.extend((0..6).map(|x| voxel(x, y, z)));
        }
    }
    bytes
}

/// A NIfTI pair: each slice with a lesion becomes an image.
#[test]
fn a_volume_becomes_its_slices_with_a_lesion_or_the_named_one() {
    let sandbox = Sandbox::with_spec(&spec("format = \"manifest\"\npath = \"brats\""));
    sandbox.write("brats/scan.nii", nifti(|x, y, z| (x * 40 + y * 7 + z * 3) as u8));
    sandbox.write("brats/seg.nii", nifti(|x, y, z| u8::from((1..3).contains(&z) && x == 2 && y < 3) * 2));
    sandbox.write("brats/labels.csv", "image,label,patient,mask\nscan.nii,glioma,p1,seg.nii\n");
    let said = sandbox.orchestrate(&["run", "spec.toml"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("2 images of 1 patient"), "{}", said.out);
    let exported = sandbox.orchestrate(&["export", "masks", "spec.toml", "images", "--to", "masks"]);
    assert_eq!(exported.code, Some(0), "{}", exported.err);
    assert_eq!(foreground(&sandbox, "masks/scan.nii#1.png"), 3);

    sandbox.write("brats/none.nii", nifti(|_, _, _| 0));
    let rows = "image,label,patient,mask\nscan.nii,glioma,p1,seg.nii\nother.nii,glioma,p2,none.nii\n";
    sandbox.write("brats/other.nii", nifti(|x, y, z| (x * 9 + y * 31 + z) as u8));
    sandbox.write("brats/labels.csv", rows);
    let said = sandbox.orchestrate(&["run", "spec.toml"]);
    let warning = "warning: 1 volume left out, as no slice has foreground: other.nii\n";
    assert!(said.out.contains("2 images of 1 patient") && said.out.contains(warning), "{}", said.out);

    sandbox.write("brats/labels.csv", "image,label,patient,mask,slice\nscan.nii,glioma,p1,seg.nii,0\n");
    let said = sandbox.orchestrate(&["run", "spec.toml"]);
    assert!(said.out.contains("1 image with a mask that has no foreground: scan.nii#0\n"), "{}", said.out);

    sandbox.write("brats/labels.csv", "image,label,patient\nscan.nii,glioma,p1\n");
    let said = sandbox.orchestrate(&["run", "spec.toml"]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("scan.nii: it has 4 slices and no mask; set `slice` (0 is the first)"), "{}", said.err);
}

#[test]
fn data_check_names_all_problems_with_exit_code_2_and_audits_every_data_set_of_a_spec() {
    let sandbox = Sandbox::with_spec(&spec("format = \"folders\"\npath = \"set\""));
    let whole = bytes(&picture(64, 1), ImageFormat::Jpeg);
    sandbox.write("set/a/cut.jpg", &whole[..whole.len() * 6 / 10]);
    sandbox.write("set/a/text.png", "text");
    let said = sandbox.orchestrate(&["data", "check", "spec.toml"]);
    assert_eq!(said.code, Some(2));
    assert!(
        said.err.contains("error: images cannot be used: 2 problems\n  a/cut.jpg: the JPEG file is "),
        "{}",
        said.err
    );
    sandbox.write("set/a/cut.jpg", &whole);
    fs::remove_file(sandbox.path("set/a/text.png")).expect("it was written");
    let said = sandbox.orchestrate(&["data", "check", "spec.toml"]);
    assert_eq!(
        (said.code, said.out.starts_with("images: no warnings\n1 image: 1 a\n")),
        (Some(0), true),
        "{}",
        said.out
    );
    assert!(!sandbox.path(".orchestrate").exists(), "no store is made");
    let said = sandbox.orchestrate(&["data", "check", "nowhere"]);
    assert_eq!(said.code, Some(2), "{}", said.err);
}
