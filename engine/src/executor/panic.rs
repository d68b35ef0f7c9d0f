//! Panics of stages as values, with their location in the source, and without noise on the terminal.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Once;

/// The treatment of the message that a panic prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Print {
    /// Dropped: in the engine it would tear the progress bars.
    Never,
    /// Printed as usual, with a backtrace if one is asked for: in a worker it goes to the log of the node.
    AsUsual,
}

thread_local! {
    /// Set while this thread runs a stage.
    static RUNNING: RefCell<Option<Panic>> = const { RefCell::new(None) };
}

struct Panic {
    print: Print,
    message: Option<String>,
}

/// Runs a function; returns the message of its panic if it panics.
pub(super) fn catch<T>(print: Print, function: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if note(info) {
                usual(info);
            }
        }));
    });
    RUNNING.with_borrow_mut(|running| *running = Some(Panic { print, message: None }));
    // Unwind-safe: a stage shares no mutable state, so broken state is dropped with it.
    let result = panic::catch_unwind(AssertUnwindSafe(function));
    let noted = RUNNING.take().and_then(|panic| panic.message);
    result.map_err(|payload| noted.unwrap_or_else(|| text(payload.as_ref()).to_owned()))
}

/// Keeps the message if this thread runs a stage; returns whether to print it.
fn note(info: &PanicHookInfo<'_>) -> bool {
    RUNNING.with_borrow_mut(|running| match running {
        None => true,
        Some(panic) => {
            let location = info.location().map(|at| format!(" (at {}:{})", at.file(), at.line()));
            panic.message = Some(format!("{}{}", text(info.payload()), location.unwrap_or_default()));
            panic.print == Print::AsUsual
        }
    })
}

fn text(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "no message"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panic_is_a_message_with_its_place() {
        let message = catch(Print::Never, || -> u32 { panic!("row {} is empty", 7) }).expect_err("it panics");
        assert!(message.starts_with("row 7 is empty (at ") && message.contains("panic.rs:"), "{message}");
    }

    #[test]
    fn panic_of_a_thread_that_helped_keeps_its_message() {
        let helper = || std::thread::spawn(|| panic::resume_unwind(Box::new("helper broke".to_owned()))).join();
        let message = catch(Print::Never, || match helper() {
            Ok(()) => (),
            Err(payload) => panic::resume_unwind(payload),
        });
        assert_eq!(message, Err("helper broke".to_owned()));
    }

    #[test]
    fn nothing_is_caught_where_nothing_panics() {
        assert_eq!(catch(Print::Never, || 3), Ok(3));
    }
}
