//! A store that people share who do not all trust each other.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::rerun::LETTERS;
use crate::sandbox::{Run, Said, Sandbox};

/// A person with a project and a key of their own.
struct Person(Sandbox);

impl Person {
    fn new(spec: &str) -> Self {
        Self(Sandbox::with_spec(spec))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.0.command(args);
        command.env("ORCHESTRATE_KEY", self.0.path("key"));
        command
    }

    fn orchestrate(&self, args: &[&str]) -> Said {
        Said::from(self.command(args).output().expect("the program starts"), &self.0.path(""))
    }

    fn run(&self, store: &str) -> Run {
        let run = Run::from(self.orchestrate(&["run", "spec.toml", "--json", "--store", store]));
        assert_eq!(run.said.code, Some(0), "{}\n{}", run.said.out, run.said.err);
        run
    }

    /// Makes a key; returns the public one as a project lists it.
    fn keygen(&self) -> String {
        let said = self.orchestrate(&["store", "keygen"]);
        assert_eq!(said.code, Some(0), "{}", said.err);
        let line = said.out.lines().find(|line| line.contains("ed25519:")).expect("it prints the public key");
        line.trim().to_owned()
    }

    fn trust(&self, keys: &[String]) {
        self.0.write("orchestrate.toml", format!("[store.trust]\nkeys = [\n{}\n]\n", keys.join("\n")));
    }
}

fn warnings(run: &Run) -> String {
    run.messages.iter().map(|line| format!("{}\n", line["message"].as_str().expect("a warning has a text"))).collect()
}

/// A spec whose source reads a file that is in no key, so that two runs of one key differ.
fn unkeyed(shared: &Sandbox) -> String {
    LETTERS.replace("printf %s \"$1\"", &format!("cat {}", shared.path("value").display()))
}

#[test]
fn a_planted_result_is_never_served_to_those_who_limit_their_trust() {
    let shared = Sandbox::new();
    let store = shared.path("store").display().to_string();
    let spec = unkeyed(&shared);
    let [alice, bob, mallory, nobody] = [(); 4].map(|()| Person::new(&spec));
    let keys = [alice.keygen(), bob.keygen()];
    mallory.keygen();
    alice.trust(&keys);
    bob.trust(&keys);

    shared.write("value", "bad");
    nobody.run(&store);
    shared.write("value", "worse");
    assert_eq!(mallory.run(&store).ran(), [""; 0], "who trusts everybody is served by everybody");
    assert_eq!(mallory.0.read("results/text"), "BAdBAdBAdBAdBAdBAd");
    let forced = ["run", "spec.toml", "--force", "source", "--store", &store];
    assert_eq!(mallory.orchestrate(&forced).code, Some(0));

    shared.write("value", "abc");
    let first = alice.run(&store);
    assert_eq!(first.ran().len(), 2 + 1 + 2 + 1, "both letters have the same text");
    assert_eq!(alice.0.read("results/text"), "ABC".repeat(6));
    let said = warnings(&first);
    assert!(said.contains("by nobody whom this project trusts were passed over (they claim to be by "), "{said}");

    shared.write("value", "other");
    for person in [&alice, &bob] {
        let run = person.run(&store);
        assert_eq!((run.ran(), warnings(&run)), (vec![""; 0], String::new()));
        assert_eq!(run.outputs(), first.outputs());
        assert_eq!(person.0.read("results/text"), "ABC".repeat(6));
    }
    let key = first.nodes["source[letter=a]"]["key"].as_str().expect("a node has a key");
    let shown = bob.orchestrate(&["store", "show", key, "--store", &store]).out;
    assert!(shown.contains("producer  ") && shown.contains(&keys[0][1..40]), "{shown}");
    let explained = bob.orchestrate(&["explain", "spec.toml", "all", "--store", &store]).out;
    assert!(explained.contains("all: hit\n  nothing differs from the recorded result "), "{explained}");
    assert!(explained.contains(", by "), "{explained}");
    assert_eq!(bob.orchestrate(&["store", "verify", "--store", &store]).code, Some(0));
}

#[test]
fn without_a_key_results_are_unsigned_and_the_run_says_so() {
    let person = Person::new(LETTERS);
    let store = person.0.path(".orchestrate").display().to_string();
    person.trust(&[]);
    let first = person.run(&store);
    assert_eq!(first.ran().len(), 9);
    assert!(warnings(&first).contains("results of this run are unsigned and will not be found again"));
    let planned = person.orchestrate(&["plan", "spec.toml", "-v"]);
    assert!(planned.out.contains("by nobody whom this project trusts"), "{}{}", planned.out, planned.err);
    person.keygen();
    let second = person.run(&store);
    assert_eq!(second.ran().len(), 9);
    assert!(warnings(&second).contains("were passed over") && !warnings(&second).contains("unsigned"));
    assert_eq!(person.run(&store).ran(), [""; 0], "one trusts oneself");
    assert!(fs::read_dir(person.0.path(".orchestrate/stat-caches")).is_err(), "a spec without files needs none");
}

#[test]
fn a_key_is_made_once_and_used_only_if_it_is_private() {
    let person = Person::new(LETTERS);
    assert_eq!(person.orchestrate(&["store", "keygen", "--show"]).code, Some(2));
    let line = person.keygen();
    let again = person.orchestrate(&["store", "keygen"]);
    assert_eq!(again.code, Some(2));
    assert!(again.err.contains("key already"), "{}", again.err);
    assert!(person.orchestrate(&["store", "keygen", "--show"]).out.contains(&line));
    fs::set_permissions(person.0.path("key"), Permissions::from_mode(0o640)).expect("it is ours");
    let refused = person.orchestrate(&["run", "spec.toml"]);
    assert_eq!(refused.code, Some(2), "{}", refused.err);
    assert!(refused.err.contains("its mode is 0640, so others can read or change it; chmod 600 it"), "{}", refused.err);
}

#[test]
fn trust_counts_in_the_projects_root_alone_and_mistakes_have_their_location() {
    let (person, shared) = (Person::new(LETTERS), Sandbox::new());
    person.0.write("orchestrate.toml", "[store.trust]\nkeys = [\"alice\"]\n");
    let wrong = person.orchestrate(&["run", "spec.toml"]);
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.err.contains("orchestrate.toml:2:9") && wrong.err.contains("^^^^^^^"), "{}", wrong.err);
    person.0.write("orchestrate.toml", "");
    let line = person.keygen();
    shared.write("store/orchestrate.toml", "");
    fs::remove_file(shared.path("store/orchestrate.toml")).expect("it was just written");
    person.run(&shared.path("store").display().to_string());
    shared.write("store/orchestrate.toml", format!("[store.trust]\nkeys = [{line}]\n"));
    let said = person.orchestrate(&["run", "spec.toml", "--store", &shared.path("store").display().to_string()]);
    assert_eq!(said.code, Some(2), "{}", said.err);
    assert!(said.err.contains("counts only in the root of a project"), "{}", said.err);
}
