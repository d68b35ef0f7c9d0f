//! Bytes and digests: a content-addressed store for artifacts and action results.
//!
//! Invariant: this crate knows no stage, no graph and no TOML.

// What things are called and what they are.
mod artifact;
mod blob;
mod canonical;
mod digest;
mod error;
mod preimage;

// Where they lie.
mod clock;
pub mod disk;
pub mod fault;
mod layout;
mod names;
pub mod native_path;
mod notes;
mod object;
mod open_blob;
mod pack;
mod record;
mod regular;

// Who works with them.
mod checkpoint;
mod durable;
mod ends;
mod holder;
mod host_lease;
mod index;
mod last_use;
mod lease;
mod lineage;
mod places;
mod session;
mod using;
mod wait;
mod writer;

// What can be asked of a store.
mod catalog;
mod collect;
mod compact;
mod gc;
mod lookup;
mod pin;
mod repair;
mod retention;
mod seal;
mod store;
mod verify;

// What lies outside of it.
pub mod external;
mod file_digest;
mod mounts;
mod small;
mod stat_cache;

#[cfg(test)]
mod crash;
#[cfg(any(test, fuzzing))]
pub mod fuzz;

pub use artifact::{ActionKey, ActionResult, Artifact, FileEntry, OutputDigest};
pub use blob::{BlobError, BlobLocation};
pub use canonical::{CanonicalError, Encoder, Value};
pub use catalog::StoreStats;
pub use checkpoint::{CHECKPOINT_HEADER_BYTES, Checkpoints};
pub use digest::{Digest, DigestMap, Digester, ParseDigestError};
pub use error::StoreError;
pub use file_digest::{FileDigests, FileStat};
pub use gc::{Collected, GcPolicy, GcReport, LogUse};
pub use holder::of_file as lock_holder;
pub use lease::Lease;
pub use lineage::Lineage;
pub use lookup::Lookup;
pub use mounts::mounts_below;
pub use open_blob::OpenBlob;
pub use pin::Pin;
pub use preimage::Preimage;
pub use record::Hit;
pub use repair::RepairReport;
pub use seal::{is_sealed, seal, sealed};
pub use session::is_held;
pub use store::{Access, PutContent, Store};
pub use using::Using;
pub use verify::{Problem, VerifyReport};
pub use wait::{Patience, lock_alone, stop_waiting_on};
