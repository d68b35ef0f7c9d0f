//! Every spec in `experiments/` plans, and the quickstart is as README describes it.

use std::path::Path;

use crate::sandbox::{Run, Sandbox};

fn experiment(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments").join(name).display().to_string()
}

/// A placeholder for a data set: plans digest files, and do not decode them.
fn data(sandbox: &Sandbox) -> String {
    let mut csv = "id,patient,label,image,mask\n".to_owned();
    for id in 0..15 {
        csv += &format!("{id},p{id},{},{id}.png,{id}.png\n", ["meningioma", "glioma", "pituitary"][id % 3]);
        sandbox.write(&format!("{id}.png"), format!("picture {id}"));
    }
    sandbox.write("labels.csv", csv);
    sandbox.write("weights.safetensors", "weights");
    sandbox.path("labels.csv").display().to_string()
}

#[test]
#[expect(clippy::print_stdout, reason = "a test that skips says so")]
fn every_experiment_plans() {
    let sandbox = Sandbox::new();
    let path = format!("stages.images.path={}", data(&sandbox));
    let weights = format!("stages.train.init.weights={}", sandbox.path("weights.safetensors").display());
    let store = sandbox.path("store").display().to_string();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments");
    for entry in std::fs::read_dir(folder).expect("there are experiments") {
        let name = entry.expect("the folder can be read").file_name().into_string().expect("plain names");
        // The paper and the linear probes have tests of their own below.
        if !name.ends_with(".toml") || name.starts_with("paper") || name.starts_with("linear-probe") {
            continue;
        }
        let spec = experiment(&name);
        let mut args = vec!["plan", &spec, "--store", &store];
        if name.starts_with("brain-tumor") {
            args.extend(["--set", &path]);
        }
        if name == "brain-tumor-squeezenet.toml" {
            args.extend(["--set", &weights]);
        }
        let said = sandbox.orchestrate(&args);
        // A machine without Python has no version of pandas, and few have one of torch.
        if ["command.toml", "own-model.toml"].contains(&name.as_str()) && said.err.contains("python3") {
            println!("skipped {name}: {}", said.err);
            continue;
        }
        assert_eq!(said.code, Some(0), "{name}: {}", said.err);
        assert!(said.out.contains(" nodes: "), "{name}: {}", said.out);
    }
}

#[test]
fn weights_that_are_a_pointer_of_git_lfs_are_an_error_of_the_spec() {
    let sandbox = Sandbox::new();
    let path = format!("stages.images.path={}", data(&sandbox));
    sandbox.write("weights.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4947072\n");
    let weights = format!("stages.train.init.weights={}", sandbox.path("weights.safetensors").display());
    let (spec, store) = (experiment("brain-tumor-squeezenet.toml"), sandbox.path("store").display().to_string());
    let said = sandbox.orchestrate(&["plan", &spec, "--store", &store, "--set", &path, "--set", &weights]);
    assert_eq!(said.code, Some(2), "{}", said.err);
    assert!(said.err.contains("weights.safetensors: it is a pointer of Git LFS"), "{}", said.err);
}

#[test]
fn linear_probes_plan_with_one_node_of_features_a_model() {
    let sandbox = Sandbox::new();
    for weights in ["squeezenet1_1-b8a52dc0", "resnet18-f37072fd"] {
        sandbox.write(&format!("weights/{weights}.pth"), weights);
    }
    sandbox
        .write("experiments/linear-probe.toml", std::fs::read(experiment("linear-probe.toml")).expect("it is there"));
    let said = sandbox.orchestrate(&["plan", "experiments/linear-probe.toml"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let nodes = 1 + 1 + 2 + 2 * 5 * 3 + 2 * 5 * 3 + 2 * 3 + 1;
    assert!(said.out.contains(&format!("{nodes} nodes: ")), "{}", said.out);
}

/// Placeholders for slices, folds and weights.
fn paper(sandbox: &Sandbox) {
    for number in 1..=15 {
        sandbox.write(&format!("data/brain-tumor/{number}.mat"), format!("slice {number}"));
    }
    sandbox.write("data/brain-tumor/cvind.mat", "folds");
    for weights in ["alexnet-owt-7be5be79", "vgg16-397923af", "vgg19-dcbb9e9d"] {
        sandbox.write(&format!("weights/{weights}.pth"), weights);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments");
    for name in ["paper.toml", "paper-imagenet.toml", "paper-phantom.toml"] {
        sandbox.write(&format!("experiments/{name}"), std::fs::read(folder.join(name)).expect("it is there"));
    }
    for table in 2..=5 {
        let name = format!("reference/kang2021-table{table}.csv");
        sandbox.write(&format!("experiments/{name}"), std::fs::read(folder.join(&name)).expect("it is there"));
    }
}

#[test]
fn the_paper_plans_to_all_its_nodes_under_every_way_of_splitting() {
    let sandbox = Sandbox::new();
    paper(&sandbox);
    let protocols = [
        "experiment.seed=7",
        "stages.split.shuffle=true",
        "stages.split.group=\"patient\"",
        "stages.split.folds_from=\"data/brain-tumor/cvind.mat\"",
    ];
    let classifiers = 6 * 5 * (1 + 1 + 2 * 5) + 6;
    let unets = 2 * 5 * 3;
    let expected = format!("{} nodes", 1 + 1 + classifiers + unets + 5 + 1);
    for spec in ["experiments/paper.toml", "experiments/paper-imagenet.toml", "experiments/paper-phantom.toml"] {
        for protocol in protocols {
            let said = sandbox.orchestrate(&["plan", spec, "--set", protocol]);
            assert_eq!(said.code, Some(0), "{spec} {protocol}: {}", said.err);
            assert!(said.out.contains(&expected), "{spec} {protocol}: {}", said.out);
        }
    }
}

#[test]
fn the_paper_runs_on_phantoms_through_all_eight_models_to_the_report() {
    let sandbox = Sandbox::new();
    paper(&sandbox);
    let small = ["stages.images.count=12", "axes.fold={ folds = 2 }", "axes.threshold=[200, \"otsu\"]"];
    let mut args = vec!["run", "experiments/paper-phantom.toml", "--json"];
    args.extend(small.iter().flat_map(|set| ["--set", set]));
    let run = Run::from(sandbox.orchestrate(&args));
    assert_eq!(run.said.code, Some(0), "{}", run.said.err);
    assert_eq!(run.nodes.len(), 1 + 1 + 6 * 2 * (1 + 1 + 2 * 2) + 6 + 2 * 2 * 3 + 5 + 1);
    // A map of AlexNet has one pixel at this size, so every rule finds the same threshold and the scores are equal.
    assert!(run.with("hit").iter().all(|node| node.starts_with("score[") && node.contains("model=alexnet")));
    assert_eq!(run.ran().len() + run.with("hit").len(), run.nodes.len());
    let table = sandbox.read("results/paper-phantom/table4/table.csv");
    let page = sandbox.read("results/paper-phantom/report/report.html");
    for model in [
        "alexnet",
        "vgg16",
        "vgg19",
        "modified-alexnet",
        "modified-vgg16",
        "modified-vgg19",
        "unet-vgg16",
        "unet-vgg19",
    ] {
        assert!(table.contains(&format!("\n{model},")), "{model} in\n{table}");
        assert!(page.contains(model), "{model} on the page");
    }
    assert!(page.contains("0.369"), "the published value of VGG-16, modified, and meningioma");
    assert!(page.contains("synthetic"), "the page says that the data are");
}

#[test]
fn quickstart_has_two_models_five_folds_and_five_thresholds() {
    let sandbox = Sandbox::new();
    let store = sandbox.path("store").display().to_string();
    let said = sandbox.orchestrate(&["plan", &experiment("quickstart.toml"), "--store", &store]);
    assert!(said.out.contains(&format!("{} nodes", 1 + 1 + 10 + 10 + 50 + 50 + 2 + 2 + 1)), "{}", said.out);
}
