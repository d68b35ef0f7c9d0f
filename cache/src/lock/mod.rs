//! Locks and sessions: how processes on one store exclude and see each other.
//!
//! Imports `format`, `files` and `value`.
//!
//! | lock | held | by |
//! |---|---|---|
//! | `gc.lock` | shared, as long as the store is open | every process that has the store open (`store/open.rs`) |
//! | | exclusively, for seconds | a collection or repair, if nobody else has the store open (`gc.rs`) |
//! | `use.lock` | shared, for milliseconds | lookups, and writers of objects and pins (`use_lock.rs`) |
//! | | exclusively, for seconds | a collection, while it decides and removes |
//! | `tmp/HOST-NUMBER.lock` | exclusively, as long as the store is open | a session: a writable store (`session.rs`) |
//! | lease: a byte in `leases.d/` | exclusively, while a node runs | the process that computes a key (`lease.rs`) |
//! | claim: a file `claims/KEY` | by the session's heartbeat, while a node runs | the same, if heavy (`claim.rs`) |
//! | `packs/ID.pack` | exclusively, across commits | the process that appends to the pack (`writer.rs`) |
//! | `last-use` | exclusively, for milliseconds | a run that adds its keys (`last_use.rs`) |
//! | `.new-NAME~HOST` | exclusively, for milliseconds | the process that replaces the file `NAME` (`disk.rs`) |
//!
//! Collections and repairs exclude each other by the lease of a reserved key, and so do writers of index files by that
//! of another one. The engine has three locks of its own,
//! taken with the functions of `wait.rs`: the log of a live run, the record of a published folder, and a spec, whose
//! runs publish in turn.
//!
//! **Kinds.** A claim is a file, and its holder lives while the heartbeat of its session goes on, because other hosts
//! must see it. All others are kernel locks: `flock` on a whole file, or for leases an open-file-description lock on
//! one byte. A kernel lock belongs to an open file, so all threads of a process hold it together; a set or mutex in
//! memory makes them exclude each other.
//!
//! **Other hosts.** Kernel locks may stay on one host, or within one mount (`host.rs`). Then each host still writes its
//! own packs and session files, as their names tell the host. Claims decide between two hosts with one key, heartbeats
//! (`heart.rs`, `watch.rs`) tell who is alive, and nothing is collected, repaired or forgotten meanwhile.
//!
//! **Order.** A process waits only for three of these, in this order: `gc.lock` when it opens a store, `use.lock`, and
//! `last-use`; a holder of `last-use` takes no other lock. All others are tried: a process that does not get one goes
//! on with other work, so no cycle of waits can form. Locks in memory (`memory.rs`) are taken in this order: the one
//! for threads in `use.lock`, the pack, pending records, the index.
//!
//! **Dead holders.** The kernel releases the locks of a dead process. The next user of the same host removes the
//! remains:
//! - session: the folder `tmp/HOST-NUMBER/` without a lock is swept when the store is opened next;
//! - pack: the next writer cuts off a torn tail;
//! - `last-use`: the next batch overwrites half a batch;
//! - `.new-NAME~HOST`: the next writer of `NAME` removes the file;
//! - `use.lock` and `gc.lock`: the next collection removes the bytes without a result that a killed one left;
//! - claim: a process of the same host, which already has the lease, takes the file over at once; another host does
//!   two minutes after the last heartbeat.
//!
//! Another host takes over nothing but claims. It stops counting the notes of a session ten minutes after the last
//! heartbeat, and removes its files after a day.

pub(crate) mod claim;
pub(crate) mod heart;
pub(crate) mod holder;
pub(crate) mod lease;
pub(crate) mod memory;
pub(crate) mod session;
pub(crate) mod session_file;
pub(crate) mod use_lock;
pub(crate) mod wait;
pub(crate) mod watch;
