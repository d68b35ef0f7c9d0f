//! Reads section `[cluster]`.

use std::path::Path;
use std::time::Duration;

use indexmap::IndexMap;
use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Ask, CANCEL, Cluster, ClusterKind, Commands, GPU, SUBMIT};
use crate::diagnostic::Diagnostic;
use crate::resources::{display_duration, display_size, parse_duration, parse_size};
use crate::source::Span;
use crate::spec::Located;
use crate::spec::placeholder::check;
use crate::spec::reader::Reader;

const KINDS: [&str; 2] = ["slurm", "commands"];
const ASK: [&str; 4] = ["time", "memory", "threads", "gpu"];
/// Fields of every kind of cluster.
const COMMON: [&str; 14] = [
    "kind",
    "gpu",
    "setup",
    "program",
    "kinds",
    "max_jobs",
    "max_array",
    "time",
    "memory",
    "threads",
    "max_time",
    "max_memory",
    "stages",
    "pilot",
];
const SLURM: [&str; 5] = ["partition", "gpu_partition", "account", "qos", "flags"];
const COMMANDS: [&str; 5] = ["submit", "status", "cancel", "index", "first_index"];

/// The most of anything that is counted.
const COUNT_MAX: i64 = 1 << 20;

/// Reads the section; `None` if it is no table or has no kind, which is reported.
pub(super) fn parse(section: &Located, root: &Path, reader: &mut Reader<'_>) -> Option<Cluster> {
    let table = reader.table("`cluster`", section)?;
    let kind = kind(table, section.span(), reader);
    let (own, foreign, other) = match kind {
        Some("slurm") => (SLURM, COMMANDS, "commands"),
        Some(_) => (COMMANDS, SLURM, "slurm"),
        // Of a kind that nobody knows every field may be right.
        None => (SLURM, COMMANDS, ""),
    };
    let mut valid: Vec<&str> = COMMON.into_iter().chain(own).collect();
    valid.extend(if kind.is_none() { &foreign[..] } else { &[] });
    let is_foreign = |key: &str| kind.is_some() && foreign.contains(&key);
    for key in table.keys().filter(|key| is_foreign(key.get_ref())) {
        let problem = format!("`{}` belongs to a cluster of kind \"{other}\"", key.get_ref());
        let help = match other {
            "slurm" => "write it into `submit`",
            _ => "Slurm needs no commands; `flags` are passed through to sbatch",
        };
        reader.problem(Diagnostic::error(problem).at(key.span()).help(help));
    }
    let rest = table.iter().filter(|(key, _)| !is_foreign(key.get_ref()));
    reader.unknown_keys("`cluster`", &rest.map(|(key, value)| (key.clone(), value.clone())).collect(), &valid);

    let commands = (kind == Some("commands")).then(|| commands(table, section.span(), reader));
    let text = |name: &str, reader: &mut Reader<'_>| Some(reader.text(&shown(name), table.get(name)?)?.into_inner());
    let count = |name: &str, reader: &mut Reader<'_>| {
        let count = reader.integer(&shown(name), table.get(name)?, 1..=COUNT_MAX)?;
        usize::try_from(count).ok()
    };
    let list = |name: &str, reader: &mut Reader<'_>| {
        let listed = table.get(name).map(|value| reader.texts(&shown(name), value))?;
        Some(listed.into_iter().map(Spanned::into_inner).collect::<Vec<_>>())
    };
    let gpu = gpu_template(table, reader);
    // The template for GPUs has the name that a stage gives to its number of them.
    let defaults = ask(table, &ASK[..3], reader);
    let cluster = Cluster {
        kind: commands.flatten().map_or(ClusterKind::Slurm, ClusterKind::Commands),
        partition: text("partition", reader),
        gpu_partition: text("gpu_partition", reader),
        account: text("account", reader),
        qos: text("qos", reader),
        flags: table.get("flags").map(|flags| words("`flags`", flags, reader)).unwrap_or_default(),
        gpu,
        setup: list("setup", reader).unwrap_or_default(),
        program: text("program", reader).map(|program| root.join(program)),
        kinds: list("kinds", reader),
        max_jobs: count("max_jobs", reader),
        max_array: count("max_array", reader),
        max_time: reader.quantity(table, "max_time", parse_duration),
        max_memory_bytes: reader.quantity(table, "max_memory", parse_size),
        stages: stages(table, reader),
        pilot: table.get("pilot").map(|pilot| own_ask("`cluster.pilot`", pilot, reader)).unwrap_or_default(),
        defaults,
    };
    within_limits(&cluster, table, reader);
    kind.map(|_| cluster)
}

fn shown(name: &str) -> String {
    format!("`{name}`")
}

fn kind(table: &DeTable<'static>, section: Span, reader: &mut Reader<'_>) -> Option<&'static str> {
    let Some(value) = table.get("kind") else {
        let problem = Diagnostic::error("`cluster` has no `kind`").at(section);
        reader.problem(problem.help("write kind = \"slurm\", or \"commands\" for another scheduler"));
        return None;
    };
    let text = reader.text("`kind`", value)?;
    let known = KINDS.into_iter().find(|kind| kind == text.get_ref());
    if known.is_none() {
        let problem = Diagnostic::error(format!("there is no kind of cluster `{}`", text.get_ref())).at(text.span());
        reader.problem(problem.names("kinds", text.get_ref(), KINDS));
    }
    known
}

/// Reads the flags that ask for GPUs.
fn gpu_template(table: &DeTable<'static>, reader: &mut Reader<'_>) -> String {
    let written = table.get("gpu").and_then(|value| reader.text("`gpu`", value));
    let Some(text) = written else { return "--gres=gpu:{gpu}".to_owned() };
    template("gpu", std::slice::from_ref(&text), GPU, &["gpu"], reader);
    if shlex::split(text.get_ref()).is_none() {
        reader.problem(not_closed("`gpu`", text.span()));
    }
    text.into_inner()
}

/// Reads the commands of a scheduler.
fn commands(table: &DeTable<'static>, section: Span, reader: &mut Reader<'_>) -> Option<Commands> {
    let mut missing = Vec::new();
    let mut value = |name: &'static str| {
        let value = table.get(name);
        if value.is_none() {
            missing.push(name);
        }
        value
    };
    let (submit, status, cancel) = (value("submit"), value("status"), value("cancel"));
    let (index, first_index) = (value("index"), value("first_index"));
    if !missing.is_empty() {
        let names: Vec<_> = missing.iter().map(|name| shown(name)).collect();
        let problem = format!("a cluster of kind \"commands\" needs {}", names.join(", "));
        let help = "for SGE: submit = \"qsub -terse -cwd -N {name} -t 1-{tasks} -o {output} -j y {script}\", \
                    status = \"qstat\", cancel = \"qdel {job}\", index = \"SGE_TASK_ID\", first_index = 1";
        reader.problem(Diagnostic::error(problem).at(section).help(help));
    }
    let submit = submit.map(|value| {
        let words = command("submit", value, SUBMIT, &["script"], reader);
        gpu_flags(table, value, &words, reader);
        words
    });
    let status = status.map(|value| command("status", value, &[], &[], reader));
    let cancel = cancel.map(|value| command("cancel", value, CANCEL, CANCEL, reader));
    let index = index.and_then(|value| variable(value, reader));
    let first_index = first_index.and_then(|value| reader.integer("`first_index`", value, 0..=1));
    let first_index = usize::try_from(first_index?).ok()?;
    Some(Commands { submit: submit?, status: status?, cancel: cancel?, index: index?, first_index })
}

/// Checks that the flags for GPUs have their place in a submission, and the place its flags.
fn gpu_flags(table: &DeTable<'static>, submit: &Located, words: &[String], reader: &mut Reader<'_>) {
    let has_gpu = |table: &DeTable<'static>| table.contains_key("gpu");
    let stages = table.get("stages").and_then(|stages| stages.get_ref().as_table());
    let asks = stages.into_iter().flat_map(DeTable::values).chain(table.get("pilot"));
    let is_asked = asks.filter_map(|ask| ask.get_ref().as_table()).any(has_gpu);
    let help = "write `{gpu}` as a word of its own into `submit`, and for example gpu = \"-l gpu={gpu}\"";
    let problem = match words.iter().find(|word| word.contains("{gpu}")) {
        Some(word) if word != "{gpu}" => "`{gpu}` in `submit` is a part of a word, but stands for whole flags",
        Some(_) if is_asked && !has_gpu(table) => "`submit` has `{gpu}`, but there are no flags `gpu` for it",
        None if has_gpu(table) || is_asked => "`submit` has no `{gpu}`, so no job would get a GPU",
        _ => return,
    };
    reader.problem(Diagnostic::error(problem).at(submit.span()).help(help));
}

/// Reads the name of an environment variable.
fn variable(value: &Located, reader: &mut Reader<'_>) -> Option<String> {
    let name = reader.text("`index`", value)?;
    let is_name = |name: &str| {
        let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        is_word && name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit())
    };
    if !is_name(name.get_ref()) {
        let problem = format!("`index`: `{}` cannot name an environment variable", name.get_ref());
        let help =
            "write the one that has the number of a task, without `$`: SGE_TASK_ID, PBS_ARRAY_INDEX, LSB_JOBINDEX";
        reader.problem(Diagnostic::error(problem).at(name.span()).help(help));
        return None;
    }
    Some(name.into_inner())
}

/// Reads a command with placeholders.
fn command(name: &str, value: &Located, known: &[&str], needed: &[&str], reader: &mut Reader<'_>) -> Vec<String> {
    let problems = reader.problems.len();
    let words = words(&shown(name), value, reader);
    if words.is_empty() && reader.problems.len() == problems {
        reader.problem(Diagnostic::error(format!("`{name}` names no program")).at(value.span()));
    } else if reader.problems.len() == problems {
        let words: Vec<_> = match value.get_ref() {
            DeValue::Array(items) => {
                items.iter().zip(&words).map(|(item, word)| Spanned::new(item.span(), word.clone())).collect()
            }
            _ => words.iter().map(|word| Spanned::new(value.span(), word.clone())).collect(),
        };
        template(name, &words, known, needed, reader);
    }
    words
}

/// Reads the words of a command: a list of them, or a text that is split like a shell does.
fn words(what: &str, value: &Located, reader: &mut Reader<'_>) -> Vec<String> {
    let texts = reader.texts(what, value);
    if matches!(value.get_ref(), DeValue::Array(_)) {
        return texts.into_iter().map(Spanned::into_inner).collect();
    }
    let Some(text) = texts.first() else { return Vec::new() };
    shlex::split(text.get_ref()).unwrap_or_else(|| {
        reader.problem(not_closed(what, text.span()));
        Vec::new()
    })
}

fn not_closed(what: &str, span: Span) -> Diagnostic {
    Diagnostic::error(format!("{what} opens a quote that it does not close, or ends with a backslash")).at(span)
}

/// Checks the placeholders in the words of a template.
fn template(name: &str, words: &[Spanned<String>], known: &[&str], needed: &[&str], reader: &mut Reader<'_>) {
    let mut found = Vec::new();
    let mut is_right = true;
    for word in words {
        match check(&shown(name), word.get_ref(), known) {
            Ok(names) => found.extend(names),
            Err(problem) => {
                is_right = false;
                reader.problem(problem.at(word.span()));
            }
        }
    }
    let missing = needed.iter().find(|needed| !found.iter().any(|name| name == *needed));
    if let (Some(missing), true, Some(first), Some(last)) = (missing, is_right, words.first(), words.last()) {
        let problem = format!("`{name}` has no `{{{missing}}}`");
        let help = match *missing {
            "script" => "it stands for the file that the scheduler runs",
            "job" => "it stands for the id of the job",
            _ => "it stands for the number of GPUs, as in `--gres=gpu:{gpu}`",
        };
        reader.problem(Diagnostic::error(problem).at(first.span().start..last.span().end).help(help));
    }
}

fn stages(table: &DeTable<'static>, reader: &mut Reader<'_>) -> IndexMap<String, Ask> {
    let Some(table) = table.get("stages").and_then(|stages| reader.table("`cluster.stages`", stages)) else {
        return IndexMap::new();
    };
    let mut stages = IndexMap::new();
    for (name, value) in table {
        reader.name("stage", name.get_ref(), name.span());
        let what = format!("`cluster.stages.{}`", name.get_ref());
        stages.insert(name.get_ref().to_string(), own_ask(&what, value, reader));
    }
    stages
}

/// Reads a table that is a request.
fn own_ask(what: &str, value: &Located, reader: &mut Reader<'_>) -> Ask {
    let Some(table) = reader.table(what, value) else { return Ask::default() };
    reader.unknown_keys(what, table, &ASK);
    ask(table, &ASK, reader)
}

/// Reads the fields of a request from a table that may have others.
fn ask(table: &DeTable<'static>, fields: &[&str], reader: &mut Reader<'_>) -> Ask {
    let threads = table.get("threads").and_then(|value| reader.integer("`threads`", value, 1..=1 << 16));
    Ask {
        time: reader.quantity(table, "time", parse_duration),
        memory_bytes: reader.quantity(table, "memory", parse_size),
        threads: threads.and_then(|threads| usize::try_from(threads).ok()),
        gpu: table.get("gpu").filter(|_| fields.contains(&"gpu")).and_then(|value| gpu(value, reader)),
    }
}

/// Reads a number of GPUs: a whole number, or a text such as `a100:2`.
fn gpu(value: &Located, reader: &mut Reader<'_>) -> Option<String> {
    match value.get_ref() {
        DeValue::Integer(_) => Some(reader.integer("`gpu`", value, 0..=1024)?.to_string()),
        DeValue::String(text) => {
            if text.is_empty() || text.contains(char::is_whitespace) {
                let problem = Diagnostic::error(format!("`gpu`: {text:?} cannot be a number of GPUs")).at(value.span());
                reader.problem(
                    problem.help("write a number, or a type and a number as the cluster has them: \"a100:2\""),
                );
                return None;
            }
            Some(text.to_string())
        }
        _ => reader.wrong_type("`gpu`", "a whole number or a text such as \"a100:2\"", value),
    }
}

/// Reports requests beyond `max_time` and `max_memory`.
fn within_limits(cluster: &Cluster, table: &DeTable<'static>, reader: &mut Reader<'_>) {
    let stage = |name: &str| table.get("stages")?.get_ref().as_table()?.get(name)?.get_ref().as_table();
    let asks = cluster.stages.iter().filter_map(|(name, ask)| Some((stage(name)?, ask)));
    for (table, ask) in asks.chain([(table, &cluster.defaults)]) {
        let mut beyond = |field: &str, limit: &str, is_beyond: bool, most: String| {
            if let (true, Some(value)) = (is_beyond, table.get(field)) {
                let problem = Diagnostic::error(format!("`{field}` is more than `{limit}`, {most}")).at(value.span());
                reader.problem(problem.help(format!("raise `{limit}`, the most that is ever asked for")));
            }
        };
        let time = |limit: Duration| ask.time.is_some_and(|time| time > limit);
        if let Some(limit) = cluster.max_time {
            beyond("time", "max_time", time(limit), display_duration(limit));
        }
        if let Some(limit) = cluster.max_memory_bytes {
            let is_beyond = ask.memory_bytes.is_some_and(|memory| memory > limit);
            beyond("memory", "max_memory", is_beyond, display_size(limit));
        }
    }
}
