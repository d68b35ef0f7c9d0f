mod degenerate;

use orchestrate_engine::params::Params as _;
use serde_json::{Value, json};

use super::*;
use crate::artifact::{Cell, Predictions};
use crate::tables::classify::AxisLabels;
use crate::testing::Bench;

const CLASSES: [&str; 3] = ["meningioma", "glioma", "pituitary"];

fn texts(values: &[&str]) -> Vec<String> {
    values.iter().map(|&value| value.to_owned()).collect()
}

/// Class index and IoU.
type Image = (u32, Option<f64>);

/// Scores of images that are those of no other prefix.
fn scores_of(prefix: &str, images: &[Image]) -> Scores {
    let mut scores = scores(images);
    scores.names.iter_mut().for_each(|name| name.insert_str(0, prefix));
    scores
}

fn scores(images: &[Image]) -> Scores {
    let column = || images.iter().map(|(_, iou)| *iou).collect();
    let labels: Vec<u32> = images.iter().map(|(label, _)| *label).collect();
    Scores {
        names: (0..images.len()).map(|image| format!("{image}.png")).collect(),
        predicted: labels.clone(),
        labels,
        classes: texts(&CLASSES),
        iou: column(),
        dice: column(),
        precision: column(),
        recall: column(),
        mask_pixels: vec![1; images.len()],
        truth_pixels: vec![1; images.len()],
        ..Scores::default()
    }
}

fn params(value: Value) -> Params {
    serde_json::from_value::<Params>(value).unwrap().completed()
}

fn table(items: &[Item], layout: Value) -> Figures {
    run(&params(layout), items, None).unwrap()
}

fn error(items: &[Item], layout: Value) -> String {
    run(&params(layout), items, None).unwrap_err().to_string()
}

fn text(figures: &Figures) -> String {
    render::Grid::of(figures, 3).text()
}

/// The study of `table.py`, gathered over model, fold and threshold.
fn study(bench: &Bench) -> (Value, Vec<Item>) {
    let reference: Value = serde_json::from_str(include_str!("../../../../tests/reference/table.json")).unwrap();
    let mut items: Vec<(AxisLabels, Vec<Image>)> = Vec::new();
    for row in reference["scores"].as_array().unwrap() {
        let labels = vec![
            ("model".into(), row[0].as_str().unwrap().into()),
            ("fold".into(), row[1].to_string().into()),
            ("threshold".into(), row[2].as_str().unwrap().into()),
        ];
        let class = CLASSES.iter().position(|class| row[4] == *class).unwrap() as u32;
        let image = (class, row[5].as_f64());
        match items.last_mut() {
            Some((last, images)) if *last == labels => images.push(image),
            _ => items.push((labels, vec![image])),
        }
    }
    let items = items.into_iter().map(|(labels, images)| {
        let labels: Vec<_> = labels.iter().map(|(axis, label)| (&**axis, &**label)).collect();
        bench.item(&scores_of(&format!("{}-", labels[1].1), &images), &labels)
    });
    let items = items.collect();
    (reference, items)
}

/// The cell with those labels.
fn cell<'a>(figures: &'a Figures, labels: &[&str]) -> &'a Cell {
    figures.cells.iter().find(|cell| cell.labels == labels).unwrap_or_else(|| panic!("no cell {labels:?}"))
}

fn assert_close(ours: Option<f64>, theirs: &Value) {
    match (ours, theirs.as_f64()) {
        (Some(ours), Some(theirs)) => assert!((ours - theirs).abs() < 1e-12, "{ours} against {theirs}"),
        (ours, theirs) => assert_eq!(ours, theirs),
    }
}

#[test]
fn means_and_standard_deviations_are_those_of_pandas() {
    let bench = Bench::new();
    let (reference, items) = study(&bench);
    let tables = [
        ("by_threshold", json!({ "rows": ["model"], "columns": ["threshold"] })),
        ("by_label", json!({ "rows": ["model"], "columns": ["label"], "only": { "threshold": 200 } })),
    ];
    for (name, layout) in tables {
        let figures = table(&items, layout);
        for row in reference[name].as_array().unwrap() {
            let cell = cell(&figures, &[row[0].as_str().unwrap(), row[1].as_str().unwrap()]);
            assert_close(cell.mean, &row[2]);
            assert_close(cell.sd, &row[3]);
            assert_eq!(json!([cell.n, cell.excluded, cell.groups]), json!([row[4], row[5], row[6]]), "{name}");
        }
    }
}

#[test]
fn shares_pooled_over_folds_are_those_of_pandas() {
    let bench = Bench::new();
    let (reference, items) = study(&bench);
    let layout = json!({
        "rows": ["model"], "columns": ["label"], "only": { "threshold": "200" }, "statistic": "share", "at_most": 0.1
    });
    let figures = table(&items, layout);
    for row in reference["shares"].as_array().unwrap() {
        let cell = cell(&figures, &[row[0].as_str().unwrap(), row[1].as_str().unwrap()]);
        assert_close(cell.mean, &row[2]);
        assert_eq!(cell.sd, None);
    }
}

#[test]
fn golden() {
    let bench = Bench::new();
    let (_, items) = study(&bench);
    let figures = table(&items, json!({ "rows": ["model"], "columns": ["label"], "only": { "threshold": 200 } }));
    let expected = "\
iou: mean (sd over fold), by model × label

model            all     meningioma         glioma      pituitary      n
────────────────────────────────────────────────────────────────────────
tiny   0.459 (0.140)  0.515 (0.216)  0.409 (0.403)  0.383 (0.352)*  4–18
big    0.316 (0.074)  0.402 (0.146)  0.228 (0.212)      – (n = 0)   0–14

* over fewer values of fold than the other 3
0–1 images a cell have no ground truth and are left out
";
    assert_eq!(text(&figures), expected, "the numbers moved: raise VERSION of `table` and put the new ones here");
}

#[test]
fn rows_and_columns_keep_the_order_of_the_study_and_absent_cells_are_dashes() {
    let bench = Bench::new();
    let item = |model, threshold, iou| {
        bench.item(&scores(&[(0, Some(iou))]), &[("model", model), ("fold", "1"), ("threshold", threshold)])
    };
    let items = [item("vgg", "q90", 0.25), item("alex", "q90", 0.5), item("alex", "200", 0.75)];
    let expected = "\
iou: mean, by model × threshold

model    q90    200  n
──────────────────────
vgg    0.250      –  1
alex   0.500  0.750  1
";
    assert_eq!(text(&table(&items, json!({ "rows": ["model"], "columns": ["threshold"] }))), expected);
}

#[test]
fn inputs_that_differ_along_an_unlisted_name_are_refused() {
    let bench = Bench::new();
    let (_, items) = study(&bench);
    assert_eq!(
        error(&items, json!({ "rows": ["model"] })),
        "the inputs differ along `threshold` (200, q90), which is in neither `rows` nor `columns`; add it to \
         one of them or to `across`, or keep one with `only = { threshold = \"200\" }`"
    );
    assert!(table(&items, json!({ "rows": ["model"], "across": ["fold", "threshold"] })).cells[0].groups == 6);
}

#[test]
fn errors_about_unknown_names_values_and_metrics_list_the_known_ones() {
    let bench = Bench::new();
    let (_, items) = study(&bench);
    let cases = [
        (
            json!({ "rows": ["modle"], "columns": ["threshold"] }),
            "`rows` names `modle`, along which no input varies; the inputs vary along: model, fold, threshold, metric, \
             label; did you mean `model`?",
        ),
        (
            json!({ "rows": ["model"], "only": { "threshold": 210 } }),
            "`only` keeps `threshold = 210`, which no input has; there are: 200, q90",
        ),
        (
            json!({ "rows": ["model"], "columns": ["threshold"], "value": "accuracy" }),
            "`value = \"accuracy\"` is no metric of the input; its metrics: iou, dice, precision, recall",
        ),
        (
            json!({ "rows": ["model"], "columns": ["threshold"], "across": "seed" }),
            "`across` names `seed`, along which no input varies; the inputs vary along: model, fold, threshold, \
             metric, label",
        ),
    ];
    for (layout, message) in cases {
        assert_eq!(error(&items, layout), message);
    }
}

#[test]
fn inputs_that_no_axis_tells_apart_are_refused() {
    let bench = Bench::new();
    let item = bench.item(&scores(&[(0, Some(0.5))]), &[("model", "tiny"), ("fold", "1")]);
    let message = error(&[item.clone(), item], json!({ "rows": ["model"] }));
    assert!(message.starts_with("several inputs fall into one cell (model = tiny, fold = 1)"), "{message}");
}

#[test]
fn an_input_without_an_axis_stands_beside_those_that_vary_along_it() {
    let bench = Bench::new();
    let mut items = study(&bench).1;
    items.push(bench.item(&scores(&[(0, Some(0.75))]), &[("unet", "vgg"), ("fold", "1")]));
    let figures = table(&items, json!({ "rows": ["model", "unet"], "only": { "threshold": 200 } }));
    let rows: Vec<_> = figures.cells.iter().map(|cell| cell.labels.join("/")).collect();
    assert_eq!(rows, ["tiny/", "big/", "/vgg"]);
    assert!(text(&figures).contains("–      vgg"), "{}", text(&figures));
}

#[test]
fn several_names_make_one_dimension_called_by_the_first() {
    let bench = Bench::new();
    let mut items = study(&bench).1;
    items.push(bench.item(&scores(&[(0, Some(0.75))]), &[("unet", "unet-vgg"), ("fold", "1")]));
    let layout = json!({ "rows": [["model", "unet"]], "columns": ["threshold"] });
    let figures = table(&items, layout);
    assert_eq!(figures.rows[0].name, "model");
    assert_eq!(figures.rows[0].values, ["tiny", "big", "unet-vgg"]);
    assert_eq!(figures.columns[0].values, ["200", "q90"]);
    assert_eq!(cell(&figures, &["unet-vgg", ""]).mean, Some(0.75));
    let shown = text(&figures);
    assert!(shown.lines().any(|line| line.starts_with("model") && line.contains("–  ")), "{shown}");
    let kept = json!({ "rows": [["model", "unet"]], "only": { "model": ["big", "unet-vgg"], "threshold": "200" } });
    let rows: Vec<_> = table(&items, kept).cells.iter().map(|cell| cell.labels.join("/")).collect();
    assert_eq!(rows, ["big", "unet-vgg"]);
}

#[test]
fn names_that_cannot_be_merged_are_refused() {
    let bench = Bench::new();
    let mut items = study(&bench).1;
    items.push(bench.item(&scores(&[(0, Some(0.75))]), &[("unet", "big"), ("fold", "1")]));
    let rows = json!([["model", "unet"]]);
    let message = error(&items, json!({ "rows": rows, "columns": ["threshold"] }));
    assert!(message.starts_with("`big` is a label along both `model` and `unet`"), "{message}");
    let message = error(&items, json!({ "rows": rows, "only": { "unet": "big" } }));
    assert_eq!(message, "`only` names `unet`, but its labels are those of `model` here; write them under `model`");
    let message = error(&items, json!({ "rows": [["model", "nuet"]], "columns": ["threshold"] }));
    assert!(message.starts_with("`rows` names `nuet`") && message.ends_with("did you mean `unet`?"), "{message}");
}

#[test]
fn title_and_published_values_are_in_every_file() {
    let bench = Bench::new();
    let item = |model| bench.item(&scores(&[(0, Some(0.5))]), &[("model", model), ("fold", "1")]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("theirs.csv");
    std::fs::write(&path, "# A paper\nmodel,mean,sd\nalex,0.021,0.008\nresnet,0.3,\n").unwrap();
    let params = json!({ "title": "Table 3. mIoU", "rows": ["model"], "reference": path }).to_string();
    let mut action = bench.action(&params, &[("scores", &[item("alex"), item("vgg")])]);
    let files = Table::files(&serde_json::from_str(&params).unwrap()).unwrap();
    action.files = files
        .into_iter()
        .map(|file| {
            let digest = orchestrate_cache::Digest::of(&std::fs::read(&file.path).unwrap());
            orchestrate_engine::stage::ExternalFile { name: file.name, path: file.path, digest }
        })
        .collect();
    let output = bench.run(&STAGE, &[action]).remove(0).unwrap().remove(0);
    let bytes = |name: &str| match &output.files.iter().find(|(other, _)| other == name).unwrap().1 {
        Content::Bytes(bytes) => bytes.clone(),
        Content::File(_) => panic!("small files are held in memory"),
    };
    let shown = |name: &str| String::from_utf8(bytes(name)).unwrap();
    let text = "\
Table 3. mIoU
iou: mean, by model

model                 mean  n
─────────────────────────────
alex                 0.500  1
  published  0.021 (0.008)
vgg                  0.500  1

published: A paper
published, but not in this study: model resnet
";
    assert_eq!(shown("table.txt"), text);
    let figures = Figures::decode(&bytes("table.parquet")).unwrap();
    assert_eq!(figures.title.as_deref(), Some("Table 3. mIoU"));
    let published = crate::artifact::ReferenceValue { mean: 0.021, sd: Some(0.008), precision: 0.0005 };
    assert_eq!([figures.cells[0].reference, figures.cells[1].reference], [Some(published), None]);
    assert!(shown("table.csv").contains(
        "groups,synthetic,published_mean,published_sd,published_precision\n\
         alex,iou,mean,0.5,,1,0,1,false,0.021,0.008,0.0005\n"
    ));
    assert!(shown("table.md").starts_with("**Table 3. mIoU**\n\niou: mean, by model\n\n| model |"));
    assert!(shown("table.md").contains("| *published* | *0.021 (0.008)* |  |\n"));
    assert!(shown("table.tex").contains("\\caption{mIoU. iou: mean, by model.}"));
    assert!(shown("table.tex").contains("\\quad \\textit{published} & \\textit{0.021 (0.008)} &  \\\\\n"));
}

#[test]
fn an_unusable_reference_is_an_error_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    let files = |name: &str| Table::files(&params(json!({ "rows": ["model"], "reference": folder.path().join(name) })));
    assert!(files("absent.csv").unwrap_err()[0].starts_with("cannot read "));
    std::fs::write(folder.path().join("wrong.csv"), "modle,average\n").unwrap();
    let problems = files("wrong.csv").unwrap_err();
    assert!(problems.len() == 3 && problems[2].ends_with("wrong.csv: it needs a column `mean`"), "{problems:?}");
}

/// Folds 1 and 2, seeds 1 and 2: means 0.25, 0.5, 0.75, 1.0. Their mean is 0.625, their squared distances from it
/// 0.3125 in sum, over k − 1 = 3. The mean over seeds first would give the same mean, but a standard deviation over two
/// folds only.
#[test]
fn across_fold_and_seed_there_is_one_value_for_each_of_both() {
    let bench = Bench::new();
    let item = |fold, seed, iou: &[f64]| {
        let images: Vec<_> = iou.iter().map(|&iou| (0, Some(iou))).collect();
        bench.item(&scores(&images), &[("fold", fold), ("seed", seed)])
    };
    let items = [
        item("1", "1", &[0.0, 0.5]),
        item("1", "2", &[0.5, 0.25, 0.75]),
        item("2", "1", &[0.75]),
        item("2", "2", &[1.0, 1.0]),
    ];
    let figures = table(&items, json!({ "across": ["fold", "seed"] }));
    let cell = &figures.cells[0];
    assert_eq!((cell.mean, cell.n, cell.groups), (Some(0.625), 8, 4));
    assert!((cell.sd.unwrap() - (0.3125_f64 / 3.0).sqrt()).abs() < 1e-15);
    assert!(text(&figures).starts_with("iou: mean (sd over fold and seed)\n"), "{}", text(&figures));
    let message = error(&items, json!({}));
    assert!(message.contains("the inputs differ along `seed` (1, 2)") && message.contains("`across`"), "{message}");
}

/// Class, IoU, pixels of the lesion.
fn sized(bench: &Bench, images: &[(u32, f64, u32)]) -> Item {
    let values: Vec<_> = images.iter().map(|&(label, iou, _)| (label, Some(iou))).collect();
    let mut scores = scores(&values);
    scores.truth_pixels = images.iter().map(|&(_, _, pixels)| pixels).collect();
    scores
        .iou
        .iter_mut()
        .zip(&scores.truth_pixels)
        .filter(|(_, pixels)| **pixels == 0)
        .for_each(|(iou, _)| *iou = None);
    bench.item(&scores, &[("fold", "1")])
}

#[test]
fn figures_are_broken_down_by_the_size_of_the_lesion_and_the_class() {
    let bench = Bench::new();
    let items = [sized(&bench, &[(0, 0.25, 499), (0, 0.5, 500), (1, 0.75, 2000), (1, 0.0, 10), (1, 0.0, 0)])];
    let layout = json!({ "rows": ["label"], "columns": ["lesion_size"], "lesion_sizes": [500, 1500] });
    let expected = "\
iou: mean, by label × lesion_size

label         all    <500 px  500–1499 px   ≥1500 px    n
─────────────────────────────────────────────────────────
all         0.375      0.125        0.500      0.750  1–4
meningioma  0.375      0.250        0.500  – (n = 0)  0–2
glioma      0.375      0.000    – (n = 0)      0.750  0–2
pituitary   – (n = 0)  – (n = 0)  – (n = 0)  – (n = 0)    0

0–1 images a cell have no ground truth and are left out
";
    let figures = table(&items, layout);
    assert_eq!(squeezed(&text(&figures)), squeezed(expected));
    let small = json!({ "only": { "lesion_size": "<500 px" }, "lesion_sizes": [500, 1500] });
    assert_eq!(table(&items, small).cells[0].mean, Some(0.125));
}

/// Sizes 10, 20, 30, 40 over two inputs that share an image: terciles 20 and 30.
#[test]
fn tertiles_are_those_of_the_distinct_images_of_all_inputs() {
    let bench = Bench::new();
    let model = |name: &str, images: &[(u32, f64, u32)]| Item {
        labels: vec![("model".into(), name.into())],
        ..sized(&bench, images)
    };
    let items = [
        model("a", &[(0, 0.5, 10), (0, 0.25, 20)]),
        model("b", &[(0, 1.0, 10), (0, 0.5, 20), (0, 0.75, 30), (0, 0.0, 40)]),
    ];
    let figures = table(&items, json!({ "rows": ["model"], "columns": ["lesion_size"], "lesion_sizes": "tertiles" }));
    assert_eq!(figures.columns[0].values, ["all", "<21 px", "21–30 px", "≥31 px"]);
    assert_eq!(cell(&figures, &["b", "<21 px"]).mean, Some(0.75));
    assert_eq!(cell(&figures, &["a", "≥31 px"]).mean, None);
}

#[test]
fn sizes_and_intervals_need_scores_and_names_of_their_own() {
    let bench = Bench::new();
    let item = bench.item(&scores(&[(0, Some(0.5))]), &[("lesion_size", "x")]);
    let message = error(&[item], json!({ "rows": ["lesion_size"], "lesion_sizes": "tertiles" }));
    assert!(message.contains("an axis is named `lesion_size` (`x` for one)"), "{message}");
    let predictions = Predictions {
        names: vec!["0".to_owned()],
        labels: vec![0],
        predicted: vec![0],
        classes: texts(&CLASSES),
        probabilities: vec![0.0; 3],
    };
    let (metrics, _) = crate::tables::classify::run(&[(Vec::new(), predictions)]).unwrap();
    let items = [bench.item(&metrics, &[])];
    let message = error(&items, json!({ "columns": ["metric"], "interval": "bootstrap" }));
    assert_eq!(message, "input `scores`: a value an image is needed, but the input is metrics, not scores");
}

/// Image `0.png` is in fold 1 and `1.png` in fold 2, so the mean over folds of a resample of both is theirs, 0.5, and
/// that of one of them alone is its own: quartiles 0.25 and 0.75 where each alone has the probability 1/4, more than
/// the tail of 1/8.
#[test]
fn intervals_resample_images_of_all_folds_at_once() {
    let bench = Bench::new();
    let mut second = scores(&[(0, Some(0.75))]);
    second.names = vec!["1.png".to_owned()];
    let items = [bench.item(&scores(&[(0, Some(0.25))]), &[("fold", "1")]), bench.item(&second, &[("fold", "2")])];
    let figures = table(&items, json!({ "interval": "bootstrap", "level": 0.75 }));
    let interval = figures.cells[0].interval.unwrap();
    assert_eq!((interval.low, interval.high, interval.units), (0.25, 0.75, 2));
    assert!(text(&figures).contains("0.500 (0.354) [0.250, 0.750]"), "{}", text(&figures));
    assert!(text(&figures).contains("75 % percentile interval of 2000 bootstrap resamples by image, of 2\n"));
    let share = json!({ "interval": "bootstrap", "level": 0.75, "statistic": "share", "at_most": 0.5 });
    let figures = table(&items, share);
    let interval = figures.cells[0].interval.unwrap();
    assert_eq!((figures.cells[0].mean, interval.low, interval.high), (Some(0.5), 0.0, 1.0));
    assert_eq!(Figures::decode(&figures.encode().unwrap()).unwrap(), figures);
}

#[test]
fn intervals_are_by_patient_where_patients_are_known_and_another_model_moves_none() {
    let bench = Bench::new();
    let (_, items) = study(&bench);
    let images = || (1..=3).flat_map(|fold| (0..7).map(move |image| (fold, image)));
    let labels = crate::artifact::Labels {
        labels: images().map(|(_, image)| u32::from(image > 5)).collect(),
        classes: texts(&CLASSES),
        patients: images().map(|(_, image)| (image < 6).then(|| format!("patient {}", image / 2))).collect(),
        names: images().map(|(fold, image)| format!("{fold}-{image}.png")).collect(),
        columns: Vec::new(),
    };
    let input = Input { port: "labels".to_owned(), items: vec![bench.item(&labels, &[])] };
    let layout = json!({ "rows": ["model"], "columns": ["threshold"], "interval": "bootstrap", "seed": 3 });
    let both = run(&params(layout.clone()), &items, Some(&input)).unwrap();
    assert_eq!(both.resampling.unwrap().unit, crate::artifact::ResamplingUnit::Patient);
    assert_eq!(both.remarks, ["2 images of unknown patients count as patients of their own"]);
    assert_eq!(cell(&both, &["tiny", "200"]).interval.unwrap().units, 5);
    let tiny: Vec<_> = items.iter().filter(|item| item.label("model") == Some("tiny")).cloned().collect();
    let alone = run(&params(layout), &tiny, Some(&input)).unwrap();
    assert_eq!(cell(&alone, &["tiny", "q90"]), cell(&both, &["tiny", "q90"]));
}

/// Collapses runs of spaces, so that a test compares contents and not widths.
fn squeezed(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.starts_with('─'));
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn metrics_of_classify_make_a_table_of_their_own() {
    let bench = Bench::new();
    let predictions = |fold: &str, predicted: &[u32]| Predictions {
        names: (0..4).map(|image| format!("phantom-0{fold}-{image}")).collect(),
        labels: vec![0, 0, 1, 2],
        predicted: predicted.to_vec(),
        classes: texts(&CLASSES),
        probabilities: vec![0.0; 12],
    };
    let fold = |number: &str| vec![("fold".into(), number.into())];
    let inputs = [(fold("1"), predictions("1", &[0, 0, 1, 2])), (fold("2"), predictions("2", &[0, 1, 1, 2]))];
    let (metrics, _) = crate::tables::classify::run(&inputs).unwrap();
    let items = [bench.item(&metrics, &[("model", "tiny")])];
    let expected = "\
mean (sd over fold), by model × metric

model       accuracy      precision         recall             f1  n
────────────────────────────────────────────────────────────────────
tiny   0.875 (0.177)  0.917 (0.118)  0.917 (0.118)  0.889 (0.157)  8

synthetic phantom data
";
    let by_metric = table(&items, json!({ "rows": ["model"], "columns": ["metric"] }));
    assert_eq!(text(&by_metric), expected);
    assert_eq!(table(&items, json!({ "rows": ["model"], "columns": ["metric"], "value": "value" })), by_metric);
    let recall = table(&items, json!({ "columns": ["label"], "value": "recall" }));
    assert_eq!(recall.columns[0].values, ["all", "meningioma", "glioma", "pituitary"]);
    assert_eq!(cell(&recall, &["meningioma"]).mean, Some(0.75));
    let message = error(&items, json!({ "rows": ["model"] }));
    assert!(message.contains("differ along `metric`") && message.contains("`value = \"accuracy\"`"), "{message}");
}

#[test]
fn every_file_of_the_table_says_the_same() {
    let bench = Bench::new();
    let items = [
        bench.item(&scores(&[(0, Some(0.5)), (1, Some(0.25))]), &[("model", "a|b"), ("fold", "1")]),
        bench.item(&scores_of("2-", &[(0, Some(0.0)), (1, None)]), &[("model", "a|b"), ("fold", "2")]),
    ];
    let action = bench.action(r#"{"rows": ["model"], "digits": 2}"#, &[("scores", &items)]);
    let output = bench.run(&STAGE, &[action]).remove(0).unwrap().remove(0);
    let names: Vec<_> = output.files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["table.parquet", "table.csv", "table.md", "table.tex", "table.txt"]);
    let bytes = |index: usize| match &output.files[index].1 {
        Content::Bytes(bytes) => bytes.as_slice(),
        Content::File(_) => panic!("small files are held in memory"),
    };
    let figures = Figures::decode(bytes(0)).unwrap();
    assert_eq!(figures, table(&items, json!({ "rows": ["model"] })));
    let csv = "model,metric,statistic,mean,sd,n,excluded,groups,synthetic\n\
               a|b,iou,mean,0.1875,0.2651650429449553,3,1,2,false\n";
    assert_eq!(String::from_utf8_lossy(bytes(1)), csv);
    let markdown = "\
**iou: mean (sd over fold), by model**

| model | mean | n |
| :--- | ---: | ---: |
| a\\|b | 0.19 (0.27) | 3 |

1 images a cell have no ground truth and are left out
";
    assert_eq!(String::from_utf8_lossy(bytes(2)), markdown);
}

#[test]
fn wide_letters_keep_the_columns_aligned() {
    let bench = Bench::new();
    let item = |model| bench.item(&scores(&[(0, Some(0.5))]), &[("model", model), ("fold", "1")]);
    let shown = text(&table(&[item("模型"), item("ab")], json!({ "rows": ["model"] })));
    assert!(shown.contains("模型   0.500  1\nab     0.500  1\n"), "{shown}");
}

#[test]
fn params_are_read_from_specs() {
    let check = |toml| Bench::new().check(&STAGE, toml);
    let toml = "rows = ['model']\ncolumns = ['label']\nonly = { threshold = 200 }\nstatistic = 'share'\nat_most = 0.01";
    let written = json!({
        "title": null, "reference": null, "lesion_sizes": null, "interval": null, "level": null, "resamples": null,
        "seed": null, "rows": ["model"], "columns": ["label"], "value": null, "statistic": "share", "at_most": 0.01,
        "across": ["fold"], "only": { "threshold": ["200"] }, "digits": 3
    });
    assert_eq!(check(toml), Ok(written));
    assert!(check("digits = 13").unwrap_err().contains("`digits` must be at most 12, not 13"));
    assert!(check("interval = 'bootstrap'\nlevel = 95.0").unwrap_err().contains("`level` must be below 1, not 95.0"));
    let message = check("rows = 'model'\nacross = 1979-05-27\nstatistic = 'share'\ncolour = 1").unwrap_err();
    for part in ["not the text \"model\"", "not the date 1979-05-27", "a share needs a bound", "unknown field `colour`"]
    {
        assert!(message.contains(part), "{part} is not in: {message}");
    }
}

#[test]
#[ignore = "measures; run with --release -- --ignored --nocapture"]
#[expect(clippy::print_stdout, reason = "its output is its purpose")]
fn seconds_for_15360_scores_of_613_images() {
    let bench = Bench::new();
    let images: Vec<_> = (0..613_u32).map(|image| (image % 3, Some(f64::from(image) / 613.0))).collect();
    let one = bench.item(&scores(&images), &[]);
    let mut items = Vec::new();
    for model in 0..6 {
        for fold in 1..=5 {
            for threshold in 0..512 {
                let labels = [("model", model), ("fold", fold), ("threshold", threshold)];
                let labels = labels.map(|(axis, label)| (axis.into(), label.to_string().into())).to_vec();
                items.push(Item { labels, files: one.files.clone() });
            }
        }
    }
    let started = std::time::Instant::now();
    let figures = table(&items, json!({ "rows": ["model"], "columns": ["threshold"] }));
    assert_eq!(figures.cells.len(), 6 * 512);
    println!("table of {} scores: {:.2} s", items.len(), started.elapsed().as_secs_f64());
}
