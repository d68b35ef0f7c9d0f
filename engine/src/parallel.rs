//! Parallel work over many nodes.
//!
//! The threads are the engine's own. The threads of stages may be busy for minutes, and the message loop must go on.

use std::sync::LazyLock;

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// The smallest number of items worth starting threads for.
const ITEMS_MIN: usize = 4096;

/// The number of items in one piece of work.
const ITEMS_AT_ONCE: usize = 1024;

/// The same of items that take tens of microseconds each.
const COSTLY_ITEMS_MIN: usize = 64;
const COSTLY_ITEMS_AT_ONCE: usize = 16;

/// As many threads as stages have; `None` if the system refuses them.
static THREADS: LazyLock<Option<ThreadPool>> =
    LazyLock::new(|| ThreadPoolBuilder::new().num_threads(rayon::current_num_threads()).build().ok());

/// Applies a function to consecutive slices of the items, and returns the results in order.
pub fn map_slices<T: Sync, R: Send>(items: &[T], each: impl Fn(&[T]) -> R + Send + Sync) -> Vec<R> {
    map(items, ITEMS_MIN, ITEMS_AT_ONCE, each)
}

/// Does the same for items that take tens of microseconds each.
pub fn map_costly_slices<T: Sync, R: Send>(items: &[T], each: impl Fn(&[T]) -> R + Send + Sync) -> Vec<R> {
    map(items, COSTLY_ITEMS_MIN, COSTLY_ITEMS_AT_ONCE, each)
}

fn map<T: Sync, R: Send>(items: &[T], least: usize, at_once: usize, each: impl Fn(&[T]) -> R + Send + Sync) -> Vec<R> {
    if items.len() < least {
        return vec![each(items)];
    }
    match &*THREADS {
        Some(threads) => threads.install(|| items.par_chunks(at_once).map(each).collect()),
        None => vec![each(items)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_with_busy_threads_do_not_block_it() {
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let wait = std::sync::Mutex::new(wait);
        rayon::scope(|scope| {
            for _ in 0..rayon::current_num_threads() {
                scope.spawn(|_| _ = wait.lock().map(|wait| wait.recv()));
            }
            let asked =
                std::thread::spawn(|| map_slices(&vec![1; 2 * ITEMS_MIN], <[usize]>::len).iter().sum::<usize>());
            assert_eq!(asked.join().expect("it has an answer"), 2 * ITEMS_MIN);
            drop(release);
        });
    }

    #[test]
    fn results_are_in_the_order_of_the_items_for_any_number() {
        for count in [0, 3, 20 * ITEMS_MIN + 1] {
            let items: Vec<usize> = (0..count).collect();
            assert_eq!(map_slices(&items, <[usize]>::to_vec).concat(), items);
        }
    }
}
