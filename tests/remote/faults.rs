//! Faults of a server and of the way to it, each with the outcome that a run must have: the study succeeds, nothing
//! wrong is served, and people are told.

use std::time::{Duration, Instant};

use crate::machine::{Machine, Run};
use crate::proxy::{Fault, Proxy};
use crate::server::{Server, on_each};

/// A filled bucket behind a proxy, and a machine without results.
fn filled(server: &Server) -> (Proxy, Machine) {
    Machine::new(server.port).run(&[]);
    let proxy = Proxy::before(server.port);
    let machine = Machine::new(proxy.port);
    (proxy, machine)
}

fn is_get(line: &str, part: &str) -> bool {
    line.starts_with("GET ") && line.contains(part)
}

fn said(run: &Run, part: &str) -> usize {
    run.warnings.iter().filter(|warning| warning.contains(part)).count()
}

/// Runs where every request of a sort has a fault, and then again without.
fn with_fault(server: &Server, fault: &Fault, is_hit: impl Fn(&str) -> bool + Clone + Send + 'static) -> (Run, Run) {
    let (proxy, machine) = filled(server);
    let (fault, hits) = (fault.clone(), is_hit);
    proxy.faulty(move |line| hits(line).then(|| fault.clone()));
    let faulty = machine.run(&[]);
    assert_eq!(faulty.ran + faulty.hit, 4);
    machine.verify();
    proxy.sound();
    let next = Machine::new(proxy.port).run(&[]);
    (faulty, next)
}

#[test]
fn a_server_that_is_gone_is_told_of_once_and_the_study_goes_on() {
    on_each(|server| {
        let (proxy, machine) = filled(server);
        for fault in [Fault::Drop, Fault::Status(500), Fault::Status(503), Fault::Status(429)] {
            let machine = Machine::new(proxy.port);
            let now = fault.clone();
            proxy.faulty(move |_| Some(now.clone()));
            let begun = Instant::now();
            let run = machine.run(&[]);
            assert!(begun.elapsed() < Duration::from_secs(40), "{fault:?}");
            assert_eq!((run.ran, said(&run, "is not used from here on")), (4, 1), "{fault:?}: {:?}", run.warnings);
            assert_eq!(run.count("left"), 4);
            // The next run uploads what this one could not.
            proxy.sound();
            assert_eq!(machine.run(&[]).count("uploads"), 4, "{fault:?}");
        }
        // Nobody listens at all.
        drop(proxy);
        let gone = Machine::new(machine_port_without_listener());
        let run = gone.run(&[]);
        assert_eq!((run.ran, said(&run, "is not used from here on")), (4, 1), "{:?}", run.warnings);
        drop(machine);
    });
}

fn machine_port_without_listener() -> u16 {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}

#[test]
fn errors_now_and_then_are_tried_again_and_nobody_notices() {
    on_each(|server| {
        let (proxy, machine) = filled(server);
        for fault in [Fault::Status(500), Fault::Status(429), Fault::Drop] {
            let machine = Machine::new(proxy.port);
            let mut count = 0;
            proxy.faulty(move |_| {
                count += 1;
                (count % 3 == 1).then(|| fault.clone())
            });
            let run = machine.run(&["--set", "stages.draw.params.seed=1"]);
            assert_eq!((run.count("failed"), run.warnings.len()), (0, 0), "{:?}", run.warnings);
            assert_eq!(run.count("uploads") + run.count("hits"), 4);
        }
        drop(machine);
    });
}

#[test]
fn answers_that_break_off_or_lie_about_their_length_are_misses() {
    on_each(|server| {
        for fault in [Fault::BreakOff, Fault::Longer, Fault::Shorter] {
            for part in ["/v1/index/", "/v1/packs/", "/v1/objects/"] {
                let (run, next) = with_fault(server, &fault, move |line| is_get(line, part));
                assert!(run.ran >= 3, "{fault:?} of {part}: {} ran", run.ran);
                assert!(!run.warnings.is_empty() && run.count("hits") <= 1, "{fault:?} of {part}");
                assert_eq!((next.ran, next.count("failed")), (0, 0), "{fault:?} of {part}: {:?}", next.warnings);
            }
        }
    });
}

#[test]
fn other_bytes_are_misses_that_are_told_of_and_counted() {
    on_each(|server| {
        for part in ["/v1/index/", "/v1/packs/", "/v1/objects/"] {
            let (run, next) = with_fault(server, &Fault::Flip, move |line| is_get(line, part));
            assert!(run.ran >= 3 && run.count("failed") > 0, "{part}: {} ran", run.ran);
            assert!(said(&run, "not used") > 0, "{:?}", run.warnings);
            assert_eq!(next.ran, 0, "{part}: {:?}", next.warnings);
        }
    });
}

#[test]
fn lost_bytes_are_a_miss_and_are_there_again_after_the_run() {
    on_each(|server| {
        for part in ["tier/v1/packs", "tier/v1/objects"] {
            Machine::new(server.port).run(&[]);
            for name in server.names(part) {
                server.spoil(&name, None);
            }
            let run = Machine::new(server.port).run(&[]);
            assert!(run.ran >= 3 && run.count("failed") > 0, "{part}: {} ran", run.ran);
            std::thread::sleep(Duration::from_millis(1100));
            let next = Machine::new(server.port).run(&[]);
            assert_eq!(next.ran, 0, "{part}: {:?}", next.warnings);
        }
    });
}

#[test]
fn late_lists_cost_a_computation_and_nothing_else() {
    on_each(|server| {
        let proxy = Proxy::before(server.port);
        Machine::new(proxy.port).run(&[]);
        proxy.faulty(|line| line.contains("list-type=2").then_some(Fault::Late));
        let two = Machine::new(proxy.port);
        let run = two.run(&["--set", "axes.k=[1]"]);
        assert_eq!((run.ran, run.count("failed"), run.warnings.len()), (2, 0, 0), "{:?}", run.warnings);
        proxy.sound();
        assert_eq!(two.run(&["--set", "axes.k=[2]"]).count("hits"), 1, "what was late is found");
    });
}

#[test]
fn a_server_that_is_slow_beyond_the_deadline_is_told_of_once() {
    on_each(|server| {
        let (proxy, machine) = filled(server);
        proxy.faulty(|_| Some(Fault::Slow(Duration::from_secs(8))));
        let begun = Instant::now();
        let run = machine.run(&[]);
        assert!(begun.elapsed() < Duration::from_secs(30));
        assert_eq!((run.ran, said(&run, "no answer within")), (4, 1), "{:?}", run.warnings);
        proxy.faulty(|_| Some(Fault::Slow(Duration::from_millis(300))));
        assert_eq!(Machine::new(proxy.port).run(&[]).count("hits"), 4, "within the deadline");
    });
}

#[test]
fn lost_answers_to_uploads_are_put_again() {
    on_each(|server| {
        let proxy = Proxy::before(server.port);
        let mut count = 0;
        proxy.faulty(move |line| {
            count += usize::from(line.starts_with("PUT "));
            (line.starts_with("PUT ") && count % 2 == 0).then_some(Fault::Unanswered)
        });
        let run = Machine::new(proxy.port).run(&[]);
        assert_eq!((run.ran, run.count("uploads")), (4, 4), "{:?}", run.warnings);
        proxy.sound();
        let next = Machine::new(proxy.port).run(&[]);
        assert_eq!((next.ran, next.count("failed")), (0, 0));
    });
}

#[test]
fn credentials_that_may_only_read_are_told_of_once_and_read_on() {
    on_each(|server| {
        let (proxy, machine) = filled(server);
        proxy.faulty(|line| (line.starts_with("PUT ") || line.starts_with("POST ")).then_some(Fault::Status(403)));
        let run = machine.run(&["--set", "axes.k=[1, 5]"]);
        assert_eq!((run.hit, run.ran, run.count("hits")), (1, 2, 1));
        assert_eq!((said(&run, "may only read"), run.count("failed"), run.count("left")), (1, 0, 0));
        proxy.faulty(|_| Some(Fault::Status(403)));
        let refused = Machine::new(proxy.port).run(&[]);
        assert_eq!((refused.ran, said(&refused, "refuses")), (4, 1), "{:?}", refused.warnings);
    });
}

#[test]
fn a_bucket_that_does_not_exist_is_told_of() {
    on_each(|server| {
        let machine = Machine::new(server.port);
        let port = server.port;
        machine.write(
            "project/orchestrate.toml",
            &format!("[store.remote]\nurl = \"s3://nobodys/x\"\nendpoint = \"http://127.0.0.1:{port}\"\n"),
        );
        let run = machine.run(&[]);
        assert_eq!((run.ran, said(&run, "NoSuchBucket")), (4, 1), "{:?}", run.warnings);
    });
}

#[test]
fn junk_and_planted_bytes_in_the_bucket_are_never_served() {
    on_each(|server| {
        let first = Machine::new(server.port).run(&[]);
        let names = server.names("tier/v1");
        for (number, name) in names.iter().enumerate().filter(|(_, name)| !name.contains("/clock/")) {
            if number % 2 == 0 {
                server.spoil(name, Some(b"junk"));
            } else {
                server.spoil(name, Some(&vec![7; 300_000]));
            }
        }
        let machine = Machine::new(server.port);
        let run = machine.run(&[]);
        assert_eq!(run.ran, 4);
        let sorted = |mut outputs: Vec<String>| {
            outputs.sort();
            outputs
        };
        assert_eq!(sorted(first.outputs), sorted(run.outputs));
        machine.verify();
    });
}
