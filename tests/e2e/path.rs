//! `orchestrate path`: results as files of other programs, which can change no result through them.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::sandbox::Sandbox;

/// A command that writes an executable, a folder and a large file, at two points.
const STUDY: &str = r#"
[experiment]
name = "files"

[axes]
size = [2, 70000]

[stages.make]
kind = "command"
over = ["size"]
argv = ["sh", "-ec", "cd $1; mkdir sub; head -c $2 /dev/zero > sub/zeros; echo 'echo ran' > tool; chmod +x tool",
  "sh", "{out}", "{size}"]
"#;

#[test]
fn results_are_laid_out_as_read_only_copies_until_they_are_forgotten_or_collected() {
    let sandbox = Sandbox::with_spec(STUDY);
    let none = sandbox.orchestrate(&["path", "spec.toml", "make"]);
    assert_eq!(none.code, Some(2));
    assert!(none.err.contains("there is no store at DIR/.orchestrate"), "{}", none.err);
    assert!(!sandbox.path(".orchestrate").exists(), "a look makes no store");
    sandbox.run_well(&["--only", "make[size=2]"]);
    let some = sandbox.orchestrate(&["path", "spec.toml", "make"]);
    assert!(some.code == Some(2) && some.err.contains("the store lacks 1 result of 2 nodes: make[size=70000]"));
    sandbox.run_well(&[]);

    let said = sandbox.orchestrate(&["path", "make[size=70000]", "--json"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let line: Value = serde_json::from_str(&said.out).expect("one object a line");
    assert_eq!((&line["stage"], &line["kind"]), (&"make".into(), &"command".into()));
    assert_eq!(line["point"], serde_json::json!({ "size": 70000 }));
    let dir = line["outputs"]["out"]["dir"].as_str().expect("a path").strip_prefix("DIR/").expect("it is in the store");
    assert!(dir.ends_with("/make/size=70000/out"), "{dir}");
    let files = ["sub/zeros", "tool"].map(|name| format!("DIR/{dir}/{name}"));
    assert_eq!(line["outputs"]["out"]["files"], serde_json::json!(files));
    let mode = |name: &str| fs::metadata(sandbox.path(dir).join(name)).expect("it is there").permissions().mode();
    assert_eq!((mode("sub/zeros") & 0o777, mode("tool") & 0o777), (0o444, 0o555));

    // A program that changes its copy changes no result, and the next one gets sound bytes.
    let zeros = sandbox.path(dir).join("sub/zeros");
    fs::set_permissions(&zeros, fs::Permissions::from_mode(0o644)).expect("it is ours");
    fs::write(&zeros, "mine").expect("it can be written");
    assert_eq!(sandbox.orchestrate(&["store", "verify"]).code, Some(0));
    let again = sandbox.orchestrate(&["path", "spec.toml", "make"]);
    assert_eq!(again.out.lines().count(), 2, "a stage alone is all of its nodes: {}", again.out);
    assert_eq!(fs::read(&zeros).expect("it is there again"), vec![0; 70_000]);
    assert_eq!(sandbox.run_well(&[]).ran(), [""; 0]);

    // By hand or by a collection: nobody needs them.
    fs::remove_dir_all(sandbox.path(".orchestrate/links")).expect("it is ours");
    assert_eq!(sandbox.run_well(&[]).ran(), [""; 0]);
}
