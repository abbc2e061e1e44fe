//! `opgraph::fuzzing::config`, which says what has to hold.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| opgraph::fuzzing::config(data));
