//! Params of a stage and axis values of a point → checked params.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use orchestrate_cache::Value;
use serde_json::Value as Json;
use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use super::ParamSet;
use super::link::Link;
use super::paths::paths;
use super::problems::Problems;
use super::recall::{Recall, Recalled};
use crate::diagnostic::Diagnostic;
use crate::params::{ParamProblem, ParamTable};
use crate::source::{SourceMap, Span};
use crate::spec::axis::{Axis, Binding, find};
use crate::spec::toml_text::whole_number;
use crate::spec::{Located, Spec, StageSpec};
use crate::stage::{AddedAxes, Stage};

/// Binds the params of one stage to its axes.
pub(super) struct Binder<'a> {
    spec: &'a Spec,
    stage: &'a StageSpec,
    kind: &'static dyn Stage,
    recall: Option<&'a dyn Recall>,
    /// Axes of the spec that bind at least one param.
    pub(super) axes: Vec<usize>,
    /// Written params, with the defaults `seed` and `folds` of the engine.
    base: ParamTable,
}

/// Keys of axis tables that some stage uses, as spans in the sources.
pub(super) type UsedKeys = HashSet<(usize, usize)>;

impl<'a> Binder<'a> {
    /// Finds the params that each axis binds. `shared` tells whether an input varies over an axis too.
    pub(super) fn new(
        spec: &'a Spec,
        stage: &'a StageSpec,
        kind: &'static dyn Stage,
        link: &Link,
        shared: impl Fn(usize) -> bool,
        problems: &mut Vec<Diagnostic>,
    ) -> Self {
        let over = link.over.as_slice();
        let mut binder = Self { spec, stage, kind, recall: None, axes: Vec::new(), base: stage.params.clone() };
        binder.check_with(over, problems);
        binder.check_added(over, problems);
        if let AddedAxes::Listed(param) = kind.facts().added_axes {
            link.listed.iter().for_each(|axis| binder.list(param, &spec.axes[*axis]));
        }
        for &axis in over {
            if binder.binds(axis, shared(axis)) {
                binder.axes.push(axis);
            } else if shared(axis) {
                problems.extend(binder.unbound(axis));
            } else {
                let name = spec.axes[axis].name.get_ref();
                let written = stage.over.iter().find(|over| over.get_ref() == name).expect("`over` was resolved");
                problems.push(
                    Diagnostic::error(format!("axis `{name}` binds nothing in stage `{}`", stage.name.get_ref()))
                        .at(written.span())
                        .note(format!("params of kind {}: {}", kind.facts().kind, kind.facts().fields().join(", ")))
                        .help(format!(
                            "bind a param with `with = {{ PARAM = \"axis.{name}\" }}`, or read an input that varies \
                             over it"
                        )),
                );
            }
        }
        let (seed, span) = &spec.seed;
        let span = span.clone().unwrap_or(stage.name.span());
        binder.insert_default("seed", Spanned::new(span, whole_number(*seed)));
        binder.supply_folds();
        binder
    }

    /// Lets records stand in for external files.
    pub(super) fn recalling(self, recall: Option<&'a dyn Recall>) -> Self {
        Self { recall, ..self }
    }

    fn check_with(&self, over: &[usize], problems: &mut Vec<Diagnostic>) {
        let stage = self.stage.name.get_ref();
        for (written_param, written_axis) in &self.stage.with {
            let (param, axis) = (written_param.get_ref(), written_axis.get_ref());
            if !over.iter().any(|index| self.spec.axes[*index].name.get_ref() == axis) {
                let names = over.iter().map(|index| self.spec.axes[*index].name.get_ref().as_str());
                let message = format!("`with` reads axis `{axis}`, which stage `{stage}` does not vary over");
                problems.push(Diagnostic::error(message).at(written_axis.span()).names("its axes", axis, names));
            }
            if !self.has(param) {
                let fields = self.kind.facts().fields().iter().copied();
                let message = format!("kind {} has no param `{param}`", self.kind.facts().kind);
                problems.push(Diagnostic::error(message).at(written_param.span()).names("its params", param, fields));
            }
        }
    }

    /// Refuses an added axis for a param that another axis binds.
    fn check_added(&self, over: &[usize], problems: &mut Vec<Diagnostic>) {
        let axes = || over.iter().map(|axis| &self.spec.axes[*axis]);
        for added in axes().filter(|axis| self.added_param(axis).is_some()) {
            let Some([param, ..]) = self.added_param(added) else { continue };
            let binds = |axis: &&Axis| {
                let by_name = |name: &str| name == param && self.with(axis).next().is_none();
                axis.param.is_none()
                    && (self.with(axis).any(|bound| bound == param)
                        || axis.values.iter().any(|value| match &value.binding {
                            Binding::Scalar(_) => by_name(axis.name.get_ref()),
                            Binding::Table(table) => table.contains_key(param.as_str()),
                        }))
            };
            if let Some(axis) = axes().find(binds) {
                let (axis, stage) = (axis.name.get_ref(), self.stage.name.get_ref());
                let message = format!("axis `{axis}` binds `{param}` in stage `{stage}` already");
                let help = format!("replace its values: --set 'axes.{axis}=[…]'");
                problems.push(Diagnostic::error(message).at(added.name.span()).help(help));
            }
        }
    }

    /// The path of the param of this stage that an added axis binds.
    fn added_param<'s>(&self, axis: &'s Axis) -> Option<&'s [String]> {
        let param = axis.param.as_ref().filter(|param| param.stage == *self.stage.name.get_ref())?;
        Some(&param.path)
    }

    /// Adds the name of an axis to the list of a param, unless a param names it.
    fn list(&mut self, param: &'static str, axis: &Axis) {
        let name = axis.name.get_ref();
        if self.base.get_ref().values().any(|value| find(value, name).is_some()) {
            return;
        }
        let span = axis.name.span();
        let item = Spanned::new(span.clone(), DeValue::String(name.clone().into()));
        match self.base.get_mut().get_mut(param).map(Spanned::get_mut) {
            Some(DeValue::Array(list)) => list.push(item),
            Some(_) => {}
            None => {
                let list = DeValue::Array([item].into_iter().collect());
                self.base.get_mut().insert(Spanned::new(span.clone(), param.into()), Spanned::new(span, list));
            }
        }
    }

    fn has(&self, param: &str) -> bool {
        self.kind.facts().fields().contains(&param) || self.kind.facts().free_fields.is_some()
    }

    fn with(&self, axis: &Axis) -> impl Iterator<Item = &str> {
        self.stage
            .with
            .iter()
            .filter(|(_, name)| name.get_ref() == axis.name.get_ref())
            .map(|(param, _)| param.get_ref().as_str())
    }

    /// Returns whether an axis binds a param by `with`, by its name, or by the keys of its values. Free params bind by
    /// name only if no input varies over the axis too: otherwise every command below a sweep would have the labels in
    /// its key.
    fn binds(&self, axis: usize, shared: bool) -> bool {
        let axis = &self.spec.axes[axis];
        if axis.param.is_some() {
            return self.added_param(axis).is_some();
        }
        let facts = self.kind.facts();
        let by_name = |name: &str| facts.fields().contains(&name) || (facts.free_fields.is_some() && !shared);
        self.with(axis).next().is_some()
            || axis.values.iter().any(|value| match &value.binding {
                Binding::Scalar(_) => by_name(axis.name.get_ref()),
                Binding::Table(table) => table.is_empty() || table.keys().any(|key| by_name(key.get_ref())),
            })
    }

    /// Returns a warning if a free param with a value is named as one that an axis of an input would bind: the value is
    /// then the same at all points.
    fn unbound(&self, axis: usize) -> Option<Diagnostic> {
        let axis = &self.spec.axes[axis];
        let name = axis.name.get_ref();
        let free = self.base.get_ref().get(self.kind.facts().free_fields?)?.get_ref().as_table()?;
        let binding = &axis.values.first()?.binding;
        let would_bind = |param: &str| match binding {
            Binding::Scalar(_) => param == name,
            Binding::Table(table) => table.contains_key(param),
        };
        let (param, _) = free.iter().find(|(param, _)| would_bind(param.get_ref()))?;
        let message = format!(
            "axis `{name}` does not bind the param `{}` of stage `{}`, as an input varies over it too; the param is \
             the same at all points",
            param.get_ref(),
            self.stage.name.get_ref()
        );
        let help = match binding {
            Binding::Scalar(_) => {
                format!("bind it by `with = {{ {} = \"axis.{name}\" }}`, or give it another name", param.get_ref())
            }
            Binding::Table(_) => format!("give it another name; `with` binds only the label of `{name}`"),
        };
        Some(Diagnostic::warning(message).at(param.span()).help(help))
    }

    /// Keys of axis tables that the stage uses at some point, excluded or not.
    pub(super) fn used_keys(&self) -> impl Iterator<Item = (usize, usize)> {
        let values = self.axes.iter().flat_map(|axis| &self.spec.axes[*axis].values);
        let tables = values.filter_map(|value| match &value.binding {
            Binding::Table(table) => Some(table),
            Binding::Scalar(_) => None,
        });
        let keys = tables.flat_map(|table| table.keys()).filter(|key| self.has(key.get_ref()));
        keys.map(|key| (key.span().start, key.span().end))
    }

    fn supply_folds(&mut self) {
        // A spec with two lists of folds must name the one it means.
        let mut declared = self.spec.axes.iter().filter_map(|axis| axis.folds.as_ref());
        if let (Some(folds), None) = (declared.next(), declared.next()) {
            self.insert_default("folds", folds.clone());
        }
    }

    fn insert_default(&mut self, param: &'static str, value: Located) {
        if self.kind.facts().fields().contains(&param) && !self.base.get_ref().contains_key(param) {
            let key = Spanned::new(value.span(), param.into());
            self.base.get_mut().insert(key, value);
        }
    }

    /// Params at one point; `value` returns the value index of an axis.
    ///
    /// Problems of the params as a whole, such as a missing one, are added to `whole`.
    pub(super) fn params(
        &self,
        value: impl Fn(usize) -> usize,
        problems: &mut Problems,
        whole: &mut Vec<Diagnostic>,
    ) -> Option<ParamSet> {
        let mut table = self.base.clone();
        for &index in &self.axes {
            let axis = &self.spec.axes[index];
            let chosen = &axis.values[value(index)];
            if let (Some(path), Binding::Scalar(bound)) = (self.added_param(axis), &chosen.binding) {
                set(table.get_mut(), path, &axis.name.span(), bound);
                continue;
            }
            let label = DeValue::String(chosen.label.clone().into());
            for param in self.with(axis) {
                let bound = match &chosen.binding {
                    Binding::Scalar(value) => value.clone(),
                    Binding::Table(_) => Spanned::new(chosen.span.clone(), label.clone()),
                };
                self.bind(&mut table, param, bound);
            }
            match &chosen.binding {
                Binding::Scalar(_) if self.with(axis).next().is_some() => {}
                Binding::Scalar(value) => {
                    let name = axis.name.get_ref();
                    if let Some((written, _)) = self.stage.params.get_ref().get_key_value(name.as_str()) {
                        let message = format!("param `{name}` is set here and bound by axis `{name}`");
                        problems.push_once(Diagnostic::error(message).at(written.span()).help("remove one of them"));
                    }
                    self.bind(&mut table, name, value.clone());
                }
                Binding::Table(params) => {
                    for (key, value) in params.iter().filter(|(key, _)| self.has(key.get_ref())) {
                        self.bind(&mut table, key.get_ref(), value.clone());
                    }
                }
            }
        }
        self.check(&table, problems, whole)
    }

    /// Reports problems of the params as a whole, each at the values of an axis that bring it about, else at the stage.
    ///
    /// `points` has the values of [`Binder::axes`] at each distinct point, with the problems there.
    pub(super) fn place(&self, points: &[(Vec<usize>, Vec<Diagnostic>)], problems: &mut Problems) {
        for problem in points.iter().flat_map(|(_, whole)| whole) {
            let (failing, fine): (Vec<_>, Vec<_>) = points.iter().partition(|(_, whole)| whole.contains(problem));
            let brings = |position: &usize| {
                fine.iter().all(|(fine, _)| failing.iter().all(|(point, _)| point[*position] != fine[*position]))
            };
            let position = (0..self.axes.len()).find(brings).filter(|_| !fine.is_empty());
            let Some(position) = position else {
                problems.push_once(problem.clone());
                continue;
            };
            let axis = &self.spec.axes[self.axes[position]];
            for (point, _) in failing {
                let value = &axis.values[point[position]];
                let note = format!("this is the value `{}` of axis `{}`", value.label, axis.name.get_ref());
                problems.push_once(problem.clone().at(value.span.clone()).note(note));
            }
        }
    }

    fn bind(&self, table: &mut ParamTable, param: &str, value: Located) {
        let key = Spanned::new(value.span(), param.to_owned().into());
        let fields = table.get_mut();
        match self.kind.facts().free_fields {
            Some(free) if !self.kind.facts().fields().contains(&param) => {
                if !fields.contains_key(free) {
                    let empty = DeValue::Table(DeTable::new());
                    fields.insert(Spanned::new(value.span(), free.into()), Spanned::new(value.span(), empty));
                }
                if let Some(DeValue::Table(inner)) = fields.get_mut(free).map(Spanned::get_mut) {
                    inner.remove(param);
                    inner.insert(key, value);
                }
            }
            _ => {
                fields.remove(param);
                fields.insert(key, value);
            }
        }
    }

    fn check(&self, table: &ParamTable, problems: &mut Problems, whole: &mut Vec<Diagnostic>) -> Option<ParamSet> {
        if let Some(number) = not_finite(table.get_ref()) {
            let message = format!("stage `{}`: a number is not finite", self.stage.name.get_ref());
            let help = "neither JSON nor a key can hold it; write a text such as \"inf\", or leave the param out";
            problems.push_once(Diagnostic::error(message).at(number.span()).help(help));
            return None;
        }
        let mut params = match self.kind.check(table) {
            Ok(params) => params,
            Err(error) => {
                for problem in error.problems {
                    let is_whole = problem.span == table.span();
                    let diagnostic = diagnostic(self.stage, self.kind, problem);
                    if is_whole { whole.push(diagnostic) } else { problems.push_once(diagnostic) }
                }
                return None;
            }
        };
        fold_zeros(&mut params);
        let mut keyed = params.clone();
        let mut path_span = None;
        for field in self.kind.facts().path_fields {
            let written = located(table.get_ref(), field);
            path_span = path_span.or(written.map(Spanned::span));
            if let Err(path) = resolve(&mut params, field, written, &self.spec.sources) {
                let message =
                    format!("stage `{}`: the path {} is not UTF-8", self.stage.name.get_ref(), path.display());
                let help = "rename the folder, or set the param to a path without it";
                problems.push_once(Diagnostic::error(message).at(path_span.unwrap_or(table.span())).help(help));
                return None;
            }
            remove(&mut keyed, field);
        }
        let keyed = match Value::from_json(&keyed) {
            Ok(keyed) => keyed,
            Err(error) => {
                problems.push_once(Diagnostic::error(error.to_string()).at(table.span()));
                return None;
            }
        };
        let recall = |recall: &dyn Recall| recall.recall(self.kind, &keyed, &params);
        let mut recalled = self.recall.filter(|source| source.comes_first()).and_then(recall);
        let files = match recalled.as_ref().map_or_else(|| self.kind.files(&params), |found| Ok(found.file_names())) {
            Ok(files) => files,
            Err(_) if missing_path(&params, self.kind).is_some() && self.recall.and_then(recall).is_some() => {
                recalled = self.recall.and_then(recall);
                recalled.iter().flat_map(Recalled::file_names).collect()
            }
            Err(errors) => {
                for error in errors {
                    let message = format!("stage `{}`: {error}", self.stage.name.get_ref());
                    let diagnostic = Diagnostic { help: self.kind.files_help(&params), ..Diagnostic::error(message) };
                    problems.push_once(diagnostic.at(path_span.clone().unwrap_or(table.span())));
                }
                return None;
            }
        };
        let spans = table.get_ref().iter().map(|(key, value)| (key.get_ref().to_string(), value.span())).collect();
        Some(ParamSet { outputs: self.kind.outputs(&params), params, keyed, files, recalled, spans })
    }
}

/// Sets the value at a path within a table.
fn set(table: &mut DeTable<'static>, path: &[String], span: &Span, value: &Located) {
    let [first, rest @ ..] = path else { return };
    if rest.is_empty() {
        table.remove(first.as_str());
        table.insert(Spanned::new(span.clone(), first.clone().into()), value.clone());
        return;
    }
    let below = table.get_mut(first.as_str()).map(Spanned::get_mut);
    if let Some(DeValue::Table(below)) = below {
        return set(below, rest, span, value);
    }
    let mut below = DeTable::new();
    set(&mut below, rest, span, value);
    table.remove(first.as_str());
    let key = Spanned::new(span.clone(), first.clone().into());
    table.insert(key, Spanned::new(value.span(), DeValue::Table(below)));
}

/// Checks the written params of a stage whose axes or inputs are unknown. A missing param is no error, as an axis may
/// bind it. A kind with free params is not checked, as it may refer to params that an axis adds.
pub(super) fn check_written(stage: &StageSpec, kind: &'static dyn Stage, problems: &mut Problems) {
    if kind.facts().free_fields.is_some() {
        return;
    }
    let error = kind.check(&stage.params).err().unwrap_or_default();
    let of_a_field = error.problems.into_iter().filter(|problem| problem.span != stage.params.span());
    of_a_field.for_each(|problem| problems.push_once(diagnostic(stage, kind, problem)));
}

fn diagnostic(stage: &StageSpec, kind: &dyn Stage, problem: ParamProblem) -> Diagnostic {
    let message = format!("stage `{}` (kind {}): {}", stage.name.get_ref(), kind.facts().kind, problem.message);
    Diagnostic { help: problem.help, ..Diagnostic::error(message) }.at(problem.span)
}

/// Finds a number, at any depth, that JSON cannot hold: it would reach the stage as `null`.
fn not_finite<'t>(table: &'t DeTable<'static>) -> Option<&'t Located> {
    fn find(value: &Located) -> Option<&Located> {
        match value.get_ref() {
            DeValue::Float(number) => {
                let number = number.as_str().replace('_', "").parse::<f64>();
                (!number.is_ok_and(f64::is_finite)).then_some(value)
            }
            DeValue::Array(items) => items.iter().find_map(find),
            DeValue::Table(table) => not_finite(table),
            _ => None,
        }
    }
    table.values().find_map(find)
}

/// Turns -0.0 into 0.0, as the key does: equal keys mean equal params.
fn fold_zeros(params: &mut Json) {
    match params {
        Json::Number(number) if number.as_f64() == Some(0.0) && number.is_f64() => *params = Json::from(0.0),
        Json::Array(items) => items.iter_mut().for_each(fold_zeros),
        Json::Object(fields) => fields.values_mut().for_each(fold_zeros),
        _ => {}
    }
}

/// The written value at a dotted name such as `init.weights`. A value that its kind expands to a table, such as
/// `folds_from = "cvind.mat"` for `folds_from.file`, is returned for each name in that table.
fn located<'t>(table: &'t DeTable<'static>, field: &str) -> Option<&'t Located> {
    let (first, rest) = field.split_once('.').map_or((field, None), |(first, rest)| (first, Some(rest)));
    let value = table.get(first)?;
    match (rest, value.get_ref()) {
        (None, _) => Some(value),
        (Some(rest), DeValue::Table(inner)) => located(inner, rest),
        (Some(_), _) => Some(value),
    }
}

/// Makes the paths at a dotted name absolute, relative to the source that sets them. Errors: a path is not UTF-8, so
/// JSON cannot hold it.
fn resolve(params: &mut Json, field: &str, written: Option<&Located>, sources: &SourceMap) -> Result<(), PathBuf> {
    let Some(value) = params.pointer_mut(&pointer(field)) else { return Ok(()) };
    let dir = written.and_then(|written| sources.source_at(written.span().start)).map(|source| source.dir.as_path());
    let absolute = |path: &str| {
        let absolute = crate::absolute::absolute(&dir.unwrap_or(Path::new("")).join(path));
        absolute.into_os_string().into_string().map_err(PathBuf::from)
    };
    match value {
        Json::String(path) => *path = absolute(path)?,
        Json::Array(paths) => {
            for path in paths {
                if let Json::String(path) = path {
                    *path = absolute(path)?;
                }
            }
        }
        _ => {}
    }
    Ok(())
}

/// Finds a param that names a file or folder which does not exist: its dotted name, and the path.
pub(super) fn missing_path<'p>(params: &'p Json, kind: &dyn Stage) -> Option<(&'static str, &'p Path)> {
    let named =
        kind.facts().path_fields.iter().flat_map(|field| paths(params, field).into_iter().map(|it| (*field, it)));
    named.into_iter().find(|(_, path)| !path.exists())
}

fn remove(params: &mut Json, field: &str) {
    let (parent, last) = field.rsplit_once('.').map_or(("", field), |(parent, last)| (parent, last));
    if let Some(Json::Object(fields)) = params.pointer_mut(&pointer(parent)) {
        fields.remove(last);
    }
}

fn pointer(field: &str) -> String {
    if field.is_empty() { String::new() } else { format!("/{}", field.replace('.', "/")) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Pairs of values that differ only in the signs of zeros and the order of fields.
    fn pairs() -> impl Strategy<Value = (Json, Json)> {
        let leaf = prop_oneof![
            Just((json!(0.0), json!(-0.0))),
            any::<f64>().prop_filter("JSON has no others", |x| x.is_finite()).prop_map(|x| (json!(x), json!(x))),
            any::<i64>().prop_map(|x| (json!(x), json!(x))),
            any::<String>().prop_map(|x| (json!(x), json!(x))),
        ];
        leaf.prop_recursive(3, 30, 5, |inner| {
            let pairs = |pairs: Vec<(Json, Json)>| pairs.into_iter().unzip::<_, _, Vec<_>, Vec<_>>();
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(move |items| {
                    let (a, b) = pairs(items);
                    (Json::from(a), Json::from(b))
                }),
                prop::collection::btree_map("[a-c]{1,2}", inner, 0..5).prop_map(|fields| {
                    let a = fields.iter().map(|(name, (a, _))| (name.clone(), a.clone())).collect();
                    let b = fields.iter().rev().map(|(name, (_, b))| (name.clone(), b.clone())).collect();
                    (Json::Object(a), Json::Object(b))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn equal_keys_mean_equal_params_as_the_stage_sees_them((mut a, mut b) in pairs()) {
            let key = |params: &Json| Value::from_json(params).and_then(|value| value.digest());
            prop_assert_eq!(key(&a), key(&b));
            let before = key(&a);
            [&mut a, &mut b].into_iter().for_each(fold_zeros);
            prop_assert_eq!(a.to_string(), b.to_string());
            prop_assert_eq!(key(&a), before, "the key stays");
        }
    }
}
