//! The remote: a bucket or a folder behind stores of many machines, so that what one has computed is a hit on the next.
//!
//! | object | content |
//! |---|---|
//! | `v1/objects/ab/DIGEST` | a large blob |
//! | `v1/packs/DIGEST` | parcels of results, one after the other (`parcel.rs`); named by the digest of all |
//! | `v1/index/TIME-DIGEST` | the places of parcels in packs (`segment.rs`); named by the server's time |
//! | `v1/trash/TIME-HOST` | packs and blobs that a collection has put out of use (`collect.rs`) |
//! | `v1/clock/HOST` | nothing: its time is the server's present time |
//!
//! **Order.** Blobs are put first, then the pack that names them, then the index that names the pack. A process that is
//! killed leaves bytes without a name, never a name without bytes. Every name but those of clocks and trash follows
//! from the content, so no condition is asked of a server, and who is put twice is put right.
//!
//! **Lookups.** Indexes are kept in the store's folder (`catalogue.rs`). A LIST that begins an hour before the newest
//! known index finds new ones, and once a day a whole one finds what was late or is gone. So a lookup asks the server
//! nothing, and a hit reads one range of a pack and the large blobs that are missing here (`fetch.rs`).
//!
//! **Trust.** Whoever may write to the bucket can plant, change and delete anything there. So nothing is used before it
//! has its digest, results count by their signature as in any store, and what is wrong in any way is a miss.
//!
//! **Faults.** The remote is a convenience: what goes wrong there is said once and counted, and the run goes on without
//! it (`health.rs`). The network is not here: a [`Bucket`] comes from outside.
//!
//! Imports `store` and the folders above it.

pub mod address;
mod bucket;
mod catalogue;
mod client;
mod collect;
mod counts;
mod fetch;
mod health;
mod multipart;
mod parcel;
mod push;
mod queue;
mod segment;
mod upload;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

pub use bucket::{Bucket, BucketError, Listed};
pub use client::{Connect, Mode, Remote};
pub use collect::{CollectError, RemoteCollection, RemotePolicy};
pub use counts::RemoteCounts;
