//! Runs small programs that every machine has.

mod bench;
mod check;
mod example;

use orchestrate_engine::stage::{Progress, Stage, StageError};

use bench::{Bench, COMMAND, params};

#[test]
fn arguments_never_reach_a_shell() {
    let bench = Bench::new();
    let ran = bench.run(
        params(
            r#"
            argv = [
                "sh", "-c", 'for word; do echo "$word"; done > {out}/words; ls',
                "sh", "$(touch x)", "a b", "*", "{note}",
            ]
            params = { note = "; touch y" }
            "#,
        ),
        vec![],
    );
    assert_eq!(ran.files(), [("words".to_owned(), "$(touch x)\na b\n*\n; touch y\n".to_owned())]);
    assert_eq!(ran.log, "", "the program starts in an empty folder, and nothing was made in it");
}

#[test]
fn the_environment_is_path_home_lang_and_what_is_declared() {
    let bench = Bench::new();
    let params = params(
        r#"
        argv = ["sh", "-c", "env > {out}/env"]
        env = ["KEYED", "UNSET"]
        secret_env = ["TOKEN"]
        "#,
    );
    let process = [("KEYED", "1"), ("TOKEN", "s3cret"), ("OTHER", "2"), ("LANG", "C")];
    let ran = bench.run_with(params, vec![], &process, &|| false);
    let text = ran.text();
    let names: Vec<_> = text.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    // PWD is the shell's own.
    let mut names: Vec<_> = names.into_iter().filter(|name| !["PWD", "_", "SHLVL", "OLDPWD"].contains(name)).collect();
    names.sort_unstable();
    assert_eq!(names, ["HOME", "KEYED", "LANG", "PATH", "TOKEN"]);
    assert!(text.contains("TOKEN=s3cret\n") && text.contains("KEYED=1\n"), "{text}");
}

#[test]
fn secrets_are_in_no_log_and_no_message() {
    let bench = Bench::new();
    let params = params(
        r#"
        argv = ["sh", "-c", 'echo "using $TOKEN"; echo "bad token $TOKEN" >&2; exit 3 # {out}']
        secret_env = ["TOKEN", "FORGOTTEN"]
        "#,
    );
    let ran = bench.run_with(params, vec![], &[("TOKEN", "s3cret")], &|| false);
    assert_eq!(
        ran.message(),
        "`sh` ended with exit status 3; `secret_env` names FORGOTTEN, which is not set here; the end of its \
         standard error:\n  bad token ***"
    );
    let mut log: Vec<_> = ran.log.lines().collect();
    log.sort_unstable();
    assert_eq!(log, ["bad token ***", "using ***"]);
}

#[test]
fn a_failure_quotes_the_last_lines_and_names_the_signal() {
    let bench = Bench::new();
    let ran = bench.run(params(r#"argv = ["sh", "-c", "seq 1 100 >&2; kill -SEGV $$ # {out}"]"#), vec![]);
    let lines: Vec<_> = (81..=100).map(|number| format!("\n  {number}")).collect();
    assert_eq!(ran.message(), format!("`sh` was killed by SIGSEGV; the end of its standard error:{}", lines.concat()));

    let ran = bench.run(params(r#"argv = ["no-such-program", "{out}"]"#), vec![]);
    assert!(ran.message().starts_with("cannot start `no-such-program`: no such program on PATH"), "{}", ran.message());
}

#[test]
fn a_joined_input_is_a_folder_of_its_files() {
    let bench = Bench::new();
    let item = bench.item(&[], &[("scores.csv", "iou\n0.5\n"), ("deep/notes.txt", "n\n")]);
    let argv = r#"argv = ["sh", "-c", """
        cd {in.scores}; cat scores.csv deep/notes.txt > ../{out}/all; test ! -w scores.csv || test $(id -u) = 0"""]"#;
    let ran = bench.run(params(argv), vec![("scores", vec![item])]);
    assert_eq!(ran.text(), "iou\n0.5\nn\n");
}

#[test]
fn a_gathered_input_is_a_folder_an_item_and_an_index() {
    let bench = Bench::new();
    let items = [("tiny", "1"), ("tiny", "2"), ("a, \"b\"", "1")]
        .map(|(model, fold)| bench.item(&[("model", model), ("fold", fold)], &[("s", &format!("{model}{fold}\n"))]));
    let argv = r#"argv = ["sh", "-c", "cd {in.scores}; cat index.csv 0000/s 0001/s 0002/s > ../{out}/all"]"#;
    let ran = bench.run(params(argv), vec![("scores", items.to_vec())]);
    let index = "folder,model,fold\n0000,tiny,1\n0001,tiny,2\n0002,\"a, \"\"b\"\"\",1\n";
    assert_eq!(ran.text(), format!("{index}tiny1\ntiny2\na, \"b\"1\n"));
}

#[test]
fn one_gathered_point_and_two_stages_have_an_index_too() {
    let bench = Bench::new();
    let of = |labels: &[(&str, &str)]| bench.item(labels, &[("s", "x")]);
    let argv = r#"argv = ["sh", "-c", "cat {in.scores}/index.csv > {out}/index"]"#;
    let ran = bench.run(params(argv), vec![("scores", vec![of(&[("fold", "1")])])]);
    assert_eq!(ran.text(), "folder,fold\n0000,1\n");
    let ran = bench.run(params(argv), vec![("scores", vec![of(&[("model", "a")]), of(&[("fold", "1")]), of(&[])])]);
    assert_eq!(ran.text(), "folder,model,fold\n0000,a,\n0001,,1\n0002,,\n");
}

#[test]
fn an_input_that_is_not_connected_is_named_with_those_that_are() {
    let bench = Bench::new();
    let ran = bench.run(params(r#"argv = ["cat", "{in.scoers}", "{out}"]"#), vec![("scores", vec![])]);
    assert_eq!(
        ran.message(),
        "argv `{in.scoers}`: there is no input `scoers`; did you mean `{in.scores}`? connected inputs: scores"
    );
}

#[test]
fn a_corrupt_input_is_told_apart_from_a_failure() {
    let bench = Bench::new();
    let item = bench.item(&[], &[("s", "right")]);
    std::fs::write(&item.files[0].location.path, "wrong").expect("a file can be written");
    let ran = bench.run(params(r#"argv = ["true", "{out}"]"#), vec![("scores", vec![item])]);
    assert!(matches!(ran.outputs, Err(StageError::Corrupt { .. })), "{:?}", ran.outputs);
}

#[test]
fn code_files_keep_their_places_and_nothing_else_is_beside_them() {
    let bench = Bench::new();
    let script = "#!/bin/sh
. \"$(dirname \"$0\")/lib/part.sh\"
(cd ../code; find . -type f | sort) > \"$1/files\"
part > \"$1/part\"
";
    bench.write("scripts/run.sh", script);
    bench.write("scripts/lib/part.sh", "part() { echo part; }\n");
    bench.write("scripts/other.sh", "");
    let ran = bench.run(
        params(
            r#"argv = ["{code.run.sh}", "{out}"]
                  code = ["scripts/run.sh", "scripts/lib/part.sh"]"#,
        ),
        vec![],
    );
    let files = [("files", "./lib/part.sh\n./run.sh\n"), ("part", "part\n")];
    assert_eq!(ran.files(), files.map(|(name, text)| (name.to_owned(), text.to_owned())));
}

#[test]
fn several_outputs_and_nested_files_are_kept() {
    let bench = Bench::new();
    let ran = bench.run(
        params(
            r#"
            argv = ["sh", "-c", """
                mkdir -p {out.b}/z/y; echo 1 > {out.b}/z/y/f; echo 2 > {out.b}/a; echo {threads} > {out.a}/f"""]
            outputs = ["b", "a"]
            "#,
        ),
        vec![],
    );
    let files = [("a", "2\n"), ("z/y/f", "1\n")];
    assert_eq!(ran.files(), files.map(|(name, text)| (name.to_owned(), text.to_owned())));
    let outputs = ran.outputs.expect("it ran");
    assert_eq!(outputs.iter().map(|output| output.name.as_str()).collect::<Vec<_>>(), ["b", "a"]);
}

#[test]
fn outputs_that_are_missing_or_lead_elsewhere_are_refused() {
    for (script, message) in [
        ("true # {out}", "the program ended well but wrote no file to output `out`"),
        ("mkdir {out}/empty", "the program ended well but wrote no file to output `out`"),
        ("ln -s /etc/passwd {out}/link", "output `out`: `link` is a symbolic link"),
        ("mkdir {out}/d; ln -s / {out}/d/all", "output `out`: `d/all` is a symbolic link"),
        ("mkfifo {out}/pipe", "output `out`: `pipe` is neither a file nor a folder but a named pipe"),
        ("rm -r {out}", "output `out`: its folder is gone"),
    ] {
        let bench = Bench::new();
        let params = serde_json::json!({ "argv": ["sh", "-c", script], "code": [] });
        let ran = bench.run(params, vec![]);
        assert!(ran.message().starts_with(message), "{script}: {}", ran.message());
    }
}

#[test]
fn a_hard_link_becomes_a_file_of_its_own() {
    let bench = Bench::new();
    let mine = bench.write("mine", "before");
    let argv = serde_json::json!({ "argv": ["ln", mine.to_string_lossy(), "{out}/file"], "code": [] });
    let ran = bench.run(argv, vec![]);
    std::fs::write(&mine, "after!").expect("a file can be written");
    assert_eq!(ran.files(), [("file".to_owned(), "before".to_owned())]);
}

#[test]
fn a_cancelled_program_is_ended_and_what_it_started_is_not_waited_for() {
    let bench = Bench::new();
    let started = std::time::Instant::now();
    let cancelled = || started.elapsed() > std::time::Duration::from_millis(100);
    // The shell waits for `sleep`, which keeps the streams open after the shell was ended.
    let params = params(r#"argv = ["sh", "-c", "sleep 20; true {out}"]"#);
    let ran = bench.run_with(params, vec![], &[], &cancelled);
    assert_eq!(ran.outputs.expect_err("it was cancelled"), StageError::Cancelled);
    assert!(started.elapsed() < std::time::Duration::from_secs(10));
}

#[test]
fn progress_lines_reach_people() {
    let bench = Bench::new();
    bench.run(params(r#"argv = ["sh", "-c", "echo progress 1/2 half; echo x > {out}/x; echo progress 2/2"]"#), vec![]);
    let progress = |done, message: &str| Progress { done, total: 2, message: message.to_owned() };
    assert_eq!(*bench.progress.borrow(), [progress(1, "half"), progress(2, "")]);
}

#[test]
fn a_version_is_asked_for_once_and_is_part_of_the_key() {
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    let count = dir.path().join("count");
    let script = format!("echo x >> {}; echo 'tool 1.2'; echo more >&2", count.display());
    let params = serde_json::json!({
        "argv": ["true", "{out}"], "version": ["sh", "-c", "{script}"], "params": { "script": script },
    });
    for _ in 0..2 {
        assert_eq!(COMMAND.probe(&params), Ok(vec![("version".to_owned(), "tool 1.2\nmore".to_owned())]));
    }
    assert_eq!(std::fs::read_to_string(&count).expect("the script wrote it"), "x\n");

    let failing = serde_json::json!({ "argv": ["true", "{out}"], "version": ["sh", "-c", "echo no >&2; exit 1"] });
    let error = COMMAND.probe(&failing).expect_err("the script fails");
    assert_eq!(error, "version: `sh -c echo no >&2; exit 1` ended with exit status 1: no");
    assert_eq!(COMMAND.probe(&serde_json::json!({ "argv": ["true", "{out}"] })), Ok(vec![]));
}

#[test]
fn a_version_is_asked_for_again_where_the_program_sees_other_variables() {
    let asked = |env: &[&str]| {
        let version = ["sh", "-c", "test -n \"$CARGO_MANIFEST_DIR\" && echo set || echo unset"];
        COMMAND.probe(&serde_json::json!({ "argv": ["true", "{out}"], "version": version, "env": env }))
    };
    let answer = |text: &str| Ok(vec![("version".to_owned(), text.to_owned())]);
    assert_eq!(asked(&[]), answer("unset"));
    assert_eq!(asked(&["CARGO_MANIFEST_DIR"]), answer("set"));
}
