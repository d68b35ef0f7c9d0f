//! Tables with spans → the sections of a spec. Problems are collected; an item with a problem is left out.

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;
use serde::Deserialize;
use serde_spanned::Spanned;
use toml::de::{DeTable, ValueDeserializer};

use super::axis::{self, Axis};
use super::reader::{Reader, unfit_for_a_folder};
use super::{Excluded, Located, PortSpec, StageSpec};
use crate::diagnostic::{Diagnostic, Names};
use crate::params::STAGE_FIELDS;
use crate::resources::{RETRIES_MAX, Resources, parse_duration};
use crate::source::Span;
use crate::words;

/// The sections of a spec.
pub(super) const SECTIONS: [&str; 5] = ["experiment", "axes", "stages", "exclude", "zip"];

/// The parsed sections of a spec.
#[derive(Default)]
pub(super) struct Sections {
    pub(super) name: String,
    pub(super) seed: (i64, Option<Span>),
    pub(super) axes: Vec<Axis>,
    pub(super) exclude: Vec<Excluded>,
    pub(super) zip: Vec<Vec<usize>>,
    pub(super) stages: Vec<StageSpec>,
    pub(super) broken: Vec<String>,
}

/// Reads all sections.
pub(super) fn sections(table: &DeTable<'static>, problems: &mut Vec<Diagnostic>) -> Sections {
    let mut reader = Reader { problems };
    reader.unknown_keys("the spec", table, &SECTIONS);
    let mut sections = Sections::default();
    match table.get("experiment") {
        Some(value) => (sections.name, sections.seed) = experiment(value, &mut reader),
        None => reader.problem(
            Diagnostic::error("the spec has no `[experiment]`").help("add `[experiment]` with `name = \"…\"`"),
        ),
    }
    sections.axes = axes(table, &mut reader, &mut sections.broken);
    let mut declared = DeclaredAxes::new(&sections.axes);
    sections.exclude = exclude(table, &mut declared, &mut reader);
    sections.zip = zip(table, &declared, &mut reader);
    sections.stages = stages(table, &mut reader, &mut sections.broken);
    sections
}

fn experiment(value: &Located, reader: &mut Reader<'_>) -> (String, (i64, Option<Span>)) {
    let Some(table) = reader.table("`experiment`", value) else { return Default::default() };
    reader.unknown_keys("`[experiment]`", table, &["name", "seed"]);
    let name = match table.get("name") {
        Some(name) => reader.text("`name`", name).map(|name| experiment_name(name, reader)).unwrap_or_default(),
        None => {
            let problem = Diagnostic::error("`[experiment]` has no `name`").at(value.span());
            reader.problem(problem.help("add `name = \"…\"`"));
            String::new()
        }
    };
    let seed =
        table.get("seed").and_then(|seed| Some((reader.integer("`seed`", seed, 0..=i64::MAX)?, Some(seed.span()))));
    (name, seed.unwrap_or_default())
}

/// Checks the experiment's name, as results lie in a folder of that name.
fn experiment_name(name: Spanned<String>, reader: &mut Reader<'_>) -> String {
    if let Some(reason) = unfit_for_a_folder(name.get_ref()) {
        let shown = name.get_ref().escape_debug();
        let problem = Diagnostic::error(format!("`{shown}` cannot be the name of an experiment: {reason}"));
        let help = "results lie in a folder of this name; use letters, digits, `-` and `_`, for example `kang-2021`";
        reader.problem(problem.at(name.span()).help(help));
    }
    name.into_inner()
}

fn section<'t>(table: &'t DeTable<'static>, name: &str, reader: &mut Reader<'_>) -> Option<&'t DeTable<'static>> {
    let value = table.get(name)?;
    reader.table(&format!("`{name}`"), value)
}

fn axes(table: &DeTable<'static>, reader: &mut Reader<'_>, broken: &mut Vec<String>) -> Vec<Axis> {
    let Some(axes) = section(table, "axes", reader) else { return Vec::new() };
    let mut parsed = Vec::new();
    for (name, value) in axes {
        reader.name("axis", name.get_ref(), name.span());
        match Axis::parse(Spanned::new(name.span(), name.get_ref().to_string()), value, reader) {
            Some(axis) => parsed.push(axis),
            None => broken.push(name.get_ref().to_string()),
        }
    }
    parsed
}

/// The axes of a spec, by name.
struct DeclaredAxes<'a> {
    axes: &'a [Axis],
    names: Names<'a>,
    /// The labels of each axis whose values were looked up.
    labels: HashMap<usize, Names<'a>>,
}

impl<'a> DeclaredAxes<'a> {
    fn new(axes: &'a [Axis]) -> Self {
        let names = Names::new("declared axes", axes.iter().map(|axis| axis.name.get_ref().as_str()));
        Self { axes, names, labels: HashMap::new() }
    }

    fn axis(&self, name: &str, span: Span, reader: &mut Reader<'_>) -> Option<usize> {
        let index = self.names.position(name);
        if index.is_none() {
            let problem = Diagnostic::error(format!("axis `{name}` is not declared")).at(span);
            reader.problem(self.names.unknown(problem, name));
        }
        index
    }

    /// The index of a value, in any spelling that the axis allows.
    fn value(&mut self, axis: usize, value: &Located, reader: &mut Reader<'_>) -> Option<usize> {
        let Axis { name, values, .. } = &self.axes[axis];
        let label = match axis::label(value.get_ref()) {
            Ok(label) => label,
            Err(wanted) => {
                return reader.wrong_type(&format!("a value of axis `{}`", name.get_ref()), wanted, value);
            }
        };
        let labels = values.iter().map(|value| value.label.as_str());
        let labels = self.labels.entry(axis).or_insert_with(|| Names::new("its values", labels));
        let index = labels.position(&label);
        if index.is_none() {
            let message = format!("axis `{}` has no value `{}`", name.get_ref(), label.escape_debug());
            reader.problem(labels.unknown(Diagnostic::error(message).at(value.span()), &label));
        }
        index
    }
}

fn exclude(table: &DeTable<'static>, declared: &mut DeclaredAxes<'_>, reader: &mut Reader<'_>) -> Vec<Excluded> {
    let Some(value) = table.get("exclude") else { return Vec::new() };
    let points = reader.list("`exclude`", value);
    points.iter().filter_map(|point| excluded_point(point, declared, reader)).collect()
}

fn excluded_point(point: &Located, declared: &mut DeclaredAxes<'_>, reader: &mut Reader<'_>) -> Option<Excluded> {
    let table = reader.table("an entry of `exclude`", point)?;
    if table.is_empty() {
        let problem = Diagnostic::error("an entry of `exclude` names no axis").at(point.span());
        reader.problem(problem.help("write for example `{ model = \"tiny\", fold = 2 }`"));
    }
    let mut excluded = Vec::new();
    for (name, value) in table {
        let axis = declared.axis(name.get_ref(), name.span(), reader)?;
        excluded.extend(declared.value(axis, value, reader).map(|index| (axis, index)));
    }
    Some(Spanned::new(point.span(), excluded))
}

fn zip(table: &DeTable<'static>, declared: &DeclaredAxes<'_>, reader: &mut Reader<'_>) -> Vec<Vec<usize>> {
    let Some(value) = table.get("zip") else { return Vec::new() };
    let mut groups = Vec::new();
    for group in reader.list("`zip`", value) {
        let names = reader.list("an entry of `zip`", &group);
        let names: Vec<_> = names.iter().filter_map(|name| reader.text("an axis in `zip`", name)).collect();
        let indices: Vec<_> =
            names.iter().filter_map(|name| declared.axis(name.get_ref(), name.span(), reader)).collect();
        let lengths: Vec<_> = indices.iter().map(|axis| declared.axes[*axis].values.len()).collect();
        if indices.len() < 2 && indices.len() == names.len() {
            let problem = Diagnostic::error("an entry of `zip` joins fewer than two axes").at(group.span());
            reader.problem(problem.help("write for example `zip = [[\"model\", \"epochs\"]]`"));
        } else if lengths.windows(2).any(|pair| pair[0] != pair[1]) {
            let sizes: Vec<_> =
                names.iter().zip(&lengths).map(|(name, length)| format!("`{}` has {length}", name.get_ref())).collect();
            reader.problem(
                Diagnostic::error(format!("axes that are zipped differ in length: {}", sizes.join(", ")))
                    .at(group.span())
                    .help("give them the same number of values"),
            );
        } else {
            groups.push(indices);
        }
    }
    groups
}

fn stages(table: &DeTable<'static>, reader: &mut Reader<'_>, broken: &mut Vec<String>) -> Vec<StageSpec> {
    let Some(stages) = section(table, "stages", reader) else {
        if !table.contains_key("stages") {
            reader.problem(Diagnostic::error("the spec has no stages").help("add `[stages.NAME]` with `kind = \"…\"`"));
        }
        return Vec::new();
    };
    let mut parsed = Vec::new();
    let has_kind = |value: &Located| value.get_ref().as_table().is_some_and(|table| table.contains_key("kind"));
    let whole = stages.iter().filter(|(_, value)| has_kind(value)).map(|(name, _)| name.get_ref().as_ref());
    let whole = Names::new("stages with a `kind`", whole);
    for (name, value) in stages {
        match stage(name.get_ref(), name.span(), value, &whole, reader) {
            Some(stage) => parsed.push(stage),
            None => broken.push(name.get_ref().to_string()),
        }
    }
    parsed
}

fn stage(name: &str, span: Span, value: &Located, whole: &Names<'_>, reader: &mut Reader<'_>) -> Option<StageSpec> {
    reader.name("stage", name, span.clone());
    let table = reader.table(&format!("stage `{name}`"), value)?;
    let name = Spanned::new(span.clone(), name.to_owned());
    let kind = match table.get("kind") {
        Some(kind) => reader.text("`kind`", kind),
        None => {
            let problem = Diagnostic::error(format!("stage `{}` has no `kind`", name.get_ref())).at(span.clone());
            // A misspelt name in an override, or in a spec that extends another one, makes such a stage.
            let mut problem = whole.unknown(problem, name.get_ref());
            problem.help.get_or_insert_with(|| "add `kind = \"…\"`, or name one of these stages".to_owned());
            reader.problem(problem);
            None
        }
    };
    let over = table.get("over").map(|over| reader.texts("`over`", over)).unwrap_or_default();
    let mut seen = HashSet::new();
    for axis in &over {
        if !seen.insert(axis.get_ref()) {
            reader.problem(Diagnostic::error(format!("`over` names axis `{}` twice", axis.get_ref())).at(axis.span()));
        }
    }
    let inputs = table.get("inputs").map(|inputs| ports(inputs, reader)).unwrap_or_default();
    let with = table.get("with").map(|with| bindings(with, reader)).unwrap_or_default();
    let retries = table
        .get("retries")
        .and_then(|value| reader.integer("`retries`", value, 0..=i64::from(RETRIES_MAX)))
        .unwrap_or(0);
    let resources = table.get("resources").and_then(|value| resources(value, reader)).unwrap_or_default();
    let timeout = reader.quantity(table, "timeout", parse_duration);
    let publish = table.get("publish").and_then(|value| reader.text("`publish`", value));
    let params = table.iter().filter(|(key, _)| !STAGE_FIELDS.contains(&key.get_ref().as_ref()));
    let params = params.map(|(key, value)| (key.clone(), value.clone())).collect();
    Some(StageSpec {
        params: Spanned::new(span, params),
        kind: kind?,
        retries: u32::try_from(retries).unwrap_or(0),
        name,
        over,
        inputs,
        with,
        resources,
        timeout_ms: timeout.and_then(|timeout| u64::try_from(timeout.as_millis()).ok()),
        publish,
        kept_back: None,
    })
}

fn ports(value: &Located, reader: &mut Reader<'_>) -> IndexMap<String, PortSpec> {
    let Some(table) = reader.table("`inputs`", value) else { return IndexMap::new() };
    let mut ports = IndexMap::new();
    for (port, feed) in table {
        let stages = reader.texts(&format!("input `{}`", port.get_ref()), feed);
        if stages.is_empty() && feed.get_ref().as_array().is_some_and(|list| list.is_empty()) {
            let problem = Diagnostic::error(format!("input `{}` names no stage", port.get_ref())).at(feed.span());
            reader.problem(problem.help("name a stage, or remove the input"));
        }
        ports.insert(port.get_ref().to_string(), PortSpec { span: port.span(), stages });
    }
    ports
}

fn bindings(value: &Located, reader: &mut Reader<'_>) -> Vec<(Spanned<String>, Spanned<String>)> {
    let Some(table) = reader.table("`with`", value) else { return Vec::new() };
    let mut bindings = Vec::new();
    for (param, axis) in table {
        let Some(text) = reader.text(&format!("`with.{}`", param.get_ref()), axis) else { continue };
        match text.get_ref().strip_prefix("axis.") {
            Some(name) => bindings.push((
                Spanned::new(param.span(), param.get_ref().to_string()),
                Spanned::new(text.span(), name.to_owned()),
            )),
            None => reader.problem(
                Diagnostic::error(format!(
                    "`with` binds `{}` to `{}`, which is no axis",
                    param.get_ref(),
                    text.get_ref()
                ))
                .at(text.span())
                .help("write `with = { PARAM = \"axis.NAME\" }`"),
            ),
        }
    }
    bindings
}

fn resources(value: &Located, reader: &mut Reader<'_>) -> Option<Resources> {
    match Resources::deserialize(ValueDeserializer::from(value.clone())) {
        Ok(resources) => Some(resources),
        Err(error) => {
            let span = error.span().unwrap_or(value.span());
            reader.problem(
                Diagnostic::error(format!("`resources`: {}", words::of_reader(error.message())))
                    .at(span)
                    .help("write for example `{ threads = 2, memory = \"2GB\", gpu = 1 }`"),
            );
            None
        }
    }
}
