//! Contradictions between params and inputs that are found before anything runs.

mod planned;

use orchestrate_engine::params::Params;
use orchestrate_engine::stage::{InputProblem, PlannedNode as _, Stage};
use serde_json::{Value, json};

use super::{classify, compare, table};
use planned::Planned;

/// Scores of a study of two models, two folds and two thresholds on the phantom.
fn scores(kind: &'static str, params: Value) -> Planned {
    let data = || Planned::new("dataset", json!({ "format": "phantom" }));
    let cam = || {
        Planned::new("cam", json!({})).input(
            "split",
            &[],
            Planned::new("split", json!({})).input("labels", &[], data()),
        )
    };
    let score = || Planned::new("score", json!({})).input("cams", &[], cam());
    let axes: [(_, &[&str]); 3] = [("model", &["a", "b"]), ("fold", &["1", "2"]), ("threshold", &["200", "q90"])];
    Planned::new(kind, params).gathered("scores", &axes, &score)
}

/// The metrics of two models, each over two folds.
fn metrics(params: Value) -> Planned {
    let cam = || Planned::new("cam", json!({}));
    let folds: [(_, &[&str]); 1] = [("fold", &["1", "2"])];
    let classify = || Planned::new("classify", json!({})).gathered("predictions", &folds, &cam);
    Planned::new("table", params).gathered("scores", &[("model", &["a", "b"])], &classify)
}

fn params<P: Params>(written: Value) -> Value {
    serde_json::to_value(serde_json::from_value::<P>(written).unwrap().completed()).unwrap()
}

fn problem(node: &Planned) -> Option<InputProblem> {
    let stage: &dyn Stage = match node.kind() {
        "table" => &table::STAGE,
        "compare" => &compare::STAGE,
        _ => &classify::STAGE,
    };
    stage.facts().check_inputs.expect("it checks its inputs")(node).into_iter().next()
}

/// Each contradiction with the param, the text within it, and a part of the message.
#[test]
fn each_contradiction_is_found_at_its_param() {
    let cases = [
        (json!({ "rows": ["modle"], "columns": ["threshold"] }), "rows", Some("modle"), "did you mean `model`?"),
        (
            json!({ "rows": ["model"], "columns": ["metrics"] }),
            "columns",
            Some("metrics"),
            "along which no input varies",
        ),
        (json!({ "rows": ["model"] }), "rows", None, "the inputs differ along `threshold` (200, q90)"),
        (json!({ "rows": ["model"], "only": { "threshold": 210 } }), "only", Some("210"), "which no input has"),
        (
            json!({ "rows": ["model"], "only": { "treshold": 200 } }),
            "only",
            Some("treshold"),
            "did you mean `threshold`?",
        ),
        (json!({ "rows": ["model", "threshold"], "value": "iuo" }), "value", None, "did you mean `iou`?"),
        (
            json!({ "rows": ["model", "threshold"], "across": ["fold", "seed"] }),
            "across",
            Some("seed"),
            "no input varies",
        ),
        (
            json!({ "rows": ["model", "threshold"], "only": { "label": "glioam" } }),
            "only",
            Some("glioam"),
            "did you mean `glioma`?",
        ),
        (
            json!({ "rows": ["model", "threshold"], "only": { "lesion_size": "<9 px" }, "lesion_sizes": [10] }),
            "only",
            Some("<9 px"),
            "there are: all, <10 px, ≥10 px",
        ),
    ];
    for (written, at, text, message) in cases {
        let found = problem(&scores("table", params::<table::Params>(written.clone()))).expect("it is a contradiction");
        assert_eq!((found.at, found.written.as_deref()), (at, text), "{written}: {}", found.message);
        assert!(found.message.contains(message), "{written}: {}", found.message);
    }
}

#[test]
fn a_table_that_fits_its_inputs_has_no_problem() {
    let written = [
        json!({ "rows": ["model"], "columns": ["threshold"] }),
        json!({ "rows": ["model"], "columns": ["threshold", "label"], "value": "dice" }),
        json!({ "rows": ["model"], "columns": ["metric"], "only": { "threshold": "q90" } }),
        json!({ "rows": ["model"], "columns": ["threshold"], "interval": "bootstrap" }),
        json!({ "rows": ["lesion_size", "model"], "only": { "threshold": 200 }, "lesion_sizes": "tertiles" }),
    ];
    for written in written {
        assert_eq!(problem(&scores("table", params::<table::Params>(written.clone()))), None, "{written}");
    }
    let metrics_of = |written| metrics(params::<table::Params>(written));
    assert_eq!(problem(&metrics_of(json!({ "rows": ["model"], "columns": ["metric"], "value": "value" }))), None);
    assert_eq!(problem(&metrics_of(json!({ "rows": ["model"], "value": "f1", "only": { "label": "any" } }))), None);
    let found = problem(&metrics_of(json!({ "rows": ["model"], "value": "iou" }))).unwrap();
    assert!(found.message.contains("its metrics: accuracy, precision, recall, f1"), "{}", found.message);
    let found = problem(&metrics_of(json!({ "rows": ["model"], "value": "f1", "across": [] }))).unwrap();
    assert!(found.message.contains("the inputs differ along `fold`"), "{}", found.message);
}

#[test]
fn a_comparison_of_values_that_no_input_has_or_of_sides_that_never_meet_is_found() {
    let compared = |written: Value| problem(&scores("compare", params::<compare::Params>(written)));
    let fits = json!({ "axis": "model", "between": ["a", "b"], "only": { "threshold": 200 } });
    assert_eq!(compared(fits), None);
    let found = compared(json!({ "axis": "model", "between": ["a", "c"], "only": { "threshold": 200 } })).unwrap();
    assert_eq!((found.at, found.written.as_deref()), ("between", Some("c")), "{}", found.message);
    let found = compared(json!({ "axis": "modle", "between": ["a", "b"] })).unwrap();
    assert_eq!((found.at, found.written.as_deref()), ("axis", Some("modle")), "{}", found.message);
    let found = compared(json!({ "axis": "model", "between": ["a", "b"] })).unwrap();
    assert!(found.message.contains("the inputs differ along `threshold`"), "{}", found.message);
}

#[test]
fn an_axis_with_the_name_of_a_column_is_found() {
    let cam = || Planned::new("cam", json!({}));
    let axis: [(_, &[&str]); 1] = [("n", &["1", "2"])];
    let classify = Planned::new("classify", json!({})).gathered("predictions", &axis, &cam);
    assert!(problem(&classify).unwrap().message.contains("two columns are named `n`"));
    let score = || Planned::new("score", json!({}));
    for axis in ["mean", "constant", "statistic"] {
        let axes: [(_, &[&str]); 1] = [(axis, &["1", "2"])];
        let written = params::<table::Params>(json!({ "rows": [axis] }));
        let table = Planned::new("table", written).gathered("scores", &axes, &score);
        assert!(problem(&table).unwrap().message.contains("two columns are named"), "{axis}");
    }
    let axes: [(_, &[&str]); 1] = [("label", &["1", "2"])];
    let table = Planned::new("table", params::<table::Params>(json!({ "rows": ["label"] })));
    let found = problem(&table.gathered("scores", &axes, &score)).unwrap();
    assert!(found.message.contains("an axis is named `label`"), "{}", found.message);
}

#[test]
fn scores_that_no_axis_tells_apart_and_inputs_of_two_kinds_are_found() {
    let written = params::<table::Params>(json!({ "rows": ["model"] }));
    let score = || Planned::new("score", json!({}));
    let twice = Planned::new("table", written.clone()).input("scores", &[("model", "a")], score());
    let twice = twice.input("scores", &[("model", "a")], score());
    assert!(problem(&twice).unwrap().message.contains("several inputs fall into one cell (model = a)"));
    let mixed = Planned::new("table", written).input("scores", &[("model", "a")], score());
    let mixed = mixed.input("scores", &[("model", "b")], Planned::new("classify", json!({})));
    assert!(problem(&mixed).unwrap().message.contains("some inputs are scores and some metrics"));
}

#[test]
fn scores_of_a_program_are_not_known_before_it_runs() {
    let written = params::<table::Params>(json!({ "rows": ["anything"] }));
    let program = Planned::new("table", written).input("scores", &[], Planned::new("command", json!({})));
    assert_eq!(problem(&program), None);
}
