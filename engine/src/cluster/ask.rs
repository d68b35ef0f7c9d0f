//! placeholder of the owner of this file
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::spec::cluster::Cluster;

/// The resources of a task.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Asked {
    pub threads: usize,
    pub memory_bytes: u64,
    pub time_ms: u64,
    pub gpu: Option<String>,
}
