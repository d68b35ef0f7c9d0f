//! Bytes and digests: a content-addressed store for artifacts and action results.
//!
//! Invariant: this crate knows no stage, no graph and no TOML. Each folder imports only those above it.

mod owner;

mod error;
mod value;

// Access to the file system.
mod files;

// Signatures, and whose results are believed.
mod trust;

// Layout of a store's folder, and the formats in it.
mod format;

// Processes that share a store.
mod lock;

// The index in memory, and writing to packs.
mod records;

// Lookups, recording, listings.
mod store;

// Buckets behind stores.
pub mod remote;

// Files outside the store.
pub mod external;

// Garbage collection, forgetting, pins, lineage, verification, repair.
mod upkeep;

#[cfg(any(test, fuzzing))]
pub mod fuzz;
#[cfg(test)]
mod tests;

pub use error::StoreError;
pub use external::file_digest::FileDigests;
pub use external::stat_cache::FileStat;
pub use files::frame::{is_sealed, seal, sealed};
pub use files::mounts::mounts_below;
pub use files::process::Process;
pub use files::{disk, fault, native_path};
pub use format::blob::{BlobError, BlobLocation};
pub use format::checkpoint::{CHECKPOINT_HEADER_BYTES, Checkpoints};
pub use format::layout::Access;
pub use format::open_blob::OpenBlob;
pub use format::record::Hit;
pub use lock::holder::of_file as lock_holder;
pub use lock::lease::Lease;
pub use lock::use_lock::Using;
pub use lock::wait::{Patience, is_held, lock_alone, stop_waiting_on};
pub use store::catalog::StoreStats;
pub use store::{PassedOver, PutContent, Signed, Store};
pub use trust::private_key::PrivateKey;
pub use trust::public_key::{PublicKey, Signer};
pub use trust::stamp::StampKey;
pub use trust::{Stamps, Trust};
pub use upkeep::forget::{Forgetting, Forgotten};
pub use upkeep::gc_report::{Collected, GcPolicy, GcReport, LogUse};
pub use upkeep::lineage::Lineage;
pub use upkeep::made_of::MadeOf;
pub use upkeep::pin::Pin;
pub use upkeep::problem::Problem;
pub use upkeep::repair::RepairReport;
pub use upkeep::verify::VerifyReport;
pub use value::artifact::{ActionKey, ActionResult, Artifact, FileEntry, OutputDigest};
pub use value::canonical::{CanonicalError, Encoder, Value};
pub use value::digest::{Digest, DigestMap, Digester, ParseDigestError};
pub use value::preimage::Preimage;
pub use value::producer::Producer;
