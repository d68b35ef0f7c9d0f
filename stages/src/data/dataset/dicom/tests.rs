//! Files of `tests/reference/dicom.py`: every value as pydicom gives it.

use std::path::Path;

use serde::Deserialize;

use super::super::raster::Values;
use super::super::window::{Named, Window};
use super::*;

#[derive(Deserialize)]
struct Reference {
    images: Vec<Image>,
    masks: Vec<Mask>,
}

#[derive(Deserialize)]
struct Image {
    file: String,
    frame: Option<usize>,
    height: usize,
    width: usize,
    tolerance: u8,
    /// Levels of 8 bits; else there are `values`.
    levels: Option<Vec<u8>>,
    /// Values after rescaling; `None` is padding.
    values: Option<Vec<Option<f64>>>,
    #[serde(default)]
    inverted: bool,
    /// Levels by the window of the file.
    windowed: Option<Vec<u8>>,
}

#[derive(Deserialize)]
struct Mask {
    mask: String,
    image: String,
    #[serde(default)]
    frame: Option<usize>,
    labels: Vec<f64>,
}

fn reference() -> Reference {
    serde_json::from_str(include_str!("../../../../tests/reference/dicom.json")).unwrap()
}

fn bytes(file: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/dicom").join(file)).unwrap()
}

fn open(file: &str) -> Dicom {
    Dicom::open(bytes(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn refused(bytes: Vec<u8>) -> String {
    Dicom::open(bytes).and_then(|dicom| dicom.image(None).map(|_| ())).unwrap_err()
}

/// Values as numbers, NaN as `None`.
fn values(raster: &Raster) -> Vec<Option<f64>> {
    match &raster.values {
        Values::Levels(levels) => levels.iter().map(|level| Some(f64::from(*level))).collect(),
        Values::Deep(values) => values.iter().map(|value| Some(*value).filter(|value| !value.is_nan())).collect(),
    }
}

#[test]
fn every_kind_of_file_gives_the_values_that_pydicom_reads() {
    let images = reference().images;
    assert!(images.len() > 40);
    for expected in images {
        let (file, frame) = (&expected.file, expected.frame);
        assert!(Dicom::is_start_of(&bytes(file)), "{file}");
        let dicom = open(file);
        let raster = dicom.image(frame).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(raster.size(), (expected.height, expected.width), "{file}");
        assert_eq!(matches!(raster.values, Values::Levels(_)), expected.levels.is_some(), "{file}");
        let levels = expected.levels.map(|levels| levels.into_iter().map(|level| Some(level.into())).collect());
        let wanted: Vec<Option<f64>> = levels.or(expected.values).unwrap();
        let found = values(&raster);
        assert_eq!(found.len(), wanted.len(), "{file}");
        for (found, wanted) in found.into_iter().zip(wanted) {
            assert_eq!(found.is_some(), wanted.is_some(), "{file}: padding");
            let off = (found.unwrap_or(0.0) - wanted.unwrap_or(0.0)).abs();
            assert!(off <= f64::from(expected.tolerance) + 1e-9, "{file}: {found:?} in place of {wanted:?}");
        }
        let header = dicom.header(frame).unwrap();
        if matches!(raster.values, Values::Deep(_)) {
            assert_eq!(header.is_inverted, expected.inverted, "{file}");
        }
        if let Some(windowed) = expected.windowed {
            let levels = Window::Named(Named::File).levels(raster, &header, None).unwrap();
            assert_eq!(levels.grid.pixels, windowed, "{file}");
        }
    }
}

#[test]
fn segmentations_give_the_segments_of_an_image() {
    for Mask { mask, image, frame, labels } in reference().masks {
        let header = open(&image).header(frame).unwrap();
        let found = open(&mask).mask(None, &header).unwrap_or_else(|error| panic!("{mask} of {image}: {error}"));
        let labels: Vec<_> = labels.into_iter().map(Some).collect();
        assert_eq!(values(&found), labels, "{mask} of {image}");
    }
}

#[test]
fn a_segmentation_of_other_images_is_an_error_and_no_empty_mask() {
    for mask in ["seg-binary.dcm", "seg-labelmap.dcm", "seg-by-place.dcm"] {
        let error = open(mask).mask(None, &open("other.dcm").header(None).unwrap()).unwrap_err();
        assert_eq!(error, "it is a segmentation (SEG) of other images than this one");
    }
    let error = open("seg-binary.dcm").mask(None, &Header::default()).unwrap_err();
    assert!(error.ends_with("which belongs to DICOM images, but its image is none"), "{error}");
    let error = open("seg-binary.dcm").image(None).unwrap_err();
    assert!(error.starts_with("it is a segmentation (SEG), no image"), "{error}");
}

#[test]
fn stored_values_are_the_labels_of_a_mask() {
    let mask = open("mono1-eight.dcm").mask(Some(3), &Header::default()).unwrap();
    let Values::Levels(labels) = mask.values else { panic!("it has 8 bits") };
    assert_eq!(labels[..3], [0, 12, 24]);
    let padded = open("ct.dcm").mask(None, &Header::default()).unwrap();
    assert_eq!(values(&padded)[0], Some(-2000.0 - 1024.0));
}

#[test]
fn headers_name_patient_series_and_place() {
    let header = open("slice-1.dcm").header(None).unwrap();
    assert_eq!(header.patient.as_deref(), Some("MADE-UP-7"));
    assert_eq!(header.series.as_deref(), Some("1.2.826.0.1.3680043.8.498.13.2000"));
    assert!(header.instance.is_some() && header.frame.is_none() && !header.burned_in && header.window.is_none());
    assert_eq!(header.plane.unwrap().position, [0.0, 0.0, 2.0]);
    assert!(open("implicit.dcm").header(None).unwrap().burned_in);
}

#[test]
fn frames_have_windows_and_places_of_their_own() {
    let header = open("enhanced.dcm").header(Some(1)).unwrap();
    assert_eq!(header.window, Some(FileWindow { centre: 200.0, width: 300.0, function: Function::Linear }));
    assert_eq!((header.frame, header.plane.unwrap().position[2]), (Some(2), 1.0));
}

#[test]
fn a_frame_must_be_named_and_exist() {
    let frames = open("frames.dcm");
    assert_eq!(frames.parts(), 3);
    assert_eq!(frames.image(None).unwrap_err(), "it has 3 frames; set `frame` (0 is the first)");
    assert_eq!(frames.image(Some(3)).unwrap_err(), "it has no frame 3; its frames are 0 to 2");
}

#[test]
fn codecs_that_are_not_read_say_what_to_do() {
    let message = refused(bytes("refused-jpeg-ls.dcm"));
    assert_eq!(
        message,
        "its pixels are compressed by JPEG-LS, which is not read; \
         decompress it, for example with `gdcmconv --raw IN OUT`"
    );
    let message = refused(bytes("refused-jpeg-12.dcm"));
    assert!(
        message.starts_with("its pixels are compressed by JPEG with 12 bits a sample, which is not read"),
        "{message}"
    );
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    for file in ["ct.dcm", "deflated.dcm", "frames.dcm", "jpeg2000-lossless.dcm", "rle-16.dcm", "jpeg-lossless-16.dcm"]
    {
        let whole = bytes(file);
        let dicom = open(file);
        let last = values(&dicom.image(Some(dicom.parts() - 1)).unwrap());
        for end in 0..whole.len() {
            let cut = Dicom::open(whole[..end].to_vec());
            let image = cut.and_then(|dicom| dicom.image(Some(dicom.parts() - 1)));
            // The end marker of a codec and the byte that makes the length even may be missing.
            let is_padding = end + 12 > whole.len();
            if let Ok(image) = image {
                assert!(is_padding && values(&image) == last, "{file} cut at {end} of {}", whole.len());
            }
        }
    }
}

/// The crate `dicom-object` takes 3 GB for such a file.
#[test]
fn lengths_and_sizes_are_checked_before_memory_is_taken() {
    let at = |bytes: &[u8], tag: [u8; 4]| bytes.windows(4).position(|window| window == tag).unwrap();
    let mut long = bytes("ct.dcm");
    let pixels = at(&long, [0xE0, 0x7F, 0x10, 0]);
    long[pixels + 8..pixels + 12].copy_from_slice(&3_000_000_000_u32.to_le_bytes());
    assert_eq!(refused(long), "the file is damaged or cut short: an element ends behind the last byte");
    let mut large = bytes("ct.dcm");
    for tag in [[0x28, 0, 0x10, 0], [0x28, 0, 0x11, 0]] {
        let place = at(&large, tag);
        large[place + 8..place + 10].copy_from_slice(&60_000_u16.to_le_bytes());
    }
    assert!(refused(large).starts_with("the picture is too large (60000 × 60000)"));
    let mut wide = bytes("jpeg2000-lossless.dcm");
    let rows = at(&wide, [0x28, 0, 0x10, 0]);
    wide[rows + 8..rows + 10].copy_from_slice(&8000_u16.to_le_bytes());
    assert!(refused(wide).starts_with("the file is damaged: its compressed picture is 6 × 8 with 1 samples"));
}

#[test]
fn more_frames_than_data_are_an_error() {
    let frames = |file: &str, count: &[u8; 2]| {
        let mut bytes = bytes(file);
        let place = bytes.windows(4).position(|window| window == [0x28, 0, 8, 0]).unwrap();
        bytes[place + 8..place + 10].copy_from_slice(count);
        refused(bytes)
    };
    assert_eq!(frames("frames.dcm", b"90"), "the file is cut short: it has 144 bytes of pixels in place of 4320");
    let message = frames("frames-lossless.dcm", b"90");
    assert_eq!(message, "the file is cut short: it has 3 compressed frames in place of 90");
    assert_eq!(frames("frames.dcm", b"x "), "its Number of Frames is no number");
}

#[test]
fn no_message_repeats_the_header() {
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/dicom")).unwrap() {
        let whole = std::fs::read(entry.unwrap().path()).unwrap();
        for end in (0..whole.len()).step_by(7) {
            let mut damaged = whole.clone();
            damaged[end] ^= 0x55;
            for bytes in [damaged, whole[..end].to_vec()] {
                let message = Dicom::open(bytes).and_then(|dicom| {
                    dicom.image(None)?;
                    dicom.mask(None, &Header { instance: Some("1.2.3.4".to_owned()), ..Header::default() })
                });
                if let Err(message) = message {
                    for text in ["Nobody", "MADE-UP", "1901", "1.2.", "498"] {
                        assert!(!message.contains(text), "{message}");
                    }
                }
            }
        }
    }
}
