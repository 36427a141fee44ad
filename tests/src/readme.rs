//! What the README shows, for tests that hold it to the letter.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// The image that the README names, in a registry of the reader's own.
pub const IMAGE: &str = "registry.example.org/guard-exporter:0.1.0";

/// The blocks of a part of the README in one language, such as `sh`.
///
/// # Errors
/// If there is no such part.
pub fn blocks(part: &str, language: &str) -> Result<Vec<String>> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md"))?;
    let (_, after) = text.split_once(&format!("\n## {part}\n")).with_context(|| format!("no part {part}"))?;
    let (part, _) = after.split_once("\n## ").unwrap_or((after, ""));
    let block = |block: &str| Some(block.split_once("\n```")?.0.to_owned() + "\n");
    Ok(part.split(&format!("```{language}\n")).skip(1).filter_map(block).collect())
}
