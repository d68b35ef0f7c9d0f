//! `orchestrate schema`: the form of a spec as JSON Schema, for editors.

use orchestrate_engine::spec::{project_schema, spec_schema};

use crate::Kinds;
use crate::outcome::Outcome;
use crate::terminal;

/// Arguments of `schema`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  orchestrate schema > spec.schema.json\n  orchestrate schema --project")]
pub(crate) struct SchemaArgs {
    /// The schema of the project file, orchestrate.toml
    #[arg(long)]
    project: bool,
}

pub(crate) fn schema(kinds: Kinds, args: &SchemaArgs) -> anyhow::Result<Outcome> {
    let text = if args.project { text(&project_schema()) } else { text(&spec_schema(kinds)) };
    Outcome::Done.after_saying(terminal::say_as_is(&text))
}

fn text(schema: &serde_json::Value) -> String {
    format!("{schema:#}\n")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn schemas_in_the_docs_are_up_to_date() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference");
        let made = [
            ("spec.schema.json", spec_schema(crate::stages()), ""),
            ("project.schema.json", project_schema(), " --project"),
        ];
        for (name, schema, option) in made {
            let found = std::fs::read_to_string(dir.join(name)).unwrap_or_default();
            assert!(found == text(&schema), "run `orchestrate schema{option} > docs/reference/{name}`");
        }
    }

    #[test]
    fn every_spec_of_ours_names_its_schema() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments");
        for entry in dir.read_dir().expect("there are specs").flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                let text = std::fs::read_to_string(&path).expect("it is a text");
                let line = "#:schema ../docs/reference/spec.schema.json\n";
                assert!(text.starts_with(line), "{} must start with `{}`", path.display(), line.trim_end());
            }
        }
    }
}
