//! One side of a comparison: a study with what is recorded of its nodes, be it a run or a spec.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use orchestrate_cache::{Access, ActionKey, ActionResult, OutputDigest};
use orchestrate_engine::node::NodeId;
use orchestrate_engine::runlog::RunId;
use serde_json::{Value as Json, json};

use super::study::Study;
use super::subject::Subject;
use crate::Kinds;
use crate::args::StoreArgs;

/// A study, and the keys of its nodes: of all that ended well in a run, or of all that a spec has in the store.
pub(super) struct Side {
    pub(super) study: Study,
    /// The run, if it is one.
    pub(super) run: Option<RunId>,
    keys: Vec<Option<ActionKey>>,
    /// By name, for nodes of the other side.
    ids: HashMap<String, NodeId>,
    /// Preimages of nodes that have no result yet.
    present: HashMap<NodeId, Json>,
}

impl Side {
    /// Finds a spec or a run, and its nodes in the store.
    pub(super) fn find(kinds: Kinds, what: &Path, overrides: &[String], store: &StoreArgs) -> anyhow::Result<Self> {
        let Subject { plan, run, store } = Subject::find(kinds, what, overrides, store)?;
        let study = Study::open_existing(plan, &store, Access::ReadOnly)?;
        let ids: HashMap<_, _> = study.plan.ids().map(|id| (study.plan.name(id).to_string(), id)).collect();
        let mut present = HashMap::new();
        let keys = match &run {
            Some(run) => {
                let wanted: HashSet<_> = ids.keys().map(String::as_str).collect();
                let ends = study.history().latest_of(&wanted, std::slice::from_ref(run), 1);
                let key = |id| Some(ends.get(study.plan.name(id).as_str())?.done.first()?.key);
                study.plan.ids().map(key).collect()
            }
            None => {
                let survey = study.survey(&HashSet::new());
                let known = survey.known(&study.plan, &study.observed);
                let missed = study.plan.ids().filter(|id| survey.answers[id.index()].hit().is_none());
                present.extend(missed.filter_map(|id| Some((id, known.preimage(id)?.to_json()))));
                survey.answers.iter().map(|answer| answer.hit()).collect()
            }
        };
        Ok(Self { study, run, keys, ids, present })
    }

    /// Returns the node of a name.
    pub(super) fn id(&self, name: &str) -> Option<NodeId> {
        self.ids.get(name).copied()
    }

    /// Returns the key of a node that has a result.
    pub(super) fn key(&self, id: NodeId) -> Option<ActionKey> {
        self.keys[id.index()]
    }

    /// Returns the result of a node, collected or not.
    pub(super) fn result(&self, id: NodeId) -> Option<ActionResult> {
        let (store, key) = (&self.study.store, self.key(id)?);
        let collected = || store.collected(&HashSet::from([key])).ok()?.remove(&key).map(|lineage| lineage.result);
        store.recorded(&key).or_else(collected)
    }

    /// Returns the outputs of a node.
    pub(super) fn outputs(&self, id: NodeId) -> Vec<(String, OutputDigest)> {
        let hit = self.key(id).and_then(|key| self.study.store.hit(&key));
        hit.map(|hit| hit.outputs).or_else(|| self.result(id).map(|result| result.outputs)).unwrap_or_default()
    }

    /// Returns everything that the key of a node is made of; of a node whose inputs must run first only the params.
    pub(super) fn preimage(&self, id: NodeId) -> Json {
        let recorded = self.result(id).map(|result| result.preimage);
        recorded.or_else(|| self.present.get(&id).cloned()).unwrap_or_else(|| self.params(id))
    }

    /// Returns kind, version and params of a node in the form of a preimage.
    pub(super) fn params(&self, id: NodeId) -> Json {
        let facts = self.study.plan.stage(id).kind.facts();
        let mut params = self.study.plan.params(id).params.clone();
        for field in facts.path_fields {
            if let Some(fields) = params.as_object_mut() {
                fields.remove(*field);
            }
        }
        json!({ "kind": facts.kind, "version": facts.version, "params": params })
    }

    /// Returns whether all that the key of a node is made of is known.
    pub(super) fn knows(&self, id: NodeId) -> bool {
        self.key(id).is_some() || self.present.contains_key(&id)
    }
}
