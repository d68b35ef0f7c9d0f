//! Users of a group, each with an umask, share a store. Skipped where this user cannot become others.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::rerun::LETTERS;
use crate::sandbox::{Run, Said, Sandbox};

const GROUP: u32 = 43_900;

/// A user with a folder for projects.
struct User {
    id: u32,
    umask: &'static str,
    project: Sandbox,
}

impl User {
    fn new(id: u32, umask: &'static str, spec: &str) -> Self {
        let project = Sandbox::with_spec(spec);
        set_mode(&project.path(""), 0o777);
        Self { id, umask, project }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        command.args([format!("--reuid={}", self.id), format!("--regid={}", self.id)]);
        command.args([format!("--groups={},{GROUP}", self.id)]);
        command.args(["sh", "-c", "umask \"$0\"; exec \"$@\"", self.umask, env!("CARGO_BIN_EXE_orchestrate")]);
        command.args(args).current_dir(self.project.path("")).env_remove("ORCHESTRATE_STORE").env("NO_COLOR", "1");
        // The home of whoever tests is closed to others.
        command.env("HOME", self.project.path(""));
        command.env_remove("RUST_LOG").stdin(Stdio::null());
        command
    }

    fn orchestrate(&self, args: &[&str]) -> Said {
        Said::from(self.command(args).output().expect("setpriv starts"), &self.project.path(""))
    }

    fn start(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("setpriv starts")
    }

    fn run(&self, store: &str, args: &[&str]) -> Run {
        self.ended(self.start(&[&["run", "spec.toml", "--json", "--store", store], args].concat()))
    }

    fn ended(&self, child: Child) -> Run {
        let output = child.wait_with_output().expect("it ends");
        let run = Run::from(Said::from(output, &self.project.path("")));
        assert_eq!(run.said.code, Some(0), "{}{}", run.said.out, run.said.err);
        run
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("it is ours");
}

/// Three users with that spec, and the folder of their group.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn lab(test: &str, spec: &str) -> Option<([User; 3], Sandbox)> {
    let users = [(43_001, "002"), (43_002, "022"), (43_003, "077")].map(|(id, umask)| User::new(id, umask, spec));
    if !users[0].command(&["--version"]).output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: {test}: this user cannot run programs as others");
        return None;
    }
    let lab = Sandbox::new();
    chown(lab.path(""), None, Some(GROUP)).expect("this is root");
    set_mode(&lab.path(""), 0o2775);
    Some((users, lab))
}

/// All paths below a folder.
fn below(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).expect("it can be listed").map(|entry| entry.expect("it can be listed").path());
    let inside = |path: PathBuf| if path.is_dir() { [below(&path), vec![path]].concat() } else { vec![path] };
    entries.flat_map(inside).collect()
}

#[test]
fn users_of_any_umask_share_all_hits_and_each_can_collect_and_repair() {
    let Some((users, lab)) = lab("users of any umask", LETTERS) else { return };
    let dir = lab.path("store");
    let store = dir.to_str().expect("plain names");
    for (number, user) in users.iter().rev().enumerate() {
        assert_eq!(user.run(store, &[]).ran().len(), if number == 0 { 9 } else { 0 }, "{}", user.umask);
    }
    for user in &users {
        let times = format!("axes.times=[{}]", user.umask.trim_start_matches('0'));
        let ran = user.run(store, &["--set", &times]).ran().len();
        assert!(ran > 0);
        assert!(users.iter().all(|other| other.run(store, &["--set", &times]).ran().is_empty()), "{}", user.umask);
    }
    let args = ["run", "spec.toml", "--json", "--store", store, "--set", "axes.times=[5,6]"];
    let at_once: Vec<_> = users.iter().map(|user| (user, user.start(&args))).collect();
    let runs: Vec<_> = at_once.into_iter().map(|(user, child)| user.ended(child)).collect();
    let (ran, outputs) = (runs.iter().map(|run| run.ran().len()).sum::<usize>(), runs[0].outputs());
    assert!(ran == 5 && runs.iter().all(|run| run.outputs() == outputs), "{ran} nodes ran");
    for user in &users {
        for args in [&["gc", "--max-size", "1GB"][..], &["verify"], &["ls"]] {
            let said = user.orchestrate(&[&["store"], args, &["--store", store]].concat());
            assert_eq!((said.code, &*said.err), (Some(0), ""), "{args:?} {}: {}", user.umask, said.out);
        }
        fs::write(dir.join("last-use"), "damaged").expect("this is root");
        let said = user.orchestrate(&["store", "repair", "--store", store]);
        assert_eq!(said.code, Some(0), "{}{}", said.out, said.err);
    }
    for path in below(&dir) {
        let metadata = fs::symlink_metadata(&path).expect("it is there");
        assert_eq!(metadata.gid(), GROUP, "{}", path.display());
        assert!(metadata.mode() & 0o040 != 0, "{} has {:o}", path.display(), metadata.mode());
    }
}

#[test]
fn a_log_of_a_node_with_secrets_is_its_users_alone_and_shows_none_in_any_encoding() {
    let spec = r#"
[experiment]
name = "secret"
[stages.a]
kind = "command"
argv = ["sh", "-ec", "echo $TOKEN | base64; echo \"user:$TOKEN\" | base64 >&2; echo $TOKEN; false", "{out}"]
secret_env = ["TOKEN"]
[stages.b]
kind = "command"
argv = ["sh", "-ec", "echo said; echo > $0/x", "{out}"]
"#;
    let Some((users, lab)) = lab("logs with secrets", spec) else { return };
    let dir = lab.path("store");
    let store = dir.to_str().expect("plain names");
    let mut command = users[0].command(&["run", "spec.toml", "--store", store]);
    let output = command.env("TOKEN", "hunter2-hunter3-hunter4").output().expect("setpriv starts");
    let said = Said::from(output, &users[0].project.path(""));
    assert_eq!(said.code, Some(1), "{}", said.err);
    assert!(
        !said.err.contains("odW50ZXIz") && !said.err.contains("hunter") && said.err.contains("***"),
        "{}",
        said.err
    );
    let own = users[0].orchestrate(&["logs", "a", "--store", store]);
    assert_eq!(own.code, Some(0), "{}", own.err);
    let hidden = ["hunter", "aHVudGVy", "h1bnRlc", "odW50ZX"].iter().all(|part| !own.out.contains(part));
    assert!(hidden && own.out.contains("***"), "{}", own.out);
    let other = users[1].orchestrate(&["logs", "a", "--store", store]);
    assert!(other.code == Some(1) && other.err.contains("user 43001"), "{}", other.err);
    assert_eq!(users[1].orchestrate(&["logs", "b", "--store", store]).out, "said\n");
    let said = users[1].orchestrate(&["store", "gc", "--max-size", "1B", "--store", store]);
    assert_eq!(said.code, Some(0), "{}", said.err);
}

#[test]
fn a_store_is_shared_when_it_is_asked_for() {
    let Some((users, lab)) = lab("a store that is shared later", LETTERS) else { return };
    let [_, second, strict] = &users;
    set_mode(&lab.path(""), 0o777);
    let dir = lab.path("store");
    let store = dir.to_str().expect("plain names");
    assert_eq!(strict.run(store, &[]).ran().len(), 9);
    let refused = second.orchestrate(&["run", "spec.toml", "--store", store]);
    assert!(refused.code == Some(1) && refused.err.contains("belongs to user 43003"), "{}", refused.err);
    chown(&dir, None, Some(GROUP)).expect("this is root");
    below(&dir).iter().for_each(|path| chown(path, None, Some(GROUP)).expect("this is root"));
    let said = strict.orchestrate(&["store", "init", "--shared", "--store", store]);
    assert_eq!((said.code, &*said.err), (Some(0), ""), "{}", said.out);
    assert!(said.out.contains("is a store that its group shares"), "{}", said.out);
    assert!(second.run(store, &[]).ran().is_empty());
    assert!(second.run(store, &["--set", "axes.times=[7]"]).ran().len() > 2);
    assert!(strict.run(store, &["--set", "axes.times=[7]"]).ran().is_empty());
}
