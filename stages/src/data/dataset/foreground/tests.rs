//! Label maps drawn here, and masks of the reference folder that Pillow smoothed or compressed.

use std::path::Path;

use super::super::picture::Picture;
use super::super::raster::Samples;
use super::*;

/// A picture of 12 × 12 pixels from a level by row and column.
fn raster(depth: &'static str, level: impl Fn(usize, usize) -> f64) -> Raster {
    let levels: Vec<f64> = (0..144).map(|at| level(at / 12, at % 12)).collect();
    let eight = depth == "8 bits";
    let values = if eight { Values::Levels(levels.iter().map(|&it| it as u8).collect()) } else { Values::Deep(levels) };
    Raster { height: 12, width: 12, values, samples: Samples { channels: 1, depth } }
}

/// A map of three columns of equal width.
fn columns(depth: &'static str, levels: [f64; 3]) -> Raster {
    raster(depth, |_, column| levels[column / 4])
}

fn mask(raster: &Raster) -> Result<Mask, String> {
    Foreground::Unset.mask(raster)
}

fn row(mask: &Mask) -> Vec<u8> {
    mask.grid.pixels[..12].iter().step_by(4).copied().collect()
}

#[test]
fn of_two_levels_the_brighter_one_is_foreground() {
    for (depth, levels, found) in [
        ("8 bits", [0.0, 255.0, 0.0], 255.0),
        ("8 bits", [0.0, 1.0, 1.0], 1.0),
        ("8 bits", [0.0, 100.0, 0.0], 100.0),
        ("16 bits", [0.0, 65_535.0, 0.0], 65_535.0),
        ("16 bits", [0.0, 3.0, 3.0], 3.0),
        ("int16", [0.0, 4095.0, 0.0], 4095.0),
        ("float32", [0.0, 1.0, f64::NAN], 1.0),
        ("float64", [-0.0, 0.25, 0.0], 0.25),
    ] {
        let mask = mask(&columns(depth, levels)).unwrap();
        let expected = levels.map(|level| u8::from(level > 0.0));
        assert_eq!((row(&mask), mask.found), (expected.to_vec(), vec![found]), "{depth} {levels:?}");
    }
}

#[test]
fn of_one_level_zero_is_empty_and_one_or_white_is_full() {
    for (depth, level, expected) in [
        ("8 bits", 0.0, 0),
        ("8 bits", 1.0, 1),
        ("8 bits", 255.0, 1),
        ("8 bits", 254.0, 1),
        ("16 bits", 65_535.0, 1),
        ("float32", 1.0, 1),
        ("float32", f64::NAN, 0),
    ] {
        assert_eq!(mask(&columns(depth, [level; 3])).unwrap().grid.pixels, [expected; 144], "{depth} {level}");
    }
    let error = mask(&columns("8 bits", [100.0; 3])).unwrap_err();
    assert!(error.starts_with("all of the mask has level 100; set `foreground` to"), "{error}");
}

#[test]
fn a_third_level_is_an_error_that_lists_them() {
    for (depth, levels) in [
        ("8 bits", [0.0, 1.0, 2.0]),
        ("8 bits", [0.0, 128.0, 255.0]),
        ("8 bits", [0.0, 85.0, 170.0]),
        // The border of unknown pixels in some sets, beside a low label.
        ("8 bits", [0.0, 15.0, 255.0]),
        ("16 bits", [0.0, 1.0, 4.0]),
        ("float32", [0.0, 0.5, 1.0]),
        ("float64", [0.0, 1.0, 2.0]),
        ("int16", [-1.0, 0.0, 1.0]),
    ] {
        let error = mask(&columns(depth, levels)).unwrap_err();
        let [a, b, c] = levels;
        let expected = format!("the mask's levels are {a} (48 pixels), {b} (48 pixels) and {c} (48 pixels), not two");
        assert!(error.starts_with(&expected), "{error}");
    }
    // A label of two pixels, and one that lies between the others everywhere.
    for low in [1.0, 100.0] {
        let small = |row, column| if row == 5 && column < 2 { low } else { 2.0 * low * f64::from(column > 7) };
        assert!(mask(&raster("8 bits", small)).unwrap_err().contains(&format!("{low} (2 pixels)")));
        let ring = |_, column: usize| if column == 6 { low } else { 2.0 * low * f64::from(column > 6) };
        assert!(mask(&raster("8 bits", ring)).unwrap_err().contains(&format!("{low} (12 pixels)")));
    }
    let labels = mask(&raster("8 bits", |row, column| (row + column) as f64)).unwrap_err();
    assert!(labels.contains("7 (8 pixels) and 15 more, not two"), "{labels}");
}

#[test]
fn a_mask_without_a_dark_background_is_an_error() {
    let error = mask(&columns("8 bits", [100.0, 200.0, 200.0])).unwrap_err();
    let expected = "the mask's levels are 100 (48 pixels) and 200 (96 pixels), none of them a dark background; set \
                    `foreground` to the levels that count, such as [1, 2], or to \"above-half\"";
    assert!(error.starts_with(expected), "{error}");
    assert!(mask(&columns("8 bits", [1.0, 2.0, 2.0])).is_err());
}

#[test]
fn a_picture_in_place_of_a_mask_is_an_error() {
    // A slope, and noise of a multiplicative generator.
    let slope = raster("16 bits", |row, column| (100 + 500 * row + 37 * column) as f64);
    let noise = raster("8 bits", |row, column| ((row * 12 + column) * 7919 % 251) as f64);
    let deep = raster("float32", |row, column| ((row * 12 + column) * 7919 % 251) as f64 / 7.0);
    for picture in [slope, noise, deep] {
        let error = mask(&picture).unwrap_err();
        assert!(
            error.starts_with("it looks like a picture, not a mask") || error.contains("dark background"),
            "{error}"
        );
    }
    let infinite = mask(&columns("float32", [0.0, 1.0, f64::INFINITY])).unwrap_err();
    assert_eq!(infinite, "the mask holds the value inf; labels are finite numbers");
}

/// Masks of a disc, by Pillow; smooth edges and ringing are read as levels above half of white.
#[test]
fn ringing_and_smooth_edges_are_no_third_level() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/picture");
    for name in ["q50.jpg", "q75.jpg", "q90.jpg", "progressive.jpg", "lanczos.png", "bilinear.png"] {
        let bytes = std::fs::read(folder.join(format!("mask-{name}"))).unwrap();
        let raster = Picture::open(bytes).unwrap().mask(None).unwrap();
        let Values::Levels(levels) = &raster.values else { panic!("8 bits") };
        let count = Foreground::Levels(vec![0.0, 255.0]).mask(&raster).unwrap().grid.pixels;
        assert!(count.contains(&0), "{name} has other levels");
        let expected: Vec<u8> = levels.iter().map(|&level| u8::from(level > 127)).collect();
        let found = mask(&raster).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(found.grid.pixels, expected, "{name}");
    }
    let bytes = std::fs::read(folder.join("mask-three-levels.jpg")).unwrap();
    let error = mask(&Picture::open(bytes).unwrap().mask(None).unwrap()).unwrap_err();
    assert!(error.starts_with("the mask's levels are 0 ("), "{error}");
}

#[test]
fn listed_levels_count_exactly_and_those_that_occur_are_returned() {
    let map = columns("8 bits", [0.0, 1.0, 2.0]);
    let listed = |levels: &[f64]| Foreground::Levels(levels.to_vec()).mask(&map).unwrap();
    assert_eq!((row(&listed(&[1.0, 2.0])), listed(&[1.0, 2.0]).found), (vec![0, 1, 1], vec![1.0, 2.0]));
    assert_eq!((row(&listed(&[2.0, 4.0])), listed(&[2.0, 4.0]).found), (vec![0, 0, 1], vec![2.0]));
    assert_eq!((row(&listed(&[0.0])), listed(&[0.0]).found), (vec![1, 0, 0], vec![0.0]));
    let deep = Foreground::Levels(vec![-1.0]).mask(&columns("int16", [-1.0, 0.0, 300.0])).unwrap();
    assert_eq!(row(&deep), [1, 0, 0]);
}

#[test]
fn above_half_is_half_of_the_largest_level_of_the_type() {
    let above_half = |depth, levels| Foreground::Named(Named::AboveHalf).mask(&columns(depth, levels));
    for (depth, levels, expected) in [
        ("8 bits", [127.0, 128.0, 255.0], [0, 1, 1]),
        ("8 bits", [0.0, 1.0, 1.0], [0, 1, 1]),
        ("8 bits", [0.0; 3], [0; 3]),
        ("16 bits", [0.0, 32_767.0, 32_768.0], [0, 0, 1]),
        ("int16", [-5.0, 16_383.0, 16_384.0], [0, 0, 1]),
        ("uint32", [0.0, 0.0, 4e9], [0, 0, 1]),
        ("float32", [0.5, 0.6, 1.0], [0, 1, 1]),
        ("float32", [0.1, 0.2, f64::NAN], [0, 0, 0]),
    ] {
        match above_half(depth, levels) {
            Ok(mask) => assert_eq!(row(&mask), expected, "{depth} {levels:?}"),
            Err(error) => assert!(error.starts_with("the mask's levels end at 0.2"), "{error}"),
        }
    }
    let error = above_half("8 bits", [0.0, 100.0, 100.0]).unwrap_err();
    assert_eq!(error, "the mask's levels end at 100; foreground is expected to be 1 or above 127");
}

#[test]
fn a_foreground_is_numbers_or_a_word() {
    let read = |json: &str| serde_json::from_str::<Foreground>(json);
    assert_eq!(read("[1, 2]").unwrap(), Foreground::Levels(vec![1.0, 2.0]));
    assert_eq!(read(r#""above-half""#).unwrap(), Foreground::Named(Named::AboveHalf));
    assert!(read(r#""bright""#).is_err() && read("1").is_err());
    assert!(read("[]").unwrap().problem().is_some() && Foreground::Unset.problem().is_none());
}
