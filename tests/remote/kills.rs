//! Kills and stops of uploading machines: nothing is ever named that is not there.

use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use crate::machine::Machine;
use crate::proxy::{Fault, Proxy};
use crate::server::on_each;

/// Larger blobs, so that they go in parts.
const LARGE: &str = r#"
experiment = { name = "large" }
axes = { k = [1, 2] }

[stages.draw]
kind = "command"
over = ["k"]
params = { k = 0 }
argv = ["sh", "-ec", 'yes "$1" | head -c 20000000 > $2/big', "sh", "{params.k}", "{out}"]
"#;

#[test]
fn a_kill_at_any_time_of_an_upload_names_nothing_that_is_not_there() {
    on_each(|server| {
        let proxy = Proxy::before(server.port);
        let mut finished = 0;
        for round in 0..9_u64 {
            // Each round has its own keys, and is killed at another request.
            let seed = format!("stages.draw.params.seed={round}");
            let one = Machine::new(proxy.port);
            one.settings("");
            one.run(&["--set", &seed]);
            one.settings("mode = \"read-write\"\n");
            let mut left = round + 1;
            let (sender, receiver) = std::sync::mpsc::channel();
            proxy.faulty(move |line| {
                if line.starts_with("PUT ") {
                    left = left.saturating_sub(1);
                    if left == 0 {
                        let _ = sender.send(());
                    }
                    // Time for the kill.
                    return Some(Fault::Slow(Duration::from_millis(if left == 0 { 300 } else { 1 })));
                }
                None
            });
            let mut child = one
                .command(&["store", "push"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("the program starts");
            let mut is_reached = false;
            while !is_reached && child.try_wait().expect("it can be asked").is_none() {
                is_reached = receiver.recv_timeout(Duration::from_millis(50)).is_ok();
            }
            if is_reached {
                sleep(Duration::from_millis(round * 37 % 100));
                let _ = child.kill();
            } else {
                finished += 1;
            }
            child.wait().expect("it ended");
            proxy.sound();
            sleep(Duration::from_millis(400));
            let all = Machine::new(proxy.port);
            let said = all.orchestrate(&["store", "pull"]);
            assert!(said.code == Some(0) && said.out.contains(" 0 failed"), "round {round}: {}{}", said.out, said.err);
            all.verify();
            let next = one.orchestrate(&["store", "push"]);
            assert_eq!(next.code, Some(0), "{}{}", next.out, next.err);
            let two = Machine::new(proxy.port).run(&["--set", &seed]);
            assert_eq!((two.ran, two.count("failed")), (0, 0), "round {round}");
        }
        assert!(finished < 9, "some were killed");
    });
}

#[test]
fn a_killed_run_leaves_its_uploads_to_the_next_and_large_blobs_go_on() {
    on_each(|server| {
        let proxy = Proxy::before(server.port);
        let one = Machine::new(proxy.port);
        one.write("project/spec.toml", LARGE);
        let (sender, receiver) = std::sync::mpsc::channel();
        let mut parts = 0;
        proxy.faulty(move |line| {
            parts += usize::from(line.contains("partNumber="));
            if parts == 2 {
                let _ = sender.send(());
                return Some(Fault::Slow(Duration::from_secs(2)));
            }
            None
        });
        let mut child =
            one.command(&["run", "spec.toml"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
        receiver.recv_timeout(Duration::from_secs(60)).expect("a large blob is uploaded in parts");
        child.kill().expect("it can be killed");
        child.wait().expect("it ended");
        proxy.sound();
        sleep(Duration::from_millis(2200));
        proxy.seen();
        let next = one.run(&[]);
        assert_eq!((next.ran, next.count("uploads"), next.count("failed")), (0, 2, 0), "{:?}", next.warnings);
        let parts = proxy.seen().iter().filter(|line| line.starts_with("PUT ") && line.contains("partNumber=")).count();
        assert!(parts < 6, "of six parts, one was there: {parts} went");
        let two = Machine::new(proxy.port);
        two.write("project/spec.toml", LARGE);
        assert_eq!(two.run(&[]).ran, 0);
        two.verify();
    });
}

#[test]
fn ctrl_c_while_uploads_are_waited_for_leaves_them_to_the_next_run() {
    on_each(|server| {
        let proxy = Proxy::before(server.port);
        let one = Machine::new(proxy.port);
        let (sender, receiver) = std::sync::mpsc::channel();
        proxy.faulty(move |line| {
            line.contains("/v1/objects/").then(|| {
                let _ = sender.send(());
                Fault::Slow(Duration::from_millis(2500))
            })
        });
        let child = one.command(&["run", "spec.toml"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let child = child.expect("the program starts");
        receiver.recv_timeout(Duration::from_secs(60)).expect("a blob is uploaded");
        sleep(Duration::from_millis(700));
        let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
        assert!(kill.expect("kill runs").success());
        let ended = child.wait_with_output().expect("it ended");
        let text = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(130), "{text}");
        assert!(text.contains("left for the next run"), "{text}");
        proxy.sound();
        let next = one.run(&[]);
        assert_eq!((next.count("uploads"), next.count("failed")), (4, 0), "{:?}", next.warnings);
    });
}
