//! What lies outside the store and still belongs to keys: files, environment variables, versions of programs.

use orchestrate_cache::{Digest, FileDigests};

use crate::diagnostic::{Diagnostic, SpecError};
use crate::node::NodeId;
use crate::plan::Plan;
use crate::stage::{ExternalFile, FileName};

/// What was seen for every set of params of a plan.
#[derive(Debug, Default)]
pub struct Observed {
    /// By planned stage, then by set of params.
    seen: Vec<Vec<Seen>>,
}

/// What was seen for one set of params.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Digests of the external files of the params, in the order of the stage.
    pub files: Vec<Digest>,
    /// Keyed environment variables.
    pub env: Vec<(String, Option<String>)>,
    /// Observations by name.
    pub probes: Vec<(String, String)>,
}

impl Observed {
    /// What was seen for a node.
    pub fn of(&self, plan: &Plan, id: NodeId) -> &Seen {
        let node = plan.node(id);
        &self.seen[node.stage as usize][node.params as usize]
    }

    /// The external files of a node, in the order of the stage.
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

/// Digests the external files of a plan, all that cannot be read named at once.
pub fn observe(plan: &Plan, digests: &FileDigests) -> Result<Observed, SpecError> {
    let mut problems = Vec::new();
    let mut observed = Observed::default();
    for stage in &plan.stages {
        let declared = &plan.spec.stages[stage.declared];
        let mut sets = Vec::with_capacity(stage.param_sets.len());
        for set in &stage.param_sets {
            let files: Vec<_> = set.files.iter().map(|file| (file.path.as_path(), file.stat)).collect();
            let results: Vec<Result<Digest, _>> =
                if files.is_empty() { Vec::new() } else { digests.digest_many(&files) };
            let mut seen = Seen::default();
            for digest in results {
                match digest {
                    Ok(digest) => seen.files.push(digest),
                    Err(error) => problems
                        .push(Diagnostic::error(format!("stage `{}`: {error}", stage.name)).at(declared.name.span())),
                }
            }
            for name in stage.kind.keyed_env(&set.params) {
                let value = std::env::var(&name);
                if let Err(std::env::VarError::NotUnicode(_)) = value {
                    let message = format!("stage `{}`: the environment variable `{name}` is not UTF-8", stage.name);
                    problems.push(Diagnostic::error(message).at(declared.name.span()));
                }
                seen.env.push((name, value.ok()));
            }
            match stage.kind.probe(&set.params) {
                Ok(probes) => seen.probes = probes,
                Err(error) => problems
                    .push(Diagnostic::error(format!("stage `{}`: {error}", stage.name)).at(declared.name.span())),
            }
            sets.push(seen);
        }
        observed.seen.push(sets);
    }
    if problems.is_empty() { Ok(observed) } else { Err(SpecError::new(plan.spec.sources.clone(), problems)) }
}
