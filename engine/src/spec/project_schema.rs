//! The form of a project file as JSON Schema, for editors; draft 7.

use serde_json::{Value as Json, json};

use super::cluster::SUBMIT;
use super::json_schema::{NAME, texts};

/// Returns the schema of `orchestrate.toml`.
pub fn project_schema() -> Json {
    let keys = json!({
        "type": "object",
        "description": "The signers whose results count; those of all others are passed over.",
        "properties": { "keys": texts("Public keys, as `orchestrate store keygen` prints them.") },
        "required": ["keys"],
        "additionalProperties": false,
    });
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "orchestrate project",
        "description": "The file that marks the root of a project, limits its store, and describes its cluster.",
        "type": "object",
        "properties": {
            "store": {
                "type": "object",
                "description": "Limits of the store; without them nothing is ever deleted. See docs/store.md.",
                "properties": {
                    "max_size": text("The least recently used results go until the rest needs at most this.", "200 GB"),
                    "max_age": text("Results unused for longer go.", "90 days"),
                    "log_max_size": text("The log of a node keeps at most this; default 64 MiB.", "100 MB"),
                    "trust": keys,
                    "remote": remote(),
                },
                "additionalProperties": false,
            },
            "cluster": cluster(),
        },
        "additionalProperties": false,
    })
}

/// The section `[store.remote]`.
fn remote() -> Json {
    json!({
        "type": "object",
        "description": "A bucket or folder behind the store, for the results of many machines. See docs/remote.md.",
        "properties": {
            "url": text("s3://, gs:// or az:// with bucket and prefix, or file:/// with a folder.", "s3://lab/results"),
            "mode": {
                "enum": ["read", "read-write"],
                "description": "Lookups alone, the default, or uploads of what runs here too.",
            },
            "endpoint": text("A server of S3's protocol; Amazon's without it.", "https://minio.lab:9000"),
            "region": text("The region, if the environment does not say it.", "eu-central-1"),
            "timeout": text("The time in which a call must answer; default 60 s.", "60 s"),
        },
        "required": ["url"],
        "additionalProperties": false,
    })
}

/// The section `[cluster]`.
fn cluster() -> Json {
    let command = |about: &str, example: &str| {
        json!({
            "description": format!("{about} A text is split like a shell does; no shell runs it."),
            "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" }, "minItems": 1 }],
            "examples": [example],
        })
    };
    let count = |about: &str| json!({ "type": "integer", "minimum": 1, "maximum": 1 << 20, "description": about });
    let placeholders: Vec<_> = SUBMIT.iter().map(|name| format!("{{{name}}}")).collect();
    let submit = format!("Submits a job. Placeholders: {}.", placeholders.join(", "));
    let mut fields = json!({
        "kind": { "enum": ["slurm", "commands"], "description": "The scheduler; commands are for any but Slurm." },
        "partition": text("The partition of jobs.", "cpu"),
        "gpu_partition": text("The partition of jobs with a GPU.", "gpu"),
        "account": text("The account that pays.", "lab"),
        "qos": text("The quality of service.", "normal"),
        "flags": command("Further flags of a submission, passed through.", "--constraint=ib"),
        "gpu": text("The flags that ask for GPUs; {gpu} stands for their number.", "--gres=gpu:{gpu}"),
        "setup": {
            "description": "Lines of shell before the program.",
            "anyOf": [{ "type": "string" }, texts("A line.")],
            "examples": [["module load cuda"]],
        },
        "program": text("The program on the hosts of the cluster; by default this one.", "/opt/orchestrate"),
        "kinds": {
            "description": "The kinds of stages that go there; by default the heavy ones.",
            "anyOf": [{ "type": "string" }, texts("A kind.")],
            "examples": [["train", "cam"]],
        },
        "max_jobs": count("The most tasks that run at a time."),
        "max_array": count("The most tasks of one job."),
        "max_time": text("The longest time that is asked for after a job reached its limit.", "2 days"),
        "max_memory": text("The most memory that is asked for after a job ran out of it.", "64 GB"),
        "stages": {
            "type": "object",
            "description": "Requests by stage.",
            "propertyNames": { "pattern": NAME },
            "additionalProperties": table("The request of a stage.", ask()),
        },
        "pilot": table("The request of a job that runs the engine itself.", ask()),
        "submit": command(&submit, "qsub -terse -cwd -N {name} -t 1-{tasks} -o {output} -j y {script}"),
        "status": command("Lists the user's jobs.", "qstat"),
        "cancel": command("Cancels a job. Placeholder: {job}.", "qdel {job}"),
        "index": text("The variable with the number of a task.", "SGE_TASK_ID"),
        "first_index": { "enum": [0, 1], "description": "The number of the first task." },
    });
    let own = fields.as_object_mut().expect("it is an object");
    // The request for stages of which nothing else is known; `gpu` is a template here.
    own.extend(
        ask().as_object().into_iter().flatten().filter(|(name, _)| *name != "gpu").map(|(n, v)| (n.clone(), v.clone())),
    );
    let mut section = table("A cluster for `run --on`; in no key. See docs/cluster.md.", fields);
    section["required"] = json!(["kind"]);
    section
}

/// The fields of a request.
fn ask() -> Json {
    json!({
        "time": text("The time limit of a batch.", "4h"),
        "memory": text("Memory.", "16 GB"),
        "threads": { "type": "integer", "minimum": 1, "maximum": 65536, "description": "CPU threads." },
        "gpu": {
            "description": "GPUs: a number, or a type and a number; 0 for none.",
            "anyOf": [{ "type": "integer", "minimum": 0, "maximum": 1024 }, { "type": "string" }],
            "examples": [1, "a100:2"],
        },
    })
}

fn table(about: &str, fields: Json) -> Json {
    json!({ "type": "object", "description": about, "properties": fields, "additionalProperties": false })
}

fn text(about: &str, example: &str) -> Json {
    json!({ "type": "string", "description": about, "examples": [example] })
}
