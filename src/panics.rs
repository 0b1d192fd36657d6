//! Panics that are expected, and answered where they happen: libraries that assert and unwrap on what a disk holds.
//!
//! The process's panic hook (`telemetry::panics`) says where it panicked, and nothing else. Of a panic inside of [`contain`] it
//! says nothing at all: whoever contains it tells what it means.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};

thread_local! {
    /// How many calls of [`contain`] this thread is in.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    /// Where the last panic inside of them was.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A panic that was contained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contained {
    /// `file:line:column` of the source, without a word of what the panic said. `None`: the process has no hook of ours.
    pub place: Option<String>,
}

/// Calls `call`, and makes an error of its panic, of which nothing is printed.
///
/// What `call` has changed by then stays as it is: use nothing of it that may be half done. Panics of threads that it starts
/// are not contained.
///
/// # Errors
/// [`Contained`]: it panicked.
pub fn contain<T>(call: impl FnOnce() -> T) -> Result<T, Contained> {
    let _inside = Inside::enter();
    PLACE.take();
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| {
        // The payload may be of any type, and panic when it is dropped.
        std::mem::forget(panic);
        Contained { place: PLACE.take() }
    })
}

/// For the panic hook: whether this thread's panic is contained. Its place is kept for whoever contains it.
pub fn is_contained(place: Option<&Location<'_>>) -> bool {
    let contained = DEPTH.get() > 0;
    if contained {
        PLACE.set(place.map(ToString::to_string));
    }
    contained
}

/// One call of [`contain`], until it is dropped.
struct Inside;

impl Inside {
    fn enter() -> Self {
        DEPTH.set(DEPTH.get() + 1);
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get().saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_happens_inside_is_contained() {
        assert!(!is_contained(None));
        assert_eq!(contain(|| is_contained(None)), Ok(true));
        assert_eq!(contain(|| contain(|| 1).map(|one| (one, is_contained(None)))), Ok(Ok((1, true))));
        assert!(contain(|| -> u8 { panic!("secret") }).is_err());
        assert!(!is_contained(None), "after a panic as after a return");
    }

    #[test]
    fn threads_do_not_contain_each_others_panics() {
        let inner = contain(|| std::thread::spawn(|| is_contained(None)).join().expect("it does not panic"));
        assert_eq!(inner, Ok(false));
    }
}
