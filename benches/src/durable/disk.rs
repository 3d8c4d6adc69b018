//! How long this disk takes to have something for good.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use tokio::time::Instant;

use crate::stats::Summary;

/// The median of appending 4 KiB to a file and syncing it, in microseconds.
pub(super) fn sync_us(folder: &Path, rounds: usize) -> anyhow::Result<f64> {
    let path = folder.join("sync-probe");
    let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
    let mut taken = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let began = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        taken.push(began.elapsed().as_secs_f64() * 1e6);
    }
    std::fs::remove_file(path)?;
    Ok(Summary::of(taken).map_or(0.0, |summary| summary.median))
}
