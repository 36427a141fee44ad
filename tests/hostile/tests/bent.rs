//! Recorded seeds of everything that comes from outside, bent in thousands of ways. Deterministic: the same bytes on every
//! machine.
//!
//! `GUARD_HOSTILE_TIMES=100` bends a hundred times as often.

use std::fs;
use std::path::{Path, PathBuf};

/// How often each seed is bent ...
const BENT: usize = 1500;
/// ... and one of more bytes than these, which takes its reader as much longer.
const BENT_LARGE: usize = 60;
const LARGE: usize = 32 << 10;

/// `SplitMix64`.
struct Draw(u64);

impl Draw {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % below.max(1) as u64) as usize
    }
}

/// What parsers stumble over.
const WORDS: [&[u8]; 25] = [
    b"-1",
    b"1e999",
    b"NaN",
    b"18446744073709551616",
    b"0.0000000000000000001",
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b"\n",
    b"\r\n",
    b"\0",
    b"\xff\xfe",
    b"\x1b[2J\x1b]0;x\x07",
    // As JSON and YAML can say it.
    br"\u001b[2J\u009b31m\u202e",
    "\u{202e}\u{200b}\u{feff}".as_bytes(),
    b"null",
    b"9999-12-31T23:59:59.999999999Z",
    b"=cmd|' /C calc'!A0",
    b"../../../etc/passwd",
    b"&a *a",
    b"\xf0\x9f\x92\xa9",
];

/// The seed with one to four changes.
fn bent(seed: &[u8], draw: &mut Draw) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=draw.next(4) {
        let at = draw.next(bytes.len() + 1);
        let end = (at + 1 + draw.next(40)).min(bytes.len());
        match draw.next(6) {
            0 if at < bytes.len() => bytes[at] ^= 1 << draw.next(8),
            1 => drop(bytes.drain(at.min(end)..end)),
            2 => bytes.truncate(at),
            3 => drop(bytes.splice(at..at, WORDS[draw.next(WORDS.len())].iter().copied())),
            4 => drop(bytes.splice(at.min(end)..end, WORDS[draw.next(WORDS.len())].iter().copied())),
            // The same again, many times: what grows without bound shows.
            _ => {
                let part: Vec<u8> = bytes[at.min(end)..end].repeat(1 + draw.next(60));
                drop(bytes.splice(at..at, part));
            }
        }
    }
    bytes
}

/// The files of `seeds/TARGET`, in the order of their names.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    let entries = fs::read_dir(&folder).expect("each target has a folder of seeds");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files.into_iter().map(|file| fs::read(file).expect("a seed can be read")).collect()
}

/// Hands each seed of the target, and each seed bent, to `read`.
fn each(target: &str, read: impl Fn(&[u8])) {
    let factor: usize = std::env::var("GUARD_HOSTILE_TIMES").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let mut draw = Draw(7);
    for seed in seeds(target) {
        read(&seed);
        let times = if seed.len() > LARGE { BENT_LARGE } else { BENT };
        (0..times * factor).for_each(|_| read(&bent(&seed, &mut draw)));
    }
}

#[test]
fn the_kubelets_summary() {
    each("summary", guard_hostile::summary);
}

#[test]
fn the_kubelets_cadvisor_page_in_whatever_pieces() {
    each("cadvisor", guard_hostile::cadvisor);
}

#[test]
fn pods_of_the_api_server() {
    each("pods", guard_hostile::pods);
}

#[test]
fn events_of_the_api_server() {
    each("events", guard_hostile::events);
}

#[test]
fn a_report_of_an_exporter() {
    each("report", guard_hostile::report);
}

#[test]
fn a_table_of_metrics() {
    each("table", guard_hostile::table);
}

/// As it is, and by entries as `guard_hostile::recording` takes them: two ticks, a link, a path that leaves its place, a size that
/// is a lie.
#[test]
fn a_recording() {
    each("recording", guard_hostile::recording);
}

#[test]
fn a_model() {
    each("model", guard_hostile::model);
}

#[test]
fn a_mute() {
    each("mutes", guard_hostile::mutes);
}

#[test]
fn quantities() {
    each("quantity", guard_hostile::quantity);
}

#[test]
fn a_plan_file() {
    each("plan_file", guard_hostile::plan_file);
}

/// A key, a value and what is no YAML at all are quoted in the refusal.
#[test]
fn a_configuration() {
    each("configuration", guard_hostile::configuration);
}

#[test]
fn a_journal() {
    each("journal", guard_hostile::journal);
}

#[test]
fn an_answer_of_a_language_model() {
    each("answer", guard_hostile::answer);
}

#[test]
fn an_answer_of_a_prometheus() {
    each("prometheus", guard_hostile::prometheus);
}

#[test]
fn a_line_of_a_program_of_the_users() {
    each("word", guard_hostile::word);
}

#[test]
fn a_journal_that_is_shared() {
    each("shared_journal", guard_hostile::shared_journal);
}

/// Its digest is right: what is bent is more than a refusal.
#[test]
fn the_seed_of_a_shared_journal_is_a_plan() {
    let seed = String::from_utf8(seeds("shared_journal").remove(0)).unwrap();
    let (key, lines) = seed.split_once('\n').unwrap();
    let held = kubectl_guard::sink::Held::of(&[(key.to_owned(), lines.to_owned())].into());
    assert_eq!(held.lines.len(), 3, "{:?}", held.doubts);
}

#[test]
fn an_audit_log_of_the_api_server() {
    each("audit_log", guard_hostile::audit_log);
}

#[test]
fn whatever_a_terminal_is_shown() {
    each("terminal", guard_hostile::terminal);
}

/// A target without seeds begins with nothing.
#[test]
fn every_target_of_the_fuzzer_has_seeds() {
    let targets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/fuzz_targets");
    for target in fs::read_dir(targets).unwrap() {
        seeds(target.unwrap().path().file_stem().unwrap().to_str().unwrap());
    }
}
