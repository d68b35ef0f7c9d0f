use serde::Deserialize;

use super::*;
use crate::testing::Bench;

/// Scores of as many images as there are values of IoU.
fn scores(iou: &[Option<f64>]) -> Scores {
    Scores {
        names: (0..iou.len()).map(|image| format!("image-{image}")).collect(),
        labels: vec![0; iou.len()],
        predicted: vec![0; iou.len()],
        classes: vec!["x".to_owned()],
        iou: iou.to_vec(),
        dice: iou.iter().map(|iou| iou.map(|iou| 1.0 - iou)).collect(),
        precision: iou.to_vec(),
        recall: iou.to_vec(),
        mask_pixels: vec![1; iou.len()],
        truth_pixels: vec![1; iou.len()],
        ..Scores::default()
    }
}

/// Labels of a node, and the IoU of each of its images.
type Node<'a> = (&'a [(&'a str, &'a str)], &'a [Option<f64>]);

/// The input of one stage.
fn input(bench: &Bench, stage: &str, nodes: &[Node<'_>]) -> Input {
    let items = nodes.iter().map(|(labels, iou)| bench.item(&scores(iou), labels)).collect();
    Input { stage: stage.to_owned(), items }
}

fn ask(nested: bool, metric: &str, inputs: &[Input]) -> Swept {
    let folds = ["fold".to_owned()];
    sweep(&Question { axis: "t", folds: &folds, metric, nested }, inputs).unwrap()
}

/// Means of the folds by value: 1: .2 and .6; 2: .5 and .3; 3: .4 and .4. All means are .4, so the first value is best.
/// Nested: the other fold alone chooses value 1 for fold 1, with score .2 there, and value 2 for fold 2, with .3; their
/// mean is .25.
#[test]
fn the_first_of_equal_values_is_best_and_a_nested_choice_never_sees_its_fold() {
    let bench = Bench::new();
    let means = [("1", 0.2, 0.6), ("2", 0.5, 0.3), ("3", 0.4, 0.4)];
    let labels: Vec<_> = means
        .iter()
        .flat_map(|&(value, first, second)| {
            [([("fold", "1"), ("t", value)], [Some(first)]), ([("fold", "2"), ("t", value)], [Some(second)])]
        })
        .collect();
    let nodes: Vec<Node<'_>> = labels.iter().map(|(labels, iou)| (labels.as_slice(), iou.as_slice())).collect();
    let swept = ask(true, "iou", &[input(&bench, "score", &nodes)]);
    let series = &swept.series[0];
    let best = series.best.as_ref().unwrap();
    assert_eq!((series.name.as_str(), best.value.as_str(), best.mean, best.n), ("score", "1", 0.4, 2));
    assert_eq!(best.equals, ["1", "2", "3"]);
    let nested = series.nested.as_ref().unwrap();
    let chosen: Vec<_> = nested.chosen.iter().map(|it| (it.fold.as_str(), it.value.as_str(), it.score)).collect();
    assert_eq!(chosen, [("1", "1", Some(0.2)), ("2", "2", Some(0.3))]);
    assert_eq!(nested.mean, Some(0.25));
    assert!((nested.sd.unwrap() - 0.005_f64.sqrt()).abs() < 1e-12);
    let text = text(&swept);
    for part in [
        "IoU by t, 3 values from 1 to 3, mean (sd) over 2 folds",
        "score        1  0.400 (0.283)  2  0.250 (0.071)              1 2\n",
        "The best t is chosen on the very images that it is scored on: its IoU is optimistic.",
        "score: 1, 2, 3 are equally good; 1 comes first.",
    ] {
        assert!(text.contains(part), "{part} in\n{text}");
    }
}

#[test]
fn other_axes_and_stages_make_series_and_metrics_are_columns() {
    let bench = Bench::new();
    let values: &[Node<'_>] = &[
        (&[("model", "m"), ("t", "low")], &[Some(0.25)]),
        (&[("model", "m"), ("t", "high")], &[Some(0.5)]),
        (&[("model", "n"), ("t", "low")], &[None]),
        (&[("model", "n"), ("t", "high")], &[]),
    ];
    let inputs = [input(&bench, "score", values), input(&bench, "other", &values[..1])];
    let swept = ask(true, "dice", &inputs);
    let names: Vec<_> = swept.series.iter().map(|series| series.name.as_str()).collect();
    assert_eq!(names, ["score · m", "score · n", "other · m"]);
    assert_eq!(swept.values, ["low", "high"]);
    let best: Vec<_> = swept.series.iter().map(|series| series.best.as_ref().map(|best| best.value.as_str())).collect();
    assert_eq!(best, [Some("low"), None, Some("low")]);
    assert_eq!(swept.series[0].best.as_ref().unwrap().sd, None, "there is one value, so it has no spread");
    assert!(swept.series.iter().all(|series| series.nested.is_none()), "there are no other folds to choose on");
    let text = text(&swept);
    assert!(text.contains("score · n: no image has a score."), "{text}");
    let alone = ask(false, "iou", &inputs[..1]);
    assert_eq!(alone.series[0].name, "m");
}

#[derive(Deserialize)]
struct Reference {
    scores: Vec<Scored>,
    expected: std::collections::BTreeMap<String, Expected>,
}

#[derive(Deserialize)]
struct Scored {
    model: String,
    fold: String,
    threshold: String,
    iou: Vec<Option<f64>>,
}

#[derive(Deserialize)]
struct Expected {
    means: Vec<f64>,
    sds: Vec<f64>,
    n: Vec<u64>,
    best: String,
    equals: Vec<String>,
    empty_folds: Vec<String>,
    nested_values: Vec<String>,
    nested_scores: Vec<Option<f64>>,
    nested_mean: f64,
    nested_sd: f64,
}

fn close(ours: Option<f64>, theirs: Option<f64>) -> bool {
    match (ours, theirs) {
        (Some(ours), Some(theirs)) => (ours - theirs).abs() < 1e-12,
        (ours, theirs) => ours.is_none() && theirs.is_none(),
    }
}

fn reference(bench: &Bench) -> (Swept, std::collections::BTreeMap<String, Expected>) {
    let Reference { scores: nodes, expected } =
        serde_json::from_str(include_str!("../../../tests/reference/sweep.json")).unwrap();
    let item = |node: &Scored| {
        bench.item(&scores(&node.iou), &[("model", &node.model), ("fold", &node.fold), ("t", &node.threshold)])
    };
    let input = Input { stage: "score".to_owned(), items: nodes.iter().map(item).collect() };
    (ask(true, "iou", &[input]), expected)
}

#[test]
fn figures_and_choices_are_those_of_pandas() {
    let (swept, expected) = reference(&Bench::new());
    assert_eq!(swept.series.len(), expected.len());
    for series in &swept.series {
        let expected = &expected[&series.name];
        for (index, score) in series.scores.iter().enumerate() {
            assert!(close(score.mean, Some(expected.means[index])), "{series:?}");
            assert!(close(score.sd, Some(expected.sds[index])), "{series:?}");
            assert_eq!(score.n, expected.n[index]);
        }
        let best = series.best.as_ref().unwrap();
        assert_eq!(
            (&best.value, &best.equals, &best.empty_folds),
            (&expected.best, &expected.equals, &expected.empty_folds)
        );
        let nested = series.nested.as_ref().unwrap();
        let values: Vec<_> = nested.chosen.iter().map(|chosen| chosen.value.clone()).collect();
        assert_eq!(values, expected.nested_values);
        assert!(nested.chosen.iter().zip(&expected.nested_scores).all(|(ours, theirs)| close(ours.score, *theirs)));
        assert!(close(nested.mean, Some(expected.nested_mean)) && close(nested.sd, Some(expected.nested_sd)));
    }
}

#[test]
fn chart_has_a_line_a_series_its_rules_as_points_and_a_ring_at_the_best() {
    let (swept, _) = reference(&Bench::new());
    let svg = String::from_utf8(svg(&swept).unwrap()).unwrap();
    assert_eq!(svg.matches("<polyline").count(), 3);
    assert_eq!(svg.matches("class=\"point").count(), 3 * 6);
    assert_eq!(svg.matches("class=\"best").count(), 3);
    for part in ["t, then rules", "mean IoU (whiskers: sd over folds)", ">otsu</text>", "a: 128 (0.421)"] {
        assert!(svg.contains(part), "{part} in\n{svg}");
    }
    assert!(super::svg(&Swept { values: Vec::new(), ..swept }).is_none());
}
