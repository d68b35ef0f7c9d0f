//! Images that count, and figures that mean little.

use serde_json::json;

use super::*;
use crate::artifact::{Labels, Repeats};
use crate::tables::classify;

/// Scores of the images classified correctly, of `classified` images a class.
fn of_classified(scores: Scores, classified: [u64; 3]) -> Scores {
    Scores { classified: Some(classified.to_vec()), ..scores }
}

#[test]
fn a_table_says_which_share_of_the_images_counts() {
    let bench = Bench::new();
    let item = |model, fold, images: &[Image], classified| {
        let scores = of_classified(scores_of(&format!("{fold}-"), images), classified);
        bench.item(&scores, &[("model", model), ("fold", fold)])
    };
    let images: &[Image] = &[(0, Some(0.5)), (1, None), (1, Some(0.25))];
    let mut items = vec![item("tiny", "1", images, [2, 2, 1]), item("tiny", "2", images, [3, 3, 0])];
    let shown = text(&table(&items, json!({ "rows": ["model"] })));
    assert!(shown.contains("\n\ncorrectly classified: 6 of 11\n2 images a cell have no"), "{shown}");
    items.push(item("collapsed", "1", &[], [2, 2, 1]));
    items.push(bench.item(&scores(images), &[("model", "unet"), ("fold", "1")]));
    let by_class =
        table(&items, json!({ "rows": ["model"], "columns": ["label"], "only": { "label": ["all", "glioma"] } }));
    assert_eq!(cell(&by_class, &["tiny", "glioma"]).classified, Some(5));
    let figures = table(&items, json!({ "rows": ["model"] }));
    let expected = "\
iou: mean (sd over fold), by model

model               mean   n  correctly classified
──────────────────────────────────────────────────
tiny       0.375 (0.000)   4               6 of 11
collapsed      – (n = 0)   0                0 of 5
unet           0.375 (–)*  2                     –

* over fewer values of fold than the other 2
0–2 images a cell have no ground truth and are left out
";
    assert_eq!(text(&figures), expected);
    let grid = render::Grid::of(&figures, 3);
    assert!(grid.markdown().contains("| model | mean | n | correctly classified |"));
    assert!(grid.latex().contains("collapsed & -- (n = 0) & 0 & 0 of 5 \\\\\n"), "{}", grid.latex());
    let page = grid.html("", &[]).into_string();
    assert!(page.contains("<td class=\"n\">4</td><td class=\"n\">6 of 11</td>"), "{page}");
    let csv = String::from_utf8(render::csv(&figures).unwrap()).unwrap();
    assert!(csv.contains("synthetic,classified\ntiny,iou,mean,0.375,0,4,2,2,false,11\n"), "{csv}");
    assert_eq!(Figures::decode(&figures.encode().unwrap()).unwrap(), figures);
}

/// Seed 2 has no value of image `1.png`, so that counts once and `0.png` twice.
#[test]
fn n_that_counts_an_image_several_times_says_so() {
    let bench = Bench::new();
    let item = |seed, images: &[Image]| bench.item(&scores(images), &[("fold", "1"), ("seed", seed)]);
    let both: &[Image] = &[(0, Some(0.5)), (1, Some(0.25))];
    let across = json!({ "across": ["fold", "seed"] });
    let figures = table(&[item("1", both), item("2", both), item("3", both)], across.clone());
    assert_eq!(figures.cells[0].repeats, Some(Repeats { images: 2, times: 3 }));
    assert!(
        text(&figures).contains("  6 (2)\n\nn counts each image 3 times; the number of images"),
        "{}",
        text(&figures)
    );
    assert_eq!(Figures::decode(&figures.encode().unwrap()).unwrap(), figures);
    let uneven = text(&table(&[item("1", both), item("2", &[(0, Some(0.5)), (1, None)])], across));
    assert!(uneven.contains("  3 (2)\n\nn counts an image up to 2 times;"), "{uneven}");
    let by_seed = text(&table(&[item("1", both), item("2", both)], json!({ "rows": ["seed"] })));
    assert!(!by_seed.contains("n counts"), "{by_seed}");
}

#[test]
fn constant_maps_are_counted_below_the_table() {
    let bench = Bench::new();
    let images: &[Image] = &[(0, Some(0.0)), (0, Some(0.5)), (1, None)];
    let constant = Scores { constant: vec![true, false, true], ..of_classified(scores(images), [2, 1, 0]) };
    let items = [bench.item(&constant, &[("model", "a")])];
    let shown = text(&table(&items, json!({ "rows": ["model"] })));
    assert!(shown.contains("\n2 of 3 heatmaps are constant: one value everywhere\n"), "{shown}");
    let items = [items[0].clone(), bench.item(&scores(images), &[("model", "b")])];
    let shown = text(&table(&items, json!({ "rows": ["model"], "columns": ["label"] })));
    assert!(shown.contains("\n0–2 of 0–3 heatmaps a cell are constant"), "{shown}");
    let masks = Scores { classified: None, ..constant };
    let figures = table(&[bench.item(&masks, &[])], json!({}));
    assert!(text(&figures).contains("\n2 of 3 heatmaps or masks are constant"), "{}", text(&figures));
    assert_eq!(Figures::decode(&figures.encode().unwrap()).unwrap(), figures);
}

#[test]
fn intervals_of_one_patient_and_of_equal_values_are_told() {
    let bench = Bench::new();
    let scores = scores(&[(0, Some(0.5)), (0, Some(0.25)), (1, Some(0.5)), (2, Some(0.0)), (2, Some(0.0))]);
    let labels = Labels {
        names: scores.names.clone(),
        labels: scores.labels.clone(),
        classes: texts(&CLASSES),
        patients: ["p", "p", "q", "r", "s"].map(|patient| Some(patient.to_owned())).to_vec(),
        columns: Vec::new(),
    };
    let input = Input { port: "labels".to_owned(), items: vec![bench.item(&labels, &[])] };
    let items = [bench.item(&scores, &[("fold", "1")])];
    let figures = run(&params(json!({ "columns": ["label"], "interval": "bootstrap" })), &items, Some(&input)).unwrap();
    let shown = text(&figures);
    for note in [
        "\nno interval of one patient alone\n",
        "\nan interval without width: all values are equal\n",
        "\none patient only with scores: `glioma`, `meningioma`; no interval tells of other patients there\n",
    ] {
        assert!(shown.contains(note), "{note} is not in: {shown}");
    }
    let images = text(&table(&items, json!({ "columns": ["label"], "interval": "bootstrap" })));
    assert!(images.contains("\nno interval of one image alone\n") && !images.contains("patient"), "{images}");
}

/// Fold 1 predicts glioma for everything; fold 2 never predicts meningioma; n of both folds is of other images.
#[test]
fn a_collapsed_classifier_is_told_below_its_metrics() {
    let bench = Bench::new();
    let predictions = |fold: &str, predicted: &[u32]| Predictions {
        names: (0..4).map(|image| format!("{fold}-{image}")).collect(),
        labels: vec![0, 0, 1, 2],
        predicted: predicted.to_vec(),
        classes: texts(&CLASSES),
        probabilities: vec![0.0; 12],
    };
    let at = |fold: &str, seed: &str| vec![("fold".into(), fold.into()), ("seed".into(), seed.into())];
    let inputs = [
        (at("1", "1"), predictions("1", &[1, 1, 1, 1])),
        (at("2", "1"), predictions("2", &[1, 1, 1, 2])),
        (at("1", "2"), predictions("1", &[0, 0, 1, 2])),
        (at("2", "2"), predictions("2", &[0, 0, 1, 2])),
    ];
    let (metrics, _) = classify::run(&inputs).unwrap();
    let items = [bench.item(&metrics, &[("model", "tiny")])];
    let layout = json!({ "rows": ["model"], "columns": ["metric"], "across": ["fold", "seed"] });
    let shown = text(&table(&items, layout));
    let notes = "  16 (8)\n\n\
        n counts each image 2 times; the number of images is in brackets\n\
        `glioma` is predicted for every image: fold = 1, seed = 1\n\
        `meningioma` is never predicted, so its precision counts as 0: fold = 2, seed = 1\n";
    assert!(shown.ends_with(notes), "{shown}");
    let accuracy = json!({ "value": "accuracy", "across": ["fold"], "only": { "seed": 1 } });
    let shown = text(&table(&items, accuracy));
    assert!(shown.ends_with("  8\n\n`glioma` is predicted for every image: fold = 1, seed = 1\n"), "{shown}");
    let well = text(&table(&items, json!({ "value": "f1", "only": { "seed": 2 } })));
    assert!(!well.contains("predicted"), "{well}");
}
