//! `orchestrate kinds`: lists the kinds of stages, from the slice that registers them.

use std::fmt::Write;

use orchestrate_engine::stage::{Port, Stage};

use crate::Kinds;
use crate::outcome::Outcome;
use crate::terminal;

pub(crate) fn list(kinds: Kinds) -> anyhow::Result<Outcome> {
    let mut text = String::new();
    for stage in kinds {
        describe(*stage, &mut text);
    }
    Outcome::Done.after_saying(terminal::say(&text))
}

fn describe(stage: &dyn Stage, text: &mut String) {
    let facts = stage.facts();
    let _ = writeln!(text, "{}\n    {}", facts.kind, facts.about);
    let ports: Vec<_> = facts.ports.iter().map(port).collect();
    let ports = if facts.takes_any_port { "any".to_owned() } else { ports.join(", ") };
    if !ports.is_empty() {
        let _ = writeln!(text, "    inputs   {ports}");
    }
    let outputs = stage.outputs(&serde_json::Value::Null).join(", ");
    let _ = writeln!(text, "    outputs  {outputs}\n    params   {}\n", facts.fields().join(", "));
}

fn port(port: &Port) -> String {
    let many = if port.many { " (several)" } else { "" };
    let optional = if port.optional { " (optional)" } else { "" };
    format!("{}{many}{optional}", port.name)
}
