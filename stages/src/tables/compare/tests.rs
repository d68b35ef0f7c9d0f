use orchestrate_engine::params::Params as _;
use serde_json::{Value, json};

use super::*;
use crate::artifact::ResamplingUnit;
use crate::testing::Bench;

/// Scores of images of one class by name.
fn scores(images: &[(&str, Option<f64>)]) -> Scores {
    let column = || images.iter().map(|(_, value)| *value).collect();
    Scores {
        names: images.iter().map(|(image, _)| (*image).to_owned()).collect(),
        predicted: vec![0; images.len()],
        labels: vec![0; images.len()],
        classes: vec!["glioma".to_owned()],
        iou: column(),
        dice: column(),
        precision: column(),
        recall: column(),
        mask_pixels: vec![1; images.len()],
        truth_pixels: (0..images.len() as u32).map(|image| 10 * (image + 1)).collect(),
        ..Scores::default()
    }
}

fn params(value: Value) -> Params {
    serde_json::from_value(value).unwrap()
}

fn compared(items: &[Item], layout: Value) -> Figures {
    run(&params(layout), items, None).unwrap()
}

fn error(items: &[Item], layout: Value) -> String {
    run(&params(layout), items, None).unwrap_err().to_string()
}

fn text(figures: &Figures) -> String {
    let output = output(figures, 3).unwrap();
    let (_, content) = output.files.into_iter().find(|(name, _)| name == "table.txt").unwrap();
    match content {
        orchestrate_engine::stage::Content::Bytes(bytes) => String::from_utf8(bytes).unwrap(),
        orchestrate_engine::stage::Content::File(_) => panic!("small files are held in memory"),
    }
}

/// `vgg` and `big` over two folds. Both have scored `1`, `2`, `5`: differences 0.25, 0.5, −0.125. `3` has no ground
/// truth; one side only has scored `4` and `6`.
fn study(bench: &Bench) -> Vec<Item> {
    let item =
        |model, fold, images: &[(&str, Option<f64>)]| bench.item(&scores(images), &[("model", model), ("fold", fold)]);
    vec![
        item("vgg", "1", &[("1", Some(0.25)), ("2", Some(0.0)), ("3", None), ("4", Some(0.5))]),
        item("vgg", "2", &[("5", Some(0.5))]),
        item("big", "1", &[("2", Some(0.5)), ("1", Some(0.5)), ("3", None)]),
        item("big", "2", &[("5", Some(0.375)), ("6", Some(1.0))]),
    ]
}

/// Mean 0.625 / 3. Ranks of 0.25, 0.5, −0.125: 2, 3, 1, so W = 1 and p = 2 · 2 / 8, as worked in `wilcoxon.rs`. The
/// smallest of the 27 means of three draws is −0.125 and the largest 0.5, each of probability 1 / 27 = 0.037, more than
/// the tail of 0.025.
#[test]
fn images_that_both_have_are_compared_and_the_others_counted() {
    let bench = Bench::new();
    let figures = compared(&study(&bench), json!({ "axis": "model", "between": ["vgg", "big"] }));
    let [cell] = figures.cells.as_slice() else { panic!("{:?}", figures.cells) };
    assert_eq!(cell.labels, ["big − vgg"]);
    assert_eq!((cell.mean, cell.n, cell.excluded), (Some(0.625 / 3.0), 3, 1));
    assert_eq!(cell.test, Some(PairedTest { w: Some(1.0), p: Some(0.5), left_out: 2 }));
    let interval = cell.interval.unwrap();
    assert_eq!((interval.low, interval.high, interval.units), (-0.125, 0.5, 3));
    assert_eq!(figures.resampling.unwrap().unit, ResamplingUnit::Image);
    let turned = compared(&study(&bench), json!({ "axis": "model", "between": ["big", "vgg"] }));
    assert_eq!(turned.cells[0].mean, Some(-0.625 / 3.0));
    assert_eq!(turned.cells[0].test, cell.test);
}

#[test]
fn golden() {
    let bench = Bench::new();
    let figures = compared(&study(&bench), json!({ "axis": "model", "between": ["vgg", "big"], "title": "A" }));
    let expected = "\
A
iou: mean difference (sd over image) [95 % interval], by model

model                                      difference  n  left out
──────────────────────────────────────────────────────────────────
big − vgg  +0.208 (0.315) [−0.125, +0.500], p = 0.500  3         2

1 images a cell have no ground truth and are left out
95 % percentile interval of 2000 bootstrap resamples by image, of 3
p: Wilcoxon signed-rank test, two-sided, over the images that both sides have
";
    assert_eq!(text(&figures), expected, "the numbers moved: raise VERSION of `compare` and put the new ones here");
    let bytes = figures.encode().unwrap();
    assert_eq!(Figures::decode(&bytes).unwrap(), figures);
}

/// Seed 1 has differences 0.5 and 0.25 of images `1` and `2`; seed 2 has 0.25 of `1` alone, as `vgg` has not scored `2`
/// there.
#[test]
fn images_are_paired_within_a_seed_and_count_once() {
    let bench = Bench::new();
    let item = |model, seed, images: &[(&str, Option<f64>)]| {
        bench.item(&scores(images), &[("model", model), ("fold", "1"), ("seed", seed)])
    };
    let items = [
        item("vgg", "1", &[("1", Some(0.25)), ("2", Some(0.5))]),
        item("vgg", "2", &[("1", Some(0.25))]),
        item("big", "1", &[("1", Some(0.75)), ("2", Some(0.75))]),
        item("big", "2", &[("1", Some(0.5)), ("2", Some(1.0))]),
    ];
    let layout = json!({ "axis": "model", "between": ["vgg", "big"], "across": ["fold", "seed"] });
    let cell = &compared(&items, layout).cells[0];
    assert_eq!((cell.mean, cell.n, cell.test.unwrap().left_out), (Some((0.375 + 0.25) / 2.0), 2, 0));
    let message = error(&items, json!({ "axis": "model", "between": ["vgg", "big"] }));
    assert!(message.contains("the inputs differ along `seed` (1, 2)"), "{message}");
}

#[test]
fn each_side_says_which_share_of_its_images_counts() {
    let bench = Bench::new();
    let item = |model, classified: u64, constant: &[bool]| {
        let own = scores(&[("1", Some(0.25)), ("2", Some(0.5))]);
        let own = Scores { classified: Some(vec![classified]), constant: constant.to_vec(), ..own };
        bench.item(&own, &[("model", model), ("fold", "1")])
    };
    let items = [item("vgg", 9, &[]), item("big", 5, &[true, false])];
    let shown = text(&compared(&items, json!({ "axis": "model", "between": ["vgg", "big"] })));
    let notes = "\ncorrectly classified: vgg 2 of 9, big 2 of 5\n\
                 big: 1 of 2 heatmaps are constant: one value everywhere\n";
    assert!(shown.ends_with(notes), "{shown}");
}

#[test]
fn patients_are_drawn_where_the_labels_know_them() {
    let bench = Bench::new();
    let names = ["1", "2", "3", "4", "5", "6"];
    let patients = ["p", "p", "p", "q", "q", "q"];
    let labels = Labels {
        names: names.map(str::to_owned).to_vec(),
        labels: vec![0; 6],
        classes: vec!["glioma".to_owned()],
        patients: patients.map(|patient| Some(patient.to_owned())).to_vec(),
        columns: Vec::new(),
    };
    let params = r#"{ "axis": "model", "between": ["vgg", "big"], "resamples": 500 }"#;
    let action = bench.action(params, &[("scores", &study(&bench)), ("labels", &[bench.item(&labels, &[])])]);
    let figures: Figures = bench.table(bench.run(&STAGE, &[action]).remove(0));
    let interval = figures.cells[0].interval.unwrap();
    assert_eq!((interval.low, interval.high, interval.units), (-0.125, 0.375, 2));
    assert_eq!(figures.resampling.unwrap().unit, ResamplingUnit::Patient);
}

/// The U-Net varies along an axis of its own and along no threshold.
#[test]
fn a_unet_is_compared_with_a_classifier_at_one_threshold() {
    let bench = Bench::new();
    let images: &[(&str, Option<f64>)] = &[("1", Some(0.25)), ("2", Some(0.5))];
    let items = [
        bench.item(&scores(images), &[("model", "vgg"), ("fold", "1"), ("threshold", "200")]),
        bench.item(&scores(&[("1", Some(0.0))]), &[("model", "vgg"), ("fold", "1"), ("threshold", "q90")]),
        bench.item(&scores(&[("1", Some(0.75)), ("2", Some(0.75))]), &[("unet", "unet-vgg"), ("fold", "1")]),
    ];
    let between = json!(["vgg", "unet-vgg"]);
    let axis = json!(["model", "unet"]);
    let figures = compared(&items, json!({ "axis": axis, "between": between, "only": { "threshold": 200 } }));
    assert_eq!((figures.cells.len(), figures.cells[0].mean), (1, Some(0.375)));
    assert_eq!((figures.rows[0].name.as_str(), figures.cells[0].labels[0].as_str()), ("model", "unet-vgg − vgg"));
    let message = error(&items, json!({ "axis": axis, "between": between, "rows": ["threshold"] }));
    assert!(message.contains("`vgg` and `unet-vgg` are never in the same cell"), "{message}");
}

#[test]
fn every_pair_and_row_has_a_line_and_equal_sides_no_test() {
    let bench = Bench::new();
    let mut items = study(&bench);
    items.push(bench.item(&scores(&[("1", Some(0.25)), ("2", Some(0.0))]), &[("model", "twin"), ("fold", "1")]));
    let layout = json!({ "axis": "model", "between": [["vgg", "big"], ["vgg", "twin"]], "rows": ["metric"] });
    let figures = compared(&items, layout);
    let places: Vec<_> = figures.cells.iter().map(|cell| cell.labels.join(" ")).collect();
    let expected = ["iou", "dice", "precision", "recall"].map(|metric| format!("big − vgg {metric}"));
    assert_eq!(places[..4], expected);
    let twin = &figures.cells[4];
    assert_eq!((twin.mean, twin.test.unwrap().p), (Some(0.0), None));
    assert!(text(&figures).contains("\nno p where all differences are 0\n"), "{}", text(&figures));
    assert!(text(&figures).contains("\nan interval without width: all values are equal\n"), "{}", text(&figures));
    assert!(!text(&figures).contains("+0.000 (0.000) [+0.000, +0.000], p"), "{}", text(&figures));
}

#[test]
fn incomparable_inputs_are_refused_with_the_reason() {
    let bench = Bench::new();
    let message = error(&study(&bench), json!({ "axis": "model", "between": ["vg", "bigg"] }));
    assert_eq!(
        message,
        "`between` names `vg` and `bigg`, which no input has along `model`; there are: vgg, big; did you mean `vgg`?"
    );
    let message = error(&study(&bench), json!({ "axis": "modle", "between": ["vgg", "big"] }));
    assert!(message.starts_with("`axis` names `modle`") && message.ends_with("did you mean `model`?"), "{message}");
    let cases = [
        (json!({ "axis": "model", "between": ["a"] }), "between"),
        (json!({ "axis": "model", "between": ["a", "b", "c"] }), "between"),
        (json!({ "axis": "model", "between": ["a", "a"] }), "between"),
        (json!({ "axis": "model", "between": ["a", "b"], "rows": ["model"] }), "rows"),
        (json!({ "axis": "model", "between": ["a", "b"], "only": { "model": "a" } }), "only"),
    ];
    for (case, field) in cases {
        let problems = params(case.clone()).problems();
        assert_eq!(problems.iter().map(|(field, _)| *field).collect::<Vec<_>>(), [field], "{case}");
    }
    for (toml, expected) in
        [("level = 1.0", "`level` must be below 1, not 1.0"), ("digits = 13", "`digits` must be at most 12, not 13")]
    {
        let toml = format!("axis = \"model\"\nbetween = [\"a\", \"b\"]\n{toml}").leak();
        let error = bench.check(&STAGE, toml).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(params(json!({ "axis": "t", "between": [200, "q90"] })).pairs(), [["200".to_owned(), "q90".to_owned()]]);
}
