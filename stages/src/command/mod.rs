//! Runs a program: the way in for every other language.
//!
//! ```toml
//! [stages.summary]
//! kind = "command"
//! inputs = { scores = "score" }                # ports have any names
//! argv = ["python3", "{code}", "{in.scores}", "{out}", "--bins", "{params.bins}"]
//! code = ["summary.py"]                        # files or folders beside the spec; their contents are in the key
//! params = { bins = 20 }                       # free; axes bind here
//! env = ["OMP_SCHEDULE"]                       # values are in the key and passed on
//! secret_env = ["API_TOKEN"]                   # values are passed on, never in the key, in a log or in a message
//! version = ["python3", "--version"]           # its output is in the key
//! outputs = ["out"]                            # the default; with several: {out.NAME}
//! leftovers = "fail"                           # the default; "end" where it leaves processes running on purpose
//! ```
//!
//! `argv` never goes through a shell; one that is asked for needs `-e`, as in `["sh", "-ec", …]`, or it reports
//! success whenever its last command had some, and an incomplete output is recorded. In the items of `argv`,
//! `{params.NAME}` (or `{NAME}`) is a param, `{in.PORT}` and `{out.NAME}` are folders, `{code.NAME}` is the code file
//! whose path ends in NAME, `{out}` and `{code}` are the only output and the only code file, `{threads}` is the number
//! of threads that the program may use, `{{` and `}}` are braces.
//!
//! The program sees what is in its key and nothing else that we can keep from it. It starts in an empty folder; code
//! files are copied (read-only and executable, at the same places relative to each other), so an import of a file that
//! `code` does not list fails; inputs are copied after their digests were checked; all paths are relative, so that a
//! program that writes down its arguments writes the same bytes each time. Its environment is PATH, HOME, LANG, `env`
//! and `secret_env`, and `CUDA_VISIBLE_DEVICES` where `resources` asks for a `gpu`: where it runs, like the device, is
//! in no key.
//!
//! `{in.PORT}` holds the artifact's files under their names. Where a port is gathered or reads several stages, it
//! holds a folder an item, `0000`, `0001` and so on, and `index.csv`: `folder`, then one column of labels for each
//! gathered axis. Every regular file that lies in `{out.NAME}` when the program has ended belongs to that output; none
//! is an error. Of permissions the owner's execute bit is kept, and of folders those that are empty: the next program
//! finds both in `{in.PORT}`. What is neither a file nor a folder is an error, and so is a folder in whose place the
//! program put a link: what lies elsewhere is never moved. The file name `.orchestrate-modes` is ours.
//!
//! A program waits for what it starts. What it leaves running gets 2 s to end by itself and is then killed, before its
//! output is read, so that nothing that is recorded changes afterwards. That fails the node; with `leftovers = "end"`,
//! which is then in the key, the result counts. On Linux all descendants are found, also those in sessions of their
//! own; elsewhere the process group is ended. Processes that are no descendants, such as a container or a job that the
//! program has asked a service to start, cannot be seen: whoever starts them waits until they write no more.
//!
//! What it prints is in the log of its node, without the values of `secret_env`, unless they have fewer than 4
//! letters, which the log says. Of more than `log_max_size` (in `[store]`) the first and the last lines are kept. A
//! line `progress DONE/TOTAL MESSAGE` on its standard output tells people how far it is.

mod check;
mod child;
mod code;
mod collect;
mod environment;
mod folder;
mod leftover;
mod lines;
mod log;
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
use serde::{Deserialize, Serialize};
use serde_aux::serde_introspection::serde_introspect;

use child::Invocation;
use code::Code;
use environment::Environment;
use folder::Folder;
use leftover::{Children, Leftovers};
use log::NodeLog;

use crate::gpu;
use crate::typed::read;

/// Raised when the same program would be run in another way.
const VERSION: u32 = 1;

/// Parameters of `kind = "command"`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Params {
    /// The program and its arguments, with placeholders.
    pub argv: Vec<String>,
    /// Files and folders that the program consists of.
    #[serde(default)]
    pub code: Vec<String>,
    /// Free params, for placeholders; a list or table is substituted as JSON.
    #[serde(default)]
    pub params: BTreeMap<String, serde_json::Value>,
    /// Names of environment variables whose values are in the key.
    #[serde(default)]
    pub env: Vec<String>,
    /// Names of environment variables whose values are not in the key.
    #[serde(default)]
    pub secret_env: Vec<String>,
    /// A program whose output is in the key, with placeholders for params only.
    #[serde(default)]
    pub version: Vec<String>,
    /// Names of the outputs.
    #[serde(default = "one_output")]
    pub outputs: Vec<String>,
    /// What becomes of a node whose program leaves processes running.
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
    /// What each `version` said, so that a plan of a thousand nodes asks once.
    versions: Mutex<BTreeMap<Vec<String>, Result<String, String>>>,
}

impl Command {
    /// A stage that has asked for no version yet.
    pub const fn new() -> Self {
        Self { versions: Mutex::new(BTreeMap::new()) }
    }
}

static FACTS: Facts = Facts {
    takes_any_port: true,
    fields: serde_introspect::<Params>,
    free_fields: Some("params"),
    path_fields: &["code"],
    leaves_out_published: true,
    weight: Weight::Heavy,
    ..Facts::new("command", VERSION, "Runs a program in any language on the files of its inputs.")
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
        let answer = versions.entry(argv.clone()).or_insert_with(|| child::version(&argv, &environment));
        Ok(vec![("version".to_owned(), answer.clone()?)])
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
        let runs = batch.iter().enumerate();
        let results =
            runs.map(|(index, action)| run(context, action, &dir(index), environment::of_process, children, &mut log));
        let results = results.collect();
        log.finish();
        results
    }
}

/// Runs one action in a folder that does not exist yet; what the program prints goes to `log`.
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
    let environment =
        Environment::new(&action.env, &params.secret_env, value_of).with_gpus(&gpu::visible_to(context.device));
    let invocation = Invocation { argv: &argv, dir: &folder.work_dir(), environment: &environment };
    let ran = child::run(context, &invocation, children, params.leftovers, log);
    // However it ended, as the folder is going to be emptied.
    let unmounted = folder.unmount();
    ran.and(unmounted)?;
    params.outputs.iter().map(|name| folder.collect(name)).collect()
}
