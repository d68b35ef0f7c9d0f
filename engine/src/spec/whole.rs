//! The spec of a run as one text: everything that it extended and its overrides merged, and its paths absolute, so that
//! it runs from any folder.

use std::borrow::Cow;
use std::path::Path;

use serde::Deserialize;
use serde_spanned::Spanned;
use toml::Value;
use toml::de::{DeTable, DeValue};

use super::load::recorded_table;
use super::texts::Recorded;
use super::values::key;
use super::{Located, grid};
use crate::diagnostic::{Diagnostic, SpecError};
use crate::source::SourceMap;
use crate::stage::Stage;

/// Returns the spec of a run as one text in TOML, without comments. Kinds tell which params are paths.
pub fn whole(recorded: &Recorded<'_>, kinds: &[&'static dyn Stage]) -> Result<String, SpecError> {
    let (mut table, sources) = recorded_table(recorded)?;
    absolute_paths(&mut table, kinds, &sources);
    let failed = |error: &dyn std::fmt::Display| {
        SpecError::new(sources.clone(), vec![Diagnostic::error(format!("the spec cannot be written: {error}"))])
    };
    let end = sources.files().last().map_or(0, |source| source.base + source.text.len());
    let table = toml::de::Deserializer::from(Spanned::new(0..end, table));
    let table = toml::Table::deserialize(table).map_err(|error| failed(&error))?;
    let text = written(&table);
    // No spec can bind one param of one stage alone.
    let grids = recorded.overrides.iter().filter_map(|text| text.strip_prefix(grid::PREFIX));
    let grids: String = grids.map(|grid| format!("# Run with: --grid '{grid}'\n")).collect();
    Ok(grids + &text)
}

/// Writes a spec with a line a value, in the order of declaration: the order of axes is part of keys, and TOML's own
/// writer moves tables behind other values.
fn written(spec: &toml::Table) -> String {
    let mut text = String::new();
    let is_section = |value: &Value| value.is_table();
    fields(spec.iter().filter(|(_, value)| !is_section(value)), &mut text);
    for (section, value) in spec.iter().filter_map(|(name, value)| Some((name, value.as_table()?))) {
        if section == "stages" && value.values().all(is_section) {
            for (stage, params) in value.iter().filter_map(|(name, value)| Some((name, value.as_table()?))) {
                text += &format!("\n[{}.{}]\n", key(section), key(stage));
                fields(params.iter(), &mut text);
            }
        } else {
            text += &format!("\n[{}]\n", key(section));
            fields(value.iter(), &mut text);
        }
    }
    text
}

fn fields<'t>(fields: impl Iterator<Item = (&'t String, &'t Value)>, text: &mut String) {
    fields.for_each(|(name, value)| *text += &format!("{} = {value}\n", key(name)));
}

/// Makes the paths in params of stages absolute, and those that axes bind.
fn absolute_paths(spec: &mut DeTable<'static>, kinds: &[&'static dyn Stage], sources: &SourceMap) {
    // Names of axes and of fields of their values that are bound to a param that is a path.
    let mut bound: Vec<String> = Vec::new();
    for stage in tables(spec, "stages") {
        let kind = stage.get("kind").and_then(|kind| kind.get_ref().as_str());
        let kind = kinds.iter().find(|known| Some(known.facts().kind) == kind);
        for field in kind.into_iter().flat_map(|kind| kind.facts().path_fields) {
            bound.push((*field).to_owned());
            let with = stage.get("with").and_then(|with| with.get_ref().as_table());
            let axis = with.and_then(|with| with.get(*field)?.get_ref().as_str()?.strip_prefix("axis."));
            bound.extend(axis.map(str::to_owned));
            if let Some(value) = field_mut(stage, field) {
                absolute(value, sources);
            }
        }
    }
    let Some(DeValue::Table(axes)) = spec.get_mut("axes").map(Spanned::get_mut) else { return };
    for (name, values) in axes.iter_mut() {
        let is_bound = bound.iter().any(|field| field == name.get_ref());
        let DeValue::Array(values) = values.get_mut() else { continue };
        for value in values.iter_mut() {
            match value.get_mut() {
                DeValue::Table(fields) => {
                    let paths = fields.iter_mut().filter(|(name, _)| bound.iter().any(|field| field == name.get_ref()));
                    paths.for_each(|(_, value)| absolute(value, sources));
                }
                _ if is_bound => absolute(value, sources),
                _ => {}
            }
        }
    }
}

/// Iterates over the tables in a section.
fn tables<'t>(spec: &'t mut DeTable<'static>, section: &str) -> impl Iterator<Item = &'t mut DeTable<'static>> {
    let section = match spec.get_mut(section).map(Spanned::get_mut) {
        Some(DeValue::Table(section)) => Some(section),
        _ => None,
    };
    section.into_iter().flat_map(|section| section.iter_mut()).filter_map(|(_, value)| match value.get_mut() {
        DeValue::Table(table) => Some(table),
        _ => None,
    })
}

/// Finds the value at a dotted name; one that its kind expands to a table is found at each name in that table.
fn field_mut<'t>(table: &'t mut DeTable<'static>, field: &str) -> Option<&'t mut Located> {
    let (first, rest) = field.split_once('.').map_or((field, None), |(first, rest)| (first, Some(rest)));
    let value = table.get_mut(first)?;
    match rest {
        Some(rest) if value.get_ref().is_table() => match value.get_mut() {
            DeValue::Table(inner) => field_mut(inner, rest),
            _ => None,
        },
        _ => Some(value),
    }
}

/// Makes a path, or a list of paths, absolute: relative to the source that wrote it.
fn absolute(value: &mut Located, sources: &SourceMap) {
    let dir = sources.source_at(value.span().start).map_or(Path::new("/"), |source| source.dir.as_path()).to_owned();
    match value.get_mut() {
        DeValue::String(path) => {
            if let Some(absolute) = crate::absolute::absolute(&dir.join(path.as_ref())).to_str() {
                *path = Cow::Owned(absolute.to_owned());
            }
        }
        DeValue::Array(paths) => paths.iter_mut().for_each(|path| absolute(path, sources)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{SpecText, load, load_recorded};

    fn write(dir: &Path, name: &str, text: &str) {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("the folder is writable");
        std::fs::write(path, text).expect("the folder is writable");
    }

    #[test]
    fn a_spec_is_read_again_from_the_texts_of_a_run_after_its_files_have_changed() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let study = "extends = \"parts/base.toml\"\n[axes]\nfold = { folds = 2 }\n\"a b\" = [1]\n";
        let base = "extends = \"more.toml\"\n[experiment]\nname = \"x\"\n";
        write(dir.path(), "study.toml", study);
        write(dir.path(), "parts/base.toml", base);
        write(dir.path(), "parts/more.toml", "[stages.images]\nkind = \"dataset\"\ncount = 9\n");
        let path = dir.path().join("study.toml");
        let overrides = vec!["stages.images.count=10".to_owned()];
        let was = load(&path, &overrides).expect("it is a spec");
        let texts = SpecText::all(&was.sources);
        assert_eq!(texts.iter().map(|text| text.text.len()).sum::<usize>(), study.len() + base.len() + 43);
        write(dir.path(), "study.toml", "this is no spec");
        std::fs::remove_dir_all(dir.path().join("parts")).expect("it is there");
        let recorded = Recorded {
            path: &was.path,
            root: &was.root,
            working_dir: dir.path(),
            texts: &texts,
            overrides: &was.overrides,
        };
        let now = load_recorded(&recorded, &[]).expect("the texts are recorded");
        let stages =
            |spec: &crate::spec::Spec| format!("{:?}", spec.stages.iter().map(|it| &it.params).collect::<Vec<_>>());
        assert_eq!((now.name.as_str(), &now.root, stages(&now)), ("x", &was.root, stages(&was)));
        let text = whole(&recorded, &crate::fake::KINDS).expect("it is a spec");
        assert!(text.contains("count = 10") && !text.contains("extends"), "{text}");
        assert!(text.contains("[axes]\nfold = { folds = 2 }\n\"a b\" = [1]\n"), "axes keep their order: {text}");
        write(dir.path(), "again.toml", &text);
        let again = load(&dir.path().join("again.toml"), &[]).expect("it is a spec");
        assert_eq!(
            format!("{:?}", again.axes.iter().map(|axis| axis.name.get_ref()).collect::<Vec<_>>()),
            r#"["fold", "a b"]"#
        );
        let cut = load_recorded(&Recorded { texts: &texts[..1], ..recorded }, &[]);
        assert!(cut.map_or(true, |spec| !spec.findings.is_empty()), "a text is lost");
    }
}
