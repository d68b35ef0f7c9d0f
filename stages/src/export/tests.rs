use super::*;
use crate::testing::{Bench, cams_of};

fn node<'a>(kind: &'a str, action: &'a Action, outputs: &'a [(String, Item)]) -> RecordedNode<'a> {
    RecordedNode { kind, action, outputs }
}

fn pixels(file: &NamedFile) -> Vec<u8> {
    image::load_from_memory(&file.1).expect("a PNG").to_luma8().into_raw()
}

fn thresholds(levels: &[f64]) -> Thresholds {
    let names = (0..levels.len()).map(|row| format!("{row}.png")).collect();
    Thresholds { names, thresholds: levels.to_vec(), scale: Scale::After }
}

/// Grey levels 0, 85, 170, 255 of both maps; T = 85 leaves the last two, T = 200 the last.
#[test]
fn masks_of_a_threshold_are_those_that_are_scored() {
    let bench = Bench::new();
    let cams = bench.item(&cams_of(&[[0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 2.0, 3.0]]), &[]);
    let own = [("thresholds".to_owned(), bench.item(&thresholds(&[85.0, 200.0]), &[]))];
    let action = bench.action("{}", &[("cams", std::slice::from_ref(&cams))]);
    let files = export(Export::Masks, &node("threshold", &action, &own)).unwrap();
    assert_eq!(files.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["0.png", "1.png"]);
    assert_eq!((pixels(&files[0]), pixels(&files[1])), (vec![0, 0, 255, 255], vec![0, 0, 0, 255]));
}

#[test]
fn heatmaps_are_grey_levels_in_both_formats() {
    let bench = Bench::new();
    let own = [("cams".to_owned(), bench.item(&cams_of(&[[0.0, 1.0, 2.0, 3.0]]), &[]))];
    let action = bench.action("{}", &[]);
    let files = export(Export::Heatmaps(ImageFormat::Png), &node("cam", &action, &own)).unwrap();
    assert_eq!(pixels(&files[0]), [0, 85, 170, 255]);
    let files = export(Export::Heatmaps(ImageFormat::Npy), &node("cam", &action, &own)).unwrap();
    assert_eq!(files[0].0, "0.npy");
    assert!(files[0].1.ends_with(&255.0_f32.to_le_bytes()));
}

#[test]
fn a_node_without_such_outputs_is_an_error_that_lists_the_kinds_with_them() {
    let bench = Bench::new();
    let action = bench.action("{}", &[]);
    let error = |choice| export(choice, &node("split", &action, &[])).unwrap_err().to_string();
    assert_eq!(
        error(Export::Masks),
        "a node of kind split gives no masks; `threshold`, `score`, `predict-masks` and `dataset` do"
    );
    assert!(error(Export::Weights).starts_with("a node of kind split gives no weights"));
}
