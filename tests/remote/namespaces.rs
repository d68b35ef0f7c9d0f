//! Two machines as network namespaces with hosts of their own share one server; and a cable that is pulled.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::machine::{Machine, Said};
use crate::server::{BUCKET, Kind, Server};

/// A network namespace beside this one, joined by a cable.
struct Namespace {
    name: String,
    /// The address of this side.
    host: String,
}

fn ip(args: &str) -> bool {
    let done = Command::new("ip").args(args.split(' ')).output();
    done.is_ok_and(|done| done.status.success())
}

impl Namespace {
    fn new(number: u8) -> Option<Self> {
        let (name, net) = (format!("orc{}-{number}", std::process::id()), format!("10.213.{number}"));
        let (here, there) = (format!("oh{}{number}", std::process::id() % 100_000), format!("ot{number}"));
        let made = Self { name: name.clone(), host: format!("{net}.1") };
        let is_up = ip(&format!("netns add {name}"))
            && ip(&format!("link add {here} type veth peer name {there} netns {name}"))
            && ip(&format!("addr add {net}.1/24 dev {here}"))
            && ip(&format!("link set {here} up"))
            && ip(&format!("-n {name} addr add {net}.2/24 dev {there}"))
            && ip(&format!("-n {name} link set {there} up"))
            && ip(&format!("-n {name} link set lo up"));
        is_up.then_some(made)
    }

    /// Runs the quickstart there, on a machine with a name of its own.
    fn run(&self, machine: &Machine, port: u16, host: &str) -> Said {
        let settings = format!(
            "[store.remote]\nurl = \"s3://{BUCKET}/tier\"\nmode = \"read-write\"\ntimeout = \"5 s\"\n\
             endpoint = \"http://{}:{port}\"\n",
            self.host
        );
        machine.write("project/orchestrate.toml", &settings);
        let script = format!("hostname {host}; exec ip netns exec {} \"$@\"", self.name);
        let mut command = Command::new("unshare");
        command.args(["--uts", "sh", "-c", &script, "sh", env!("CARGO_BIN_EXE_orchestrate")]);
        command.args(["run", "quickstart.toml", "--set", "stages.train.epochs=2", "--set", "stages.images.count=60"]);
        machine.prepare(&mut command);
        command.output().expect("unshare runs").into()
    }

    fn pull_the_cable(&self) {
        assert!(ip(&format!("-n {} link set ot{} down", self.name, self.name.rsplit('-').next().unwrap_or_default())));
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        ip(&format!("netns del {}", self.name));
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn two_hosts_share_a_bucket_and_the_second_trains_nothing_and_a_pulled_cable_stops_nobody() {
    let (Some(one), Some(two)) = (Namespace::new(71), Namespace::new(72)) else {
        eprintln!("skipped: network namespaces need root and iproute2");
        return;
    };
    for kind in [Kind::Moto, Kind::S3s] {
        let Some(server) = Server::start(kind, "0.0.0.0") else {
            eprintln!("skipped: {kind:?} is not installed");
            continue;
        };
        let machine = || {
            let machine = Machine::new(server.port);
            let spec = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/quickstart.toml");
            machine.write("project/quickstart.toml", &std::fs::read_to_string(spec).expect("it is a text"));
            machine
        };
        let (first, second) = (machine(), machine());
        let said = one.run(&first, server.port, "first");
        assert!(said.code == Some(0) && said.err.contains("0 failed"), "{}", said.err);
        let begun = Instant::now();
        let said = two.run(&second, server.port, "second");
        assert_eq!(said.code, Some(0), "{}", said.err);
        assert!(said.err.contains(" hit") && !said.err.contains(" ran"), "{}", said.err);
        assert!(begun.elapsed() < Duration::from_secs(60));
        let digests = |machine: &Machine| {
            let said = machine.orchestrate(&["store", "ls", "--store", &machine.store().display().to_string()]);
            let mut keys: Vec<_> =
                said.out.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
            keys.sort();
            keys
        };
        assert_eq!(digests(&first), digests(&second));
        second.verify();
        // The last kind ends it.
        if kind == Kind::S3s || Server::start(Kind::S3s, "127.0.0.1").is_none() {
            two.pull_the_cable();
            let third = machine();
            let begun = Instant::now();
            let said = two.run(&third, server.port, "third");
            assert_eq!(said.code, Some(0), "{}", said.err);
            assert_eq!(said.err.matches("is not used from here on").count(), 1, "{}", said.err);
            assert!(begun.elapsed() < Duration::from_secs(240));
            break;
        }
    }
}
