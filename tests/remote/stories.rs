//! Stories of two machines with one bucket.

use crate::machine::Machine;
use crate::proxy::Proxy;
use crate::server::on_each;

#[test]
fn the_second_machine_runs_nothing_and_has_the_same_digests() {
    on_each(|server| {
        let (one, two) = (Machine::new(server.port), Machine::new(server.port));
        let first = one.run(&[]);
        assert_eq!((first.ran, first.count("uploads"), first.count("failed")), (4, 4, 0), "{:?}", first.warnings);
        let second = two.run(&[]);
        assert_eq!((second.ran, second.hit, second.count("hits")), (0, 4, 4), "{:?}", second.warnings);
        assert!(second.count("hit_bytes") > 900_000 && second.warnings.is_empty());
        let sorted = |mut outputs: Vec<String>| {
            outputs.sort();
            outputs
        };
        assert_eq!(sorted(first.outputs), sorted(second.outputs));
        two.verify();
        // From then on they are ordinary hits, and the bucket is asked for nothing.
        let third = two.run(&[]);
        assert_eq!((third.hit, third.remote.is_null()), (4, true));
        let people = Machine::new(server.port).orchestrate(&["run", "spec.toml"]);
        assert!(
            people.err.contains("remote: 4 hits (") && people.err.contains("0 uploads, 0 failed"),
            "{}",
            people.err
        );
    });
}

#[test]
fn a_change_computes_only_what_follows_from_it() {
    on_each(|server| {
        let (one, two) = (Machine::new(server.port), Machine::new(server.port));
        one.run(&[]);
        let changed = two.run(&["--set", "axes.k=[1, 2, 4]"]);
        assert_eq!((changed.hit, changed.ran), (2, 2));
        assert_eq!((changed.count("hits"), changed.count("uploads")), (2, 2));
        let one_more = one.run(&["--set", "axes.k=[1, 2, 4]"]);
        assert_eq!((one_more.hit, one_more.ran, one_more.count("hits")), (4, 0, 2));
    });
}

#[test]
fn a_project_that_only_reads_puts_nothing_and_no_request_has_a_condition() {
    on_each(|server| {
        let proxy = Proxy::before(server.port);
        let (one, two) = (Machine::new(proxy.port), Machine::new(proxy.port));
        one.run(&["--set", "axes.k=[1]"]);
        proxy.seen();
        two.settings("");
        let run = two.run(&[]);
        assert_eq!((run.ran, run.count("hits"), run.count("uploads")), (3, 1, 0));
        assert!(proxy.seen().iter().all(|line| line.starts_with("GET ")), "{:?}", proxy.seen());
        assert_eq!(proxy.conditions(), 0);
        let refused = two.orchestrate(&["store", "push"]);
        assert!(refused.code == Some(2) && refused.err.contains("may only read"), "{}", refused.err);
    });
}

#[test]
fn planned_moves_say_what_they_do() {
    on_each(|server| {
        let (one, two) = (Machine::new(server.port), Machine::new(server.port));
        one.settings("");
        one.run(&[]);
        one.settings("mode = \"read-write\"\n");
        let dry = one.orchestrate(&["store", "push", "--dry-run"]);
        assert!(dry.out.starts_with("would upload 4 results of at most "), "{}{}", dry.out, dry.err);
        let pushed = one.orchestrate(&["store", "push", "latest"]);
        assert!(pushed.out.contains("4 uploads (") && pushed.code == Some(0), "{}{}", pushed.out, pushed.err);
        let dry = one.orchestrate(&["store", "push", "spec.toml", "--dry-run"]);
        assert!(dry.out.contains("0 results") && dry.out.contains("4 more are there"), "{}", dry.out);
        let dry = two.orchestrate(&["store", "pull", "--dry-run"]);
        assert!(dry.out.starts_with("would read 4 results of "), "{}{}", dry.out, dry.err);
        let pulled = two.orchestrate(&["store", "pull", "spec.toml"]);
        assert!(pulled.out.contains("remote: 4 hits ("), "{}{}", pulled.out, pulled.err);
        let run = two.run(&[]);
        assert_eq!((run.hit, run.remote.is_null()), (4, true));
    });
}

#[test]
fn a_collection_keeps_what_is_young_and_deletes_results_before_bytes() {
    on_each(|server| {
        let one = Machine::new(server.port);
        one.run(&[]);
        let kept = one.orchestrate(&["store", "gc", "--remote", "--max-age", "1d"]);
        assert!(
            kept.out.starts_with("deleted 0 results") && kept.out.contains("kept 4 results"),
            "{}{}",
            kept.out,
            kept.err
        );
        std::thread::sleep(std::time::Duration::from_millis(3100));
        let packs = server.names("tier/v1/packs").len();
        let dry = one.orchestrate(&["store", "gc", "--remote", "--max-age", "1s", "--dry-run"]);
        assert!(dry.out.starts_with("would delete 4 results"), "{}{}", dry.out, dry.err);
        let done = one.orchestrate(&["store", "gc", "--remote", "--max-age", "1s"]);
        assert!(
            done.out.starts_with("deleted 4 results") && done.out.contains("a day after"),
            "{}{}",
            done.out,
            done.err
        );
        assert!(server.names("tier/v1/index").is_empty());
        assert_eq!(server.names("tier/v1/packs").len(), packs, "the bytes have a day");
        let two = Machine::new(server.port);
        assert_eq!((two.run(&[]).ran, two.run(&[]).hit), (4, 4), "nobody finds them any more");
    });
}

#[test]
fn trusted_keys_hold_for_the_bucket_too() {
    on_each(|server| {
        let (honest, evil, reader) = (Machine::new(server.port), Machine::new(server.port), Machine::new(server.port));
        let key = |machine: &Machine| machine.orchestrate(&["store", "keygen"]).out;
        let line = |text: &str| {
            let line = text.lines().find_map(|line| line.split('"').find(|part| part.starts_with("ed25519:")));
            line.or_else(|| text.split_whitespace().find(|word| word.starts_with("ed25519:")))
                .expect("a key")
                .to_owned()
        };
        let (of_honest, _) = (line(&key(&honest)), key(&evil));
        let poison = evil.run(&["--set", "axes.k=[1, 2]"]);
        assert_eq!(poison.count("uploads"), 3);
        reader.settings(&format!("mode = \"read-write\"\n[store.trust]\nkeys = [\"{of_honest} honest\"]\n"));
        let passed = reader.run(&["--set", "axes.k=[1, 2]"]);
        assert_eq!((passed.ran, passed.count("hits")), (3, 0));
        assert!(passed.warnings.iter().any(|warning| warning.contains("nobody whom this project trusts")));
        honest.settings(&format!("mode = \"read-write\"\n[store.trust]\nkeys = [\"{of_honest} honest\"]\n"));
        let signed = honest.run(&["--set", "axes.k=[3]"]);
        assert_eq!((signed.ran, signed.count("uploads")), (2, 2));
        assert_eq!(reader.run(&["--set", "axes.k=[3]"]).count("hits"), 2);
    });
}

#[test]
fn credentials_come_from_the_files_of_the_tools_too_and_a_password_in_an_address_is_refused() {
    on_each(|server| {
        let machine = Machine::new(server.port);
        let (id, secret) = crate::server::KEY;
        machine
            .write(".aws/credentials", &format!("[lab]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n"));
        let run = |profile: &str| {
            let mut command = machine.command(&["run", "spec.toml"]);
            command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
            let said = command.env("AWS_PROFILE", profile).output().expect("the program starts");
            String::from_utf8_lossy(&said.stderr).into_owned()
        };
        let said = run("nobody");
        assert!(said.contains("AWS_PROFILE names `nobody`") && said.contains("4 left for the next run"), "{said}");
        let said = run("lab");
        assert!(said.contains("4 uploads") && !said.contains(secret), "{said}");
    });
    let machine = Machine::new(1);
    machine.write("project/orchestrate.toml", "[store.remote]\nurl = \"s3://me:secret@lab/x\"\n");
    let said = machine.orchestrate(&["run", "spec.toml"]);
    assert!(said.code == Some(2) && !said.err.contains("secret@"), "{}", said.err);
    assert!(said.err.contains("no user, password"), "{}", said.err);
}
