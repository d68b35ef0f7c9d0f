//! The origin of a run, for its log, and the facts about its surroundings, which are found out beside it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use nix::unistd::gethostname;
use orchestrate_cache::Producer;

use super::options::Invocation;
use crate::event::{Origin, Surroundings};
use crate::plan::Plan;
use crate::repository;
use crate::spec::SpecText;

/// The longest wait for git at the end of a run.
const WAIT: Duration = Duration::from_millis(500);

/// The most bytes read of the description of the processors.
const PROCESSOR_BYTES_MAX: u64 = 1 << 12;

/// Returns what a run of a plan is made from. Starts no process.
pub(super) fn origin(plan: &Plan, invocation: &Invocation) -> Origin {
    let spec = &plan.spec;
    let kinds = plan.stages.iter().map(|stage| stage.kind.facts()).map(|facts| (facts.kind.to_owned(), facts.version));
    Origin {
        experiment: spec.name.clone(),
        root: spec.root.clone(),
        arguments: invocation.arguments.clone(),
        working_dir: invocation.working_dir.clone(),
        texts: SpecText::all(&spec.sources),
        kinds: kinds.collect::<BTreeMap<_, _>>(),
        commit: spec.path.parent().and_then(repository::commit),
        user: user(),
        host: gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
    }
}

/// Returns the user's name: of the environment, as the list of users may be on another host.
fn user() -> String {
    let named = ["USER", "LOGNAME"].into_iter().filter_map(|variable| std::env::var(variable).ok());
    let mut named = named.filter(|name| !name.is_empty());
    named.next().unwrap_or_else(|| Producer::this(env!("CARGO_PKG_VERSION")).user)
}

/// Facts that a thread finds out while a run computes.
pub(super) struct Inquiry {
    answer: Option<Receiver<Surroundings>>,
}

impl Inquiry {
    /// Waits for the first miss.
    pub(super) fn new() -> Self {
        Self { answer: None }
    }

    /// Starts to ask.
    pub(super) fn start(&mut self, plan: &Plan, store: &Path) {
        let (send, answer) = channel();
        let root = plan.spec.path.parent().and_then(repository::commit).map(|commit| commit.root);
        let store = store.to_owned();
        let ask = move || {
            let changes = root.and_then(|root| repository::changes(&root, &store));
            let (changed, untracked) = changes.unzip();
            // Nobody listens once the run has ended.
            let _ = send.send(Surroundings { processor: processor(), changed, untracked });
        };
        // Without the thread the facts stay unknown.
        self.answer = thread::Builder::new().name("surroundings".to_owned()).spawn(ask).ok().map(|_| answer);
    }

    /// Returns the facts once they are known.
    pub(super) fn poll(&mut self) -> Option<Surroundings> {
        let found = self.answer.as_ref()?.try_recv().ok()?;
        self.answer = None;
        Some(found)
    }

    /// Waits a little for the facts at the end of a run; git may take long in a large repository.
    pub(super) fn finish(&mut self) -> Option<Surroundings> {
        match self.answer.take()?.recv_timeout(WAIT) {
            Ok(found) => Some(found),
            Err(RecvTimeoutError::Timeout) => {
                Some(Surroundings { processor: processor(), changed: None, untracked: None })
            }
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }
}

/// Returns the model of the first processor. Linux alone tells it without a process.
pub fn processor() -> Option<String> {
    let mut text = Vec::new();
    File::open("/proc/cpuinfo").ok()?.take(PROCESSOR_BYTES_MAX).read_to_end(&mut text).ok()?;
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
