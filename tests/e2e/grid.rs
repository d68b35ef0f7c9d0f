//! Stories of grids: several values of one param for one run, and sweeps of a param.

use serde_json::Value;

use crate::sandbox::Sandbox;
use crate::study::STUDY;

#[test]
fn a_grid_runs_each_value_as_an_override_would_and_publishes_nothing() {
    let sandbox = Sandbox::with_spec(STUDY);
    sandbox.run_well(&[]);
    let published = sandbox.read("results/iou/table.csv");
    let grid = ["--grid", "stages.train.epochs=1,2"];
    let run = sandbox.run_well(&grid);
    let ran = |stage: &str| run.ran().iter().filter(|node| node.starts_with(stage)).count();
    assert_eq!((ran("train["), ran("cam["), ran("score[")), (4, 4, 8), "the value of the spec is a hit");
    assert!(run.ran().contains(&"train[fold=1,model=tiny,train.epochs=2]"), "{:?}", run.ran());
    assert!(run.ran().contains(&"classify[model=tiny,train.epochs=2]"), "{:?}", run.ran());
    assert_eq!(sandbox.read("results/iou/table.csv"), published, "the folders are those of the spec");

    // The same value by an override is a hit, but for tables that list the axis.
    let run = sandbox.run_well(&["--set", "stages.train.epochs=2"]);
    assert_eq!(run.ran(), ["classification", "iou"]);

    let said = sandbox.orchestrate(&[&["run", "spec.toml"][..], &grid].concat());
    assert!(said.out.contains("train.epochs") && said.err.contains("56 nodes: 56 hit"), "{}{}", said.out, said.err);
    let explained =
        sandbox.orchestrate(&["explain", "spec.toml", "train[model=tiny,fold=1,train.epochs=2]", grid[0], grid[1]]);
    assert!(
        explained.out.contains("train[model=tiny,fold=1,train.epochs=2]: hit"),
        "{}{}",
        explained.out,
        explained.err
    );
    let latest = sandbox.orchestrate(&["explain", "score[model=tiny,fold=1,threshold=200,train.epochs=2]"]);
    assert!(
        latest.out.contains(": hit") && latest.err.contains("--grid 'stages.train.epochs=1,2'"),
        "{}{}",
        latest.out,
        latest.err
    );
}

#[test]
fn a_grid_publishes_below_a_folder_of_its_own() {
    let sandbox = Sandbox::with_spec(STUDY);
    let grid = ["--grid", "stages.score.images=correct,all", "--publish"];
    let own = sandbox.run(&[&grid[..], &["results"]].concat());
    assert_eq!(own.said.code, Some(2), "{}", own.said.err);
    let run = sandbox.run_well(&[&grid[..], &["grids/images"]].concat());
    assert_eq!(run.ran().iter().filter(|node| node.starts_with("score[")).count(), 16);
    let csv = sandbox.read("grids/images/iou/table.csv");
    assert!(csv.lines().next().is_some_and(|header| header.contains("score.images")), "{csv}");
    assert!(!sandbox.path("results").exists());
    let alone = sandbox.orchestrate(&["run", "spec.toml", "--publish", "x"]);
    assert!(alone.code == Some(2) && alone.err.contains("--grid"), "{}", alone.err);
}

#[test]
fn a_param_is_swept_by_its_path() {
    let sandbox = Sandbox::with_spec(STUDY);
    let args = ["sweep", "spec.toml", "stages.train.epochs=1,2", "--nested"];
    let said = sandbox.orchestrate(&args);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.out.contains("IoU by train.epochs") && said.out.contains("nested IoU"), "{}", said.out);
    assert!(said.out.ends_with("results/study/sweep-train.epochs-iou.svg\n"), "{}", said.out);
    let json: Value = serde_json::from_str(&sandbox.orchestrate(&[&args[..], &["--json"]].concat()).out).unwrap();
    assert_eq!((&json["axis"], &json["values"][1]), (&"train.epochs".into(), &"2".into()));
    assert_eq!(sandbox.run_well(&["--set", "stages.train.epochs=2", "--until", "score"]).ran(), Vec::<&str>::new());
}

#[test]
fn mistakes_in_a_grid_are_errors_of_usage_at_the_typed_text() {
    let sandbox = Sandbox::with_spec(STUDY);
    for (grid, said_so) in [
        ("stages.trian.epochs=1,2", "did you mean `train`?"),
        ("stages.train.epohcs=1,2", "did you mean `epochs`?"),
        ("stages.train.epochs=1,0", "--> --grid:1:23"),
        ("stages.train.model=tiny", "axis `model` binds `model` in stage `train` already"),
    ] {
        let said = sandbox.orchestrate(&["plan", "spec.toml", "--grid", grid]);
        assert!(said.code == Some(2) && said.err.contains(said_so), "{grid}: {}", said.err);
    }
}
