//! Times reading and writing of an image table: `orchestrate-image-table TABLE SCRATCH ROUNDS`.
//!
//! It reads the table of a store, writes it to another file, and prints the seconds of each round as JSON lines. See
//! `benches/README.md`.

use std::fs;
use std::hint::black_box;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, bail};
use orchestrate_stages::artifact::{Images, Rows, Table};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [table, scratch, rounds] = arguments.as_slice() else { bail!("give TABLE SCRATCH ROUNDS") };
    let (table, scratch) = (PathBuf::from(table), PathBuf::from(scratch));
    let mut out = std::io::stdout().lock();
    for _ in 0..rounds.parse::<u32>().context("ROUNDS is a number")? {
        let began = Instant::now();
        let images = Images::from_rows(&Rows::open("images.parquet", fs::read(&table)?.into())?)?;
        let read = began.elapsed();
        let began = Instant::now();
        images.columns()?.save(&scratch)?;
        let written = began.elapsed();
        black_box(&images);
        let raw = images.pixels.len();
        writeln!(out, r#"{{"read": {}, "write": {}, "pixels": {raw}}}"#, read.as_secs_f64(), written.as_secs_f64())?;
    }
    Ok(())
}
