use super::*;
use crate::testing::Bench;

fn texts(values: &[&str]) -> Vec<String> {
    values.iter().map(|&value| value.to_owned()).collect()
}

fn predictions(labels: &[u32], predicted: &[u32]) -> Predictions {
    Predictions {
        names: (0..labels.len()).map(|row| format!("{row}.png")).collect(),
        labels: labels.to_vec(),
        predicted: predicted.to_vec(),
        classes: texts(&["m", "g", "p"]),
        probabilities: vec![0.0; 3 * labels.len()],
    }
}

fn fold(number: &str) -> AxisLabels {
    vec![("fold".into(), number.into())]
}

fn figure(metrics: &Metrics, metric: &str, label: &str) -> (Option<f64>, u64) {
    let row = (0..metrics.values.len()).find(|&row| metrics.metrics[row] == metric && metrics.labels[row] == label);
    let row = row.expect("there is such a figure");
    (metrics.values[row], metrics.counts[row])
}

#[derive(Deserialize)]
struct Reference {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    r#true: Vec<u32>,
    predicted: Vec<u32>,
    accuracy: f64,
    r#macro: [f64; 3],
    each: [[f64; 3]; 3],
    n: [u64; 3],
    confusion: [[u64; 3]; 3],
}

#[test]
fn figures_are_those_of_scikit_learn() {
    let reference: Reference = serde_json::from_str(include_str!("../../../tests/reference/metrics.json")).unwrap();
    for case in reference.cases {
        let (metrics, confusion) = run(&[(Vec::new(), predictions(&case.r#true, &case.predicted))]).unwrap();
        let close = |ours: Option<f64>, theirs: f64| assert!((ours.unwrap() - theirs).abs() < 1e-12);
        close(figure(&metrics, "accuracy", "all").0, case.accuracy);
        for (metric, (all, each)) in ["precision", "recall", "f1"].iter().zip(case.r#macro.iter().zip(&case.each)) {
            close(figure(&metrics, metric, "all").0, *all);
            for (class, name) in ["m", "g", "p"].iter().enumerate() {
                let (value, n) = figure(&metrics, metric, name);
                assert_eq!(n, case.n[class]);
                // scikit-learn gives 0 for a class that neither occurs nor is predicted; it is not in its average.
                assert!((value.unwrap_or(0.0) - each[class]).abs() < 1e-12);
            }
        }
        assert_eq!(confusion.counts, case.confusion.concat());
    }
}

#[test]
fn a_class_that_neither_occurs_nor_is_predicted_has_no_figure() {
    let (metrics, _) = run(&[(Vec::new(), predictions(&[0, 1], &[0, 1]))]).unwrap();
    assert_eq!(figure(&metrics, "recall", "p"), (None, 0));
    assert_eq!(figure(&metrics, "recall", "all"), (Some(1.0), 2));
}

#[test]
fn golden() {
    let inputs = [(fold("1"), predictions(&[0, 0, 1, 2], &[0, 1, 1, 2])), (fold("2"), predictions(&[1], &[0]))];
    let (metrics, _) = run(&inputs).unwrap();
    let rows = |fold: &str| -> Vec<f64> {
        let rows =
            (0..metrics.values.len()).filter(|&row| metrics.axes[0].1[row] == fold && metrics.labels[row] == "all");
        rows.map(|row| metrics.values[row].unwrap()).collect()
    };
    let expected = [vec![0.75, 5.0 / 6.0, 5.0 / 6.0, 7.0 / 9.0], vec![0.0; 4]];
    let close = |ours: &f64, theirs: &f64| (ours - theirs).abs() < 1e-15;
    for (ours, theirs) in [rows("1"), rows("2")].iter().zip(&expected) {
        let same = ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(ours, theirs)| close(ours, theirs));
        assert!(same, "{ours:?}: the numbers moved: raise VERSION of `classify` and put the new ones here");
    }
}

#[test]
fn gathered_labels_become_columns() {
    let bench = Bench::new();
    let items = [
        bench.item(&predictions(&[0, 1], &[0, 0]), &[("model", "tiny"), ("fold", "1")]),
        bench.item(&predictions(&[2], &[2]), &[("model", "tiny"), ("fold", "2")]),
    ];
    let outcome = bench.run(&STAGE, &[bench.action("{}", &[("predictions", &items)])]).remove(0);
    let metrics: Metrics = bench.table(outcome);
    assert_eq!(metrics.axes[1].0, "fold");
    assert_eq!(metrics.axes[0].1, vec!["tiny"; 26]);
    assert_eq!(metrics.axes[1].1[12..14], texts(&["1", "2"]));
}

#[test]
fn a_classifier_that_predicts_one_class_is_a_warning_that_runs_print() {
    let bench = Bench::new();
    let printed = |folds: &[&[u32]]| {
        let items: Vec<_> = (folds.iter().enumerate())
            .map(|(fold, predicted)| {
                bench.item(&predictions(&[0, 1, 2], predicted), &[("fold", &(fold + 1).to_string())])
            })
            .collect();
        let outputs = bench.run(&STAGE, &[bench.action("{}", &[("predictions", &items)])]).remove(0).unwrap();
        let text = outputs[0].files.iter().find(|(name, _)| name == "table.txt").map(|(_, content)| match content {
            orchestrate_engine::stage::Content::Bytes(bytes) => String::from_utf8(bytes.clone()).unwrap(),
            orchestrate_engine::stage::Content::File(_) => panic!("small files are held in memory"),
        });
        text.unwrap_or_default()
    };
    let expected = "warning: `g` is predicted for every image: fold = 2\n\
                    warning: `p` is never predicted, so its precision counts as 0: fold = 3\n";
    assert_eq!(printed(&[&[0, 1, 2], &[1, 1, 1], &[0, 1, 1]]), expected);
    assert_eq!(printed(&[&[0, 1, 2], &[2, 1, 0]]), "");
}

/// The second input has the same images as the first in another order, the third has others.
#[test]
fn inputs_of_the_same_images_have_the_same_hash() {
    let mut turned = predictions(&[0, 1, 2], &[0, 1, 2]);
    turned.names.reverse();
    let fewer = predictions(&[0, 1], &[0, 1]);
    let inputs = [(fold("1"), predictions(&[0, 1, 2], &[0, 0, 0])), (fold("2"), turned), (fold("3"), fewer)];
    let (metrics, _) = run(&inputs).unwrap();
    let [first, second, third] = [0, 13, 26].map(|row| metrics.image_hashes[row]);
    assert_eq!(first, second);
    assert_ne!(first, third);
    assert_eq!(metrics.predicted[..5], [3, 3, 3, 0, 0]);
    assert_eq!(Metrics::decode(&metrics.encode().unwrap()).unwrap(), metrics);
}

#[test]
fn a_class_named_all_is_refused() {
    let mut predictions = predictions(&[0], &[0]);
    predictions.classes[2] = "all".to_owned();
    let error = run(&[(Vec::new(), predictions)]).unwrap_err().to_string();
    assert!(error.contains("a class is named `all`"), "{error}");
}
