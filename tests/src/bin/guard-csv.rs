//! `guard-csv FILE` reads every cell of a table and counts the rows: what a reader alone takes, for `tests/run --figures`.

#![expect(clippy::print_stdout, reason = "the number is what it is for")]

use anyhow::{Context, Result};

fn main() -> Result<()> {
    let file = std::env::args().nth(1).context("usage: guard-csv FILE")?;
    let mut reader = csv::Reader::from_path(&file).context(file)?;
    let (mut record, mut rows, mut bytes) = (csv::StringRecord::new(), 0u64, 0);
    while reader.read_record(&mut record)? {
        rows += 1;
        bytes += record.iter().map(str::len).sum::<usize>();
    }
    println!("{rows} rows, {bytes} bytes in cells");
    Ok(())
}
