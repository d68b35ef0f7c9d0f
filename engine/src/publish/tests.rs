//! Stories of one published folder in which a person also keeps files.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use orchestrate_cache::{Access, ActionKey, Digest, FileEntry, OutputDigest, PutContent, Store};

use super::finish::Finished;
use super::record::{FileRecord, FolderRecord, staging_block};
use super::*;
use crate::fake::plan_in;
use crate::stage::StageError;

/// A study that publishes scores of two files each.
struct Study {
    dir: tempfile::TempDir,
    store: Store,
}

/// The messages of a run.
#[derive(Debug)]
struct Said {
    failed: Vec<String>,
    warnings: Vec<String>,
}

const SPEC: &str = r#"
[experiment]
name = "study"
[axes]
model = ["a", "b"]
threshold = [1, 2]
[stages.images]
kind = "dataset"
[stages.split]
kind = "split"
inputs = { labels = "images" }
[stages.train]
kind = "train"
over = ["model"]
inputs = { images = "images", split = "split" }
[stages.threshold]
kind = "threshold"
over = ["model", "threshold"]
inputs = { cams = "train" }
publish = "res"
"#;

impl Study {
    /// Makes a study whose published folder already has files of a person.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store"), Access::ReadWrite).unwrap();
        let study = Self { dir, store };
        study.plant();
        study
    }

    fn plant(&self) {
        for name in ["notes.txt", "mine/notes.txt", "model=a,threshold=1/notes.txt"] {
            self.write(&format!("res/{name}"), "mine");
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Lists the files of the published folder without the person's, and checks that those are intact.
    fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        list(&self.path("res"), &mut files);
        let mut files: Vec<_> =
            files.iter().map(|path| path.strip_prefix(self.path("res")).unwrap().display().to_string()).collect();
        files.sort();
        for mine in ["notes.txt", "mine/notes.txt", "model=a,threshold=1/notes.txt"] {
            assert_eq!(self.read(&format!("res/{mine}")), "mine");
            files.retain(|file| file != mine);
        }
        files.retain(|file| file != RECORD);
        files
    }

    /// The files of wholly published points, and other files.
    fn points(points: &[&str], others: &[&str]) -> Vec<String> {
        let files =
            |point: &&str| ["deep/text", "provenance.json", "scores.parquet"].map(|file| format!("{point}/{file}"));
        let mut files: Vec<_> = points.iter().flat_map(files).chain(others.iter().map(|it| (*it).to_owned())).collect();
        files.sort();
        files
    }

    fn outputs(&self, node: &str, version: &str) -> (ActionKey, Vec<(String, OutputDigest)>) {
        let put =
            |name: &str| (name.to_owned(), PutContent::Bytes(format!("{name} of {node}, {version}").into_bytes()));
        let files = match version {
            "other" => vec![put("scores.parquet"), put("text")],
            _ => vec![put("scores.parquet"), put("deep/text")],
        };
        let (digest, _) = self.store.put_artifact(files).unwrap();
        self.store.commit().unwrap();
        (ActionKey(Digest::of(format!("{node} {version}").as_bytes())), vec![("thresholds".to_owned(), digest)])
    }

    /// Runs the study; only some nodes succeed.
    fn run_some(&self, spec: &str, version: &str, ends_well: impl Fn(&str) -> bool, interrupted: bool) -> Said {
        let plan = plan_in(self.dir.path(), spec, &[]).unwrap();
        let mut publisher = Publisher::open(&plan, &self.store, |_| true).unwrap();
        let ids = plan.ids().filter(|id| publisher.publishes(*id) && ends_well(plan.name(*id).as_str()));
        let nodes: Vec<_> = ids
            .map(|id| {
                let (key, outputs) = self.outputs(plan.name(id).as_str(), version);
                (id, key, outputs)
            })
            .collect();
        let results = publisher.publish("run", &nodes);
        let mut failed: Vec<String> =
            results.into_iter().filter_map(|result| Some(result.err()?.to_string())).collect();
        let outputs = |id| self.outputs(plan.name(id).as_str(), version).1;
        let Finished { warnings, failures } = publisher.finish("run", interrupted, Some(join), &outputs);
        failed.extend(failures);
        let dir = self.dir.path().display().to_string();
        let short = |texts: Vec<String>| texts.into_iter().map(|text| text.replace(&dir, "DIR")).collect();
        Said { failed: short(failed), warnings: short(warnings) }
    }

    fn run(&self, spec: &str, version: &str) -> Said {
        let said = self.run_some(spec, version, |_| true, false);
        assert_eq!(said.failed, [""; 0]);
        said
    }

    /// Runs again, and checks that nothing in the folder changes.
    fn run_idly(&self, spec: &str, version: &str) -> Said {
        let stat = |path: &PathBuf| {
            let metadata = fs::symlink_metadata(path).unwrap();
            (path.clone(), std::os::unix::fs::MetadataExt::ino(&metadata), metadata.modified().unwrap())
        };
        let stats = || {
            let mut files = vec![self.path("res")];
            list(&self.path("res"), &mut files);
            files.iter().map(stat).collect::<Vec<_>>()
        };
        let before = stats();
        let said = self.run(spec, version);
        assert_eq!(stats(), before);
        said
    }

    fn refusal(&self, spec: &str) -> String {
        let plan = plan_in(self.dir.path(), spec, &[]).unwrap();
        let error = Publisher::open(&plan, &self.store, |_| true).err().expect("it is refused");
        error.to_string().replace(&self.dir.path().display().to_string(), "DIR")
    }
}

fn list(dir: &Path, files: &mut Vec<PathBuf>) {
    let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() && !path.is_symlink() { list(&path, files) } else { files.push(path) }
    }
}

/// Joins points as one line each, with the values as JSON.
fn join(axes: &[&str], points: &[TidyPoint], out: &mut (dyn std::io::Write + Send)) -> Result<(), StageError> {
    for TidyPoint { values, file } in points {
        let bytes = file.read()?;
        if bytes.ends_with(b"refused") {
            return Err(StageError::new("the tables do not fit"));
        }
        let _ = writeln!(out, "{} {} {}", axes.join(","), serde_json::json!(values), String::from_utf8_lossy(&bytes));
    }
    Ok(())
}

const ALL: [&str; 4] = ["model=a,threshold=1", "model=a,threshold=2", "model=b,threshold=1", "model=b,threshold=2"];

#[test]
fn a_run_publishes_all_points_and_one_table_and_the_next_one_touches_nothing() {
    let study = Study::new();
    let said = study.run(SPEC, "1");
    assert_eq!(said.warnings, [""; 0]);
    assert_eq!(study.files(), Study::points(&ALL, &["scores.parquet"]));
    assert_eq!(
        study.read("res/scores.parquet").lines().collect::<Vec<_>>(),
        [
            "model,threshold [\"a\",1] scores.parquet of threshold[model=a,threshold=1], 1",
            "model,threshold [\"a\",2] scores.parquet of threshold[model=a,threshold=2], 1",
            "model,threshold [\"b\",1] scores.parquet of threshold[model=b,threshold=1], 1",
            "model,threshold [\"b\",2] scores.parquet of threshold[model=b,threshold=2], 1",
        ]
    );
    assert_eq!(study.run_idly(SPEC, "1").warnings, [""; 0]);
    study.run(SPEC, "2");
    assert_eq!(study.files(), Study::points(&ALL, &["scores.parquet"]));
    assert!(study.read("res/scores.parquet").lines().all(|line| line.ends_with(", 2")));
}

#[test]
fn files_that_a_later_result_lacks_are_removed() {
    let study = Study::new();
    study.run(SPEC, "1");
    study.run(SPEC, "other");
    let files = study.files();
    assert!(files.contains(&"model=b,threshold=2/text".to_owned()) && files.iter().all(|file| !file.contains("deep")));
    assert!(!study.path("res/model=b,threshold=2/deep").exists(), "an empty folder of ours goes too");
}

#[test]
fn points_that_left_the_plan_are_removed_and_files_of_a_person_stay() {
    let study = Study::new();
    study.run(SPEC, "1");
    let said = study.run(&SPEC.replace("[1, 2]", "[2, 3]"), "2");
    assert_eq!(said.warnings, ["DIR/res: 2 points were removed, which the plan no longer has"]);
    let points = ["model=a,threshold=2", "model=a,threshold=3", "model=b,threshold=2", "model=b,threshold=3"];
    assert_eq!(study.files(), Study::points(&points, &["scores.parquet"]));
    assert!(study.path("res/model=a,threshold=1").exists(), "it holds a person's file");
    assert!(!study.path("res/model=b,threshold=1").exists());
    assert_eq!(study.read("res/scores.parquet").lines().count(), 4);
    let back = study.run(SPEC, "2");
    assert_eq!(back.warnings, ["DIR/res: 2 points were removed, which the plan no longer has"]);
    assert_eq!(study.files(), Study::points(&ALL, &["scores.parquet"]));
}

#[test]
fn points_that_a_run_did_not_reach_stay_and_are_marked() {
    let study = Study::new();
    study.run(SPEC, "1");
    let some = |node: &str| node.contains("threshold=1");
    let said = study.run_some(SPEC, "2", some, false);
    assert_eq!(said.warnings, ["DIR/res: 2 points are of an older run, which this one did not publish anew"]);
    assert_eq!(study.files(), Study::points(&ALL, &["scores.parquet"]));
    let older = |point: &str| study.read(&format!("res/{point}/provenance.json")).contains("\"older_run\": true");
    assert_eq!(ALL.map(older), [false, true, false, true]);
    assert!(study.read("res/model=a,threshold=2/scores.parquet").ends_with(", 1"));
    assert_eq!(study.read("res/scores.parquet").lines().count(), 2, "the table mixes no two runs");
    // All are marked already; the warning stays.
    let again = study.run_some(SPEC, "2", some, false);
    assert_eq!(again.warnings.len(), 1);
    let all = study.run(SPEC, "2");
    assert_eq!(all.warnings, [""; 0]);
    assert_eq!(ALL.map(older), [false; 4]);
    assert_eq!(study.read("res/scores.parquet").lines().count(), 4);
    study.run_idly(SPEC, "2");
}

#[test]
fn an_interrupted_run_removes_nothing_and_the_next_one_does() {
    let study = Study::new();
    study.run(SPEC, "1");
    let spec = SPEC.replace("[1, 2]", "[2]");
    study.run_some(&spec, "1", |_| true, true);
    assert_eq!(study.files(), Study::points(&ALL, &["scores.parquet"]));
    let said = study.run(&spec, "1");
    assert_eq!(said.warnings.len(), 1);
    assert_eq!(study.files(), Study::points(&[ALL[1], ALL[3]], &["scores.parquet"]));
    assert_eq!(study.read("res/scores.parquet").lines().count(), 2);
    // A run that ended before it made the table.
    study.run_some(&spec, "2", |_| true, true);
    study.run(&spec, "2");
    assert!(study.read("res/scores.parquet").lines().all(|line| line.ends_with(", 2")));
}

#[test]
fn an_edited_file_is_restored_and_the_edit_is_kept_under_another_name() {
    let study = Study::new();
    study.run(SPEC, "1");
    for round in 1..=3 {
        study.write("res/model=a,threshold=2/deep/text", &format!("edited {round}"));
        let said = study.run(SPEC, "1");
        let kept = if round == 1 { "text.edited".to_owned() } else { format!("text.edited-{round}") };
        assert_eq!(
            said.warnings,
            [format!(
                "DIR/res/model=a,threshold=2/deep/text was edited after it was published; the published version is \
                 restored, and yours is kept as {kept}"
            )]
        );
        assert_eq!(study.read(&format!("res/model=a,threshold=2/deep/{kept}")), format!("edited {round}"));
        assert_eq!(study.read("res/model=a,threshold=2/deep/text"), "deep/text of threshold[model=a,threshold=2], 1");
    }
    // Also if the file is replaced or removed.
    study.write("res/scores.parquet", "edited");
    study.write("res/model=b,threshold=1/scores.parquet", "edited");
    study.write("res/model=b,threshold=2/scores.parquet", "edited");
    study.run(&SPEC.replace("[1, 2]", "[2]"), "2");
    for kept in ["scores.parquet", "model=b,threshold=1/scores.parquet", "model=b,threshold=2/scores.parquet"] {
        assert_eq!(study.read(&format!("res/{kept}.edited")), "edited");
    }
    assert!(!study.path("res/model=b,threshold=1/scores.parquet").exists());
    study.run_idly(&SPEC.replace("[1, 2]", "[2]"), "2");
}

#[test]
fn a_missing_file_is_restored_and_one_with_the_same_bytes_is_only_recorded() {
    let study = Study::new();
    study.run(SPEC, "1");
    fs::remove_file(study.path("res/model=a,threshold=2/scores.parquet")).unwrap();
    fs::remove_file(study.path("res/scores.parquet")).unwrap();
    fs::remove_dir_all(study.path("res/model=b,threshold=1")).unwrap();
    let touched = study.path("res/model=b,threshold=2/deep/text");
    let file = fs::File::options().write(true).open(&touched).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(study.run(SPEC, "1").warnings, [""; 0]);
    assert_eq!(study.files(), Study::points(&ALL, &["scores.parquet"]));
    assert_eq!(fs::metadata(&touched).unwrap().modified().unwrap(), std::time::UNIX_EPOCH, "it was not written");
    study.run_idly(SPEC, "1");
    fs::remove_dir_all(study.path("res")).unwrap();
    study.plant();
    study.run(SPEC, "1");
    assert_eq!(study.files(), Study::points(&ALL, &["scores.parquet"]));
}

#[test]
fn a_file_of_a_person_with_the_name_of_a_published_file_is_in_the_way() {
    let study = Study::new();
    study.write("res/model=a,threshold=2/deep", "mine");
    study.write("res/model=b,threshold=1/scores.parquet/x", "mine");
    study.write("res/model=b,threshold=2/scores.parquet", "mine");
    // A file with the right bytes is taken over.
    study.write("res/model=a,threshold=1/scores.parquet", "scores.parquet of threshold[model=a,threshold=1], 1");
    let said = study.run_some(SPEC, "1", |_| true, false);
    let why = |path: &str| {
        format!(
            "cannot publish: DIR/res/{path} is in the way, which this stage did not publish; move it elsewhere, or \
             name another folder in `publish`"
        )
    };
    assert_eq!(
        said.failed,
        [
            why("model=a,threshold=2/deep"),
            why("model=b,threshold=1/scores.parquet"),
            why("model=b,threshold=2/scores.parquet")
        ]
    );
    assert_eq!(study.read("res/model=b,threshold=2/scores.parquet"), "mine");
    assert_eq!(study.read("res/scores.parquet").lines().count(), 1);
    assert!(!study.path("res/model=b,threshold=2/provenance.json").exists(), "a point is published whole or not");
    fs::remove_file(study.path("res/model=a,threshold=2/deep")).unwrap();
    fs::remove_dir_all(study.path("res/model=b,threshold=1")).unwrap();
    fs::remove_file(study.path("res/model=b,threshold=2/scores.parquet")).unwrap();
    study.run(SPEC, "1");
    assert_eq!(study.files(), Study::points(&ALL, &["scores.parquet"]));
}

#[test]
fn no_link_is_followed_and_a_root_may_be_one() {
    let study = Study::new();
    let outside = study.path("outside");
    fs::create_dir(&outside).unwrap();
    study.write("outside/text", "victim");
    symlink(&outside, study.path("res/model=a,threshold=2")).unwrap();
    fs::create_dir(study.path("res/model=b,threshold=1")).unwrap();
    symlink(outside.join("text"), study.path("res/model=b,threshold=1/scores.parquet")).unwrap();
    let said = study.run_some(SPEC, "1", |_| true, false);
    assert!(said.failed[0].contains("DIR/res/model=a,threshold=2 is a link, and no link"), "{said:?}");
    assert!(said.failed[1].contains("DIR/res/model=b,threshold=1/scores.parquet is in the way"), "{said:?}");
    assert_eq!((said.failed.len(), study.read("outside/text").as_str()), (2, "victim"));
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    fs::remove_file(study.path("res/model=a,threshold=2")).unwrap();
    fs::remove_file(study.path("res/model=b,threshold=1/scores.parquet")).unwrap();
    study.run(SPEC, "1");

    // A published file that became a link counts as edited.
    fs::remove_file(study.path("res/model=b,threshold=1/scores.parquet")).unwrap();
    symlink(outside.join("text"), study.path("res/model=b,threshold=1/scores.parquet")).unwrap();
    study.run(SPEC, "2");
    assert_eq!(study.read("outside/text"), "victim");
    assert!(study.path("res/model=b,threshold=1/scores.parquet.edited").is_symlink());

    fs::rename(study.path("res"), study.path("elsewhere")).unwrap();
    symlink(study.path("elsewhere"), study.path("res")).unwrap();
    study.run(SPEC, "3");
    assert!(study.path("res").is_symlink());
    assert!(study.read("elsewhere/model=b,threshold=1/scores.parquet").ends_with(", 3"));
}

#[test]
fn a_folder_of_another_stage_study_or_spec_is_rejected() {
    let study = Study::new();
    study.run(SPEC, "1");
    let before = study.files();
    for (other, whose) in [
        (SPEC.replace("\"study\"", "\"child\""), "belongs to stage `threshold` of experiment `study`, spec spec.toml"),
        (SPEC.replace("[stages.threshold]", "[stages.other]"), "belongs to stage `threshold` of experiment `study`"),
        (
            SPEC.replace("\"study\"", "\"child\"").replace("\"res\"", "\"res/mine/deep\""),
            "belongs to stage `threshold` of experiment `study`",
        ),
    ] {
        let said = study.refusal(&other);
        assert!(said.contains("spec.toml:20:11: DIR/res ") && said.contains(whose), "{said}");
        assert!(
            said.contains("help: name another folder in `publish`")
                && said.contains(&format!("write the new owner into DIR/res/{RECORD}"))
        );
    }
    assert_eq!(study.files(), before);
    fs::remove_file(study.path(&format!("res/{RECORD}"))).unwrap();
    let said = study.refusal(&SPEC.replace("\"study\"", "\"child\""));
    assert!(
        said.contains("or move the files that DIR/res/model=a,threshold=1/provenance.json names elsewhere"),
        "{said}"
    );
    study.write(&format!("res/{RECORD}"), "what?");
    assert!(study.refusal(SPEC).contains("cannot be read"), "{}", study.refusal(SPEC));
}

#[test]
fn folders_of_a_copied_spec_are_one_error_that_asks_for_another_name() {
    let study = Study::new();
    let stages = ["b", "c", "d", "e"]
        .map(|name| format!("[stages.{name}]\nkind = \"dataset\"\npublish = \"out/{{experiment}}/{name}\"\n"));
    let spec = format!("{}\n{}", SPEC.replace("\"res\"", "\"out/{experiment}/a\""), stages.concat());
    let plan = |text: &str| plan_in(study.dir.path(), text, &[]).unwrap();
    let first = plan(&spec);
    let mut publisher = Publisher::open(&first, &study.store, |_| true).unwrap();
    let ids = first.ids().filter(|id| publisher.publishes(*id));
    let nodes: Vec<_> = ids
        .map(|id| {
            let (key, outputs) = study.outputs(first.name(id).as_str(), "1");
            (id, key, outputs)
        })
        .collect();
    assert!(publisher.publish("run", &nodes).iter().all(Result::is_ok));
    let of_another = |name: &str| {
        for stage in ["a", "b", "c", "d", "e"] {
            let path = format!("out/study/{stage}/{RECORD}");
            let record = study.read(&path);
            let line = record.lines().find(|line| line.starts_with("spec = ")).unwrap();
            study.write(&path, &record.replace(line, &format!("spec = '{name}'")));
        }
    };
    study.write("first.toml", "");
    of_another("first.toml");
    let said = study.refusal(&spec);
    assert_eq!(said.matches("5 folders belong to experiment `study`, spec first.toml").count(), 1, "{said}");
    assert!(said.contains("out/study/c is of its stage `c`") && said.contains("and 2 more"), "{said}");
    assert!(said.contains("help: give this study another name in `[experiment]` (`name = \"…\"`), or name"), "{said}");
    fs::remove_file(study.path("first.toml")).unwrap();
    assert!(Publisher::open(&first, &study.store, |_| true).is_ok(), "a renamed spec takes its folders over");
    let said = study.refusal(&spec.replace("[stages.b]", "[stages.bb]"));
    assert!(said.contains("first.toml is gone: to take its folders over, name the experiment `study`"), "{said}");
}

#[test]
fn a_folder_around_another_studys_folder_is_rejected_and_an_owner_may_be_renamed_or_replaced() {
    let study = Study::new();
    study.run(&SPEC.replace("\"res\"", "\"res/inner/deep\""), "1");
    let said = study.refusal(&SPEC.replace("\"study\"", "\"child\""));
    assert!(said.contains("DIR/res/inner/deep belongs to stage `threshold` of experiment `study`"), "{said}");

    let study = Study::new();
    study.run(SPEC, "1");
    let record = study.read(&format!("res/{RECORD}"));
    assert!(record.contains("\nspec = 'spec.toml'\n"), "{record}");
    study.write(&format!("res/{RECORD}"), &record.replace("\nspec = 'spec.toml'\n", "\nspec = 'before.toml'\n"));
    study.write("before.toml", "");
    assert!(study.refusal(SPEC).contains("spec before.toml"));
    fs::remove_file(study.path("before.toml")).unwrap();
    study.run(SPEC, "2");
    assert_eq!(study.files(), Study::points(&ALL, &["scores.parquet"]));
    assert!(study.read(&format!("res/{RECORD}")).contains("\nspec = 'spec.toml'\n"));

    let child = SPEC.replace("\"study\"", "\"child\"");
    study.refusal(&child);
    let record = study.read(&format!("res/{RECORD}"));
    study.write(&format!("res/{RECORD}"), &record.replace("experiment = 'study'", "experiment = 'child'"));
    study.run(&child, "3");
    assert_eq!(study.files(), Study::points(&ALL, &["scores.parquet"]));
}

#[test]
fn an_edit_that_keeps_size_and_time_is_kept_when_the_file_is_replaced() {
    let study = Study::new();
    study.run(SPEC, "1");
    let path = study.path("res/model=a,threshold=1/deep/text");
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let edited = study.read("res/model=a,threshold=1/deep/text").replace("text", "TEXT");
    fs::write(&path, &edited).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(modified).unwrap();
    study.run(SPEC, "2");
    assert_eq!(study.read("res/model=a,threshold=1/deep/text.edited"), edited);
}

#[test]
fn a_folder_without_a_record_is_adopted_from_its_sidecars() {
    let study = Study::new();
    study.run(SPEC, "1");
    let before = study.files();
    fs::remove_file(study.path(&format!("res/{RECORD}"))).unwrap();
    fs::remove_file(study.path("res/scores.parquet")).unwrap();
    study.write("res/model=b,threshold=2/deep/text", "edited");
    let said = study.run(SPEC, "1");
    assert_eq!(said.warnings.len(), 1, "{said:?}");
    assert_eq!(study.read("res/model=b,threshold=2/deep/text.edited"), "edited");
    fs::remove_file(study.path("res/model=b,threshold=2/deep/text.edited")).unwrap();
    assert_eq!(study.files(), before);
    study.run_idly(SPEC, "1");
    fs::remove_file(study.path(&format!("res/{RECORD}"))).unwrap();
    fs::remove_file(study.path("res/scores.parquet")).unwrap();
    study.run(&SPEC.replace("[1, 2]", "[2]"), "2");
    assert_eq!(study.files(), Study::points(&[ALL[1], ALL[3]], &["scores.parquet"]));
}

/// A killed process leaves the records and files that it had written until then.
#[test]
fn after_a_kill_no_file_of_ours_is_taken_for_a_persons() {
    let (staging, point) = (".orchestrate-new-dead", ALL[3]);
    let record = format!("res/{RECORD}");
    for (renamed, torn, next) in [
        (&[][..], true, "1"),
        (&[], false, "1"),
        (&[], false, "2"),
        (&["scores.parquet"], false, "1"),
        (&["scores.parquet"], false, "2"),
        (&["scores.parquet"], false, "3"),
        (&["scores.parquet", "deep/text"], false, "1"),
    ] {
        let study = Study::new();
        study.run(SPEC, "1");
        let whole = FolderRecord::parse(&study.read(&record)).unwrap().unwrap();
        let (key, outputs) = study.outputs("threshold[model=b,threshold=2]", "2");
        let mut torn_point = whole.points[point].clone();
        torn_point.key = key;
        torn_point.before = std::mem::take(&mut torn_point.files);
        for FileEntry { name, digest, size_bytes } in study.store.artifact(&outputs[0].1).unwrap().files {
            let path = format!("res/{point}/{name}");
            if renamed.contains(&name.as_str()) {
                study.write(&path, &String::from_utf8(study.store.read(&digest).unwrap()).unwrap());
            }
            torn_point.files.push(FileRecord { name, digest, size: size_bytes, mtime_ns: 1 });
        }
        let text = study.read(&record) + &staging_block(staging) + &torn_point.block();
        study.write(&record, if torn { &text[..text.len() - 9] } else { &text });
        study.write(&format!("res/{staging}/1"), "half");
        let said = study.run(SPEC, next);
        assert_eq!(said.warnings, [""; 0], "{renamed:?} {torn} {next}");
        assert_eq!(study.files(), Study::points(&ALL, &["scores.parquet"]), "{renamed:?} {torn} {next}");
        assert!(!study.path(&format!("res/{staging}")).exists());
        assert!(study.read(&format!("res/{point}/scores.parquet")).ends_with(&format!(", {next}")));
        study.run_idly(SPEC, next);
    }
}

#[test]
fn two_runs_publish_into_one_folder_one_after_the_other() {
    let study = Study::new();
    study.run(SPEC, "1");
    let plan = plan_in(study.dir.path(), SPEC, &[]).unwrap();
    let mut runs = ["2", "3"].map(|version| (version, Publisher::open(&plan, &study.store, |_| true).unwrap()));
    let ids: Vec<_> = plan.ids().filter(|id| runs[0].1.publishes(*id)).collect();
    for id in ids {
        for (version, publisher) in &mut runs {
            let (key, outputs) = study.outputs(plan.name(id).as_str(), version);
            publisher.publish("run", &[(id, key, outputs)]).into_iter().for_each(Result::unwrap);
        }
    }
    for (version, mut publisher) in runs {
        let outputs = |id| study.outputs(plan.name(id).as_str(), version).1;
        let Finished { warnings, failures } = publisher.finish("run", false, Some(join), &outputs);
        assert_eq!((warnings, failures), (Vec::new(), Vec::new()));
    }
    assert_eq!(study.files(), Study::points(&ALL, &["scores.parquet"]));
    assert!(study.read("res/scores.parquet").lines().all(|line| line.ends_with(", 3")));
    study.run_idly(SPEC, "3");
}

#[test]
fn of_two_runs_with_different_points_the_last_one_owns_the_whole_folder() {
    for last in [0, 1] {
        let study = Study::new();
        study.run(SPEC, "1");
        let values = ["[1, 2]", "[2, 3]"];
        let plan = |values: &str| plan_in(study.dir.path(), SPEC, &[&format!("axes.threshold={values}")]).unwrap();
        let plans = values.map(plan);
        let mut runs: Vec<_> =
            plans.iter().map(|plan| (plan, Publisher::open(plan, &study.store, |_| true).unwrap())).collect();
        for (plan, publisher) in &mut runs {
            for id in plan.ids().filter(|id| publisher.publishes(*id)).collect::<Vec<_>>() {
                let (key, outputs) = study.outputs(plan.name(id).as_str(), "2");
                publisher.publish("run", &[(id, key, outputs)]).into_iter().for_each(Result::unwrap);
            }
        }
        for index in [1 - last, last] {
            let (plan, publisher) = &mut runs[index];
            let outputs = |id| study.outputs(plan.name(id).as_str(), "2").1;
            assert_eq!(publisher.finish("run", false, Some(join), &outputs).failures, [""; 0]);
        }
        let points: Vec<String> = ["a", "b"]
            .iter()
            .flat_map(|model| [last + 1, last + 2].map(|threshold| format!("model={model},threshold={threshold}")))
            .collect();
        let points: Vec<&str> = points.iter().map(String::as_str).collect();
        assert_eq!(study.files(), Study::points(&points, &["scores.parquet"]), "{last}");
    }
}

#[test]
fn tables_that_do_not_fit_are_left_out_with_a_warning_each_time() {
    let study = Study::new();
    study.run(SPEC, "1");
    for _ in 0..2 {
        let said = study.run(SPEC, "refused");
        assert_eq!(said.warnings, ["there is no DIR/res/scores.parquet: the tables do not fit"]);
        assert_eq!(study.files(), Study::points(&ALL, &[]));
    }
    assert_eq!(study.run(SPEC, "1").warnings, [""; 0]);
    assert_eq!(study.files(), Study::points(&ALL, &["scores.parquet"]));
}

#[test]
fn an_annotated_page_is_ours_and_all_files_are_of_one_result() {
    let study = Study::new();
    study.run(SPEC, "1");
    let plan = plan_in(study.dir.path(), SPEC, &["experiment.seed=8"]).unwrap();
    let node = plan.ids().find(|id| plan.name(*id).as_str() == "threshold[model=b,threshold=1]").unwrap();
    let annotate = |version: &str, folder: &str| {
        let (key, outputs) = study.outputs("threshold[model=b,threshold=1]", version);
        let files = vec![("scores.parquet".to_owned(), b"annotated".to_vec())];
        let result = NodeResult { node, key, outputs: &outputs, run: "run" };
        publish_annotated(&plan, &study.store, &study.path(folder), ALL[2], result, files)
    };
    assert_eq!(annotate("1", "res").unwrap(), [""; 0]);
    assert_eq!(study.read(&format!("res/{}/scores.parquet", ALL[2])), "annotated");
    study.run_idly(SPEC, "1");

    annotate("other", "res").unwrap();
    let files: Vec<_> = study.files().into_iter().filter(|file| file.starts_with(ALL[2])).collect();
    assert_eq!(files, ["provenance.json", "scores.parquet", "text"].map(|file| format!("{}/{file}", ALL[2])));
    assert!(study.read(&format!("res/{}/provenance.json", ALL[2])).contains("experiment.seed=8"));
    study.run(SPEC, "1");
    assert_eq!(study.files(), Study::points(&ALL, &["scores.parquet"]));

    annotate("1", "elsewhere").unwrap();
    assert!(study.path(&format!("elsewhere/{RECORD}")).is_file());
}

#[test]
fn the_files_that_exist_of_each_result_are_told_from_the_record() {
    let study = Study::new();
    study.run(SPEC, "v1");
    fs::remove_file(study.path("res/model=a,threshold=2/deep/text")).unwrap();
    fs::create_dir_all(study.path(".hidden/res")).unwrap();
    fs::copy(study.path("res").join(RECORD), study.path(".hidden/res").join(RECORD)).unwrap();
    let Records { folders, cut } = records_below(study.dir.path());
    assert_eq!((folders, cut), (vec![study.path("res")], false));
    let published = Published::read(&study.path("res")).unwrap().expect("it has a record");
    assert_eq!((published.owner.stage.as_str(), published.tables.len()), ("threshold", 1));
    let point = published.points.iter().find(|point| point.node.contains("model=a,threshold=2")).unwrap();
    assert_eq!(point.key, study.outputs(&point.node, "v1").0);
    let names: Vec<_> = point.files.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["provenance.json", "scores.parquet"]);
    assert!(Published::read(study.dir.path()).unwrap().is_none());
    study.write("res/.orchestrate-published.toml", "format = 9");
    assert!(Published::read(&study.path("res")).is_err());
}
