//! Requests: partitions, accounts, GPUs, arrays, and an environment that asks for nothing by itself.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::lab::{Lab, Worked, letters, wait_for, well};
use crate::slurm::Cluster;

const WAITS: &str = "while [ ! -e LAB/go ]; do sleep 0.1; done";

/// Rule 6.
#[test]
fn partition_account_and_flags_are_passed_through() {
    let Some(cluster) = Cluster::shared() else { return };
    let config = "partition = \"other\"\naccount = \"lab\"\nflags = [\"--nice=5\", \"--reservation=\"]\ntime = \"7m\"";
    let lab = Lab::new(cluster, config, &letters(&["a"], ""));
    lab.run_well(&[]);
    let job = cluster.ask(&["scontrol", "show", "job", &lab.tasks()[0].id()]);
    for part in ["Partition=other", "Account=lab", "Nice=5", "TimeLimit=00:07:00", "Requeue=0", "NumCPUs=1"] {
        assert!(job.contains(part), "{part}: {job}");
    }
    lab.assert_each_once(&["a"]);
}

/// A stage for GPUs, whose nodes hold the devices that they see for a while, and one for CPUs.
const GPUS: &str = r#"
[experiment]
name = "gpus"

[axes]
letter = ["a", "b", "c", "d", "e", "f"]

[stages.cpu]
kind = "command"
over = ["letter"]
argv = ["sh", "-ec", 'LAB/bin/note cpu-$1; echo "$CUDA_VISIBLE_DEVICES" > $2/text', "sh", "{letter}", "{out}"]

[stages.gpu]
kind = "command"
over = ["letter"]
resources = { gpu = 1 }
argv = ["sh", "-ec", '''
LAB/bin/note gpu-$1
[ -n "$CUDA_VISIBLE_DEVICES" ]
node=$(tail -n 99 LAB/worked | grep "^gpu-$1 " | cut -d " " -f 3)
mkdir "LAB/held/$node-$CUDA_VISIBLE_DEVICES"
sleep 1.5
rmdir "LAB/held/$node-$CUDA_VISIBLE_DEVICES"
echo "$node-$CUDA_VISIBLE_DEVICES" >> LAB/seen
echo > $2/text
''', "sh", "{letter}", "{out}"]
"#;

/// Rule 5.
#[test]
fn gpus_are_asked_for_by_a_template_and_no_two_tasks_share_one() {
    let Some(cluster) = Cluster::own("") else { return };
    for template in ["--gres=gpu:{gpu}", "--gpus={gpu}"] {
        let config = format!("partition = \"cpu\"\ngpu_partition = \"gpu\"\ngpu = \"{template}\"");
        let lab = Lab::new(&cluster, &config, GPUS);
        std::fs::create_dir(lab.sandbox.path("held")).unwrap();
        lab.run_well(&[]);
        let seen = lab.sandbox.read("seen");
        let devices: BTreeSet<_> = seen.lines().collect();
        assert_eq!(seen.lines().count(), 6);
        assert!(devices.len() >= 4, "six tasks at once have four devices: {devices:?}");
        let (tasks, worked) = (lab.tasks(), lab.worked());
        assert_eq!((tasks.len(), worked.len()), (12, 12), "{tasks:#?}");
        for Worked { label, task, .. } in worked {
            let known = tasks.iter().find(|known| known.id() == task).unwrap();
            let partition = label.split('-').next().unwrap();
            assert_eq!(known.partition, partition, "a partition with GPUs is for nothing else: {label} {known:?}");
        }
    }
}

/// Rule 4.
#[test]
fn arrays_have_the_most_tasks_that_the_controller_allows() {
    let Some(cluster) = Cluster::own("MaxArraySize=4") else { return };
    let labels = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    let lab = Lab::new(&cluster, "", &letters(&labels, ""));
    assert_eq!(lab.run_well(&[]).ran().len(), 10);
    lab.assert_each_once(&labels);
    let tasks = lab.tasks();
    let sizes: Vec<_> = lab.jobs().keys().map(|job| tasks.iter().filter(|task| task.job == *job).count()).collect();
    assert_eq!(sizes, [4, 4, 2]);
}

/// Rule 4.
#[test]
fn no_more_tasks_run_at_once_than_people_allow() {
    let Some(cluster) = Cluster::shared() else { return };
    let labels = ["a", "b", "c", "d", "e", "f"];
    let script = "mkdir LAB/held/$1; ls LAB/held | wc -l >> LAB/counts; sleep 1; rmdir LAB/held/$1";
    let lab = Lab::new(cluster, "max_jobs = 2\nmax_array = 4", &letters(&labels, script));
    std::fs::create_dir(lab.sandbox.path("held")).unwrap();
    assert_eq!(lab.run_well(&[]).ran().len(), 6);
    lab.assert_each_once(&labels);
    let counts: Vec<u32> = lab.sandbox.read("counts").lines().map(|line| line.trim().parse().unwrap()).collect();
    assert!(counts.iter().all(|count| *count <= 2) && counts.contains(&2), "{counts:?}");
}

/// Rule 7. The head runs in a job itself, with an environment that would spoil each job that inherits it.
#[test]
fn head_in_a_job_hands_on_neither_binding_nor_options() {
    let Some(cluster) = Cluster::shared() else { return };
    let script = "tr '\\0' '\\n' < /proc/$PPID/environ | grep -E '^(SLURM|SBATCH|SRUN)' > LAB/environment";
    let lab = Lab::new(cluster, "", &letters(&["a"], script));
    let spoilt = [
        ("SBATCH_PARTITION", "nowhere"),
        ("SBATCH_ACCOUNT", "nobody"),
        ("SLURM_CPU_BIND", "quiet,mask_cpu:0x1"),
        ("SLURM_CPU_BIND_TYPE", "mask_cpu:"),
        ("SLURM_MEM_PER_CPU", "3"),
        ("SLURM_TRES_PER_TASK", "cpu=7"),
        ("SLURM_HINT", "nomultithread"),
        ("SRUN_CPUS_PER_TASK", "7"),
    ];
    let exports: String = spoilt.iter().map(|(name, value)| format!("export {name}='{value}'\n")).collect();
    let head = lab.command(&[]);
    let program = head.get_program().to_str().unwrap().to_owned();
    let inner = format!(
        "#!/bin/sh\n{exports}cd LAB\nORCHESTRATE_HEARTBEAT_MS=250 {program} run spec.toml --on slurm > LAB/said 2>&1\n\
         echo $? > LAB/code\n"
    );
    lab.program("inner", &inner);
    let inner = lab.sandbox.path("bin/inner").display().to_string();
    cluster.ask(&["sbatch", "--chdir=/", "--mem=200", "-o", "/dev/null", &inner]);
    wait_for("the head", || lab.sandbox.path("code").exists());
    assert_eq!(lab.sandbox.read("code"), "0\n", "{}", lab.sandbox.read("said"));
    lab.assert_each_once(&["a"]);
    let task = &lab.tasks()[0];
    assert_eq!((task.partition.as_str(), task.cpus.as_str()), ("cpu", "1"), "{task:?}");
    let seen = lab.sandbox.read("environment");
    for (name, value) in spoilt {
        assert!(!seen.contains(&format!("{name}={value}\n")), "{name}: {seen}");
    }
    assert!(seen.contains(&format!("SLURM_CONF={}", cluster.config().display())), "{seen}");
}

/// Rule 10.
#[test]
fn task_that_an_administrator_moves_to_another_partition_is_followed() {
    let Some(cluster) = Cluster::shared() else { return };
    let lab = Lab::new(cluster, "partition = \"low\"\nflags = [\"--hold\"]", &letters(&["a", "b"], ""));
    let head = lab.start(&[]);
    let job = lab.wait_for_task("the job", |task| task.state == "PENDING").job;
    cluster.ask(&["scontrol", "update", &format!("jobid={job}"), "partition=other"]);
    // The head asks meanwhile.
    std::thread::sleep(Duration::from_secs(4));
    cluster.ask(&["scontrol", "release", &job]);
    assert_eq!(well(lab.end(head)).ran().len(), 2);
    lab.assert_each_once(&["a", "b"]);
    assert!(lab.tasks().iter().all(|task| task.job == job && task.partition == "other"), "{:#?}", lab.tasks());
}

/// Further rules: a task checks what it was given.
#[test]
fn fewer_cpus_or_less_memory_than_asked_for_is_a_warning() {
    let Some(cluster) = Cluster::shared() else { return };
    // A plugin of the site would do it.
    let config = "threads = 4\nmemory = \"200MB\"\nflags = [\"--cpus-per-task=1\", \"--mem=90\"]";
    let lab = Lab::new(cluster, config, &letters(&["a"], ""));
    let run = lab.run_well(&[]);
    let said = run.said.out + &run.said.err;
    assert!(said.contains("4 CPUs were asked for, and the queueing system gave 1"), "{said}");
    assert!(said.contains("of memory were asked for, and the queueing system gave"), "{said}");
    let lab = Lab::new(cluster, "threads = 2\nmemory = \"200MB\"", &letters(&["a"], ""));
    let run = lab.run_well(&[]);
    let said = run.said.out + &run.said.err;
    assert!(!said.contains("asked for, and"), "{said}");
}

/// Heavy nodes go to the cluster, light ones stay with the head; with `--all` they go too.
#[test]
fn light_stages_stay_with_the_head_unless_all_go() {
    let Some(cluster) = Cluster::shared() else { return };
    let spec = "[experiment]\nname = \"light\"\n\n\
                [stages.images]\nkind = \"dataset\"\nformat = \"phantom\"\ncount = 12\nsize = 16\n\n\
                [stages.split]\nkind = \"split\"\ninputs = { labels = \"images\" }\nfolds = 2\n";
    let lab = Lab::new(cluster, "", spec);
    let outputs = format!("{:?}", lab.run_well(&[]).outputs());
    assert!(lab.jobs().is_empty(), "{:#?}", lab.tasks());
    let lab = Lab::new(cluster, "memory = \"500MB\"", spec);
    assert_eq!(format!("{:?}", lab.run_well(&["--all"]).outputs()), outputs);
    assert_eq!(lab.jobs().len(), 2, "{:#?}", lab.tasks());
}

/// The head may wait long for its turn, and costs nothing meanwhile.
#[test]
fn pending_tasks_are_waited_for_without_work() {
    let Some(cluster) = Cluster::shared() else { return };
    let lab = Lab::new(cluster, "flags = [\"--hold\"]", &letters(&["a"], WAITS));
    let head = lab.start(&[]);
    let job = lab.wait_for_task("the job", |task| task.state == "PENDING").job;
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", head.id())).unwrap();
        let fields: Vec<u64> =
            stat.rsplit(") ").next().unwrap().split(' ').skip(11).take(2).map(|field| field.parse().unwrap()).collect();
        fields[0] + fields[1]
    };
    let (began, before) = (Instant::now(), ticks());
    std::thread::sleep(Duration::from_secs(5));
    let used = (ticks() - before) * 10;
    assert!(used < 200, "{used} ms of CPU time in {:?}", began.elapsed());
    lab.sandbox.write("go", "");
    cluster.ask(&["scontrol", "release", &job]);
    assert_eq!(well(lab.end(head)).ran(), ["make[letter=a]"]);
    lab.assert_each_once(&["a"]);
}
