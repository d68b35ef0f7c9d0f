//! The list of devices, the choice of one, and what each can do.

use crate::sandbox::Sandbox;
use crate::study::{Api, classifier, device, listed};

#[test]
fn devices_are_listed_with_all_that_is_known_of_them() {
    let Some(name) = device(Api::Vulkan) else { return };
    let devices = listed();
    assert_eq!(devices[0]["device"], "cpu");
    assert_eq!(devices[0]["precisions"], serde_json::json!(["f32", "bf16", "f16"]));
    let found = devices.iter().find(|device| device["device"] == *name).expect("it is listed");
    assert!(found["name"].as_str().is_some_and(|name| name.contains("llvmpipe")), "{found}");
    assert!(found["driver"].as_str().is_some_and(|driver| driver.contains("Mesa")), "{found}");
    assert_eq!(found["precisions"], serde_json::json!(["f32", "f16"]), "WGSL has no bf16");
    assert!(found["memory_bytes"].as_u64().is_some_and(|bytes| bytes > 1 << 30), "{found}");
    let text = Sandbox::new().orchestrate(&["devices"]).out;
    assert!(text.contains(&format!("\n{name} ")) && text.contains("  software  "), "{text}");
    let one = Sandbox::new().orchestrate(&["devices", &name, "--benchmark", "tiny"]);
    assert!(one.out.contains(&format!("\n{name}: tiny in f32, batches of 32 at 96 px: ")), "{}{}", one.out, one.err);
    let none = Sandbox::new().orchestrate(&["devices", "wgpu:99"]);
    assert_eq!(none.code, Some(2), "{}", none.err);
    assert!(none.err.contains("there is no device `wgpu:99`; there is cpu, "), "{}", none.err);
}

/// The machines of CI have no card; where there is one, `auto` takes it.
#[test]
fn auto_never_takes_a_driver_in_software() {
    let Some(name) = device(Api::Vulkan) else { return };
    if listed().iter().any(|device| !["software", "cpu"].contains(&device["kind"].as_str().unwrap_or_default())) {
        eprintln!("skipped: this machine has a GPU");
        return;
    }
    let sandbox = Sandbox::with_spec(&classifier(12, "model = \"tiny\"\nepochs = 1"));
    let said = sandbox.orchestrate(&["run", "spec.toml", "--only", "train[fold=1]"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert!(said.err.contains("device: cpu, as no GPU was found"), "{}", said.err);
    let shown = sandbox.orchestrate(&["show", "latest"]).out;
    assert!(shown.lines().any(|line| line.split_whitespace().eq(["device", "cpu"])), "{shown}");
    // A run of hits asks no driver.
    let again = sandbox.orchestrate(&["run", "spec.toml", "--only", "train[fold=1]"]);
    assert!(!again.err.contains("device:"), "{}", again.err);
    // One that is named is taken with a warning.
    let named = sandbox.orchestrate(&["run", "spec.toml", "--only", "train[fold=2]", "--device", &name]);
    assert_eq!(named.code, Some(0), "{}", named.err);
    assert!(named.err.contains(&format!("warning: {name} is no GPU: llvmpipe")), "{}", named.err);
}

#[test]
fn a_record_names_the_interface_and_the_adapter() {
    let Some(name) = device(Api::Vulkan) else { return };
    let sandbox = Sandbox::with_spec(&classifier(12, "model = \"tiny\"\nepochs = 1"));
    let run = sandbox.run_well(&["--only", "train[fold=1]", "--device", &name]);
    let key = run.nodes["train[fold=1]"]["key"].as_str().expect("it ran").to_owned();
    let shown = sandbox.orchestrate(&["store", "show", &key]).out;
    let line = shown.lines().find(|line| line.starts_with("device ")).expect("a result has a device");
    for part in [name.as_str(), "llvmpipe", "Vulkan", "Mesa"] {
        assert!(line.contains(part), "{part} is not in {line}");
    }
}

#[test]
fn a_precision_that_a_device_lacks_is_refused_before_anything_runs() {
    let asked = [(Api::Vulkan, "bf16", "\"f32\" or \"f16\""), (Api::Gl, "f16", "\"f32\"")];
    for (api, precision, instead) in asked {
        let Some(name) = device(api) else { continue };
        let spec = classifier(12, &format!("model = \"tiny\"\nprecision = \"{precision}\"\nepochs = 1"));
        let sandbox = Sandbox::with_spec(&spec);
        let said = sandbox.orchestrate(&["run", "spec.toml", "--device", &name]);
        assert_eq!(said.code, Some(2), "{}", said.err);
        let error = format!("stage `train` can never run: precision = \"{precision}\": {name} (llvmpipe");
        assert!(said.err.contains(&error), "{}", said.err);
        assert!(said.err.contains(&format!("does not compute in this type; use {instead}")), "{}", said.err);
        assert!(
            said.err.contains("spec.toml:") && said.err.contains("`orchestrate devices` lists them"),
            "{}",
            said.err
        );
        let left = sandbox.orchestrate(&["store", "ls"]);
        assert!(!left.out.contains("images"), "nothing ran: {}", left.out);
    }
}
