//! Facts outside the store that belong to keys: files, environment variables, versions of programs.

use orchestrate_cache::{Digest, FileDigests};

use crate::diagnostic::{Diagnostic, SpecError};
use crate::node::NodeId;
use crate::plan::{Plan, Recalled};
use crate::stage::{ExternalFile, FileName};

/// The facts for every set of params of a plan.
#[derive(Debug, Default)]
pub struct Observed {
    /// By planned stage, then by set of params.
    seen: Vec<Vec<Seen>>,
}

/// The facts for one set of params.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Digests of the external files of the params, in the order of the stage.
    pub files: Vec<Digest>,
    /// Keyed environment variables.
    pub env: Vec<(String, Option<String>)>,
    /// Answers of [`Stage::probe`](crate::stage::Stage::probe) by name.
    pub probes: Vec<(String, String)>,
}

impl Observed {
    /// Returns the facts for a node.
    pub fn of(&self, plan: &Plan, id: NodeId) -> &Seen {
        let node = plan.node(id);
        &self.seen[node.stage as usize][node.params as usize]
    }

    /// Returns the external files of a node, in the order of the stage.
    pub fn files(&self, plan: &Plan, id: NodeId) -> Vec<ExternalFile> {
        let files = plan.params(id).files.iter().zip(&self.of(plan, id).files);
        let file = |(file, digest): (&FileName, &Digest)| ExternalFile {
            name: file.name.clone(),
            path: file.path.clone(),
            digest: *digest,
        };
        files.map(file).collect()
    }
}

/// Digests the external files of a plan. Errors: all unreadable files at once.
pub fn observe(plan: &Plan, digests: &FileDigests) -> Result<Observed, SpecError> {
    let mut problems = Vec::new();
    let mut observed = Observed::default();
    for stage in &plan.stages {
        let span = plan.spec.stages[stage.declared].name.span();
        let mut problem = |message: &dyn std::fmt::Display| {
            problems.push(Diagnostic::error(format!("stage `{}`: {message}", stage.name)).at(span.clone()));
        };
        let mut sets = Vec::with_capacity(stage.param_sets.len());
        for set in &stage.param_sets {
            if let Some(Recalled { files, env, probes, .. }) = &set.recalled {
                let files = files.iter().map(|(_, digest)| *digest).collect();
                sets.push(Seen { files, env: env.clone(), probes: probes.clone() });
                continue;
            }
            let files: Vec<_> = set.files.iter().map(|file| (file.path.as_path(), file.stat)).collect();
            let results: Vec<Result<Digest, _>> =
                if files.is_empty() { Vec::new() } else { digests.digest_many(&files) };
            let mut seen = Seen::default();
            for digest in results {
                digest.map_or_else(|error| problem(&error), |digest| seen.files.push(digest));
            }
            for name in stage.kind.keyed_env(&set.params) {
                let value = std::env::var(&name);
                if let Err(std::env::VarError::NotUnicode(_)) = value {
                    problem(&format!("the environment variable `{name}` is not UTF-8"));
                }
                seen.env.push((name, value.ok()));
            }
            match stage.kind.probe(&set.params) {
                Ok(probes) => seen.probes = probes,
                Err(error) => problem(&error),
            }
            sets.push(seen);
        }
        observed.seen.push(sets);
    }
    if problems.is_empty() { Ok(observed) } else { Err(SpecError::new(plan.spec.sources.clone(), problems)) }
}
