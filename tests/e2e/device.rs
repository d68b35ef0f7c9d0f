//! The device of a run, on a machine without a GPU or in a program without GPU support.

use crate::rerun::LETTERS;
use crate::sandbox::Sandbox;

#[test]
fn a_missing_gpu_is_a_usage_error_with_a_remedy() {
    let sandbox = Sandbox::with_spec(LETTERS);
    // No driver can be loaded, so the program finds no GPU.
    for device in ["cuda", "cuda:1"] {
        let mut command = sandbox.command(&["run", "spec.toml", "--device", device]);
        let output = command.env("CUDA_VISIBLE_DEVICES", "").output().expect("the program starts");
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.starts_with(&format!("error: --device {device}: this ")), "{error}");
        assert!(error.contains("\nhelp: ") && error.contains("use --device cpu"), "{error}");
        assert!(!error.contains("panicked"), "{error}");
    }
    assert!(!sandbox.path(".orchestrate").exists(), "nothing is written");
}

#[test]
fn the_device_is_recorded_and_is_in_no_key() {
    let sandbox = Sandbox::with_spec(LETTERS);
    let first = sandbox.run_well(&["--device", "cpu"]);
    let again = sandbox.command(&["run", "spec.toml"]).env("CUDA_VISIBLE_DEVICES", "").output();
    assert_eq!(again.expect("the program starts").status.code(), Some(0));
    let again = sandbox.run_well(&["--device", "cpu"]);
    assert!(again.ran().is_empty(), "{:?}", again.ran());

    let (name, line) = first.nodes.iter().next().expect("some node ran");
    let key = line["key"].as_str().expect("a node that ran has a key");
    let shown = sandbox.orchestrate(&["store", "show", key]);
    assert_eq!(shown.code, Some(0), "{}", shown.err);
    assert!(shown.out.contains("\ndevice    cpu\n"), "{name}: {}", shown.out);
}
