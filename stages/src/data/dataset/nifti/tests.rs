//! Files of `tests/reference/nifti.py`: every slice as nibabel gives it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Reference {
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    file: String,
    /// Levels of 8 bits are expected.
    plain: bool,
    affine: Affine,
    axes: BTreeMap<String, Slice>,
}

#[derive(Deserialize)]
struct Slice {
    count: usize,
    slice: usize,
    height: usize,
    width: usize,
    values: Vec<Option<f64>>,
}

fn reference() -> Vec<File> {
    serde_json::from_str::<Reference>(include_str!("../../../../tests/reference/nifti.json")).unwrap().files
}

fn bytes(file: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/nifti").join(file)).unwrap()
}

fn open(file: &str) -> Nifti {
    Nifti::open(bytes(file), Axis::Axial).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn refused(file: &str) -> String {
    Nifti::open(bytes(file), Axis::Axial).err().unwrap()
}

/// Values by slices; those of 8 bits as they are, NaN as `None`.
fn values(raster: &Raster) -> Vec<Option<f64>> {
    match &raster.values {
        Values::Levels(levels) => levels.iter().map(|level| Some(f64::from(*level))).collect(),
        Values::Deep(values) => values.iter().map(|value| Some(*value).filter(|value| !value.is_nan())).collect(),
    }
}

#[test]
fn slices_of_every_type_and_orientation_are_those_of_nibabel() {
    let files = reference();
    assert!(files.len() > 30);
    for File { file, plain, axes, .. } in files {
        let is_picture = file == "picture.nii";
        for (axis, expected) in axes {
            let axis = serde_json::from_str(&format!("\"{axis}\"")).unwrap();
            if is_picture && axis != Axis::Axial {
                continue;
            }
            let nifti = Nifti::open(bytes(&file), axis).unwrap_or_else(|error| panic!("{file}: {error}"));
            assert_eq!(nifti.parts(), expected.count, "{file} {axis:?}");
            let raster = nifti.image(Some(expected.slice)).unwrap();
            assert_eq!(raster.size(), (expected.height, expected.width), "{file} {axis:?}");
            assert_eq!(values(&raster), expected.values, "{file} {axis:?}");
            assert_eq!(matches!(raster.values, Values::Levels(_)), plain, "{file}");
            assert_eq!(values(&nifti.mask(Some(expected.slice)).unwrap()), expected.values);
        }
    }
}

#[test]
fn affines_are_those_of_nibabel() {
    for File { file, affine, .. } in reference() {
        let found = open(&file).affine;
        for (found, expected) in found.as_flattened().iter().zip(affine.as_flattened()) {
            assert!((found - expected).abs() < 1e-6, "{file}: {found} in place of {expected}");
        }
    }
}

#[test]
fn a_picture_is_shown_whole_whatever_the_axis() {
    let shown = |axis| Nifti::open(bytes("picture.nii"), axis).unwrap();
    let whole = shown(Axis::Axial).image(None).unwrap();
    assert_eq!(whole.size(), (4, 5));
    assert_eq!(shown(Axis::Sagittal).image(None).unwrap(), whole);
    // A mask of one picture belongs to every slice.
    assert_eq!(shown(Axis::Axial).mask(Some(7)).unwrap(), whole);
}

#[test]
fn a_slice_must_be_named_and_exist() {
    let nifti = open("u1.nii");
    assert_eq!(nifti.image(None).unwrap_err(), "it has 3 slices; set `slice` (0 is the first)");
    assert_eq!(nifti.image(Some(3)).unwrap_err(), "it has no slice 3; its slices are 0 to 2");
}

#[test]
fn the_range_for_display_is_a_window() {
    let window = open("scaled.nii").header().window;
    assert_eq!(window, Some(FileWindow { centre: 50.0, width: 80.0, function: Function::LinearExact }));
    assert_eq!(open("u1.nii").header().window, None);
}

#[test]
fn what_is_not_read_says_what_to_do() {
    for (file, expected) in [
        ("refused-volumes.nii", "it has 4 volumes; split it into files of one volume"),
        ("refused-complex.nii", "its voxels are complex numbers; save their magnitude"),
        ("refused-pair.hdr", "it is the header of a pair (.hdr and .img); join them to one .nii file"),
        ("refused-text.gz", "it is compressed by gzip, but holds no NIfTI file"),
    ] {
        assert!(refused(file).starts_with(expected), "{file}: {}", refused(file));
    }
}

#[test]
fn volumes_in_other_places_are_told_apart() {
    let check = |mask: &str, image: &str| open(mask).check_geometry(&open(image));
    assert_eq!(check("u1.nii", "f4.nii"), Ok(()));
    // The same place with another order of axes in the file is the same place.
    assert_eq!(check("order-0.nii", "u1.nii"), Ok(()));
    assert!(check("order-1.nii", "u1.nii").unwrap_err().starts_with("the mask has 5 × 3 × 4 voxels"));
    assert!(check("oblique-0.nii", "u1.nii").unwrap_err().contains("the directions or sizes of its voxels differ"));
    let mut moved = bytes("u1.nii");
    // The shift to the right in srow_x.
    moved[292..296].copy_from_slice(&(-10.5_f32).to_le_bytes());
    let moved = Nifti::open(moved, Axis::Axial).unwrap();
    let error = moved.check_geometry(&open("u1.nii")).unwrap_err();
    assert!(error.contains("its first voxel lies elsewhere"), "{error}");
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    for file in ["i2.nii", "holes.nii.gz", "second-big.nii.gz"] {
        let whole = bytes(file);
        for end in 0..whole.len() {
            assert!(Nifti::open(whole[..end].to_vec(), Axis::Axial).is_err(), "{file} cut at {end}");
        }
    }
}

#[test]
fn a_wrong_byte_in_a_compressed_file_is_found_by_its_checksum() {
    let mut damaged = bytes("holes.nii.gz");
    let end = damaged.len() - 6;
    damaged[end] ^= 1;
    let error = Nifti::open(damaged, Axis::Axial).err().unwrap();
    assert_eq!(error, "the file is damaged: it cannot be decompressed");
}

#[test]
fn a_volume_that_claims_to_be_huge_is_refused_before_memory_is_taken() {
    let claim = |lengths: [i16; 3]| {
        let mut bytes = bytes("f8.nii");
        for (axis, length) in lengths.into_iter().enumerate() {
            bytes[42 + 2 * axis..44 + 2 * axis].copy_from_slice(&length.to_le_bytes());
        }
        Nifti::open(bytes, Axis::Axial).err().unwrap()
    };
    assert!(claim([8192, 8192, 8192]).starts_with("its voxels take 4398046511104 bytes; at most 2 GiB is read"));
    assert!(claim([9000, 2, 2]).starts_with("the volume is too large (9000 × 2 × 2)"));
    assert!(claim([100, 100, 100]).starts_with("the file is cut short: it has "));
    assert_eq!(claim([0, 2, 2]), "the picture has no pixels");
    assert!(claim([-1, 2, 2]).starts_with("the file is damaged: an axis"));
}
