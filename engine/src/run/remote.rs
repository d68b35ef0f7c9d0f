//! The remote of a run: uploads beside it, lookups of its misses, and the wait for uploads at its end.

use std::time::{Duration, Instant};

use orchestrate_cache::remote::Remote;
use orchestrate_cache::{Store, StoreError};

use super::lookup::{Lookup, Lookups};
use super::telling::Teller;
use crate::event::Event;

/// The interval at which a wait is told of.
const TOLD_EVERY: Duration = Duration::from_secs(10);
/// The interval at which listeners hear that time passes.
const TICK: Duration = Duration::from_millis(100);

/// Closes the uploads of a run however it ends.
struct Closing<'a>(&'a Remote);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Runs with a thread beside it that uploads what it adds, if the project may upload.
pub(super) fn beside<T>(remote: &Remote, store: &Store, run: impl FnOnce() -> T) -> T {
    match remote.begin(store) {
        Ok(true) => {}
        Ok(false) => return run(),
        Err(error) => {
            tracing::warn!("nothing is uploaded to {}: {error}", remote.shown());
            return run();
        }
    }
    std::thread::scope(|scope| {
        scope.spawn(|| remote.serve(store));
        let _closing = Closing(remote);
        run()
    })
}

/// Looks up the misses among some nodes in the remote; what it has becomes a hit.
pub(super) fn look_up(
    remote: &Remote,
    store: &Store,
    lookups: &mut Lookups<'_>,
    nodes: &mut [Lookup],
    teller: &mut Teller<'_, '_>,
) -> Result<(), StoreError> {
    let wanted: Vec<_> = nodes.iter().filter(|node| !node.hit && !lookups.is_forced(node.id)).collect();
    let keys: Vec<_> = wanted.iter().map(|node| node.key).collect();
    let found: std::collections::HashSet<_> = remote.fetch(store, &keys, &mut || teller.tick()).into_iter().collect();
    tell(remote, teller);
    if found.is_empty() {
        return Ok(());
    }
    let again: Vec<_> =
        wanted.iter().filter(|node| found.contains(&node.key)).map(|node| (node.id, node.key)).collect();
    let hits: std::collections::HashMap<_, _> =
        lookups.look_up(&again)?.into_iter().map(|node| (node.id, node.hit)).collect();
    for node in nodes {
        node.hit |= hits.get(&node.id).copied().unwrap_or_default();
    }
    Ok(())
}

/// Waits until everything is uploaded, or the remote does not answer, or the run is stopped.
pub(super) fn finish(remote: &Remote, teller: &mut Teller<'_, '_>) {
    remote.close();
    let mut told = Instant::now();
    while let Some(results) = remote.left(TICK) {
        teller.tick();
        if told.elapsed() >= TOLD_EVERY {
            told = Instant::now();
            teller.show(Event::Uploading { results });
        }
    }
    tell(remote, teller);
}

/// Tells of what is wrong with the remote.
pub(super) fn tell(remote: &Remote, teller: &mut Teller<'_, '_>) {
    remote.take_warnings().into_iter().for_each(|warning| teller.warn(warning));
}
