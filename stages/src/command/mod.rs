//! The stage `command`: runs a program in any language.
//!
//! ```toml
//! [stages.summary]
//! kind = "command"
//! inputs = { scores = "score" }                # ports are named freely
//! argv = ["python3", "{code}", "{in.scores}", "{out}", "--bins", "{params.bins}"]
//! code = ["summary.py"]                        # files or folders beside the spec; their contents are in the key
//! params = { bins = 20 }                       # named freely; an axis binds the param of its name
//! env = ["OMP_SCHEDULE"]                       # values are in the key and passed on
//! secret_env = ["API_TOKEN"]                   # values are passed on, never in the key, in a log or in a message
//! version = ["python3", "--version"]           # its output is in the key
//! outputs = ["out"]                            # the default; with several: {out.NAME}
//! leftovers = "fail"                           # the default; "end" if it leaves processes running on purpose
//! ```
//!
//! # Arguments
//!
//! The program starts without a shell. If it is a shell itself, it needs `-e`, as in `["sh", "-ec", …]`: else it
//! reports the status of its last command alone, and an incomplete output counts. Placeholders in the items of `argv`:
//!
//! | placeholder | meaning |
//! |---|---|
//! | `{params.NAME}`, `{NAME}` | a param |
//! | `{in.PORT}`, `{out.NAME}` | the folder of an input, of an output |
//! | `{out}`, `{code}` | the only output, the only code file |
//! | `{code.NAME}` | the code file whose path ends in NAME |
//! | `{threads}` | the number of threads that the program may use |
//! | `{{`, `}}` | braces |
//!
//! # Environment
//!
//! The program sees the values in its key, and as little else as possible. It starts in an empty folder. Code files are
//! copied, read-only and executable, to the same paths relative to each other, so an import of a file that is not in
//! `code` fails. Inputs are copied after their digests are checked. All paths are relative, so a program that writes
//! its arguments to a file writes the same bytes each time. The environment is PATH, HOME, LANG, `env`, `secret_env`,
//! and `CUDA_VISIBLE_DEVICES` if `resources` has a `gpu`; like the device, this variable is in no key.
//!
//! # Inputs and outputs
//!
//! `{in.PORT}` holds the files of the artifact under their names. If the port is gathered or reads several stages, it
//! holds one folder per item, `0000`, `0001` and so on, and `index.csv`: `folder`, then a column of labels for each
//! gathered axis.
//!
//! Every regular file in `{out.NAME}` at the end of the program belongs to that output; an output without files is an
//! error. The file `.orchestrate-modes` records execute bits of the owner and empty folders, and `{in.PORT}` of the
//! next program has both again. Anything but a file or a folder is an error, and so is a link in place of a folder:
//! files elsewhere are never moved.
//!
//! # Leftovers
//!
//! A program must wait for the processes it starts. Those that it leaves running have 2 s to end and are then killed,
//! before the output is read, so no recorded file changes afterwards. The node fails; with `leftovers = "end"`, a param
//! in the key, the result counts. On Linux all descendants are found, also those in sessions of their own; elsewhere
//! the process group is ended. A process that a service starts for the program, such as a container, cannot be seen:
//! the program must wait until it writes no more.
//!
//! # Log
//!
//! The output of the program is the log of its node. In it, and in messages, the values of `secret_env` are hidden: as
//! they are and in base64, hexadecimal, JSON and percent encoding, all of them or pieces of 16 bytes. Other encodings
//! are not known, so only the user who ran a node with secrets may read its log. Values of fewer than 4 bytes are not
//! hidden, and the log warns of them; encodings are hidden from 6 letters on. A log over `log_max_size` (in `[store]`)
//! keeps its first and last lines. A line `progress DONE/TOTAL MESSAGE` on standard output is shown as the progress of
//! the node.

mod check;
mod child;
mod code;
mod collect;
mod environment;
mod folder;
mod invocation;
mod leftover;
mod lines;
mod log;
mod mask;
mod start;
pub(crate) mod template;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

use orchestrate_engine::params::{self, ParamTable, ParamsError};
use orchestrate_engine::stage::{Action, Context, Facts, FileName, Output, Stage, StageError, Weight};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_aux::serde_introspection::serde_introspect;

use code::Code;
use environment::Environment;
use folder::Folder;
use invocation::Invocation;
use leftover::{Children, Leftovers};
use log::NodeLog;

use crate::gpu;
use crate::typed::read;

/// Raised when the same params would run the program in another way.
const VERSION: u32 = 1;

/// Parameters of `kind = "command"`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The program and its arguments, with placeholders such as `{in.PORT}`, `{out}`, `{code}` and `{params.NAME}`.
    #[schemars(example = vec!["python3", "{code}", "{in.scores}", "{out}"])]
    pub argv: Vec<String>,
    /// Files and folders of the program, beside the spec; their contents are in the key.
    #[schemars(example = vec!["summary.py"])]
    #[serde(default)]
    pub code: Vec<String>,
    /// Free params, for placeholders; a list or table is substituted as JSON. An axis that the stage adds binds the
    /// param of its name.
    #[schemars(example = serde_json::json!({ "bins": 20 }))]
    #[serde(default)]
    pub params: BTreeMap<String, serde_json::Value>,
    /// Names of environment variables that are passed on, and whose values are in the key.
    #[schemars(example = vec!["OMP_SCHEDULE"])]
    #[serde(default)]
    pub env: Vec<String>,
    /// Names of environment variables that are passed on, and whose values are in no key, log or message.
    #[schemars(example = vec!["API_TOKEN"])]
    #[serde(default)]
    pub secret_env: Vec<String>,
    /// A program whose output is in the key, with placeholders for params only.
    #[schemars(example = vec!["python3", "--version"])]
    #[serde(default)]
    pub version: Vec<String>,
    /// Names of the outputs; `{out.NAME}` is the folder of each.
    #[schemars(example = vec!["table", "figure"])]
    #[serde(default = "one_output")]
    pub outputs: Vec<String>,
    /// The fate of a node whose program leaves processes running.
    #[serde(default, skip_serializing_if = "Leftovers::is_default")]
    pub leftovers: Leftovers,
}

fn one_output() -> Vec<String> {
    vec!["out".to_owned()]
}

impl params::Params for Params {}

/// The stage `command`.
pub(crate) static STAGE: Command = Command::new();

/// The kind of stage that runs a program.
#[derive(Debug, Default)]
pub struct Command {
    /// The output of each `version`, so that a plan of a thousand nodes runs it once.
    versions: Mutex<BTreeMap<VersionCall, Result<String, String>>>,
}

/// The arguments of a `version`, and the names and values of the variables in `env`.
type VersionCall = (Vec<String>, Vec<(String, Option<String>)>);

impl Command {
    /// Makes the stage, with no version known yet.
    pub const fn new() -> Self {
        Self { versions: Mutex::new(BTreeMap::new()) }
    }
}

static FACTS: Facts = Facts {
    takes_any_port: true,
    fields: serde_introspect::<Params>,
    schema: params::schema::<Params>,
    free_fields: Some("params"),
    path_fields: &["code"],
    leaves_out_published: true,
    weight: Weight::Heavy,
    ..Facts::new("command", VERSION, "runs a program in any language on the files of its inputs")
};

impl Stage for Command {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn outputs(&self, params: &serde_json::Value) -> Vec<String> {
        read(params).map_or_else(|_| one_output(), |params: Params| params.outputs)
    }

    fn check(&self, table: &ParamTable) -> Result<serde_json::Value, ParamsError> {
        let mut problems = check::problems(table);
        match params::check::<Params>(table, FACTS.fields()) {
            Ok(params) if problems.is_empty() => return Ok(params),
            Ok(_) => {}
            Err(error) => problems.extend(error.problems),
        }
        problems.sort_by_key(|problem| problem.span.start);
        Err(ParamsError { problems })
    }

    fn files(&self, params: &serde_json::Value) -> Result<Vec<FileName>, Vec<String>> {
        Code::new(&read::<Params>(params).map_err(|error| vec![error.to_string()])?.code).files()
    }

    fn keyed_env(&self, params: &serde_json::Value) -> Vec<String> {
        read(params).map_or_else(|_| Vec::new(), |params: Params| params.env)
    }

    fn probe(&self, params: &serde_json::Value) -> Result<Vec<(String, String)>, String> {
        let params: Params = read(params).map_err(|error| error.to_string())?;
        if params.version.is_empty() {
            return Ok(Vec::new());
        }
        let argv = template::render_params(&params.version, &params.params)?;
        let value_of = |name: &String| environment::of_process(name).and_then(|value| value.into_string().ok());
        let keyed: Vec<_> = params.env.iter().map(|name| (name.clone(), value_of(name))).collect();
        let environment = Environment::new(&keyed, &[], environment::of_process);
        let mut versions = self.versions.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let call = (argv, keyed);
        let answer = versions.entry(call).or_insert_with_key(|(argv, _)| child::version(argv, &environment));
        Ok(vec![("version".to_owned(), answer.clone()?)])
    }

    fn has_secrets(&self, params: &serde_json::Value) -> bool {
        read(params).is_ok_and(|params: Params| !params.secret_env.is_empty())
    }

    fn run(&self, context: &Context<'_>, batch: &[Action]) -> Vec<Result<Vec<Output>, StageError>> {
        let mut log = match NodeLog::of_process(context.log_max_bytes) {
            Ok(log) => log,
            Err(error) => {
                let error = StageError::new(format!("standard error cannot be used: {error}"));
                return batch.iter().map(|_| Err(error.clone())).collect();
            }
        };
        let children = Children::of_worker();
        let dir = |index| context.scratch_dir.join(format!("{index}"));
        let actions = batch.iter().enumerate();
        let results = actions
            .map(|(index, action)| run(context, action, &dir(index), environment::of_process, children, &mut log))
            .collect();
        log.finish();
        results
    }
}

/// Runs one action.
///
/// - `dir`: a folder that does not exist yet, for inputs, code and outputs
/// - `value_of`: looks up environment variables that are in no key, such as those of `secret_env`
/// - `log`: receives the output of the program
fn run(
    context: &Context<'_>,
    action: &Action,
    dir: &Path,
    value_of: impl Fn(&str) -> Option<OsString>,
    children: Children,
    log: &mut dyn Write,
) -> Result<Vec<Output>, StageError> {
    let params: Params = read(&action.params)?;
    let code = Code::new(&params.code);
    let folder = Folder::create(dir, action, &params.outputs)?;
    let names = template::Names {
        params: &params.params,
        ports: action.inputs.iter().map(|input| input.port.as_str()).collect(),
        outputs: &params.outputs,
        code: &code,
        threads: context.threads,
    };
    let argv = params.argv.iter().map(|item| names.render(item)).collect::<Result<Vec<_>, _>>()?;
    let environment = Environment::new(&action.env, &params.secret_env, value_of)
        .with_gpus(&gpu::visible_to(context.device).unwrap_or_default());
    let invocation = Invocation { argv: &argv, dir: &folder.work_dir(), environment: &environment };
    let ran = child::run(context, &invocation, children, params.leftovers, log);
    // Also after a failure: a mount in the folder would keep it from being removed later.
    let unmounted = folder.unmount();
    ran.and(unmounted)?;
    params.outputs.iter().map(|name| folder.collect(name)).collect()
}
