//! Is a journal whole? Pure: bytes in, a verdict out.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Deserialize;

use super::{Hash, NOTHING_BEFORE};
use crate::plan::hex;

/// What verification needs of a line; the rest may be newer than this plugin.
#[derive(Deserialize)]
struct Link {
    at: Timestamp,
    plan_id: String,
    #[serde(default)]
    prev: Option<String>,
}

/// A journal, looked at line by line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chain {
    /// The hash of each whole line.
    pub hashes: Vec<Hash>,
    /// Lines at the beginning that were written without hashes.
    pub before: usize,
    /// When the first and the last line say that they were written.
    pub span: Option<(Timestamp, Timestamp)>,
    /// The plans that it tells of.
    pub plans: Vec<String>,
    /// It ends with a part of a line.
    pub torn: bool,
    /// The first thing that is wrong with it.
    pub flaw: Option<Flaw>,
}

/// What is wrong with a journal. Lines count from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// It is no line of a journal.
    #[error("line {line} was edited: it is no line of a journal ({why})")]
    NoLine {
        /// Which.
        line: usize,
        /// What the parser says.
        why: String,
    },
    /// It has no hash, and stands behind one that has.
    #[error("line {line} was edited: the hash of the line before it is gone")]
    NoHash {
        /// Which.
        line: usize,
    },
    /// Neither the line before nor the line after agrees with it.
    #[error("line {line} was edited: neither the line before it nor the line behind it agrees with it")]
    Edited {
        /// Which.
        line: usize,
    },
    /// The line behind it carries the hash of something else.
    #[error("line {line} was edited, or lines between it and the next are lost: line {} carries another hash", line + 1)]
    EditedOrLost {
        /// Which.
        line: usize,
    },
    /// It carries the hash of a line that does not stand before it.
    #[error("line {line} is out of order: it was written behind line {behind}")]
    Moved {
        /// Which.
        line: usize,
        /// Behind which it belongs; 0 if it was the first.
        behind: usize,
    },
    /// What it was written behind is gone.
    #[error("lines before line 1 are lost: it was not the first")]
    BeginningLost,
}

/// Looks at every line.
pub fn check(bytes: &[u8]) -> Chain {
    let end = bytes.iter().rposition(|byte| *byte == b'\n');
    let whole = end.map_or(&[][..], |end| &bytes[..end]);
    let lines: Vec<&[u8]> = if end.is_some() { whole.split(|byte| *byte == b'\n').collect() } else { Vec::new() };
    let mut chain = Chain {
        hashes: lines.iter().map(|line| hex(line)).collect(),
        torn: end.map_or(0, |end| end + 1) < bytes.len(),
        ..Chain::default()
    };
    for (i, line) in lines.iter().enumerate() {
        let link: Link = match serde_json::from_slice(line) {
            Ok(link) => link,
            Err(error) => {
                chain.found(Flaw::NoLine { line: i + 1, why: error.to_string() });
                continue;
            }
        };
        chain.span = Some((chain.span.map_or(link.at, |(first, _)| first), link.at));
        chain.plans.push(link.plan_id);
        match link.prev {
            None if chain.before == i => chain.before += 1,
            None => chain.found(Flaw::NoHash { line: i + 1 }),
            Some(prev) => {
                if let Some(flaw) = flaw(i, &prev, &lines, &chain.hashes) {
                    chain.found(flaw);
                }
            }
        }
    }
    chain
}

impl Chain {
    fn found(&mut self, flaw: Flaw) {
        self.flaw.get_or_insert(flaw);
    }
}

/// What is wrong between line `i`, counted from 0, that carries `prev`, and the line before it.
fn flaw(i: usize, prev: &str, lines: &[&[u8]], hashes: &[Hash]) -> Option<Flaw> {
    let expected = i.checked_sub(1).map_or(NOTHING_BEFORE, |before| &hashes[before]);
    if prev == expected {
        return None;
    }
    let places: HashMap<&str, usize> = hashes.iter().enumerate().map(|(at, hash)| (hash.as_str(), at + 1)).collect();
    let behind = if prev == NOTHING_BEFORE { Some(0) } else { places.get(prev).copied() };
    let next = || {
        let next: Link = serde_json::from_slice(lines.get(i + 1)?).ok()?;
        next.prev
    };
    Some(match behind {
        Some(behind) => Flaw::Moved { line: i + 1, behind },
        None if next().is_some_and(|next| next != hashes[i]) => Flaw::Edited { line: i + 1 },
        None if i == 0 => Flaw::BeginningLost,
        None => Flaw::EditedOrLost { line: i },
    })
}
