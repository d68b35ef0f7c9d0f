//! Stories of faults that are found before anything runs, though the params alone are right.

use crate::sandbox::Sandbox;
use crate::study::STUDY;

#[test]
fn a_table_that_contradicts_its_inputs_is_an_error_of_the_plan_at_its_param() {
    let with_reports = format!(
        "{STUDY}
[stages.comparison]
kind = \"compare\"
inputs = {{ scores = \"score\" }}
axis = \"model\"
between = [\"tiny\", \"tiny-modified\"]
only = {{ threshold = 200 }}

[stages.report]
kind = \"report\"
inputs = {{ tables = [\"iou\"], scores = \"score\" }}
at = 200
"
    );
    let sandbox = Sandbox::with_spec(&with_reports);
    assert_eq!(sandbox.orchestrate(&["plan", "spec.toml"]).code, Some(0));
    for (set, stage, said_so) in [
        ("stages.iou.rows=[\"modle\"]", "iou", "did you mean `model`?"),
        ("stages.iou.columns=[]", "iou", "the inputs differ along `threshold` (200, otsu)"),
        ("stages.iou.value=\"iuo\"", "iou", "did you mean `iou`?"),
        ("stages.iou.only={ threshold = 210 }", "iou", "which no input has"),
        ("stages.iou.only={ label = \"gliom\" }", "iou", "did you mean `glioma`?"),
        ("stages.classification.value=\"iou\"", "classification", "its metrics: accuracy, precision, recall, f1"),
        ("stages.classification.interval=\"bootstrap\"", "classification", "a value an image is needed"),
        ("stages.comparison.between=[\"tiny\", \"vgg16\"]", "comparison", "which no input has along `model`"),
        ("stages.comparison.only={}", "comparison", "the inputs differ along `threshold`"),
        ("stages.report.at=225", "report", "that no input has; there are: 200, otsu"),
        ("axes.model=[\"tiny\"]", "comparison", "`between` names `tiny-modified`"),
    ] {
        let said = sandbox.orchestrate(&["plan", "spec.toml", "--set", set]);
        assert_eq!(said.code, Some(2), "{set}: {}{}", said.out, said.err);
        assert!(said.err.contains(&format!("stage `{stage}`")) && said.err.contains(said_so), "{set}: {}", said.err);
    }
    let said = sandbox.orchestrate(&["run", "spec.toml", "--set", "stages.iou.rows=[\"model\", \"modle\"]"]);
    assert_eq!(said.code, Some(2), "{}", said.err);
    assert!(said.err.contains("--> --set:1:26"), "the caret is on the name: {}", said.err);
    assert!(!sandbox.path(".orchestrate").exists(), "nothing has run");
}

#[test]
fn a_sweep_runs_though_a_table_keeps_a_value_that_it_replaces() {
    let sandbox = Sandbox::with_spec(STUDY);
    sandbox.edit("spec.toml", "columns = [\"threshold\"]", "only = { threshold = 200 }");
    let said = sandbox.orchestrate(&["sweep", "spec.toml", "threshold=210,220"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
}

#[test]
fn a_class_with_the_name_of_all_classes_is_refused_where_it_is_written() {
    let sandbox = Sandbox::with_spec(STUDY);
    sandbox.edit("spec.toml", "format = \"phantom\"\ncount = 24", "format = \"manifest\"\npath = \"labels.csv\"");
    sandbox.write("labels.csv", "image,label\na.png,all\nb.png,glioma\n");
    sandbox.write("a.png", "");
    sandbox.write("b.png", "");
    let said = sandbox.orchestrate(&["plan", "spec.toml"]);
    assert_eq!(said.code, Some(2), "{}", said.err);
    assert!(said.err.contains("line 2: a class is named `all`"), "{}", said.err);
}

#[test]
fn many_problems_of_one_cause_are_three_and_a_count() {
    let sandbox = Sandbox::with_spec(STUDY);
    sandbox.edit("spec.toml", "format = \"phantom\"\ncount = 24", "format = \"manifest\"\npath = \"labels.csv\"");
    let rows: String = (0..298).map(|row| format!("{row}.png,\n")).collect();
    sandbox.write("labels.csv", format!("image,label\n{rows}"));
    let said = sandbox.orchestrate(&["plan", "spec.toml"]);
    assert_eq!(said.code, Some(2), "{}", said.err);
    assert!(said.err.contains("more like these"), "{}", said.err);
    assert!(said.err.lines().count() < 20, "{}", said.err);
}

#[test]
fn a_script_that_a_command_cannot_find_is_told_to_be_code() {
    let sandbox = Sandbox::with_spec(STUDY);
    let command = "\n[stages.own]\nkind = \"command\"\ninputs = { scores = \"score\" }\n\
                   argv = [\"python3\", \"summary.py\", \"{in.scores}\", \"{out}\"]\n";
    sandbox.write("spec.toml", format!("{STUDY}{command}"));
    let said = sandbox.orchestrate(&["plan", "spec.toml"]);
    assert_eq!(said.code, Some(2), "{}", said.err);
    assert!(
        said.err.contains("it starts in an empty folder") && said.err.contains("code = [\"summary.py\"]"),
        "{}",
        said.err
    );
}
