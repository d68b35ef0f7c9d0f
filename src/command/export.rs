//! `orchestrate export masks | heatmaps | weights | table NODE --to DIR`.

use anyhow::Context;
use orchestrate_cache::Access;
use orchestrate_engine::publish::PointNames;
use orchestrate_stages::export::{self, Export, ImageFormat, RecordedNode};
use serde_json::json;

use super::named_nodes::NamedNodes;
use super::output_files::write_files;
use super::recorded::Recorded;
use super::study::{Study, run_command};
use crate::Kinds;
use crate::args::ExportCommand;
use crate::outcome::{Outcome, UsageError};
use crate::terminal;

pub(crate) fn export(kinds: Kinds, command: ExportCommand) -> anyhow::Result<Outcome> {
    let (choice, args) = match command {
        ExportCommand::Masks(args) => (Export::Masks, args),
        ExportCommand::Heatmaps { format, args } => {
            (Export::Heatmaps(if format == "png" { ImageFormat::Png } else { ImageFormat::Npy }), args)
        }
        ExportCommand::Weights(args) => (Export::Weights, args),
        ExportCommand::Table(args) => (Export::Table, args),
    };
    let NamedNodes { plan, nodes, store } = NamedNodes::find(kinds, &args.node)?;
    let node = args.node.target.last().expect("clap takes one or two");
    let run = run_command(&plan, node);
    let study = Study::open(plan, &store, Access::ReadOnly)?;
    let to = std::path::absolute(&args.to)?;
    if to.starts_with(study.store.dir()) {
        let store = study.store.dir().display();
        return Err(UsageError(format!("{} lies in the store {store}; name another folder", args.to.display())).into());
    }
    let recorded = Recorded::look_up(&study);
    recorded.require(&nodes, &run)?;
    let several = nodes.len() > 1;
    // A selector names one stage.
    let names = PointNames::new(&study.plan, study.plan.node(nodes[0]).stage as usize);
    let mut written = 0;
    let mut lines = String::new();
    for id in nodes {
        let (action, outputs) = recorded.action(id)?;
        let node = RecordedNode { kind: study.plan.stage(id).kind.facts().kind, action: &action, outputs: &outputs };
        let files = export::export(choice, &node).map_err(|error| UsageError(error.to_string()))?;
        let dir = if several { args.to.join(names.folder(&study.plan, id)) } else { args.to.clone() };
        written += files.names.len();
        let paths: Vec<_> = files.names.iter().map(|name| dir.join(name)).collect();
        write_files(&paths, |file| Ok(files.contents(file)?), args.overwrite)?;
        if args.json {
            let node = study.plan.name(id).to_string();
            for (file, path) in paths.iter().enumerate() {
                let path = std::path::absolute(path)?;
                let path = path.to_str().context("JSON holds no paths other than UTF-8")?;
                let line = json!({ "node": node, "image": files.images.get(file), "file": path });
                lines += &format!("{line}\n");
            }
        }
    }
    if args.json {
        return Outcome::Done.after_saying(terminal::say_as_is(&lines));
    }
    let said = terminal::say(&format!("{} in {}\n", terminal::count(written, "file"), args.to.display()));
    Outcome::Done.after_saying(said)
}
