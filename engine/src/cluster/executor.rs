//! The executor of a cluster. A thread, the keeper, does the work; the run loop sends it requests and gets reports, as
//! from any executor.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use super::keeper::{Keeper, Message};
use super::queue;
use crate::executor::{Executor, Request, SendReport};
use crate::spec::Cluster;

/// Asks people, when a run is stopped, whether this many tasks are to be cancelled.
pub type Leave = Arc<dyn Fn(usize) -> bool + Send + Sync>;

/// The facts of a run that its jobs need.
#[derive(Clone)]
pub(crate) struct Setting {
    /// The cluster.
    pub(crate) cluster: Cluster,
    /// The run, whose name is that of its jobs.
    pub(crate) run: String,
    /// The project's root.
    pub(crate) root: PathBuf,
    /// The folder of jobs.
    pub(crate) jobs_dir: PathBuf,
    /// The program that tasks run.
    pub(crate) program: PathBuf,
    /// Asks whether to cancel what is submitted.
    pub(crate) is_to_cancel: Leave,
}

/// Runs batches as tasks of jobs on a cluster.
pub(crate) struct ClusterExecutor {
    messages: Sender<Message>,
    keeper: Option<JoinHandle<()>>,
}

impl ClusterExecutor {
    pub(crate) fn new(setting: Setting, send: SendReport) -> Self {
        let (messages, received) = channel();
        let queue = queue::open(&setting.cluster);
        let keep = move || Keeper::new(setting, queue, send).keep(&received);
        let keeper = std::thread::Builder::new().name("cluster".to_owned()).spawn(keep).ok();
        Self { messages, keeper }
    }
}

impl Executor for ClusterExecutor {
    fn start(&self, request: Request) {
        // Without a keeper the run has ended.
        let _ = self.messages.send(Message::Start(Box::new(request)));
    }

    fn stop(&self) {
        let _ = self.messages.send(Message::Stop);
    }

    fn kill(&self) {
        let _ = self.messages.send(Message::Leave);
    }
}

impl Drop for ClusterExecutor {
    fn drop(&mut self) {
        self.kill();
        self.keeper.take().map(JoinHandle::join);
    }
}
