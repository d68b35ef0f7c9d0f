//! `publish = "results/{experiment}/scores"`: copies the outputs of a stage to a folder for people.
//!
//! A published folder belongs to one stage of one study. Its record (`record.rs`) names the owner and every file that
//! we wrote; only those files are ever replaced or removed. Each point has a folder (`name.rs`) with its files and a
//! sidecar (`sidecar.rs`), which says where they came from. Beside the points lie tables of all of them (`tidy.rs`). At
//! the end of a run, points that the plan no longer has are removed, and points that the run did not reach are marked
//! as of an older run (`finish.rs`).
//!
//! Published files get their names by renames, after the record names them: a kill at any point leaves no file of ours
//! that the record lacks. A process that changes a folder holds the lock of its record while it publishes the nodes
//! that are ready, so runs that share a folder take turns. If the record names the same results and the files look as
//! recorded, nothing is locked, read or written.

mod adopt;
mod error;
mod finish;
mod folder;
pub mod name;
mod published;
mod publisher;
mod record;
mod refused;
mod sidecar;
#[cfg(test)]
mod tests;
pub mod tidy;
mod writer;

pub use error::{PublishError, Refusal};
pub use name::PointNames;
pub use published::{Published, PublishedPoint, Records, records_below};
pub(crate) use publisher::Publisher;
pub use publisher::{NodeResult, check_folders, publish_annotated, root};
pub use record::{Owner, RECORD};
pub use tidy::{MergeTables, TidyPoint};
