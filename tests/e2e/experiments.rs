//! Every spec in `experiments/` plans, and the quickstart is what README says.

use std::path::Path;

use crate::sandbox::Sandbox;

fn experiment(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments").join(name).display().to_string()
}

/// A data set that is only there to be named: plans digest files, and do not decode them.
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
        if !name.ends_with(".toml") {
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
        // A machine without Python cannot tell which pandas it has.
        if name == "command.toml" && said.err.contains("python3") {
            println!("skipped {name}: {}", said.err);
            continue;
        }
        assert_eq!(said.code, Some(0), "{name}: {}", said.err);
        assert!(said.out.contains(" nodes: "), "{name}: {}", said.out);
    }
}

#[test]
fn quickstart_has_two_models_five_folds_and_five_thresholds() {
    let sandbox = Sandbox::new();
    let store = sandbox.path("store").display().to_string();
    let said = sandbox.orchestrate(&["plan", &experiment("quickstart.toml"), "--store", &store]);
    assert!(said.out.contains(&format!("{} nodes", 1 + 1 + 10 + 10 + 50 + 50 + 2 + 2 + 1)), "{}", said.out);
}
