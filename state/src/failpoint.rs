//! Places at which a test may kill the process.
//!
//! Only with the feature `failpoints`, which no build that people run has:
//! without it [`die_at!`](crate::die_at) is nothing, not even a name in the binary.

/// Names a place between two steps. Outside of tests it is nothing.
///
/// With the feature `failpoints` the variable `FAILPOINTS` says what happens
/// there, in the words of the crate `fail`: `return` kills the process,
/// `2*off->1*return` when it comes by for the third time, `panic` panics.
#[cfg(feature = "failpoints")]
#[macro_export]
macro_rules! die_at {
    ($name:literal) => {
        $crate::failpoint::reached($name)
    };
}

/// Names a place between two steps. Outside of tests it is nothing.
#[cfg(not(feature = "failpoints"))]
#[macro_export]
macro_rules! die_at {
    ($name:literal) => {{}};
}

/// Does what `FAILPOINTS` says of the place.
#[cfg(feature = "failpoints")]
pub fn reached(name: &str) {
    fail::fail_point!(name, |_| die());
}

/// Ends the process as the kernel ends it: nothing is dropped, flushed or said.
#[cfg(feature = "failpoints")]
fn die() {
    use rustix::process::{Signal, getpid, kill_process};
    // The signal is delivered before the call returns. Should the system refuse
    // it, the test sees that this was another death.
    let _ = kill_process(getpid(), Signal::KILL);
    std::process::abort();
}
