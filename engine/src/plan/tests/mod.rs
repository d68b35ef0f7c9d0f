//! Plans from TOML, and a table of bad specs with their errors.

use super::{Plan, Selector};
use crate::fake::{STUDY, plan};

mod borders;
mod grid;
mod inherit;
mod inputs;

fn names(plan: &Plan, stage: &str) -> Vec<String> {
    let index = plan.stages.iter().position(|planned| planned.name == stage).expect("the stage is planned");
    plan.stage_nodes(index).map(|id| plan.name(id).to_string()).collect()
}

#[test]
fn nodes_are_stages_at_points_in_gather_order() {
    let plan = plan(STUDY, &[]).unwrap();
    assert_eq!(plan.nodes.len(), 1 + 1 + 6 + 12 + 12 + 1);
    assert_eq!(
        names(&plan, "train")[..4],
        ["train[model=a,fold=1]", "train[model=a,fold=2]", "train[model=a,fold=3]", "train[model=b,fold=1]"]
    );
    assert_eq!(names(&plan, "table"), ["table"]);
}

#[test]
fn inputs_come_before_the_nodes_that_read_them() {
    let plan = plan(STUDY, &[]).unwrap();
    for id in plan.ids() {
        assert!(plan.inputs(id).iter().all(|input| input < &id), "{}", plan.name(id));
    }
}

#[test]
fn shared_axes_join_and_missing_axes_are_gathered_in_order() {
    let plan = plan(STUDY, &[]).unwrap();
    let score = Selector::parse("score[model=b,fold=2,threshold=225]").unwrap().nodes(&plan).unwrap()[0];
    let inputs: Vec<_> = plan.inputs(score).iter().map(|id| plan.name(*id).to_string()).collect();
    assert_eq!(inputs, ["train[model=b,fold=2]", "threshold[model=b,fold=2,threshold=225]", "images"]);
    let table = Selector::parse("table").unwrap().nodes(&plan).unwrap()[0];
    let inputs: Vec<_> = plan.inputs(table).iter().map(|id| plan.name(*id).to_string()).collect();
    assert_eq!(inputs, names(&plan, "score"));
}

#[test]
fn folds_and_seed_are_supplied_to_stages_that_set_none() {
    let plan = plan(STUDY, &["stages.train.seed=1"]).unwrap();
    let params = |stage: &str| plan.stages.iter().find(|s| s.name == stage).unwrap().param_sets[0].params.clone();
    assert_eq!(params("split")["folds"], 3);
    assert_eq!(params("images")["seed"], 7);
    assert_eq!(params("train")["seed"], 1);
}

#[test]
fn excluded_points_vanish_and_consumers_gather_what_exists() {
    let spec = format!("exclude = [{{ model = \"a\", fold = 2 }}]\n{STUDY}");
    let plan = plan(&spec, &[]).unwrap();
    assert_eq!(names(&plan, "train").len(), 5);
    assert!(!names(&plan, "score").iter().any(|name| name.starts_with("score[model=a,fold=2")));
    assert_eq!(plan.inputs(plan.ids().next_back().unwrap()).len(), 10);
}

#[test]
fn zipped_axes_move_together() {
    let spec = format!("zip = [[\"model\", \"threshold\"]]\n{STUDY}");
    let plan = plan(&spec, &[]).unwrap();
    assert_eq!(
        names(&plan, "score"),
        [
            "score[model=a,fold=1,threshold=200]",
            "score[model=a,fold=2,threshold=200]",
            "score[model=a,fold=3,threshold=200]",
            "score[model=b,fold=1,threshold=225]",
            "score[model=b,fold=2,threshold=225]",
            "score[model=b,fold=3,threshold=225]"
        ]
    );
}

#[test]
fn keys_of_an_axis_table_bind_params_and_name_labels() {
    let value = r#"axes.model=[{ name = "slow", model = "a", rate = 0.1 }, "b"]"#;
    let plan = plan(STUDY, &[value]).unwrap();
    assert_eq!(names(&plan, "train")[0], "train[model=slow,fold=1]");
    let train = plan.stages.iter().find(|stage| stage.name == "train").unwrap();
    assert_eq!(train.param_sets[0].params["model"], "a");
    assert_eq!(train.param_sets[0].params["rate"], 0.1);
    assert_eq!(train.param_sets[3].params["model"], "b");
}

#[test]
fn with_binds_a_param_of_another_name() {
    let spec = STUDY.replace("[axes]", "[axes]\nspeed = [0.1, 0.2]").replace(
        "over = [\"model\", \"fold\"]\ninputs = { images",
        "over = [\"model\", \"fold\", \"speed\"]\nwith = { rate = \"axis.speed\" }\ninputs = { images",
    );
    let spec = spec.replace(
        "over = [\"model\", \"fold\", \"threshold\"]",
        "over = [\"model\", \"fold\", \"threshold\", \"speed\"]",
    );
    let plan = plan(&spec, &[]).unwrap();
    let train = plan.stages.iter().find(|stage| stage.name == "train").unwrap();
    assert_eq!(train.param_sets[0].params["rate"], 0.1);
    assert_eq!(names(&plan, "train")[0], "train[speed=0.1,model=a,fold=1]");
}

#[test]
fn siblings_batch_along_axes_that_an_input_lacks() {
    let plan = plan(STUDY, &[]).unwrap();
    let axes = |name: &str| plan.stages.iter().find(|stage| stage.name == name).unwrap().batch_axes.clone();
    assert_eq!(axes("threshold"), [2]);
    assert_eq!(axes("score"), [2]);
    assert!(axes("train").is_empty());
}

#[test]
fn overrides_replace_values_and_ranges_expand() {
    let plan = plan(STUDY, &["axes.threshold=128..=250:61", "stages.train.epochs=9"]).unwrap();
    assert_eq!(names(&plan, "threshold").len(), 2 * 3 * 3);
    let train = plan.stages.iter().find(|stage| stage.name == "train").unwrap();
    assert_eq!(train.param_sets[0].params["epochs"], 9);
}

#[test]
fn selectors_match_partial_points_and_name_what_is_wrong() {
    let plan = plan(STUDY, &[]).unwrap();
    let nodes = |text: &str| Selector::parse(text).and_then(|selector| selector.nodes(&plan));
    assert_eq!(nodes("score[fold=2]").unwrap().len(), 4);
    assert!(nodes("scor").unwrap_err().to_string().contains("did you mean `score`?"));
    assert!(nodes("score[model=c]").unwrap_err().to_string().contains("only: a, b"));
    assert!(nodes("score[seed=1]").unwrap_err().to_string().contains("its axes: model, fold, threshold"));
    assert!(nodes("score[model").unwrap_err().to_string().contains("names no node"));
}

/// Replacements in [`STUDY`] (old text, new text), each with a line of the error.
const BAD: &[(&str, &str, &str)] = &[
    (
        "kind = \"table\"",
        "kind = \"tabel\"",
        "spec.toml:36:8: unknown stage kind `tabel`\n  = kinds: dataset, split, train, threshold, score, table, \
         classify, needy\n  \
         help: did you mean `table`?",
    ),
    (
        "epochs = 5",
        "epoch = 5",
        "spec.toml:23:1: stage `train` (kind train): unknown field `epoch`\n  help: did you mean `epochs`?",
    ),
    (
        "epochs = 5",
        "epochs = \"five\"",
        "spec.toml:23:10: stage `train` (kind train): `epochs` must be a whole number from 1 on, not the text \"five\"",
    ),
    ("epochs = 5", "epochs = 0", "spec.toml:23:10: stage `train` (kind train): `epochs` must be at least 1, not 0"),
    (
        "cams = \"train\" }",
        "cams = \"trian\" }",
        "spec.toml:28:19: stage `threshold` reads `trian`, which is not declared\n  \
         = declared stages: images, split, train, threshold, score, table\n  help: did you mean `train`?",
    ),
    (", masks = \"images\"", "", "spec.toml:30:9: stage `score` lacks the input `masks`"),
    (
        "masks = \"images\"",
        "mask = \"images\"",
        "kind score has no input `mask`\n  = its inputs: cams, thresholds, masks\n  help: did you mean `masks`?",
    ),
    ("masks = \"images\"", "masks = \"split\"", "input `masks` does not say which output of `split` it reads"),
    ("masks = \"images\"", "masks = \"images.mask\"", "stage `images` (kind dataset) has no output `mask`"),
    (
        "over = [\"model\", \"fold\"]",
        "over = [\"model\", \"folds\"]",
        "stage `train` varies over `folds`, which is not declared",
    ),
    (
        "over = [\"model\", \"fold\"]",
        "over = [\"model\", \"fold\", \"threshold\"]",
        "axis `threshold` binds nothing in stage `train`",
    ),
    ("rows = [\"model\"]", "rows = [\"model\"]\nover = [\"model\", \"model\"]", "`over` names axis `model` twice"),
    (
        "inputs = { labels = \"images\" }",
        "inputs = { labels = \"table.labels\" }",
        "stages feed each other in a circle: split → train → ",
    ),
    ("threshold = [200, 225]", "threshold = []", "spec.toml:9:13: axis `threshold` has no values"),
    ("threshold = [200, 225]", "threshold = [200, 200]", "spec.toml:9:19: axis `threshold` has the value `200` twice"),
    ("threshold = [200, 225]", "threshold = [\"9..=1\"]", "the range \"9..=1\" is empty"),
    (
        "threshold = [200, 225]",
        "threshold = [{ label = 200 }]",
        "a value of axis `threshold` is a table without `name`",
    ),
    (
        "threshold = [200, 225]",
        "threshold = [{ name = \"x\", thresold = 200 }]",
        "no stage over axis `threshold` has a param `thresold`",
    ),
    ("epochs = 5", "epochs = 5\nmodel = \"c\"", "param `model` is set here and bound by axis `model`"),
    ("seed = 7", "seed = -7", "`seed` is -7, but must be at least 0"),
    ("name = \"study\"", "nam = \"study\"", "unknown field `nam` in `[experiment]`"),
    ("[axes]", "[axis]", "unknown field `axis` in the spec"),
    ("epochs = 5", "epochs = 5\ntimeout = \"soon\"", "`timeout`:"),
    ("count = 9", "count = 9 9", "this is not TOML:"),
];

#[test]
fn bad_specs_are_named_with_their_place() {
    for (was, now, expected) in BAD {
        assert!(STUDY.contains(was), "{was}");
        let Err(error) = plan(&STUDY.replacen(was, now, 1), &[]) else { panic!("{now} was accepted") };
        let said = error.to_string();
        assert!(said.contains(expected), "{now}:\nexpected: {expected}\nsaid:\n{said}");
    }
}

#[test]
fn all_problems_are_reported_at_once_and_once_each() {
    let spec = STUDY.replace("epochs = 5", "epochs = 0\nspeed = 1").replace("masks = \"images\"", "masks = \"image\"");
    let Err(error) = plan(&spec, &["stages.split.fold=2", "axes.model"]) else { panic!("the spec is wrong") };
    let said = error.to_string();
    for expected in
        ["`epochs` must be", "unknown field `speed`", "reads `image`", "unknown field `fold`", "an override has no `=`"]
    {
        assert_eq!(said.matches(expected).count(), 1, "{expected} in\n{said}");
    }
}

#[test]
fn params_are_checked_beside_a_cycle_and_in_stages_whose_axes_or_inputs_are_unknown() {
    let spec = STUDY
        .replace("inputs = { labels = \"images\" }", "inputs = { labels = \"table.labels\" }\nspeed = 1")
        .replace("count = 9", "count = \"nine\"")
        .replace("over = [\"model\", \"fold\"]", "over = [\"modle\", \"fold\"]\nweight = 1");
    let Err(error) = plan(&spec, &[]) else { panic!("the spec is wrong") };
    let said = error.to_string();
    let expected =
        ["in a circle", "unknown field `speed`", "\"nine\"", "varies over `modle`", "unknown field `weight`"];
    for expected in expected {
        assert_eq!(said.matches(expected).count(), 1, "{expected} in\n{said}");
    }
    // Not known to be wrong: the unknown axis may have given it.
    assert!(!said.contains("missing field"), "{said}");
}

#[test]
fn extends_merges_tables_and_replaces_arrays() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("base.toml"), STUDY).unwrap();
    let child = "extends = \"base.toml\"\n[axes]\nthreshold = [1]\n[stages.train]\nepochs = 2\n";
    let plan = crate::fake::plan_in(dir.path(), child, &[]).unwrap();
    assert_eq!(names(&plan, "threshold").len(), 6);
    let train = plan.stages.iter().find(|stage| stage.name == "train").unwrap();
    assert_eq!(train.param_sets[0].params["epochs"], 2);
}

#[test]
fn extends_in_a_circle_is_shown_as_a_path() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("base.toml"), "extends = \"spec.toml\"").unwrap();
    let Err(error) = crate::fake::plan_in(dir.path(), "extends = \"base.toml\"\n[experiment]\nname = \"x\"", &[])
    else {
        panic!("the circle was accepted")
    };
    let said = error.to_string().replace(&format!("{}/", dir.path().display()), "");
    assert!(said.contains("`extends` goes in a circle: spec.toml → base.toml → spec.toml"), "{said}");
}

#[test]
fn file_that_is_missing_is_named() {
    let error = crate::spec::load(std::path::Path::new("no/such.toml"), &[]).unwrap_err();
    assert!(error.to_string().contains("cannot read no/such.toml"));
}

/// Ten files that each extend the next twice would be read a thousand times.
#[test]
fn extends_that_double_with_each_file_end() {
    let dir = tempfile::tempdir().unwrap();
    for file in 0..30 {
        let next = format!("extends = [\"{0}.toml\", \"{0}.toml\"]", file + 1);
        std::fs::write(dir.path().join(format!("{file}.toml")), next).unwrap();
    }
    std::fs::write(dir.path().join("30.toml"), "").unwrap();
    let spec = "extends = \"0.toml\"\n[experiment]\nname = \"x\"";
    let Err(error) = crate::fake::plan_in(dir.path(), spec, &[]) else { panic!("it is refused") };
    let said: Vec<_> = error.diagnostics.iter().map(|diagnostic| diagnostic.message.as_str()).collect();
    assert_eq!(
        said.iter().filter(|message| **message == "`extends` leads to more than 200 files").count(),
        1,
        "{said:?}"
    );
}

#[test]
fn spec_without_end_is_not_read_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let spec = "extends = \"/dev/zero\"\n[experiment]\nname = \"x\"";
    let Err(error) = crate::fake::plan_in(dir.path(), spec, &[]) else { panic!("it is refused") };
    let said: Vec<_> = error.diagnostics.iter().map(|diagnostic| diagnostic.message.as_str()).collect();
    assert!(said.iter().any(|message| message.starts_with("cannot read /dev/zero: it is a device")), "{said:?}");
}

/// Tables within tables are read by functions within functions.
#[test]
fn depth_of_a_spec_is_bounded() {
    for deep in [format!("[{}]", "a.".repeat(200_000) + "a"), format!("a = {}", "[".repeat(200_000))] {
        assert!(crate::fake::plan(&deep, &[]).is_err());
    }
    let key = "stages.".to_owned() + &"a.".repeat(200_000);
    assert!(crate::fake::plan(crate::fake::STUDY, &[&format!("{key}a=1")]).is_err());
}
