//! Fuzz targets. `cargo test` replays their seeds and tries a few random inputs; `tests/fuzz/run`
//! lets a fuzzer look for inputs that reach further.

mod request;
mod signature;
mod token;

/// How many random inputs an ordinary test tries.
const ROUNDS: usize = 300;
