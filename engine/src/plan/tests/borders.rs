//! Borderline specs: values in several spellings, stages without points, and numbers that are too large.

use super::*;
use crate::diagnostic::Severity;
use crate::fake::plan_in;

/// A stage over one axis, with a table that gathers it.
fn over(values: &str, exclude: &str) -> String {
    format!(
        "exclude = [{exclude}]\n[experiment]\nname = \"x\"\n[axes]\nrate = {values}\n\
         [stages.images]\nkind = \"dataset\"\n[stages.split]\nkind = \"split\"\ninputs = {{ labels = \"images\" }}\n\
         [stages.train]\nkind = \"train\"\nover = [\"rate\"]\ninputs = {{ images = \"images\", split = \"split\" }}\n"
    )
}

fn problems(toml: &str) -> String {
    match plan(toml, &[]) {
        Ok(plan) => panic!("it is planned with {} nodes", plan.nodes.len()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn excluded_value_is_the_one_on_the_axis_however_it_is_written() {
    for (values, excluded) in [
        ("[1e-4, 1]", "1e-4"),
        ("[1e-4, 1]", "0.000_1"),
        ("[1e-4, 1]", "\"0.0001\""),
        ("[1.0, 2]", "1.0"),
        ("[1.0, 2]", "1"),
        ("[1, 2]", "1.00"),
        ("[0x10, 2]", "16"),
        ("[0.0, 1]", "-0.0"),
        ("[1e300, 2]", "10e299"),
        ("[{ name = \"fast\", rate = 1.0 }, 2]", "\"fast\""),
    ] {
        let plan = plan(&over(values, &format!("{{ rate = {excluded} }}")), &[]).unwrap();
        let left = names(&plan, "train");
        assert_eq!(left.len(), 1, "{excluded} of {values}");
        let only = plan.stages.iter().find(|stage| stage.name == "train").unwrap();
        assert_ne!(only.points.value(plan.node(only.first_node).code, 0), 0, "{excluded} of {values} is the first");
    }
    let truths = STUDY.replace("[axes]", "exclude = []\n[axes]\nshuffle = [true, false]");
    let truths = truths.replace("inputs = { labels", "over = [\"shuffle\"]\ninputs = { labels");
    let truths = truths.replace("over = [\"model\", \"fold\"", "over = [\"model\", \"shuffle\", \"fold\"");
    for excluded in ["true", "\"true\""] {
        let spec = format!("exclude = [{{ shuffle = {excluded} }}]\n{}", truths.replace("exclude = []\n", ""));
        assert_eq!(names(&plan(&spec, &[]).unwrap(), "split"), ["split[shuffle=false]"]);
    }
}

#[test]
fn excluded_value_that_no_axis_can_have_is_refused_by_its_type() {
    for (excluded, said) in [
        ("1979-05-27", "a value of axis `rate` must be a text, a number, a truth value, found the date 1979-05-27"),
        ("[1, 2]", "a value of axis `rate` must be a text, a number, a truth value, found a list"),
        ("nan", "a value of axis `rate` must be a text, a finite number, found the number nan"),
        ("3.0", "axis `rate` has no value `3`"),
    ] {
        let shown = problems(&over("[1, 2]", &format!("{{ rate = {excluded} }}")));
        assert!(shown.contains(said), "{shown}");
    }
}

#[test]
fn values_that_are_one_are_told_as_twice() {
    for values in
        ["[1, 1.0]", "[1, \"1\"]", "[0.1, 0.10]", "[0.0, -0.0]", "[0, -0.0]", "[true, \"true\"]", "[\"1..=2\", 2.0]"]
    {
        let shown = problems(&over(values, ""));
        assert!(shown.contains(" twice"), "{values}: {shown}");
    }
}

#[test]
fn selectors_name_values_as_specs_write_them() {
    let plan = plan(
        &STUDY
            .replace("model = [\"a\", \"b\"]", "rate = [1e-4, 1.0]\nmodel = [\"a b\"]")
            .replace("[\"model\",", "[\"rate\", \"model\","),
        &[],
    )
    .unwrap();
    for (text, name) in [
        ("train[rate=1e-4,fold=1]", "train[rate=0.0001,model=a b,fold=1]"),
        ("train[rate=0.0001,fold=2]", "train[rate=0.0001,model=a b,fold=2]"),
        ("train[rate=1.0,model=\"a b\",fold=1]", "train[rate=1,model=a b,fold=1]"),
        ("train[rate=1,model=a b,fold=0x2]", "train[rate=1,model=a b,fold=2]"),
    ] {
        let nodes = Selector::parse(text).unwrap().nodes(&plan).unwrap();
        assert_eq!(nodes.iter().map(|id| plan.name(*id).to_string()).collect::<Vec<_>>(), [name], "{text}");
    }
}

#[test]
fn stage_without_points_is_a_warning_with_its_place_and_its_params_are_checked() {
    let all = over("[1, 2]", "{ rate = 1 }, { rate = 2 }");
    let planned = plan(&all, &[]).unwrap();
    assert_eq!(planned.nodes.len(), 2);
    let [warning] = planned.spec.findings.as_slice() else { panic!("{:?}", planned.spec.findings) };
    assert_eq!(warning.severity, Severity::Warning);
    assert!(warning.message.starts_with("stage `train` has no points"), "{}", warning.message);
    assert_eq!(planned.spec.sources.text(warning.span.as_ref().unwrap()), "train");
    assert!(problems(&format!("{all}epochs = \"many\"\n")).contains("not the text \"many\""));
}

#[test]
fn excluded_point_that_concerns_no_stage_is_a_warning() {
    let spec = format!("exclude = [{{ model = \"a\" , fold = 2 }}, {{ model = \"b\", speed = 1 }}]\n{STUDY}");
    let planned = plan(&spec.replace("[axes]", "[axes]\nspeed = [1, 2]"), &[]).unwrap();
    let said: Vec<_> = planned.spec.findings.iter().map(|finding| finding.message.as_str()).collect();
    assert_eq!(said, ["no stage varies over model and speed", "no stage varies over axis `speed`"]);
}

#[test]
fn node_that_would_gather_nothing_is_an_error_that_names_whom() {
    let table = "[stages.table]\nkind = \"table\"\ninputs = { scores = \"train\" }\n";
    let shown = problems(&(over("[1]", "{ rate = 1 }") + table));
    assert!(shown.contains("a node of stage `table` has nothing to read at `scores`"), "{shown}");
    assert!(!shown.contains("does not give") && shown.contains("stage `train` has no points"), "{shown}");
}

#[test]
fn exclude_of_a_parent_holds_until_a_child_replaces_it() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("base.toml"), over("[1e-4, 2e-4]", "{ rate = 1e-4 }")).unwrap();
    let inherited = plan_in(dir.path(), "extends = \"base.toml\"", &[]).unwrap();
    assert_eq!(names(&inherited, "train"), ["train[rate=0.0002]"]);
    let replaced = plan_in(dir.path(), "extends = \"base.toml\"\nexclude = [{ rate = 0.0002 }]", &[]).unwrap();
    assert_eq!(names(&replaced, "train"), ["train[rate=0.0001]"]);
}

#[test]
fn name_of_an_experiment_is_one_component_of_a_path() {
    for name in ["a/b", "..", "", " a", "a\\nb", "a\\u0000", &"x".repeat(300)] {
        let shown = problems(&STUDY.replace("name = \"study\"", &format!("name = \"{name}\"")));
        assert!(shown.contains("cannot be the name of an experiment: ") && shown.contains("spec.toml:3:8"), "{shown}");
        assert!(shown.lines().all(|line| !line.contains(char::is_control)), "{shown:?}");
    }
    let long = "s".repeat(300);
    let shown = problems(&STUDY.replace("stages.table", &format!("stages.{long}")));
    assert!(shown.contains("stage name is 300 bytes long"), "{shown}");
}

#[test]
fn zeros_of_either_sign_are_given_to_a_stage_as_they_are_keyed() {
    let set = |rate: &str| {
        let plan = plan(&STUDY.replace("epochs = 5", &format!("rate = {rate}")), &[]).unwrap();
        plan.stages.iter().find(|stage| stage.name == "train").unwrap().param_sets[0].clone()
    };
    let (minus, plus) = (set("-0.0"), set("0.0"));
    assert_eq!(minus.keyed.digest(), plus.keyed.digest());
    assert_eq!(minus.params.to_string(), plus.params.to_string());
}

#[test]
fn number_that_is_not_finite_is_refused_where_it_stands() {
    for number in ["nan", "inf", "-inf", "1e999"] {
        let shown = problems(&STUDY.replace("epochs = 5", &format!("rate = {number}")));
        assert!(shown.contains("spec.toml:23:8: stage `train`: a number is not finite"), "{shown}");
    }
}

#[test]
fn fifo_as_a_spec_or_its_parent_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let error = crate::spec::load(&fifo, &[]).unwrap_err().to_string();
    assert!(error.contains("fifo: it is a FIFO, not a file"), "{error}");
    let Err(error) = plan_in(dir.path(), "extends = \"fifo\"", &[]) else { panic!("it is refused") };
    assert!(error.to_string().contains("fifo: it is a FIFO, not a file"), "{error}");
    std::fs::write(dir.path().join("latin.toml"), b"name = \"gr\xf6\xdfe\"").unwrap();
    let error = crate::spec::load(&dir.path().join("latin.toml"), &[]).unwrap_err().to_string();
    assert!(error.contains("it is not UTF-8, from byte 10 on"), "{error}");
}

#[test]
fn spec_in_a_folder_whose_name_is_not_utf_8_is_planned() {
    use std::os::unix::ffi::OsStrExt;
    let dir = tempfile::tempdir().unwrap();
    let odd = dir.path().join(std::ffi::OsStr::from_bytes(b"x\xff"));
    std::fs::create_dir(&odd).unwrap();
    assert_eq!(plan_in(&odd, STUDY, &[]).unwrap().spec.path, odd.join("spec.toml"));
}

/// Each problem lists the names that it could have meant: thousands of both are not to multiply.
#[test]
fn thousands_of_problems_are_all_told_in_a_text_that_grows_with_their_number() {
    let count = 4000;
    let mut spec = over("[1]", "");
    for number in 0..count {
        let inputs = format!("images = \"image-{number}\", split = \"split\"");
        spec +=
            &format!("[stages.s{number}]\nkind = \"train\"\nover = [\"rote\"]\ninputs = {{ {inputs} }}\nspeed = 1\n");
    }
    let said = problems(&spec);
    for problem in ["varies over `rote`", "reads `image-", "unknown field `speed`"] {
        assert_eq!(said.matches(problem).count(), count, "{problem}");
    }
    assert!(said.len() < count * 3 * 800, "{} bytes", said.len());
}

#[test]
fn cycles_are_told_all_at_once_however_many_there_are() {
    let mut spec = over("[1]", "");
    for number in 0..1000 {
        let (a, b) = (format!("a{number}"), format!("b{number}"));
        for (stage, reads) in [(&a, &b), (&b, &a)] {
            spec += &format!("[stages.{stage}]\nkind = \"threshold\"\ninputs = {{ cams = \"{reads}\" }}\n");
        }
    }
    assert_eq!(problems(&spec).matches("in a circle").count(), 1000);
}
