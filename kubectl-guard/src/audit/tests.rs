use super::*;
use crate::apply::StepOutcome;
use crate::approve::{Person, Way, approve};
use crate::plan::ActionKind;
use crate::plan::examples::{now, plan};
use crate::verify::Outcome;

struct Typist;

impl Person for Typist {
    fn is_there(&self) -> bool {
        true
    }

    fn ask(&self, _: &str) -> Option<String> {
        Some("web".into())
    }
}

fn intent() -> Event {
    Event::intent(&approve(plan(ActionKind::Restart), Way::Ask, now(), &Typist).unwrap(), 0)
}

fn done() -> Event {
    Event::Outcome { step: 0, outcome: StepOutcome::Done { generation: Some(8) } }
}

fn journal() -> (tempfile::TempDir, Journal) {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::at(folder.path().join("state").join("journal.jsonl"));
    (folder, journal)
}

#[test]
fn each_line_carries_the_hash_of_the_line_before() {
    let (_folder, journal) = journal();
    let first = journal.append(now(), "p1", intent()).unwrap();
    let second = journal.append(now(), "p1", done()).unwrap();
    journal.append(now(), "p1", Event::Verified { outcome: Outcome::Recovered }).unwrap();
    let bytes = std::fs::read(journal.path()).unwrap();
    let raw: Vec<&[u8]> = bytes.strip_suffix(b"\n").unwrap().split(|byte| *byte == b'\n').collect();
    assert_eq!([hex(raw[0]), hex(raw[1])], [first.clone(), second.clone()]);
    let lines = journal.read().unwrap();
    let chain: Vec<_> = lines.iter().map(|line| line.prev.as_str()).collect();
    assert_eq!(chain, [NOTHING_BEFORE, &first, &second]);
}

#[test]
fn a_torn_last_line_is_moved_aside_and_the_chain_goes_on() {
    let (_folder, journal) = journal();
    let first = journal.append(now(), "p1", intent()).unwrap();
    let mut bytes = std::fs::read(journal.path()).unwrap();
    bytes.extend(b"{\"version\":1,\"at\":\"2026");
    std::fs::write(journal.path(), &bytes).unwrap();
    assert_eq!(journal.read().unwrap().len(), 1, "a torn line is not read");
    journal.append(now(), "p1", done()).unwrap();
    assert_eq!(journal.read().unwrap()[1].prev, first);
    let folder = std::fs::read_dir(journal.path().parent().unwrap()).unwrap();
    let torn: Vec<_> = folder.map(|entry| entry.unwrap().path()).filter(|path| path != journal.path()).collect();
    assert_eq!(std::fs::read(&torn[0]).unwrap(), b"{\"version\":1,\"at\":\"2026");
}

#[test]
fn many_writers_at_once_make_one_chain() {
    let (_folder, journal) = journal();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..5).for_each(|_| drop(journal.append(now(), "p1", done()).unwrap())));
        }
    });
    let bytes = std::fs::read(journal.path()).unwrap();
    let mut prev = NOTHING_BEFORE.to_owned();
    for (line, raw) in journal.read().unwrap().iter().zip(bytes.split(|byte| *byte == b'\n')) {
        assert_eq!(line.prev, prev);
        prev = hex(raw);
    }
    assert_eq!(journal.read().unwrap().len(), 20);
}

#[cfg(unix)]
#[test]
fn it_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, journal) = journal();
    journal.append(now(), "p1", done()).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(journal.path()), 0o600);
    assert_eq!(mode(journal.path().parent().unwrap()), 0o700);
    std::fs::set_permissions(journal.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
    journal.append(now(), "p1", done()).unwrap();
    assert_eq!(mode(journal.path()), 0o600);
}

#[cfg(unix)]
#[test]
fn symlinks_folders_and_pipes_are_refused() {
    let (folder, _) = journal();
    let target = folder.path().join("target");
    std::fs::write(&target, "").unwrap();
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let dangling = folder.path().join("dangling");
    std::os::unix::fs::symlink(folder.path().join("nowhere"), &dangling).unwrap();
    for path in [link, dangling, folder.path().to_owned(), "/dev/null".into()] {
        let refused = Journal::at(&path).append(now(), "p1", done());
        assert!(matches!(refused, Err(JournalError::NotPlain { .. })), "{path:?}");
    }
    assert_eq!(std::fs::read(&target).unwrap(), b"");
}

#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_written_is_an_error() {
    assert!(Journal::at("/proc/no/such/journal.jsonl").append(now(), "p1", done()).is_err());
}

#[test]
fn a_line_that_is_no_line_is_named() {
    let (_folder, journal) = journal();
    journal.append(now(), "p1", done()).unwrap();
    let mut bytes = std::fs::read(journal.path()).unwrap();
    bytes.extend(b"{}\n");
    std::fs::write(journal.path(), &bytes).unwrap();
    assert!(matches!(journal.read(), Err(JournalError::Broken { line: 2, .. })));
}

#[test]
fn the_place_follows_the_environment() {
    let place = |set: &[(&str, &str)]| {
        let found =
            Journal::of_user(|name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value)));
        found.map(|journal| journal.path().display().to_string()).ok()
    };
    let home = ("HOME", "/home/ann");
    assert_eq!(place(&[home]).unwrap(), "/home/ann/.local/state/kubectl-guard/journal.jsonl");
    assert_eq!(place(&[home, ("XDG_STATE_HOME", "/s")]).unwrap(), "/s/kubectl-guard/journal.jsonl");
    assert_eq!(place(&[home, ("XDG_STATE_HOME", "s")]), place(&[home]));
    assert_eq!(place(&[home, ("GUARD_JOURNAL", "/j")]).unwrap(), "/j");
    assert_eq!(place(&[]), None);
}

#[test]
fn history_tells_what_the_journal_does_not_know() {
    let (_folder, journal) = journal();
    journal.append(now(), "p1", intent()).unwrap();
    journal.append(now(), "p2", intent()).unwrap();
    journal.append(now(), "p1", done()).unwrap();
    journal.append(now(), "p1", Event::Verified { outcome: Outcome::Recovered }).unwrap();
    let entries = entries(&journal.read().unwrap());
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[0].verified, Some(Outcome::Recovered));
    assert_eq!((entries[1].outcome.clone(), entries[1].verified), (None, None));
}
