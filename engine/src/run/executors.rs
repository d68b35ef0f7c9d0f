//! The executors of a run, started when the first node is to run; a run of hits needs none.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use orchestrate_cache::{Store, StoreError, disk};

use super::options::RunOptions;
use crate::cluster::{ClusterExecutor, Setting};
use crate::executor::{
    Executor, ProcessExecutor, Report, Request, ScratchRoot, SendReport, ThreadExecutor, report_channel,
};
use crate::runlog::RunId;
use crate::schedule::cores;
use crate::stage::Weight;

/// Runs batches in threads or in worker processes, and receives their reports.
pub(super) struct Executors<'a> {
    store: &'a Store,
    options: &'a RunOptions,
    /// CPU threads that light nodes may use.
    threads: usize,
    root: &'a Path,
    send: SendReport,
    reports: Receiver<Report>,
    started: Option<Started>,
    cluster: Option<ClusterExecutor>,
}

struct Started {
    light: ThreadExecutor,
    heavy: ProcessExecutor,
    /// Dropped last, after all batches have ended.
    _scratch_dir: ScratchDir,
}

/// A folder that is removed on drop, unless a program has mounted something in it.
struct ScratchDir(PathBuf);

impl Drop for ScratchDir {
    fn drop(&mut self) {
        if let Err(error) = disk::remove_dir(&self.0) {
            tracing::warn!("{error}");
        }
    }
}

impl<'a> Executors<'a> {
    /// Returns executors that are not started yet, for a project with this root.
    pub(super) fn new(store: &'a Store, options: &'a RunOptions, threads: usize, root: &'a Path) -> Self {
        let (send, reports) = report_channel();
        Self { store, options, threads, root, send, reports, started: None, cluster: None }
    }

    /// Starts a batch of a run and returns at once.
    pub(super) fn start(&mut self, request: Request, run: &RunId) -> Result<(), StoreError> {
        if request.cluster.is_some() {
            let options = self.options.cluster.as_ref().expect("BUG: only a run on a cluster sends batches there");
            let setting = || Setting {
                cluster: options.cluster.clone(),
                run: run.as_str().to_owned(),
                root: self.root.to_owned(),
                jobs_dir: self.store.jobs_dir(),
                program: options.program.clone(),
                is_to_cancel: Arc::clone(&options.is_to_cancel),
            };
            let send = || Arc::clone(&self.send);
            self.cluster.get_or_insert_with(|| ClusterExecutor::new(setting(), send())).start(request);
            return Ok(());
        }
        if self.started.is_none() {
            let scratch_dir = ScratchDir(self.store.scratch()?.keep());
            let scratch = ScratchRoot::new(&scratch_dir.0);
            let worker = self.options.worker.clone();
            let (send, grace) = (Arc::clone(&self.send), self.options.grace);
            let heavy = ProcessExecutor::new(worker, Arc::clone(&scratch), send, grace);
            let light = ThreadExecutor::new(self.threads.min(cores()), scratch, Arc::clone(&self.send));
            self.started = Some(Started { light, heavy, _scratch_dir: scratch_dir });
        }
        let started = self.started.as_ref().expect("they were started above");
        match request.stage.facts().weight {
            Weight::Light => started.light.start(request),
            Weight::Heavy => started.heavy.start(request),
        }
        Ok(())
    }

    /// Waits for the next report and returns all that have arrived; none after `timeout`.
    pub(super) fn reports(&self, timeout: Duration) -> Vec<Report> {
        self.reports.recv_timeout(timeout).into_iter().chain(self.reports.try_iter()).collect()
    }

    /// Tells all batches to stop.
    pub(super) fn stop(&self) {
        if let Some(started) = &self.started {
            started.light.stop();
            started.heavy.stop();
        }
        self.cluster.iter().for_each(Executor::stop);
    }

    /// Kills all workers.
    pub(super) fn kill(&self) {
        if let Some(started) = &self.started {
            started.heavy.kill();
        }
        self.cluster.iter().for_each(Executor::kill);
    }
}
