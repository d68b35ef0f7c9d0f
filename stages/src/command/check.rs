//! Problems of a command that are found before its inputs are known, each with its span in the spec.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::ops::Range;
use std::path::Path;

use orchestrate_engine::nearest;
use orchestrate_engine::params::{ParamProblem, ParamTable};
use toml::de::{DeTable, DeValue};

use super::code::Code;
use super::template::{self, Hole, Piece};

type Texts = Vec<(String, Range<usize>)>;

/// Problems with values of the right type; fields of a wrong type are left to the caller.
pub(super) fn problems(table: &ParamTable) -> Vec<ParamProblem> {
    let fields = table.get_ref();
    let mut problems = Vec::new();
    check_params(fields, &mut problems);
    check_names(fields, &mut problems);
    if let Some((code, span)) = list(fields, "code").iter().flatten().find(|(path, _)| path.is_empty()) {
        problems.push(problem(format!("`{code}` in `code` is no path"), span, "name a file or a folder"));
    }
    check_templates(fields, &mut problems);
    problems
}

/// Refuses TOML values without a form in JSON, and thus in a key.
fn check_params(fields: &DeTable<'_>, problems: &mut Vec<ParamProblem>) {
    let Some(DeValue::Table(params)) = fields.get("params").map(|value| value.get_ref()) else { return };
    let mut rest: Vec<_> = params.iter().map(|(name, value)| (name.get_ref().to_string(), value)).collect();
    rest.reverse();
    while let Some((name, value)) = rest.pop() {
        match value.get_ref() {
            DeValue::Datetime(_) => {
                problems.push(problem(
                    format!("param `{name}` is a date"),
                    &value.span(),
                    "write it as a text, in quotes",
                ));
            }
            DeValue::Float(number) if ["inf", "nan"].iter().any(|word| number.as_str().ends_with(word)) => {
                let message = format!("param `{name}` is not a finite number");
                problems.push(problem(message, &value.span(), "write it as a text, in quotes"));
            }
            DeValue::Array(items) => rest.extend(items.iter().map(|item| (name.clone(), item))),
            DeValue::Table(inner) => {
                rest.extend(inner.iter().map(|(key, value)| (format!("{name}.{}", key.get_ref()), value)));
            }
            _ => {}
        }
    }
}

fn check_names(fields: &DeTable<'_>, problems: &mut Vec<ParamProblem>) {
    let outputs = list(fields, "outputs");
    if let (Some([]), Some(written)) = (outputs.as_deref(), fields.get("outputs")) {
        problems.push(problem("a command has at least one output", &written.span(), "remove `outputs`, or name one"));
    }
    let mut seen = HashSet::new();
    for (name, span) in outputs.iter().flatten() {
        if !super::folder::is_name(name) {
            let help = "use letters, digits, `_` and `-`";
            problems.push(problem(format!("`{name}` cannot be the name of an output"), span, help));
        } else if !seen.insert(name) {
            problems.push(problem(format!("output `{name}` is named twice"), span, "remove one of them"));
        }
    }
    let mut seen = BTreeMap::new();
    for field in ["env", "secret_env"] {
        for (name, span) in list(fields, field).into_iter().flatten() {
            if name.is_empty() || name.contains(['=', '\0']) {
                let help = "only the name is given here; the value is taken from the environment";
                problems.push(problem(format!("`{name}` is not the name of an environment variable"), &span, help));
            } else if let Some(before) = seen.insert(name.clone(), field) {
                let message = format!("`{name}` is already in `{before}`");
                problems.push(problem(message, &span, "a variable is either keyed (`env`) or secret (`secret_env`)"));
            }
        }
    }
}

/// Checks `argv` and `version`, if the fields they refer to can be read.
fn check_templates(fields: &DeTable<'_>, problems: &mut Vec<ParamProblem>) {
    let params = match fields.get("params").map(|value| value.get_ref()) {
        None => Vec::new(),
        Some(DeValue::Table(params)) => params.keys().map(|name| name.get_ref().to_string()).collect(),
        Some(_) => return,
    };
    let (Some(outputs), Some(code)) = (list(fields, "outputs"), list(fields, "code")) else { return };
    let mut outputs: Vec<_> = outputs.into_iter().map(|(name, _)| name).collect();
    if !fields.contains_key("outputs") {
        outputs = super::one_output();
    }
    let code: Vec<_> = code.into_iter().map(|(path, _)| path).collect();
    let scope = Scope { params, outputs, code_paths: &code, code: Code::new(&code) };

    if let (Some(written), Some(items)) = (fields.get("argv"), list(fields, "argv")) {
        check_program("argv", &items, &written.span(), problems);
        check_scripts(&items, problems);
        if let Some(named) = scope.named_outputs("argv", &items, false, problems) {
            for output in scope.outputs.iter().filter(|output| !named.contains(output.as_str())) {
                let hole = if scope.outputs.len() == 1 { "{out}".to_owned() } else { format!("{{out.{output}}}") };
                let message = format!("`argv` does not tell the program where output `{output}` goes");
                let help = format!("add an item with `{hole}`, the folder that it writes to");
                problems.push(problem(message, &written.span(), help));
            }
        }
    }
    if let (Some(written), Some(items)) = (fields.get("version"), list(fields, "version")) {
        check_program("version", &items, &written.span(), problems);
        scope.named_outputs("version", &items, true, problems);
    }
}

fn check_program(field: &str, items: &Texts, span: &Range<usize>, problems: &mut Vec<ParamProblem>) {
    let first = items.first();
    if first.is_none_or(|(program, _)| program.is_empty()) {
        let span = first.map_or(span, |(_, span)| span);
        problems.push(problem(format!("`{field}` names no program"), span, "put the program first: [\"python3\", …]"));
    }
}

/// Endings of scripts in languages whose interpreters take the path of one.
const SCRIPTS: [&str; 9] = ["py", "sh", "bash", "R", "r", "jl", "pl", "rb", "js"];

/// Refuses scripts that cannot be found: a program starts in an empty folder, so a relative path leads nowhere.
fn check_scripts(items: &Texts, problems: &mut Vec<ParamProblem>) {
    let is_relative =
        |text: &str| !text.starts_with(['/', '-']) && !text.contains(['{', ' ']) && !text.starts_with("..");
    let is_script = |text: &str| {
        let ending = Path::new(text).extension().and_then(OsStr::to_str);
        is_relative(text) && ending.is_some_and(|ending| SCRIPTS.contains(&ending))
    };
    let program = items.first().filter(|(text, _)| is_relative(text) && text.contains('/'));
    // An interpreter has the path of its script after its options.
    let mut arguments = items.iter().skip(1).skip_while(|(text, _)| text.starts_with('-'));
    let script = arguments.next().filter(|(text, _)| is_script(text));
    for (path, span) in program.into_iter().chain(script) {
        let message = format!("`argv` names `{path}`, which the program will not find: it starts in an empty folder");
        let help = format!("list it in `code = [\"{path}\"]`, and write `{{code}}` here, which stands for its path");
        problems.push(problem(message, span, help));
    }
}

struct Scope<'a> {
    params: Vec<String>,
    outputs: Vec<String>,
    code_paths: &'a [String],
    code: Code,
}

impl Scope<'_> {
    /// The outputs named by the items; `None` if an item has a problem.
    fn named_outputs(
        &self,
        field: &str,
        items: &Texts,
        params_only: bool,
        problems: &mut Vec<ParamProblem>,
    ) -> Option<HashSet<String>> {
        let problems_before = problems.len();
        let mut named = HashSet::new();
        for (item, span) in items {
            let pieces = template::parse(item).unwrap_or_else(|message| {
                let help = "write `{{` for `{` and `}}` for `}`";
                problems.push(problem(format!("`{field}`: {message}"), span, help));
                Vec::new()
            });
            for piece in pieces {
                let Piece::Hole(hole) = piece else { continue };
                match self.check(&hole, params_only) {
                    Ok(output) => named.extend(output.map(str::to_owned)),
                    Err((message, help)) => problems.push(problem(format!("`{field}`: {message}"), span, help)),
                }
            }
        }
        (problems.len() == problems_before).then_some(named)
    }

    /// The output named by a placeholder, if any; the error is a message and help.
    fn check(&self, hole: &Hole, params_only: bool) -> Result<Option<&str>, (String, String)> {
        match hole {
            Hole::Param(name) if self.params.contains(name) => Ok(None),
            Hole::Param(name) => {
                let valid = self.placeholders(params_only);
                let near = nearest(name, valid.iter().map(|hole| hole.strip_prefix("params.").unwrap_or(hole)));
                let valid: Vec<_> = valid.iter().map(|hole| format!("{{{hole}}}")).collect();
                let valid = if valid.is_empty() { "none".to_owned() } else { valid.join(", ") };
                let mean = near.map(|near| format!("did you mean `{{{near}}}`? ")).unwrap_or_default();
                let help = format!("{mean}placeholders: {valid}; write `{{{{` and `}}}}` for braces");
                Err((format!("unknown placeholder `{{{name}}}`"), help))
            }
            _ if params_only => Err((
                "only params can stand here".to_owned(),
                "the version is asked before there are inputs".to_owned(),
            )),
            Hole::Output(name) => template::output(name.as_deref(), &self.outputs)
                .map(Some)
                .map_err(|message| (message, format!("outputs: {}", self.outputs.join(", ")))),
            Hole::Code(name) => self.code.find(name.as_deref()).map(|_| None).map_err(|message| {
                (message, "list each file in `code` and write the end of its path in the placeholder".to_owned())
            }),
            Hole::Input(_) | Hole::Threads => Ok(None),
        }
    }

    fn placeholders(&self, params_only: bool) -> Vec<String> {
        let mut valid: Vec<_> = self.params.iter().map(|name| format!("params.{name}")).collect();
        if params_only {
            return valid;
        }
        valid.push("in.PORT".to_owned());
        match self.outputs.as_slice() {
            [_] => valid.push("out".to_owned()),
            outputs => valid.extend(outputs.iter().map(|name| format!("out.{name}"))),
        }
        match self.code_paths {
            [] => {}
            [_] => valid.push("code".to_owned()),
            paths => valid.extend(paths.iter().map(|path| format!("code.{path}"))),
        }
        valid.push("threads".to_owned());
        valid
    }
}

/// The texts of a list with their spans: empty if the field is missing, `None` if it is no list of texts.
fn list(fields: &DeTable<'_>, field: &str) -> Option<Texts> {
    let Some(value) = fields.get(field) else { return Some(Vec::new()) };
    let items = value.get_ref().as_array()?;
    items.iter().map(|item| Some((item.get_ref().as_str()?.to_owned(), item.span()))).collect()
}

fn problem(message: impl Into<String>, span: &Range<usize>, help: impl Into<String>) -> ParamProblem {
    ParamProblem { message: message.into(), span: span.clone(), help: Some(help.into()) }
}
