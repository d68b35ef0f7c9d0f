//! Files that Pillow and tifffile wrote, and damaged ones.

use std::path::Path;

use serde::Deserialize;

use super::super::foreground::Foreground;
use super::*;

#[derive(Deserialize)]
struct Reference {
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    file: String,
    height: usize,
    width: usize,
    mask: bool,
    /// Largest difference; 0 for files without loss.
    tolerance: f64,
    page: Option<usize>,
    depth: String,
    channels: Option<u8>,
    /// Levels, deep values or a mask of 0 and 1; `None` without a value.
    values: Vec<Option<f64>>,
}

fn read(file: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/picture").join(file)).unwrap()
}

fn open(bytes: &[u8]) -> Result<Raster, String> {
    Picture::open(bytes.to_vec())?.image(None)
}

fn open_mask(file: &str) -> Result<Raster, String> {
    Picture::open(read(file))?.mask(None)
}

fn values(raster: &Raster) -> Vec<f64> {
    match &raster.values {
        Values::Levels(levels) => levels.iter().map(|&level| f64::from(level)).collect(),
        Values::Deep(values) => values.clone(),
    }
}

/// `tests/reference/picture.py` made the files and values.
#[test]
fn every_kind_of_file_gives_the_values_that_pillow_and_tifffile_read() {
    let text = include_str!("../../../../tests/reference/picture.json");
    let reference: Reference = serde_json::from_str(text).unwrap();
    for expected in reference.files {
        let File { file, page, .. } = &expected;
        let picture = Picture::open(read(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        let raster = if expected.mask { picture.mask(*page) } else { picture.image(*page) };
        let mut raster = raster.unwrap_or_else(|error| panic!("{file}: {error}"));
        assert_eq!(raster.samples.depth, expected.depth, "{file}");
        assert_eq!(raster.samples.channels, expected.channels.unwrap_or(raster.samples.channels), "{file}");
        if expected.mask {
            raster.values = Values::Levels(Foreground::Unset.mask(&raster).unwrap().grid.pixels);
        }
        assert_eq!(raster.size(), (expected.height, expected.width), "{file}");
        let values = values(&raster);
        assert_eq!(values.len(), expected.values.len(), "{file}");
        for (found, value) in values.into_iter().zip(&expected.values) {
            let equal = value.map_or(found.is_nan(), |value| (found - value).abs() <= expected.tolerance);
            assert!(equal, "{file}: {found} is not {value:?}");
        }
    }
}

#[test]
fn a_kind_that_is_not_read_is_named() {
    for (file, expected) in [
        ("refused-lzma.tif", "compression LZMA"),
        ("refused-jpeg-2000.tif", "compression JPEG 2000"),
        ("refused-uint64.tif", "integers of 64 bits"),
        ("refused-complex.tif", "complex numbers"),
        ("refused-channels.tif", "5 channels that are not grey or colours"),
        ("refused-12-bit.tif", "integers of 12 bits"),
        ("refused-imagej.tif", "a stack of 3 pictures of ImageJ"),
        ("refused-12-bit.jpg", "a JPEG file of 12 bits; save it as PNG or TIFF of 16 bits"),
        ("refused-lossless.jpg", "a JPEG file with lossless coding; save it as PNG"),
    ] {
        let error = open(&read(file)).unwrap_err();
        assert!(error.contains(expected), "{file}: {error}");
    }
    for (bytes, expected) in [
        (&b"not a picture"[..], "the file is no PNG, JPEG or TIFF"),
        (b"", "the file is empty; PNG, JPEG and TIFF are read"),
        (b"BM\x36\0", "the file is BMP; save it as PNG, JPEG or TIFF"),
        (b"\0\0\0\x18ftypheic", "the file is HEIF, AVIF or a film; save it as PNG, JPEG or TIFF"),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "the file is a pointer of Git LFS; fetch the file by `git lfs pull`",
        ),
        (b"<!DOCTYPE html><html>", "the file is a web page; download the file again"),
        (&[0; 100], "the file is only zeros; copy the file again"),
    ] {
        assert_eq!(open(bytes).unwrap_err(), expected);
    }
}

#[test]
fn several_pages_want_one_named() {
    let pages = Picture::open(read("pages.tif")).unwrap();
    assert_eq!(pages.pages(), 3);
    assert_eq!(pages.image(None).unwrap_err(), "it has 3 pages; set `page` (0 is the first)");
    assert_eq!(pages.image(Some(3)).unwrap_err(), "it has 3 pages, 0 to 2; page 3 was asked for");
    let one = Picture::open(read("grey.png")).unwrap();
    assert_eq!(one.image(Some(1)).unwrap_err(), "it has one page, 0; page 1 was asked for");
    assert_eq!(one.mask(Some(1)).unwrap(), one.mask(None).unwrap());
    assert_eq!(Picture::open(read("thumbnail.tif")).unwrap().pages(), 1);
}

/// Every length of every file. The last bytes of a TIFF file may hold no pixels.
#[test]
fn a_file_that_is_cut_short_is_an_error_or_the_whole_picture() {
    let mut count = 0;
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/picture")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let whole = std::fs::read(&path).unwrap();
        if name.starts_with("refused") || name == "pages.tif" {
            continue;
        }
        let expected = open(&whole).unwrap();
        for length in 0..whole.len() {
            match open(&whole[..length]) {
                Ok(raster) => assert!(raster == expected && name.ends_with(".tif"), "{name} cut at {length}"),
                Err(_) => count += 1,
            }
        }
    }
    assert!(count > 10_000);
}

/// The same cut and the same hole as in files that were found: cut at 60 %, and zeros in place of the second half.
#[test]
fn a_jpeg_of_which_a_part_is_missing_is_refused() {
    for name in
        ["grey.jpg", "colour.jpg", "progressive.jpg", "progressive-grey.jpg", "restarts.jpg", "scans.jpg", "cmyk.jpg"]
    {
        let whole = read(name);
        // Headers take most of such small files.
        let scan = whole.windows(2).rposition(|pair| pair == [0xFF, 0xDA]).unwrap();
        let middle = (scan + whole.len()) / 2;
        let (cut, mut zeros) = (&whole[..middle], whole.clone());
        let error = open(cut).unwrap_err();
        assert!(error.starts_with("the JPEG file is cut short"), "{name}: {error}");
        zeros[middle..].fill(0);
        let error = open(&zeros).unwrap_err();
        assert!(error.starts_with("the JPEG file is cut short"), "{name}: {error}");
        if !name.starts_with("progressive") {
            // A tool that mends files adds the end; then decoders fill the rest with grey.
            let mended = [cut, &[0xFF, 0xD9]].concat();
            let error = open(&mended).unwrap_err();
            assert!(error.starts_with("the JPEG file is damaged, or part of it is missing"), "{name}: {error}");
        }
        assert_eq!(open(&[&whole[..], b"anything"].concat()), open(&whole), "{name}");
    }
    let whole = read("progressive.jpg");
    let scans: Vec<_> = (0..whole.len() - 1).filter(|&at| whole[at..at + 2] == [0xFF, 0xDA]).collect();
    let mended = [&whole[..scans[scans.len() - 1]], &[0xFF, 0xD9]].concat();
    assert_eq!(open(&mended).unwrap_err(), "the JPEG file is cut short: some of its scans are missing");
}

/// Pixels of grey and alpha: `[level, alpha]`.
fn drawn(pixels: &[[u8; 2]]) -> Pixels {
    Pixels {
        height: 1,
        width: pixels.len(),
        values: Values::Levels(pixels.iter().map(|pixel| pixel[0]).collect()),
        alpha: Some(pixels.iter().map(|pixel| pixel[1]).collect()),
        samples: Samples { channels: 2, depth: "8 bits" },
        orientation: Orientation::UPRIGHT,
    }
}

#[test]
fn a_picture_held_in_alpha_alone_is_found() {
    for (pixels, expected) in [
        // White or black paint on a transparent layer of the same colour.
        (&[[255, 0], [255, 255], [255, 255]][..], true),
        (&[[0, 0], [0, 255], [0, 128]], true),
        // Black paint on transparent white, and on transparent colours of no meaning.
        (&[[255, 0], [0, 255], [0, 255]], true),
        (&[[7, 0], [9, 0], [255, 255]], true),
        // The levels say the same as alpha.
        (&[[0, 0], [255, 255], [255, 128]], false),
        // Opaque, or with levels of its own.
        (&[[3, 255], [3, 255], [3, 255]], false),
        (&[[3, 0], [4, 255], [5, 255]], false),
    ] {
        assert_eq!(drawn(pixels).is_drawn_in_alpha(), expected, "{pixels:?}");
    }
    let error = open_mask("refused-alpha-mask.png").unwrap_err();
    assert_eq!(error, "the mask is in the alpha channel alone; save it as black and white");
    let error = open(&read("refused-alpha-mask.png")).unwrap_err();
    assert_eq!(error, "the picture is in the alpha channel alone; save it without transparency");
}

#[test]
fn a_picture_that_claims_to_be_huge_is_refused_before_memory_is_taken() {
    let mut bytes = read("grey.png");
    // Width and height in the header, and its checksum, which the decoder checks first.
    bytes[16..20].copy_from_slice(&200_000_u32.to_be_bytes());
    bytes[20..24].copy_from_slice(&200_000_u32.to_be_bytes());
    let checksum = crc32(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&checksum.to_be_bytes());
    let error = open(&bytes).unwrap_err();
    assert!(error.starts_with("the picture is too large"), "{error}");
}

/// Found by fuzzing: a PNG file with a palette of one byte.
#[test]
fn a_palette_that_ends_within_a_colour_is_an_error() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/found/picture-palette-of-a-byte");
    let error = open(&std::fs::read(path).unwrap()).unwrap_err();
    assert!(error.starts_with("cannot decode it: "), "{error}");
}

/// Sets rows and columns in the start of frame of a JPEG file.
fn enlarged(mut jpeg: Vec<u8>, side: u16) -> Vec<u8> {
    let frame = jpeg.windows(2).position(|pair| matches!(pair, [0xFF, 0xC0..=0xC2])).unwrap();
    jpeg[frame + 5..frame + 7].copy_from_slice(&side.to_be_bytes());
    jpeg[frame + 7..frame + 9].copy_from_slice(&side.to_be_bytes());
    jpeg
}

#[test]
fn a_jpeg_or_tiff_that_claims_to_be_huge_is_refused() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/picture");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.ends_with(".jpg") && !name.starts_with("refused") {
            let error = open(&enlarged(std::fs::read(&path).unwrap(), 60_000)).unwrap_err();
            assert!(error.starts_with("the picture is too large"), "{}: {error}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 0);
    // Width and length, tags 256 and 257, each of type 3 or 4 with one value in the tag itself.
    let mut tiff = read(&tiff_name());
    for tag in [[0, 1], [1, 1]] {
        let offsets: Vec<_> = (0..tiff.len() - 12)
            .filter(|&at| tiff[at..at + 2] == tag && matches!(tiff[at + 2..at + 8], [3 | 4, 0, 1, 0, 0, 0]))
            .collect();
        for at in offsets {
            tiff[at + 2..at + 12].copy_from_slice(&[4, 0, 1, 0, 0, 0, 0x60, 0xEA, 0, 0]);
        }
    }
    // The decoder may check the size or the lengths of the strips first.
    let error = open(&tiff).unwrap_err();
    assert!(error.starts_with("the picture is too large") || error.starts_with("cannot decode it"), "{error}");
}

fn tiff_name() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/picture");
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.ends_with(".tif")).collect();
    names.sort();
    names.remove(0)
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |mut crc, &byte| {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
        crc
    })
}
