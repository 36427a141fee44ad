//! The committed pictures, and the sums by which it is known that they are of the boards and records of today.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::record::Record;
use super::{RECORD, page};
use crate::browser::{Browser, Display};
use crate::dashboards::{Board, boards};

/// A sum for what each picture was drawn as, in SVG, and one for its file.
const SUMS: &str = "SHA256SUMS";

/// Where the picture of a board is, from the root of the repository.
pub fn picture(board: &str) -> String {
    format!("kubectl-guard/docs/grafana-{board}.png")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Draws all boards from their committed records, and writes pictures and sums.
///
/// # Errors
/// If a record is missing or of another board, or a picture cannot be made.
pub fn write() -> Result<()> {
    let mut sums = String::new();
    for board in boards()? {
        let record = Record::read(Path::new(RECORD), board.name)?;
        let record = record.with_context(|| format!("no record of {}: tests/run --boards", board.name))?;
        let file = picture(board.name);
        let (svg, height) = page::svg(&board, &record)?;
        photograph(&svg, height, &root().join(&file))?;
        sums += &pair(&board, &svg, &fs::read(root().join(&file))?);
    }
    fs::write(Path::new(RECORD).join(SUMS), sums).context(SUMS)
}

fn pair(board: &Board, svg: &str, picture: &[u8]) -> String {
    let name = self::picture(board.name);
    format!("{}  {}\n{}  {name}\n", sum(svg.as_bytes()), name.replace(".png", ".svg"), sum(picture))
}

fn sum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").ok();
        text
    })
}

/// Takes a picture of an SVG in a browser.
///
/// # Errors
/// If there is none, or the file cannot be written.
pub fn photograph(svg: &str, height: f64, file: &Path) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let page = folder.path().join("board.html");
    fs::write(
        &page,
        format!(
            "<!doctype html><meta charset=\"utf-8\"><style>body {{ margin: 0 }} svg {{ display: block }}</style>{svg}"
        ),
    )?;
    let display = Display { width: page::WIDTH as u32, height: height.ceil() as u32, dark: true };
    let mut browser = Browser::open(&format!("file://{}", page.display()), display)?;
    browser.until("document.readyState === 'complete' && document.querySelector('svg') !== null")?;
    browser.picture(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_pictures_are_of_the_boards_and_records_of_today() {
        let Ok(sums) = fs::read_to_string(Path::new(RECORD).join(SUMS)) else {
            let drawn = crate::dashboards::BOARDS.map(picture).map(|file| root().join(file).exists());
            assert_eq!(drawn, [false; 3], "a picture without its record: tests/run --boards");
            return;
        };
        let mut now = String::new();
        for board in boards().unwrap() {
            let record = Record::read(Path::new(RECORD), board.name).unwrap().unwrap();
            let (svg, _) = page::svg(&board, &record).unwrap();
            now += &pair(&board, &svg, &fs::read(root().join(picture(board.name))).unwrap());
        }
        assert_eq!(now, sums, "a board, a record or a picture has changed: tests/run --boards draw");
    }
}
