//! Axes that a run adds to a spec, `--grid stages.train.rate=0.1,0.2`, and wrong values at some points alone.

use orchestrate_cache::Digest;

use super::*;

fn gridded(spec: &str, grid: &[&str]) -> Plan {
    let overrides: Vec<String> = grid.iter().map(|text| format!("grid.{text}")).collect();
    plan(spec, &overrides.iter().map(String::as_str).collect::<Vec<_>>()).unwrap_or_else(|error| panic!("{error}"))
}

fn refused(spec: &str, overrides: &[&str]) -> (String, String) {
    let error = plan(spec, overrides).err().expect("it is refused");
    let problem = &error.diagnostics[0];
    let marked = problem.span.as_ref().map(|span| error.sources.text(span).to_owned());
    (error.to_string(), marked.unwrap_or_default())
}

/// Digests of the params of the nodes of a stage that have a label.
fn keyed(plan: &Plan, stage: &str, label: Option<&str>) -> Vec<Digest> {
    let index = plan.stages.iter().position(|planned| planned.name == stage).unwrap();
    let has = |id: &crate::node::NodeId| label.is_none_or(|label| plan.point(*id).iter().any(|(_, own)| *own == label));
    plan.stage_nodes(index).filter(has).map(|id| plan.params(id).keyed.digest().unwrap()).collect()
}

#[test]
fn an_added_axis_binds_the_param_of_its_stage_alone_and_what_reads_the_stage_inherits_it() {
    let plan = gridded(STUDY, &["stages.train.seed=7,8"]);
    assert_eq!(
        names(&plan, "train")[..2],
        ["train[model=a,fold=1,train.seed=7]", "train[model=a,fold=1,train.seed=8]"]
    );
    assert_eq!(names(&plan, "score")[0], "score[model=a,fold=1,threshold=200,train.seed=7]");
    assert_eq!(names(&plan, "images"), ["images"], "the param `seed` of the data set is another one");
    let train = plan.stages.iter().find(|stage| stage.name == "train").unwrap();
    assert_eq!((&train.param_sets[0].params["seed"], &train.param_sets[1].params["seed"]), (&7.into(), &8.into()));
    let images = plan.stages.iter().find(|stage| stage.name == "images").unwrap();
    assert_eq!(images.param_sets[0].params["seed"], 7);
}

#[test]
fn params_at_a_value_of_the_grid_are_those_of_an_override() {
    let both = gridded(STUDY, &["train.rate=0.1,0.25"]);
    for rate in ["0.1", "0.25"] {
        let set = plan(STUDY, &[&format!("stages.train.rate={rate}")]).unwrap();
        for stage in ["train", "threshold", "score"] {
            assert_eq!(keyed(&both, stage, Some(rate)), keyed(&set, stage, None), "{stage} at {rate}");
        }
    }
}

#[test]
fn a_kind_that_gathers_varies_over_the_axis_and_a_table_lists_it() {
    let classify = "\n[stages.classify]\nkind = \"classify\"\nover = [\"model\"]\ninputs = { cams = \"train\" }\n";
    let plan = gridded(&format!("{STUDY}{classify}"), &["stages.train.rate=0.1,0.2", "stages.train.epochs=\"2..=3\""]);
    assert_eq!(names(&plan, "classify")[0], "classify[model=a,train.rate=0.1,train.epochs=2]");
    assert_eq!(names(&plan, "table"), ["table"]);
    let table = plan.stages.iter().find(|stage| stage.name == "table").unwrap();
    assert_eq!(table.param_sets[0].params["rows"], serde_json::json!(["model", "train.rate", "train.epochs"]));
    let listed = STUDY.replace("rows = [\"model\"]", "rows = [\"train.rate\", \"model\"]");
    let table = gridded(&listed, &["train.rate=0.1,0.2"]);
    let table = table.stages.iter().find(|stage| stage.name == "table").unwrap();
    assert_eq!(table.param_sets[0].params["rows"], serde_json::json!(["train.rate", "model"]), "it is listed already");
}

#[test]
fn nodes_of_a_grid_are_selected_by_their_path() {
    let plan = gridded(STUDY, &["stages.train.rate=1e-3,1e-4"]);
    let nodes = |text: &str| Selector::parse(text).and_then(|selector| selector.nodes(&plan)).unwrap().len();
    assert_eq!((nodes("train[train.rate=0.001]"), nodes("score[fold=2,train.rate=1e-4]")), (6, 4));
}

#[test]
fn a_grid_publishes_nothing() {
    let spec = format!("{STUDY}publish = \"results/table\"\n");
    let publish = |plan: &Plan| plan.spec.stages.iter().filter(|stage| stage.publish.is_some()).count();
    assert_eq!((publish(&plan(&spec, &[]).unwrap()), publish(&gridded(&spec, &["train.rate=1.5"]))), (1, 0));
}

#[test]
fn mistakes_in_a_grid_are_marked_in_the_typed_text() {
    for (grid, message, marked) in [
        ("grid.stages.trian.rate=1.5", "the spec has no stage `trian`", "trian.rate"),
        ("grid.stages.train.rat=1.5", "unknown field `rat`", "train.rat"),
        ("grid.stages.train.epochs=5,0", "`epochs` must be at least 1", "0"),
        ("grid.stages.train.model=x,y", "axis `model` binds `model` in stage `train` already", "train.model"),
        ("grid.stages.train.retries=1,2", "`retries` is no param of stage `train`", "train.retries"),
        ("grid.train=1,2", "`train` names no param of a stage", "train"),
        ("grid.stages.train.rate", "a grid names no param", "stages.train.rate"),
        ("grid.train.rate=1.5,,2.5", "a value of a grid is empty", ""),
        ("grid.train.rate=1.5,1.50", "axis `train.rate` has the value `1.5` twice", "1.50"),
    ] {
        let (said, shown) = refused(STUDY, &[grid]);
        assert!(said.contains(message) && shown == marked, "{grid}: {shown:?}\n{said}");
    }
    let (said, _) = refused(STUDY, &["grid.stages.train.rate=1.5,2.5", "grid.train.rate=3.5"]);
    assert!(said.contains("`train.rate` is given twice"), "{said}");
    let (said, _) = refused(STUDY, &["stages.train.epochs=3", "grid.train.epochs=1,2"]);
    assert!(said.contains("`train.epochs` is set and tried at once"), "{said}");
    assert!(refused(STUDY, &["grid.stages.trian.rate=1.5"]).0.contains("did you mean `train`?"));
}

#[test]
fn a_misspelt_stage_in_an_override_gets_the_nearest_one() {
    let (said, shown) = refused(STUDY, &["stages.trian.epochs=3"]);
    assert!(said.contains("stage `trian` has no `kind`") && said.contains("did you mean `train`?"), "{said}");
    assert_eq!(shown, "trian");
}

#[test]
fn a_problem_of_some_values_is_marked_at_the_values_and_one_of_all_at_the_stage() {
    let spec = STUDY.replace("model = [\"a\", \"b\"]", "model = [{ name = \"a\", rate = 0.5 }, { name = \"b\" }]");
    let spec = spec.replace("kind = \"train\"", "kind = \"needy\"");
    let (said, shown) = refused(&spec, &[]);
    assert!(said.contains("missing field `rate`") || said.contains("`rate` is missing"), "{said}");
    assert_eq!(shown, "{ name = \"b\" }", "{said}");
    assert!(said.contains("this is the value `b` of axis `model`"), "{said}");
    let (_, shown) = refused(&spec.replace(", rate = 0.5", ", epochs = 3"), &[]);
    assert_eq!(shown, "train");
}
