//! Stories of published folders: each belongs to one stage of one study, and files that a person keeps there survive
//! all of them.

use std::fs;

use crate::sandbox::{Run, Said, Sandbox};
use crate::study::STUDY;

/// A text for each letter; the one for `b` fails on request.
const LETTERS: &str = r#"
[experiment]
name = "letters"

[axes]
letter = ["a", "b"]

[stages.make]
kind = "command"
over = ["letter"]
params = { text = "1" }
argv = ["sh", "-ec", '[ "$1$2" != bfail ] && printf %s "$1$2" > "$3/text"', "sh", "{letter}", "{text}", "{out}"]
publish = "results/make"
"#;

const RECORD: &str = ".orchestrate-published.toml";

/// A project whose published folder has a file and a folder of a person.
fn letters() -> Sandbox {
    let sandbox = Sandbox::with_spec(LETTERS);
    for file in ["notes.txt", "mine/notes.txt", "letter=a/notes.txt"] {
        sandbox.write(&format!("results/make/{file}"), "mine");
    }
    sandbox
}

/// Lists the files of the published folder without the record, and checks that the person's are intact.
fn published(sandbox: &Sandbox) -> Vec<String> {
    let mut files = Vec::new();
    let mut folders = vec![sandbox.path("results/make")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("it can be listed") {
            let path = entry.expect("it can be read").path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    let root = sandbox.path("results/make");
    let name = |path: &std::path::PathBuf| path.strip_prefix(&root).expect("it lies there").display().to_string();
    let mut files: Vec<_> = files.iter().map(name).filter(|file| file != RECORD).collect();
    files.sort();
    for file in ["notes.txt", "mine/notes.txt", "letter=a/notes.txt"] {
        assert_eq!(sandbox.read(&format!("results/make/{file}")), "mine");
        files.retain(|other| other != file);
    }
    files
}

fn points(letters: &[&str]) -> Vec<String> {
    letters.iter().flat_map(|it| ["provenance.json", "text"].map(|file| format!("letter={it}/{file}"))).collect()
}

fn text(letter: &str) -> String {
    format!("results/make/letter={letter}/text")
}

fn warnings(run: &Run) -> Vec<&str> {
    run.said.err.lines().filter_map(|line| line.strip_prefix("warning: ")).collect()
}

#[test]
fn files_of_a_person_survive_every_story() {
    let sandbox = letters();
    let first = sandbox.run_well(&[]);
    assert_eq!((published(&sandbox), warnings(&first)), (points(&["a", "b"]), Vec::new()));

    let axis = sandbox.run_well(&["--set", "axes.letter=[\"b\", \"c\"]"]);
    assert_eq!(published(&sandbox), points(&["b", "c"]));
    assert_eq!(warnings(&axis), ["DIR/results/make: 1 point was removed, which the plan no longer has"]);

    let param = sandbox.run_well(&["--set", "stages.make.params.text=2"]);
    assert_eq!(published(&sandbox), points(&["a", "b"]));
    assert_eq!((sandbox.read(&text("a")).as_str(), warnings(&param).len()), ("a2", 1));

    sandbox.write(&text("b"), "edited");
    let edited = sandbox.run_well(&[]);
    assert!(
        warnings(&edited)[0].contains("letter=b/text was edited after it was published"),
        "{edited:?}",
        edited = edited.said.err
    );
    assert_eq!(
        (sandbox.read(&text("b")), sandbox.read(&(text("b") + ".edited"))),
        ("b1".to_owned(), "edited".to_owned())
    );
    fs::remove_file(sandbox.path(&(text("b") + ".edited"))).unwrap();

    fs::remove_file(sandbox.path(&text("a"))).unwrap();
    fs::remove_dir_all(sandbox.path("results/make/letter=b")).unwrap();
    let deleted = sandbox.run_well(&[]);
    assert_eq!((deleted.ran(), warnings(&deleted)), (Vec::new(), Vec::new()));
    assert_eq!(published(&sandbox), points(&["a", "b"]));

    let older = ["DIR/results/make: 1 point is of an older run, which this one did not publish anew"];
    let fail = sandbox.run(&["--set", "stages.make.params.text=fail"]);
    assert_eq!(fail.said.code, Some(1));
    let said: Vec<_> = warnings(&fail);
    assert_eq!((published(&sandbox), said.as_slice()), (points(&["a", "b"]), &older[..]));
    assert_eq!((sandbox.read(&text("a")), sandbox.read(&text("b"))), ("afail".to_owned(), "b1".to_owned()));
    assert!(sandbox.read("results/make/letter=b/provenance.json").contains("\"older_run\": true"));

    let only = sandbox.run_well(&["--only", "make[letter=b]", "--set", "stages.make.params.text=3"]);
    assert_eq!((published(&sandbox), warnings(&only).as_slice()), (points(&["a", "b"]), &older[..]));
    assert!(sandbox.read("results/make/letter=a/provenance.json").contains("\"older_run\": true"));
    assert!(!sandbox.read("results/make/letter=b/provenance.json").contains("older_run"));

    fs::remove_file(sandbox.path(&format!("results/make/{RECORD}"))).unwrap();
    sandbox.run_well(&["--set", "axes.letter=[\"a\"]"]);
    assert_eq!(published(&sandbox), points(&["a"]), "a folder of an earlier program is adopted");

    sandbox.write("child.toml", "extends = \"spec.toml\"\n[experiment]\nname = \"child\"\n");
    let child = sandbox.orchestrate(&["run", "child.toml"]);
    assert_eq!(child.code, Some(2), "{}", child.err);
    assert_eq!(published(&sandbox), points(&["a"]));
}

#[test]
fn a_spec_that_extends_another_cannot_publish_into_its_folder_and_a_placeholder_helps() {
    let sandbox = letters();
    sandbox.run_well(&[]);
    sandbox.write("child.toml", "extends = \"spec.toml\"\n[experiment]\nname = \"child\"\n");
    let said = sandbox.orchestrate(&["run", "child.toml"]);
    assert_eq!(said.code, Some(2));
    for part in [
        "warning: stage `make` publishes into a folder that was named for experiment `letters`, which this spec \
         extends",
        "error: DIR/results/make belongs to stage `make` of experiment `letters`, spec spec.toml",
        "spec.toml:13:11",
        "`{experiment}` in it stands for the experiment's name",
    ] {
        assert!(said.err.contains(part), "{part} in {}", said.err);
    }
    assert!(said.out.is_empty() && !said.err.contains(" ran in "), "nothing ran: {}", said.err);
    sandbox.edit("spec.toml", "results/make", "results/{experiment}");
    let said = sandbox.orchestrate(&["run", "child.toml"]);
    assert_eq!((said.code, sandbox.read("results/child/letter=a/text").as_str()), (Some(0), "a1"), "{}", said.err);
    assert!(!said.err.contains("warning"), "{}", said.err);
}

#[test]
fn a_file_of_a_person_in_the_way_fails_its_point_by_name() {
    let sandbox = letters();
    sandbox.write(&text("b"), "mine");
    let run = sandbox.run(&[]);
    assert_eq!((run.said.code, run.with("ran").len()), (Some(1), 2));
    assert_eq!(sandbox.read(&text("b")), "mine");
    let messages: Vec<_> = run.messages.iter().filter_map(|line| line["message"].as_str()).collect();
    let message = "make[letter=b]: cannot publish: DIR/results/make/letter=b/text is in the way";
    assert_eq!(messages.iter().filter(|it| it.contains(message)).count(), 1, "{messages:?}");
    let said = sandbox.orchestrate(&["run", "spec.toml"]);
    assert!(said.code == Some(1) && said.err.contains("error: make[letter=b]: cannot publish"), "{}", said.err);
}

fn refused(sandbox: &Sandbox) -> Said {
    let said = sandbox.orchestrate(&["run", "spec.toml"]);
    assert_eq!(said.code, Some(2), "{}{}", said.out, said.err);
    said
}

#[test]
fn folders_that_cannot_be_published_into_are_errors_of_the_spec() {
    let sandbox = Sandbox::with_spec(LETTERS);
    let second =
        LETTERS.split("[stages.make]").nth(1).expect("it has a stage").replace("results/make", "results/make/../make/");
    sandbox.write("spec.toml", format!("{LETTERS}\n[stages.more]{second}"));
    let said = refused(&sandbox);
    for part in
        ["stage `more` publishes to `results/make/../make/`, which is the folder of stage `make`", "spec.toml:13"]
    {
        assert!(said.err.contains(part), "{part} in {}", said.err);
    }
    for (publish, problem) in [
        (".", "which holds the project's root"),
        (".orchestrate/x", "which lies in the store"),
        ("pictures/out", "which lies in DIR/pictures, which stage `images` reads"),
        ("{stage}/x", "the placeholder `{stage}`, which stands for nothing"),
    ] {
        let images = "[stages.images]\nkind = \"dataset\"\nformat = \"folders\"\npath = \"pictures\"\n";
        sandbox.write("pictures/tumour/1.png", "a picture");
        sandbox.write("spec.toml", LETTERS.replace("results/make", publish) + images);
        let said = refused(&sandbox);
        assert!(said.err.contains(problem), "{publish}: {}", said.err);
    }
}

#[test]
fn different_labels_have_different_folders_when_published_exported_and_logged() {
    let labels = "[\"a/b\", \"a_b\", \"A_b\", \"a%2Fb\"]";
    let sandbox =
        Sandbox::with_spec(&LETTERS.replace("[\"a\", \"b\"]", labels).replace("printf", "echo log of $1; printf"));
    sandbox.run_well(&[]);
    let folders = |dir: &str| {
        let names =
            fs::read_dir(sandbox.path(dir)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|name| name != RECORD).collect();
        names.sort();
        names
    };
    let names = folders("results/make");
    assert_eq!(names.len(), 4, "{names:?}");
    assert!(names.contains(&"letter=a%2Fb".to_owned()) && names.contains(&"letter=a_b".to_owned()), "{names:?}");
    for label in ["a/b", "a_b", "A_b", "a%2Fb"] {
        let said = sandbox.orchestrate(&["logs", &format!("make[letter={label}]")]);
        assert_eq!(said.out, format!("log of {label}\n"), "{}", said.err);
    }
    let sizes = "[{ name = \"a/b\", size = 32 }, { name = \"a_b\", size = 40 }]";
    sandbox.write(
        "images.toml",
        format!(
            "[experiment]\nname = \"i\"\n[axes]\ns = {sizes}\n\
             [stages.images]\nkind = \"dataset\"\nover = [\"s\"]\ncount = 3\n"
        ),
    );
    assert_eq!(sandbox.orchestrate(&["run", "images.toml"]).code, Some(0));
    let said = sandbox.orchestrate(&["export", "masks", "images.toml", "images", "--to", "masks"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(folders("masks"), ["s=a%2Fb", "s=a_b"]);
}

#[test]
fn an_output_named_like_the_sidecar_is_published_as_it_is() {
    let spec = LETTERS.replace("$3/text", "$3/provenance.json");
    let sandbox = Sandbox::with_spec(&spec);
    sandbox.run_well(&[]);
    assert_eq!(sandbox.read("results/make/letter=a/provenance.json"), "a1");
    assert!(sandbox.read("results/make/letter=a/provenance.orchestrate.json").contains("make[letter=a]"));
    assert_eq!(sandbox.run_well(&[]).ran(), [""; 0]);
}

#[test]
fn published_files_among_code_are_not_in_the_key() {
    let sandbox = Sandbox::with_spec(LETTERS);
    sandbox.edit("spec.toml", "params = { text = \"1\" }", "params = { text = \"1\" }\ncode = [\".\"]");
    let first = sandbox.run_well(&[]);
    let again = sandbox.run_well(&[]);
    assert_eq!(again.ran(), [""; 0]);
    for run in [first, again] {
        let said = "which lies in DIR, which stage `make` reads; published files are left out there";
        assert!(run.said.err.contains(said), "{}", run.said.err);
    }
}

#[test]
fn scores_of_all_points_are_one_table_that_a_sweep_leaves_alone() {
    let sandbox = Sandbox::with_spec(STUDY);
    sandbox.edit("spec.toml", "images = \"all\"", "images = \"all\"\npublish = \"results/scores\"");
    sandbox.write("results/scores/notes.txt", "mine");
    sandbox.run_well(&[]);
    let listed = || {
        let output =
            std::process::Command::new("ls").args(["-lR", "--full-time"]).arg(sandbox.path("results/scores")).output();
        String::from_utf8(output.expect("there is an `ls`").stdout).expect("plain names")
    };
    let before = listed();
    assert!(sandbox.path("results/scores/scores.parquet").is_file(), "{before}");
    let said = sandbox.orchestrate(&["sweep", "spec.toml", "threshold=10,20"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(listed(), before);
    sandbox.run_well(&[]);
    assert_eq!(listed(), before, "and so does a run of hits");
}

#[test]
fn a_report_and_its_provenance_tables_and_figures_are_of_one_run() {
    let sandbox = Sandbox::with_spec(STUDY);
    let report =
        "\n[stages.report]\nkind = \"report\"\ninputs = { scores = \"score\" }\npublish = \"results/report\"\n";
    sandbox.write("spec.toml", format!("{STUDY}{report}"));
    sandbox.write("results/report/notes.txt", "mine");
    sandbox.run_well(&[]);
    let said = sandbox.orchestrate(&["report", "spec.toml"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let page = sandbox.read("results/report/report.html");
    assert!(page.contains("score[model=tiny"), "it has the names of nodes");
    let figures = |sandbox: &Sandbox| fs::read_dir(sandbox.path("results/report/figures")).unwrap().count();
    let all = figures(&sandbox);
    let run = sandbox.run_well(&[]);
    assert_eq!((run.ran(), warnings(&run)), (Vec::new(), Vec::new()));
    assert_eq!(sandbox.read("results/report/report.html"), page, "a run of hits leaves what was added");

    // Without one model there are fewer figures.
    let set = ["--set", "axes.model=[\"tiny\"]"];
    sandbox.run_well(&set);
    let key = |sandbox: &Sandbox| {
        let sidecar: serde_json::Value = serde_json::from_str(&sandbox.read("results/report/provenance.json")).unwrap();
        (sidecar["key"].as_str().unwrap().to_owned(), sidecar["files"].as_array().unwrap().len())
    };
    let small = key(&sandbox);
    sandbox.run_well(&[]);
    let large = key(&sandbox);
    assert_ne!(small.0, large.0);
    let said = sandbox.orchestrate(&[&["report", "spec.toml"], &set[..]].concat());
    assert_eq!(said.code, Some(0), "{}", said.err);
    assert_eq!(key(&sandbox), small);
    assert!(figures(&sandbox) <= all);
    assert!(!sandbox.read("results/report/report.html").contains("tiny-modified"));
    assert!(sandbox.read("results/report/provenance.json").contains("axes.model="));
    assert_eq!(sandbox.read("results/report/notes.txt"), "mine");
    let back = sandbox.run_well(&[]);
    assert_eq!((back.ran(), warnings(&back)), (Vec::new(), Vec::new()));
    assert_eq!(key(&sandbox), large);
}
