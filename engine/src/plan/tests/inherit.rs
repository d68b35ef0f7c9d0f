//! Axes that a stage inherits from its inputs.

use super::*;

/// [`STUDY`] with `over` only where a stage adds an axis.
fn short() -> String {
    let all = "over = [\"model\", \"fold\", \"threshold\"]\n";
    STUDY.replacen(all, "over = [\"threshold\"]\n", 1).replacen(all, "", 1)
}

fn error(toml: &str) -> String {
    plan(toml, &[]).err().expect("the spec is wrong").to_string()
}

#[test]
fn stages_inherit_the_axes_of_their_inputs_through_several_stages() {
    let (long, short) = (plan(STUDY, &[]).unwrap(), plan(&short(), &[]).unwrap());
    let all = |plan: &Plan| {
        let node = |id| (plan.name(id).to_string(), plan.params(id).keyed.digest(), plan.inputs(id).to_vec());
        plan.ids().map(node).collect::<Vec<_>>()
    };
    assert_eq!(all(&short), all(&long));
    assert_eq!(names(&short, "score")[0], "score[model=a,fold=1,threshold=200]");
}

#[test]
fn an_inherited_axis_binds_params_as_a_listed_one() {
    let spec = short().replace("[axes]", "[axes]\nseed = [1, 2]").replace("count = 9", "count = 9\nover = [\"seed\"]");
    let plan = plan(&spec, &[]).unwrap();
    assert_eq!(names(&plan, "train")[0], "train[seed=1,model=a,fold=1]");
    let seeds = |stage: &str| {
        let stage = plan.stages.iter().find(|planned| planned.name == stage).unwrap();
        stage.param_sets.iter().map(|set| set.params["seed"].clone()).collect::<Vec<_>>()
    };
    assert_eq!((seeds("images"), seeds("split")), (vec![1.into(), 2.into()], vec![1.into(), 2.into()]));
    assert_eq!(names(&plan, "table"), ["table"], "a kind that gathers inherits nothing");
}

#[test]
fn a_kind_with_a_gathering_port_lists_its_axes_exactly() {
    let spec = short().replace("[axes]", "[axes]\ncount = [8, 9]").replace("count = 9", "over = [\"count\"]");
    let mixed = spec.replace("scores = \"score\"", "scores = \"score\", labels = \"images\"");
    let said = error(&mixed);
    assert!(said.contains("input `labels` takes one artifact, but `images` varies over count"), "{said}");
    assert!(said.contains("add \"count\" to `over`"), "{said}");
    let listed = mixed.replace("rows = [", "over = [\"count\"]\nrows = [");
    assert_eq!(names(&plan(&listed, &[]).unwrap(), "table"), ["table[count=8]", "table[count=9]"]);
}

#[test]
fn excluded_points_over_inherited_axes_are_excluded_without_a_warning() {
    let spec = format!("exclude = [{{ model = \"a\", threshold = 200 }}]\n{}", short());
    let plan = plan(&spec, &[]).unwrap();
    assert_eq!((names(&plan, "score").len(), plan.spec.findings.len()), (9, 0));
}

#[test]
fn one_unknown_axis_makes_no_further_errors_in_stages_that_inherit() {
    let said = error(&short().replace("over = [\"model\", \"fold\"]", "over = [\"modle\", \"fold\"]"));
    assert_eq!(said.matches("spec.toml").count(), 1, "{said}");
    let listed = STUDY.replacen("over = [\"model\", \"fold\"]", "over = [\"modle\", \"fold\"]", 1);
    assert_eq!(error(&listed).matches("spec.toml").count(), 1, "{said}");
}
