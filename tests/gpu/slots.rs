//! Devices as slots: two nodes on one, and two devices side by side.

use std::collections::BTreeSet;

use crate::sandbox::Sandbox;
use crate::study::{Api, classifier, device};

/// Long enough that both trainings run at once.
const TRAIN: &str = "model = \"tiny\"\nepochs = 3\nbatch_size = 8\nresources = { threads = 1";

/// Runs the trainings of two folds; returns the greatest number of them that ran at once, and their devices.
fn run(resources: &str, devices: &str) -> (usize, BTreeSet<String>) {
    let sandbox = Sandbox::with_spec(&classifier(24, &format!("{TRAIN}{resources} }}")));
    let said = sandbox.orchestrate(&["run", "spec.toml", "--until", "train", "--jobs", "2", "--device", devices]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let runs = std::fs::read_dir(sandbox.path(".orchestrate/runs")).expect("a run has a folder");
    let run = runs.map(|entry| entry.expect("it is readable").path()).next().expect("there is one");
    let text = std::fs::read_to_string(run.join("events.jsonl")).expect("it has a log");
    let (mut now, mut most, mut used) = (0_usize, 0, BTreeSet::new());
    for line in text.lines() {
        let event: serde_json::Value = serde_json::from_str(line).expect("a line is JSON");
        match event["event"].as_str() {
            Some("node_started") if event["node"]["stage"] == "train" => now += 1,
            Some("node_ran") if event["node"]["stage"] == "train" => now -= 1,
            Some("device_used") => used.extend(event["device"].as_str().map(str::to_owned)),
            _ => {}
        }
        most = most.max(now);
    }
    (most, used)
}

#[test]
fn half_a_device_has_room_for_two_nodes_and_a_whole_one_for_one() {
    let Some(name) = device(Api::Vulkan) else { return };
    assert_eq!(run("", &name).0, 1);
    let (most, used) = run(", gpu = 0.5", &name);
    assert_eq!((most, used.len()), (2, 1), "{used:?}");
}

#[test]
fn two_devices_take_a_fold_each() {
    let (Some(vulkan), Some(gl)) = (device(Api::Vulkan), device(Api::Gl)) else { return };
    let (most, used) = run("", &format!("{vulkan},{gl}"));
    assert_eq!((most, used.len()), (2, 2), "{used:?}");
    assert!(used.iter().any(|device| device.contains("Vulkan")) && used.iter().any(|device| device.contains("Gl")));
}
