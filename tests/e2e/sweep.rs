//! Stories of sweeps: missing nodes, printed text, charts, and sweeps that are errors.

use serde_json::Value;

use crate::sandbox::{Said, Sandbox};
use crate::study::STUDY;

/// The summary without the time: `30 nodes: 10 hit, 20 ran`.
fn counts(said: &Said) -> &str {
    let line = said.err.lines().rfind(|line| line.contains(" nodes: ")).unwrap_or_default();
    line.rsplit_once(" in ").unwrap_or_default().0
}

#[test]
fn sweep_runs_only_missing_thresholds_and_scores_and_a_second_one_runs_nothing() {
    let sandbox = Sandbox::with_spec(STUDY);
    sandbox.edit("spec.toml", "images = \"all\"", "images = \"all\"\npublish = \"results/scores\"");
    sandbox.run_well(&["--until", "cam"]);
    let swept = sandbox.orchestrate(&["sweep", "spec.toml", "threshold=0..=250:50"]);
    assert_eq!(swept.code, Some(0), "{}", swept.err);
    assert_eq!(
        counts(&swept),
        "58 nodes: 10 hit, 48 ran",
        "six thresholds of two models in two folds, and their scores"
    );
    assert!(!sandbox.path("results/scores").exists(), "a sweep publishes nothing");
    for part in ["IoU by threshold, 6 values from 0 to 250", "tiny-modified", "optimistic", "--nested", "synthetic"] {
        assert!(swept.out.contains(part), "{part} in\n{}", swept.out);
    }
    assert!(swept.out.ends_with("DIR/results/study/sweep-threshold-iou.svg\n"), "{}", swept.out);
    let svg = sandbox.read("results/study/sweep-threshold-iou.svg");
    assert!(svg.contains("threshold (grey level, 0 to 255)") && svg.matches("class=\"best").count() == 2, "{svg}");

    let again = sandbox.orchestrate(&["sweep", "spec.toml", "threshold=0..=250:50"]);
    assert_eq!((counts(&again), &again.out), ("58 nodes: 58 hit", &swept.out));
    assert_eq!(sandbox.read("results/study/sweep-threshold-iou.svg"), svg);
    sandbox.write("mine.svg", "mine");
    let refused = sandbox.orchestrate(&["sweep", "spec.toml", "threshold=0..=250:50", "--plot", "mine.svg"]);
    assert!(refused.code == Some(2) && refused.err.contains("mine.svg is no chart of this command"), "{}", refused.err);
    assert_eq!(sandbox.read("mine.svg"), "mine");

    // One more threshold runs with its scores only; `--plot` names the chart.
    let more =
        sandbox.orchestrate(&["sweep", "spec.toml", "threshold=0..=250:50,q90", "--plot", "q90.svg", "--nested"]);
    assert_eq!(counts(&more), "66 nodes: 58 hit, 8 ran");
    assert!(more.out.contains("nested IoU") && more.out.ends_with("q90.svg\n"), "{}", more.out);
    assert!(sandbox.read("q90.svg").contains(">q90</text>"));

    // An ordinary run finds the results of the sweep.
    let run = sandbox.run_well(&["--set", "axes.threshold=[50, \"q90\"]"]);
    assert_eq!(run.ran().iter().filter(|node| node.starts_with("threshold") || node.starts_with("score")).count(), 0);
}

#[test]
fn sweep_widens_the_pin_of_its_spec_and_keeps_the_limits_of_the_store() {
    let sandbox = Sandbox::with_spec(STUDY);
    sandbox.run_well(&["--until", "cam"]);
    let pinned = sandbox.orchestrate(&["store", "pin", "spec.toml", "--set", "axes.threshold=[50, 100]"]);
    assert!(pinned.out.starts_with("pinned 10 results of spec"), "{}{}", pinned.out, pinned.err);
    let sweep = |values| sandbox.orchestrate(&["sweep", "spec.toml", values]);
    assert_eq!(counts(&sweep("threshold=50,100")), "26 nodes: 10 hit, 16 ran");
    let pins = sandbox.orchestrate(&["store", "pins"]).out;
    assert!(pins.lines().any(|line| line.starts_with("study ") && line.contains(" 26 ")), "{pins}");

    assert_eq!(counts(&sweep("threshold=0")), "18 nodes: 10 hit, 8 ran");
    sandbox.write("orchestrate.toml", "[store]\nmax_size = \"1 B\"\n");
    sandbox.write(".orchestrate/last-gc", "0\n");
    let collected = sweep("threshold=50,100");
    assert_eq!(counts(&collected), "26 nodes: 26 hit");
    assert!(collected.err.contains("store limits: deleted 8 results"), "{}", collected.err);
}

#[test]
fn sweep_as_json_has_every_score_and_images_can_be_chosen() {
    let sandbox = Sandbox::with_spec(STUDY);
    let args = ["sweep", "spec.toml", "threshold=200,otsu", "--metric", "dice", "--json", "--nested"];
    let all: Value = serde_json::from_str(&sandbox.orchestrate(&args).out).expect("one JSON object");
    assert_eq!(
        (&all["axis"], &all["metric"], &all["values"][1]),
        (&"threshold".into(), &"dice".into(), &"otsu".into())
    );
    let series = &all["series"][0];
    assert_eq!((&series["point"][0][1], &series["scores"][0]["n"]), (&"tiny".into(), &24.into()));
    assert_eq!(series["scores"][1]["by_fold"].as_array().map(Vec::len), Some(2));
    assert_eq!(series["nested"]["chosen"].as_array().map(Vec::len), Some(2));
    let said = sandbox.orchestrate(&[&args[..], &["--images", "correct"]].concat());
    assert_eq!(counts(&said), "26 nodes: 18 hit, 8 ran", "only the scores are others");
    let correct: Value = serde_json::from_str(&said.out).expect("one JSON object");
    assert!(correct["series"][0]["scores"][0]["n"].as_u64() < Some(24), "{correct}");
    // The table of the study shows the same scores.
    let run = sandbox.run_well(&["--set", "stages.iou.value=dice"]);
    assert_eq!(run.ran().iter().filter(|node| !["classification", "iou"].contains(node)).count(), 2, "{:?}", run.ran());
    let csv = sandbox.read("results/iou/table.csv");
    let mean = series["scores"][0]["mean"].as_f64().expect("a number").to_string();
    assert!(csv.contains(&mean), "{mean} in\n{csv}");
}

#[test]
fn impossible_sweeps_are_errors_with_a_caret_and_exit_code_2() {
    let sandbox = Sandbox::with_spec(STUDY);
    let cases: [(&[&str], &[&str]); 10] = [
        (&["threshold=0..=256"], &["--> sweep:1:11", "threshold=0..=256", "^^^^^^^", "must be a number from 0 to 255"]),
        (&["threshold=200,q900"], &["--> sweep:1:15", "^^^^", "q900"]),
        (&["treshold=200"], &["the spec has no axis `treshold`", "--> sweep:1:1", "help: did you mean `threshold`?"]),
        (&["threshold"], &["a sweep names no axis", "threshold=0..=255"]),
        (&["threshold=9..=1"], &["the range \"9..=1\" is empty"]),
        (&["fold=1..=2"], &["axis `fold` has the folds", "--> sweep:1:1", "^^^^"]),
        (&["threshold=200", "--metric", "auc"], &["iou, dice, precision, recall"]),
        (&["threshold=200", "--nested", "--set", "axes.fold=[1]", "--set", "stages.split.folds=2"], &["has no others"]),
        (&["more=1..=3", "--set", "axes.more=[1]"], &["no stage varies over axis `more`", "--> --set:1:6", "^^^^"]),
        (&["threshold=200", "--images", "some"], &["correct, all"]),
    ];
    for (args, parts) in cases {
        let said = sandbox.orchestrate(&[&["sweep", "spec.toml"], args].concat());
        assert_eq!(said.code, Some(2), "{args:?}: {}", said.err);
        for part in parts {
            assert!(said.err.contains(part), "{args:?}: {part} in\n{}", said.err);
        }
    }
    assert!(!sandbox.path(".orchestrate").exists(), "nothing ran");
}

#[test]
fn spec_without_scores_along_the_axis_is_an_error_with_a_remedy() {
    let sandbox = Sandbox::with_spec(crate::rerun::LETTERS);
    let said = sandbox.orchestrate(&["sweep", "spec.toml", "times=1..=3"]);
    assert_eq!(said.code, Some(2), "{}", said.err);
    assert!(said.err.contains("no stage of kind `score`"), "{}", said.err);
    assert!(said.err.contains("--> sweep:1:1"), "{}", said.err);
}
