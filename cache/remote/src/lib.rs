//! Buckets of S3 and its like, of Google and Azure, and folders, behind the trait of `cache`.
//!
//! Invariant: with `stages/fetch` the only crate with network code. It knows objects by name, and neither results nor
//! stores. The protocols are those of crate `object_store`; this crate chooses credentials, deadlines and retries, and
//! tells errors apart.
//!
//! Credentials come from the environment or the files of the vendors' tools, never from an address, and no error names
//! one.

mod bucket;
mod cause;
mod connect;
mod listing;
mod profile;

pub use connect::{Settings, open};
