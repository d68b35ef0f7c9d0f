//! Batches prepared on another thread while the network computes, in order and a few ahead.
//!
//! The iterator alone decides the contents of a batch, so augmentation draws the same random numbers as without the
//! thread. If the consumer fails or panics, the channel closes and the thread ends after the batch that it is
//! preparing.

use std::panic;
use std::sync::mpsc::sync_channel;
use std::thread;

use orchestrate_engine::stage::StageError;

/// Batches that wait; more would cost memory and hide nothing.
const AHEAD: usize = 3;

/// Passes every item to `consume`, in order, while another thread makes the next ones.
///
/// Stops at the first error of `consume`, and with [`StageError::Cancelled`] once `cancelled` returns true.
pub(crate) fn ahead<T: Send>(
    cancelled: &dyn Fn() -> bool,
    items: impl Iterator<Item = T> + Send,
    mut consume: impl FnMut(T) -> Result<(), StageError>,
) -> Result<(), StageError> {
    thread::scope(|scope| {
        let (sender, batches) = sync_channel(AHEAD);
        let producer = scope.spawn(move || {
            for item in items {
                // The consumer has stopped.
                if sender.send(item).is_err() {
                    break;
                }
            }
        });
        for batch in batches {
            if cancelled() {
                return Err(StageError::Cancelled);
            }
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
        let done = ahead(&|| false, items, |item| {
            seen.push(item);
            Ok(())
        });
        assert!(done.is_ok());
        assert!(seen.iter().map(|(item, _)| *item).eq(0..100));
        assert!(seen.iter().all(|(_, thread)| *thread != own));
    }

    #[test]
    fn a_few_items_are_made_ahead_and_no_more() {
        let made = AtomicUsize::new(0);
        let items = (0..100).inspect(|_| {
            made.fetch_add(1, Ordering::SeqCst);
        });
        let done = ahead(&|| false, items, |item| {
            // Enough time for a thread without a bound to make all items.
            thread::sleep(std::time::Duration::from_millis(2));
            // The consumed items, this one, the waiting ones, and one that waits to be sent.
            assert!(made.load(Ordering::SeqCst) <= item + 1 + AHEAD + 1);
            if item == 20 { Err(StageError::new("enough")) } else { Ok(()) }
        });
        let error = done.expect_err("the consumer failed").to_string();
        assert_eq!(error, "enough", "the thread has ended, or this would never be reached");
    }

    #[test]
    fn a_panic_on_either_side_arrives_and_leaves_no_thread_waiting() {
        let message = |run: fn() -> Result<(), StageError>| {
            let cause = panic::catch_unwind(run).expect_err("it panics");
            cause.downcast_ref::<&str>().map(|text| (*text).to_owned())
        };
        let making =
            message(|| ahead(&|| false, (0..9).inspect(|item| assert!(*item < 5, "while making")), |_| Ok(())));
        assert_eq!(making.as_deref(), Some("while making"));
        let using = message(|| ahead(&|| false, 0..99, |item| if item > 5 { panic!("while using") } else { Ok(()) }));
        assert_eq!(using.as_deref(), Some("while using"));
    }
}
