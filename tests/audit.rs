//! What the program is made of: no network code but that of the data fetcher and of remotes, licences that go with
//! ours, no `unsafe`.
//!
//! Cargo says what is built, offline. `deny.toml` holds the lists, which `cargo deny` reads too.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Crates that open connections or speak a protocol of the network.
const NETWORK: [&str; 17] = [
    "ureq",
    "object_store",
    "reqwest",
    "hyper",
    "h2",
    "curl",
    "isahc",
    "surf",
    "tokio",
    "async-std",
    "mio",
    "socket2",
    "rustls",
    "native-tls",
    "openssl",
    "quinn",
    "tungstenite",
];

fn cargo(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(args)
        .args(["--offline", "--locked"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo built this test");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo writes UTF-8")
}

/// Names and licences of all that the default build of a package links or runs at build time.
fn tree(package: &str, more: &[&str]) -> Vec<(String, String)> {
    let args = ["tree", "--package", package, "--edges", "normal,build", "--prefix", "none", "--format", "{p}|{l}"];
    let mut all: Vec<_> = cargo(&[&args, more].concat())
        .lines()
        .filter_map(|line| line.split_once('|'))
        .map(|(package, licence)| {
            let name = package.split(' ').next().expect("a split has a first part");
            (name.to_owned(), licence.trim_end_matches(" (*)").to_owned())
        })
        .collect();
    all.sort();
    all.dedup();
    all
}

fn network_code(package: &str, more: &[&str]) -> Vec<String> {
    let names = tree(package, more).into_iter().map(|(name, _)| name);
    names.filter(|name| NETWORK.contains(&name.as_str())).collect()
}

#[test]
fn network_code_is_reached_through_the_data_fetcher_and_the_remote_alone() {
    let all = network_code("orchestrate", &[]);
    assert!(all.contains(&"ureq".to_owned()) && all.contains(&"object_store".to_owned()), "{all:?}");
    let pruned = ["--prune", "orchestrate-fetch", "--prune", "orchestrate-remote"];
    assert_eq!(network_code("orchestrate", &pruned), [""; 0]);
    assert!(!network_code("orchestrate-fetch", &[]).contains(&"tokio".to_owned()));
    for package in ["orchestrate-cache", "orchestrate-engine", "orchestrate-stages", "orchestrate-networks"] {
        assert_eq!(network_code(package, &[]), [""; 0], "{package}");
    }
}

/// It wants cmake, and a compiler of C++ on some machines.
#[test]
fn encryption_is_that_of_ring() {
    let names: Vec<_> = tree("orchestrate", &[]).into_iter().map(|(name, _)| name).collect();
    assert!(names.contains(&"ring".to_owned()) && !names.iter().any(|name| name.starts_with("aws-lc")), "{names:?}");
}

#[test]
fn burn_is_reached_through_the_crate_of_networks_alone() {
    let has_burn = |package: &str, more: &[&str]| tree(package, more).iter().any(|(name, _)| name == "burn");
    assert!(has_burn("orchestrate", &[]));
    assert!(!has_burn("orchestrate", &["--prune", "orchestrate-networks"]));
    assert!(!has_burn("orchestrate-stages", &[]) && !has_burn("orchestrate-engine", &[]));
}

/// Otherwise the README's two commands compile Burn twice. `stages/networks/Cargo.toml` names crates for this alone.
#[test]
fn program_and_tests_share_every_build_of_a_dependency() {
    let features = |more: &[&str]| -> BTreeSet<String> {
        let tree = cargo(&[&["tree", "--prefix", "none", "--format", "{p} {f}", "--edges"], more].concat());
        tree.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect()
    };
    let of_tests = features(&["normal,build,dev", "--workspace"]);
    let of_program = features(&["normal,build", "--package", "orchestrate"]);
    assert_eq!(of_program.difference(&of_tests).collect::<Vec<_>>(), [""; 0]);
}

#[test]
fn every_licence_is_one_of_those_that_go_with_ours() {
    let lists: toml::Table = std::fs::read_to_string("deny.toml").expect("it is there").parse().expect("it is TOML");
    let texts = |value: &toml::Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
    };
    let allowed = texts(&lists["licenses"]["allow"]);
    let exceptions = lists["licenses"]["exceptions"].as_array().expect("it is a list");
    let mut wrong = Vec::new();
    for (name, licence) in tree("orchestrate", &[]) {
        let mut allowed = allowed.clone();
        let own = exceptions.iter().filter(|exception| exception["crate"].as_str() == Some(&name));
        own.for_each(|exception| allowed.extend(texts(&exception["allow"])));
        if !holds(&licence.replace('/', " OR ").replace("  ", " "), &allowed) {
            wrong.push(format!("{name}: {licence}"));
        }
    }
    assert_eq!(wrong, [""; 0], "see deny.toml");
}

/// Whether an expression of SPDX holds where these licences are taken: `A OR (B AND C)`.
fn holds(expression: &str, allowed: &[String]) -> bool {
    let expression = expression.trim();
    for (word, any) in [(" OR ", true), (" AND ", false)] {
        let parts = split_outside(expression, word);
        if parts.len() > 1 {
            let mut parts = parts.into_iter().map(|part| holds(part, allowed));
            return if any { parts.any(|holds| holds) } else { parts.all(|holds| holds) };
        }
    }
    match expression.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')) {
        Some(inner) => holds(inner, allowed),
        None => allowed.iter().any(|licence| licence == expression),
    }
}

/// The parts between a word that stands in no parentheses.
fn split_outside<'a>(text: &'a str, word: &str) -> Vec<&'a str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0);
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ if depth == 0 && at >= start && text[at..].starts_with(word) => {
                parts.push(&text[start..at]);
                start = at + word.len();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

#[test]
fn expressions_of_licences_are_read_as_spdx_means_them() {
    let allowed = ["MIT", "BSL-1.0"].map(str::to_owned);
    assert!(holds("Apache-2.0 OR MIT", &allowed) && holds("(GPL-3.0 OR MIT) AND BSL-1.0", &allowed));
    assert!(
        !holds("MIT AND GPL-3.0", &allowed)
            && !holds("Apache-2.0 WITH LLVM-exception", &allowed)
            && !holds("", &allowed)
    );
}

#[test]
fn unsafe_code_is_forbidden_in_every_crate() {
    let read = |path: &Path| -> toml::Table {
        std::fs::read_to_string(path).expect("it is there").parse().expect("it is TOML")
    };
    let root = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
    assert_eq!(root["workspace"]["lints"]["rust"]["unsafe_code"].as_str(), Some("forbid"));
    let metadata: serde_json::Value =
        serde_json::from_str(&cargo(&["metadata", "--no-deps", "--format-version", "1"])).expect("cargo writes JSON");
    let manifests = metadata["packages"].as_array().expect("a workspace has packages");
    assert!(manifests.len() >= 6, "the crates and the benchmark");
    for manifest in manifests.iter().filter_map(|package| package["manifest_path"].as_str()) {
        let inherits =
            read(Path::new(manifest)).get("lints").is_some_and(|lints| lints["workspace"].as_bool() == Some(true));
        assert!(inherits, "{manifest} lacks `[lints] workspace = true`");
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that is left out says why")]
fn program_brings_its_unwinder_along_where_gcc_has_one_to_link() {
    let said = |program: &str, arg: &str| -> Option<String> {
        let output = Command::new(program).arg(arg).output().ok().filter(|output| output.status.success())?;
        String::from_utf8(output.stdout).ok()
    };
    let archive = said("cc", "-print-file-name=libgcc_eh.a").filter(|path| path.starts_with('/'));
    let (Some(_), Some(libraries)) = (archive, said("ldd", env!("CARGO_BIN_EXE_orchestrate"))) else {
        eprintln!("skipped: there is no libgcc_eh.a, or no ldd that reads the program");
        return;
    };
    assert!(libraries.contains("libc.so") && !libraries.contains("libgcc_s"), "{libraries}");
}
