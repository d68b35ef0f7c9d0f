//! Params that contradict the inputs of a stage.

use super::*;

fn problems(rows: &str) -> Vec<(String, String)> {
    let spec = STUDY.replace("rows = [\"model\"]", rows);
    let error = plan(&spec, &[]).err().expect("the spec is wrong");
    let shown = |span: &crate::source::Span| error.sources.text(span).to_owned();
    let all = error.diagnostics.iter();
    all.map(|problem| (problem.message.clone(), problem.span.as_ref().map(shown).unwrap_or_default())).collect()
}

#[test]
fn a_param_that_contradicts_the_inputs_is_an_error_of_the_plan_at_its_value() {
    let message = |row: &str| format!("stage `table` (kind table): no input varies along `{row}`");
    assert_eq!(problems("rows = [\"model\", \"modle\"]"), [(message("modle"), "\"modle\"".to_owned())]);
}

#[test]
fn an_axis_that_the_stage_varies_over_is_no_axis_of_its_inputs() {
    let (message, shown) = &problems("rows = [\"model\"]\nover = [\"model\"]")[0];
    assert!(message.ends_with("no input varies along `model`") && shown == "\"model\"", "{message} {shown}");
}

#[test]
fn inputs_are_checked_beside_other_problems() {
    let spec = STUDY.replace("rows = [\"model\"]", "rows = [\"modle\"]").replace("count = 9", "count = 9\nspeed = 1");
    let said = plan(&spec, &[]).err().expect("the spec is wrong").to_string();
    assert!(said.contains("unknown field `speed`") && !said.contains("varies along"), "its inputs are unknown: {said}");
}
