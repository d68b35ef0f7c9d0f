//! Batches are prepared on a thread of their own while the network computes, a few ahead and in order.
//!
//! What a batch holds is decided by the iterator alone, so that augmentation draws the same random numbers as without the
//! thread. When the consumer fails or panics, the channel closes, and the thread ends with the batch that it is at.

use std::panic;
use std::sync::mpsc::sync_channel;
use std::thread;

/// Batches that wait; more would cost memory and hide nothing.
const AHEAD: usize = 3;

/// Gives every item to `consume`, in order, while another thread makes the next ones; stops at the first error.
pub(crate) fn ahead<T: Send, E>(
    items: impl Iterator<Item = T> + Send,
    mut consume: impl FnMut(T) -> Result<(), E>,
) -> Result<(), E> {
    thread::scope(|scope| {
        let (sender, batches) = sync_channel(AHEAD);
        let producer = scope.spawn(move || {
            for item in items {
                // Nobody waits for the rest.
                if sender.send(item).is_err() {
                    break;
                }
            }
        });
        for batch in batches {
            consume(batch)?;
        }
        producer.join().unwrap_or_else(|cause| panic::resume_unwind(cause));
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn items_arrive_in_order_and_are_made_on_another_thread() {
        let own = thread::current().id();
        let mut seen = Vec::new();
        let items = (0..100).map(|item| (item, thread::current().id()));
        let done: Result<(), ()> = ahead(items, |item| {
            seen.push(item);
            Ok(())
        });
        assert_eq!(done, Ok(()));
        assert!(seen.iter().map(|(item, _)| *item).eq(0..100));
        assert!(seen.iter().all(|(_, thread)| *thread != own));
    }

    #[test]
    fn a_few_items_are_made_ahead_and_no_more() {
        let made = AtomicUsize::new(0);
        let items = (0..100).inspect(|_| {
            made.fetch_add(1, Ordering::SeqCst);
        });
        let done = ahead(items, |item| {
            // Enough time for a thread without a bound to make all of them.
            thread::sleep(std::time::Duration::from_millis(2));
            // Those consumed, this one, those that wait, and one that waits to be sent.
            assert!(made.load(Ordering::SeqCst) <= item + 1 + AHEAD + 1);
            if item == 20 { Err("enough") } else { Ok(()) }
        });
        assert_eq!(done, Err("enough"), "the thread has ended, or this would never be reached");
    }

    #[test]
    fn a_panic_on_either_side_arrives_and_leaves_no_thread_waiting() {
        let message = |run: fn() -> Result<(), ()>| {
            let cause = panic::catch_unwind(run).expect_err("it panics");
            cause.downcast_ref::<&str>().map(|text| (*text).to_owned())
        };
        let making = message(|| ahead((0..9).inspect(|item| assert!(*item < 5, "while making")), |_| Ok(())));
        assert_eq!(making.as_deref(), Some("while making"));
        let using = message(|| ahead(0..99, |item| if item > 5 { panic!("while using") } else { Ok(()) }));
        assert_eq!(using.as_deref(), Some("while using"));
    }
}
