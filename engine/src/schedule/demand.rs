//! The needs of nodes, as the caller states them.

use crate::resources::Resources;
use crate::stage::Weight;

/// The needs of one kind of node while it runs; usually there is one class per stage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Class {
    /// The resources that were asked for; 0 threads if the node runs on another machine.
    pub(crate) resources: Resources,
    /// Thread or worker process. By default a light node takes one thread, and a heavy node a fair share of those that
    /// are free.
    pub(crate) weight: Weight,
}

/// The needs of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Demand {
    /// Index of its class.
    pub(crate) class: u32,
    /// The group of siblings that run together when they are queued together. Groups are numbered densely from 0, and
    /// all nodes of a group have one class.
    pub(crate) group: Option<u32>,
    /// Estimated duration in milliseconds.
    pub(crate) estimate_ms: u32,
}
