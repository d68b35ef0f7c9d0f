use super::*;
use crate::testing::{Bench, cams_of};

fn node<'a>(kind: &'a str, action: &'a Action, outputs: &'a [(String, Item)]) -> RecordedNode<'a> {
    RecordedNode { kind, action, outputs }
}

/// All files of an export.
fn all_files(export: Export, node: &RecordedNode<'_>) -> Vec<(String, Vec<u8>)> {
    let files = super::export(export, node).unwrap();
    let contents = (0..files.names.len()).map(|file| files.contents(file).unwrap());
    files.names.iter().cloned().zip(contents).collect()
}

fn pixels(file: &(String, Vec<u8>)) -> Vec<u8> {
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
    let files = all_files(Export::Masks, &node("threshold", &action, &own));
    assert_eq!(files.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["0.png", "1.png"]);
    assert_eq!((pixels(&files[0]), pixels(&files[1])), (vec![0, 0, 255, 255], vec![0, 0, 0, 255]));
}

#[test]
fn heatmaps_are_grey_levels_in_both_formats() {
    let bench = Bench::new();
    let own = [("cams".to_owned(), bench.item(&cams_of(&[[0.0, 1.0, 2.0, 3.0]]), &[]))];
    let action = bench.action("{}", &[]);
    let files = all_files(Export::Heatmaps(ImageFormat::Png), &node("cam", &action, &own));
    assert_eq!(pixels(&files[0]), [0, 85, 170, 255]);
    let files = all_files(Export::Heatmaps(ImageFormat::Npy), &node("cam", &action, &own));
    assert_eq!(files[0].0, "0.npy");
    assert!(files[0].1.ends_with(&255.0_f32.to_le_bytes()));
}

#[test]
fn a_node_without_such_outputs_is_an_error_that_lists_the_kinds_with_them() {
    let bench = Bench::new();
    let action = bench.action("{}", &[]);
    let error = |choice| super::export(choice, &node("split", &action, &[])).err().expect("it has none").to_string();
    assert_eq!(
        error(Export::Masks),
        "a node of kind split gives no masks; `threshold`, `score`, `predict-masks` and `dataset` do"
    );
    assert!(error(Export::Weights).starts_with("a node of kind split gives no weights"));
}

#[test]
fn ground_truth_and_predicted_masks_are_white_on_black() {
    let bench = Bench::new();
    let names = || ["b/0.png", "a.png"].map(str::to_owned).to_vec();
    let masks = Masks { names: names(), height: 1, width: 3, pixels: vec![0, 1, 1, 0, 0, 0] };
    let action = bench.action("{}", &[]);
    let own = [("masks".to_owned(), bench.item(&masks, &[]))];
    let expected = [("b/0.png", vec![0, 255, 255]), ("a.png", vec![0, 0, 0])];
    let found = |kind, own| {
        let files = all_files(Export::Masks, &node(kind, &action, own));
        files.iter().map(|file| (file.0.clone(), pixels(file))).collect::<Vec<_>>()
    };
    assert_eq!(found("dataset", &own), expected.clone().map(|(name, pixels)| (name.to_owned(), pixels)));
    let predicted = PredictedMasks {
        names: names(),
        labels: vec![0, 0],
        classes: vec!["x".to_owned()],
        height: 1,
        width: 3,
        pixels: masks.pixels,
    };
    let own = [("predicted-masks".to_owned(), bench.item(&predicted, &[]))];
    assert_eq!(found("predict-masks", &own), expected.map(|(name, pixels)| (name.to_owned(), pixels)));
}
