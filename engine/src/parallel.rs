//! Work that is the same for many nodes, on all threads where there is enough of it.
//!
//! The threads are the engine's own: those that stages compute on may be busy for minutes, and the loop that asks here must go on.

use std::sync::LazyLock;

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Fewer items are done here: starting threads costs more than it saves.
const ITEMS_MIN: usize = 4096;

/// Items that a thread takes up at once.
const ITEMS_AT_ONCE: usize = 1024;

/// As many threads as stages have; `None` where the system gives no more.
static THREADS: LazyLock<Option<ThreadPool>> =
    LazyLock::new(|| ThreadPoolBuilder::new().num_threads(rayon::current_num_threads()).build().ok());

/// Gives items part by part to a function, and what it makes of each part in the order of the parts.
pub fn parts<T: Sync, R: Send>(items: &[T], each: impl Fn(&[T]) -> R + Send + Sync) -> Vec<R> {
    if items.len() < ITEMS_MIN {
        return vec![each(items)];
    }
    match &*THREADS {
        Some(threads) => threads.install(|| items.par_chunks(ITEMS_AT_ONCE).map(each).collect()),
        None => vec![each(items)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_that_keep_their_threads_busy_do_not_hold_it_up() {
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let wait = std::sync::Mutex::new(wait);
        rayon::scope(|scope| {
            for _ in 0..rayon::current_num_threads() {
                scope.spawn(|_| _ = wait.lock().map(|wait| wait.recv()));
            }
            let asked = std::thread::spawn(|| parts(&vec![1; 2 * ITEMS_MIN], <[usize]>::len).iter().sum::<usize>());
            assert_eq!(asked.join().expect("it has an answer"), 2 * ITEMS_MIN);
            drop(release);
        });
    }

    #[test]
    fn parts_are_in_the_order_of_the_items_however_many_there_are() {
        for count in [0, 3, 20 * ITEMS_MIN + 1] {
            let items: Vec<usize> = (0..count).collect();
            assert_eq!(parts(&items, <[usize]>::to_vec).concat(), items);
        }
    }
}
