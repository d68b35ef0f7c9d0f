//! Facts about a kind of stage, the same for all its nodes.

use serde_json::Value as Json;

use super::artifact::ArtifactFacts;
use super::planned::{InputProblem, PlannedNode};

/// Facts about a kind of stage. Each kind has one static value, which states only what differs from [`Facts::new`].
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// The word after `kind =`.
    pub kind: &'static str,
    /// Raised when the same params and inputs would give other bytes.
    pub version: u32,
    /// One sentence for the list of kinds.
    pub about: &'static str,
    /// Named inputs, in the order in which the stage receives them.
    pub ports: &'static [Port],
    /// Returns an error if the connected ports do not fit together, where optional ones exclude or need each other; one
    /// sentence about the stage, to be read after "stage `NAME`: ".
    ///
    /// Called when the spec is planned, once all ports that are not optional are connected.
    pub check_ports: fn(&[&str]) -> Result<(), String>,
    /// Finds what would fail a node although its params alone are right, for example a row that names no axis of its
    /// inputs. Called for each node when the spec is planned, so that nothing fails after hours that could have failed
    /// at once.
    pub check_inputs: Option<fn(&dyn PlannedNode) -> Vec<InputProblem>>,
    /// The use of an axis that a run adds to an input of a kind that inherits none.
    pub added_axes: AddedAxes,
    /// True if the stage takes inputs under other names too, as `command` does.
    pub takes_any_port: bool,
    /// Names of the outputs, where they do not depend on the params.
    pub outputs: &'static [&'static str],
    /// Files and columns of the outputs, where people and foreign programs may read them.
    pub artifacts: &'static [&'static ArtifactFacts],
    /// See [`Facts::fields()`].
    pub fields: fn() -> &'static [&'static str],
    /// Returns the JSON Schema of the params, which is made when it is first asked for; see [`Facts::params`].
    pub schema: fn() -> &'static Json,
    /// The table of free params, where an axis binds a name that is no field; `command` has `params`.
    pub free_fields: Option<&'static str>,
    /// Params that hold paths of files or folders (a text or a list of texts), as dotted names such as `init.weights`.
    ///
    /// The engine resolves them against the file that wrote them, keeps them out of the key, and puts the digests of
    /// [`Stage::files`](super::Stage::files) in their place.
    pub path_fields: &'static [&'static str],
    /// True if a folder among those paths is read without the published folders below it, so that a stage may publish
    /// there. A published folder has a file of the name [`crate::publish::RECORD`].
    pub leaves_out_published: bool,
    /// Thread or worker process.
    pub weight: Weight,
    /// The use of an accelerator device, by a stage that computes on one where there is one, and on the CPU otherwise.
    ///
    /// Such a stage gets a whole device unless `resources` has `gpu = 0.5`, or `gpu = 0` to keep it on the CPU. Any
    /// other stage that asks for `gpu` must get it.
    pub device: Option<DeviceUse>,
    /// True if siblings that share inputs are worth running together; see [`Stage::run`](super::Stage::run).
    pub batches: bool,
    /// True if a killed run can resume from files in [`Context::checkpoint_dir`](super::Context::checkpoint_dir).
    pub checkpoints: bool,
}

impl Facts {
    /// A light stage without inputs, outputs and params.
    pub const fn new(kind: &'static str, version: u32, about: &'static str) -> Self {
        Self {
            kind,
            version,
            about,
            ports: &[],
            check_ports: |_| Ok(()),
            check_inputs: None,
            added_axes: AddedAxes::Over,
            takes_any_port: false,
            outputs: &[],
            artifacts: &[],
            fields: || &[],
            schema: || &Json::Null,
            free_fields: None,
            path_fields: &[],
            leaves_out_published: false,
            weight: Weight::Light,
            device: None,
            batches: false,
            checkpoints: false,
        }
    }

    /// Returns whether a stage inherits the axes of its inputs, so that `over` lists only what it adds. So does a kind
    /// whose every port takes one item; any other kind gathers the axes that `over` leaves out.
    pub fn inherits_axes(&self) -> bool {
        !self.takes_any_port && self.ports.iter().all(|port| !port.many)
    }

    /// Returns the names of the params, in the order of declaration.
    pub fn fields(&self) -> &'static [&'static str] {
        (self.fields)()
    }
}

/// A place for an axis that a run adds to the inputs of a stage; see [`Facts::added_axes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddedAxes {
    /// The stage varies over it: one node for each value.
    Over,
    /// It is gathered, and its name is added to the list of this param.
    Listed(&'static str),
    /// It is gathered.
    Gathered,
}

/// The place of execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// In a thread of the engine: milliseconds, little memory, cannot crash.
    Light,
    /// In a worker process of its own, with bounded threads.
    Heavy,
}

/// A named input of a kind of stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// The name before `=` in `inputs`.
    pub name: &'static str,
    /// Names of outputs that it reads, the preferred one first; an upstream stage with exactly one output that is in no
    /// stage's declaration (a `command`) fits every port.
    pub reads: &'static [&'static str],
    /// True if the stage runs without it.
    pub optional: bool,
    /// True if it takes gathered inputs or several stages; otherwise it must receive exactly one artifact.
    pub many: bool,
}

impl Port {
    /// A port that must receive exactly one artifact, from an output of the port's own name.
    pub const fn one(name: &'static str) -> Self {
        Self { name, reads: &[], optional: false, many: false }
    }

    /// A port that takes gathered inputs or several stages, from outputs of the port's own name.
    pub const fn many(name: &'static str) -> Self {
        Self { many: true, ..Self::one(name) }
    }
}

/// The use of an accelerator device by a worker process and its libraries.
#[derive(Clone, Copy, Debug)]
pub struct DeviceUse {
    /// Returns the environment variables of a worker process, so that libraries find the given device and no other.
    ///
    /// The argument is a name as in [`Context::device`](super::Context::device), or several with commas between them.
    pub environment: fn(&str) -> Vec<(&'static str, String)>,
    /// Describes a used device for the record: make and driver. Called in the worker process after a run.
    pub describe: fn(&str) -> String,
    /// Describes a device whose worker was killed, without opening it; `None` for the CPU.
    pub driver: fn(&str) -> Option<String>,
    /// Returns the reason why a stage with these params cannot compute on one of the devices, as a sentence, if it is
    /// known without opening them.
    pub refuses: fn(&serde_json::Value, &[String]) -> Option<String>,
}
