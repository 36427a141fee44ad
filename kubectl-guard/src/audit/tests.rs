use std::sync::LazyLock;

use super::*;
use crate::approve::{Way, approve};
use crate::outcome::Outcome;
use crate::outcome::StepOutcome;
use crate::plan::ActionKind;
use crate::plan::examples::{Typist, now, plan, resources_plan};

fn intent() -> Event {
    Event::intent(&approve(plan(ActionKind::Restart), Way::Ask, now(), &Typist("web")).unwrap(), None)
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
    assert_eq!([hex(raw[0]), hex(raw[1])], [first.head.clone(), second.head.clone()]);
    assert_eq!([&first.chain, &second.chain], [&first.head[..16]; 2], "each write names its journal");
    let lines = journal.read().unwrap();
    let chain: Vec<_> = lines.iter().map(|line| line.prev.as_deref().unwrap()).collect();
    assert_eq!(chain, [NOTHING_BEFORE, &first.head, &second.head]);
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
    assert_eq!(journal.read().unwrap()[1].prev, Some(first.head));
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
    let chain = check(&journal.bytes().unwrap());
    assert_eq!((chain.hashes.len(), chain.flaw), (20, None));
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
    for path in [link, dangling, folder.path().to_owned(), "/dev/null".into(), "/dev/full".into()] {
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

/// A journal of two plans, and the anchors of their two writes.
fn two_plans() -> (Vec<Vec<u8>>, [Anchor; 2]) {
    let (_folder, journal) = journal();
    let verified = || Event::Verified { outcome: Outcome::Recovered };
    let first = journal.append(now(), "p1", intent()).unwrap();
    journal.append(now(), "p1", done()).unwrap();
    journal.append(now(), "p1", verified()).unwrap();
    let second = journal.append(later(60), "p2", intent()).unwrap();
    journal.append(later(61), "p2", done()).unwrap();
    journal.append(later(300), "p2", verified()).unwrap();
    (lines(&journal.bytes().unwrap()), [first, second])
}

fn later(seconds: i64) -> Timestamp {
    now() + jiff::SignedDuration::from_secs(seconds)
}

fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.strip_suffix(b"\n").unwrap().split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

fn journal_of(lines: &[Vec<u8>]) -> Vec<u8> {
    lines.iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect()
}

fn flaw_of(lines: &[Vec<u8>]) -> Option<Flaw> {
    check(&journal_of(lines)).flaw
}

/// The lines with one of them changed by a person who does not know of hashes.
fn edited(mut lines: Vec<Vec<u8>>, line: usize, from: &str, to: &str) -> Vec<Vec<u8>> {
    let text = String::from_utf8(lines[line - 1].clone()).unwrap();
    assert!(text.contains(from), "{text}");
    lines[line - 1] = text.replacen(from, to, 1).into_bytes();
    lines
}

#[test]
fn the_first_line_that_is_wrong_is_named() {
    let (whole, _) = two_plans();
    assert_eq!(flaw_of(&whole), None);
    assert_eq!(flaw_of(&edited(whole.clone(), 2, "done", "none")), Some(Flaw::EditedOrLost { line: 2 }));
    assert_eq!(flaw_of(&edited(whole.clone(), 3, "\"prev\":\"", "\"prev\":\"0")), Some(Flaw::Edited { line: 3 }));
    assert_eq!(flaw_of(&edited(whole.clone(), 3, "\"prev\":", "\"pre\":")), Some(Flaw::NoHash { line: 3 }));
    assert!(matches!(flaw_of(&edited(whole.clone(), 4, "{", "[")), Some(Flaw::NoLine { line: 4, .. })));
    let lost = |line: usize| [&whole[..line - 1], &whole[line..]].concat();
    assert_eq!(flaw_of(&lost(1)), Some(Flaw::BeginningLost));
    assert_eq!(flaw_of(&lost(3)), Some(Flaw::EditedOrLost { line: 2 }));
    let mut swapped = whole.clone();
    swapped.swap(1, 2);
    assert_eq!(flaw_of(&swapped), Some(Flaw::Moved { line: 2, behind: 3 }));
    let mut twice = whole.clone();
    twice.insert(2, whole[1].clone());
    assert_eq!(flaw_of(&twice), Some(Flaw::Moved { line: 3, behind: 1 }));
    let blank = [&whole[..2], &[Vec::new()], &whole[2..]].concat();
    assert!(matches!(flaw_of(&blank), Some(Flaw::NoLine { line: 3, .. })));
}

#[test]
fn an_empty_journal_is_whole_and_a_torn_line_is_told() {
    assert_eq!(check(b""), Chain::default());
    let (whole, _) = two_plans();
    let mut bytes = journal_of(&whole);
    bytes.extend(b"{\"version\":1,\"at\"");
    let chain = check(&bytes);
    assert_eq!((chain.torn, chain.flaw, chain.hashes.len()), (true, None, whole.len()));
    assert!(check(b"{\"version\"").torn);
}

#[test]
fn lines_from_before_the_chain_are_read_and_told_apart() {
    let (_folder, journal) = journal();
    journal.append(now(), "p0", intent()).unwrap();
    let old = String::from_utf8(journal.bytes().unwrap()).unwrap();
    let old = old.replace(&format!(",\"prev\":\"{NOTHING_BEFORE}\""), "");
    assert!(!old.contains("prev"), "{old}");
    std::fs::write(journal.path(), old).unwrap();
    journal.append(now(), "p0", done()).unwrap();
    assert_eq!(entries(&journal.read().unwrap()).len(), 1);
    let chain = check(&journal.bytes().unwrap());
    assert_eq!((chain.before, chain.hashes.len(), chain.flaw), (1, 2, None));
}

static WHOLE: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| two_plans().0);

proptest::proptest! {
    /// Each of these lines but the last is inside the chain: the last can be changed without a trace in the chain.
    #[test]
    fn any_one_edit_loss_or_swap_inside_the_chain_is_found(
        what in 0..4_usize, at in 0..5_usize, other in 0..6_usize, byte in proptest::prelude::any::<u8>(),
        place in proptest::prelude::any::<proptest::sample::Index>(),
    ) {
        let mut lines = WHOLE.clone();
        match what {
            0 => {
                let line = &mut lines[at];
                let place = place.index(line.len());
                proptest::prop_assume!(line[place] != byte);
                line[place] = byte;
            }
            1 => drop(lines.remove(at)),
            2 => {
                proptest::prop_assume!(at != other);
                lines.swap(at, other);
            }
            _ => {
                let place = place.index(lines[at].len());
                lines[at].insert(place, byte);
            }
        }
        proptest::prop_assert!(flaw_of(&lines).is_some());
    }
}

fn audit_log(anchors: &[(&str, &Anchor, Timestamp)]) -> Heads {
    let mut heads = Heads::default();
    for (plan, anchor, at) in anchors {
        for stage in ["ResponseStarted", "ResponseComplete"] {
            let event = serde_json::json!({"kind": "Event", "apiVersion": "audit.k8s.io/v1", "stage": stage, "verb": "patch",
                "requestURI": "/apis/apps/v1/namespaces/shop/deployments/web?fieldManager=kubectl-guard",
                "user": {"username": "ann"}, "requestReceivedTimestamp": at,
                "userAgent": format!("kubectl-guard/0.1.0 (linux/x86_64) {}", anchor.user_agent(plan))});
            heads.line(event.to_string().as_bytes());
        }
    }
    heads
}

#[test]
fn the_audit_log_agrees_with_an_honest_journal() {
    let (whole, [first, second]) = two_plans();
    let mut heads = audit_log(&[("p1", &first, later(0)), ("p2", &second, later(60))]);
    heads.line(br#"{"userAgent":"kubectl/v1.35.4","verb":"list"}"#);
    heads.line(b"\n");
    heads.line(b"E1123 no event\n");
    assert_eq!(heads.unreadable, 1);
    assert_eq!(compare(&check(&journal_of(&whole)), &heads), Findings { held: 2, ..Findings::default() });
}

#[test]
fn a_cut_tail_is_found_by_what_the_api_server_saw() {
    let (whole, [first, second]) = two_plans();
    let heads = audit_log(&[("p1", &first, later(0)), ("p2", &second, later(60))]);
    let cut = check(&journal_of(&whole[..3]));
    assert_eq!(cut.flaw, None, "the chain alone does not show it");
    let findings = compare(&cut, &heads);
    assert_eq!((findings.held, findings.rewritten.len(), findings.cut.len()), (1, 0, 1));
    assert!(findings.accuse() && findings.cut[0].starts_with("plan p2: patch /apis/apps/v1/"), "{findings:?}");
}

/// The lines with new hashes from the first one on, as somebody makes them who knows of the chain.
fn rechained(lines: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut prev = NOTHING_BEFORE.to_owned();
    let mut made = Vec::new();
    for line in lines {
        let mut line: serde_json::Value = serde_json::from_slice(line).unwrap();
        line["prev"] = prev.into();
        let bytes = line.to_string().into_bytes();
        prev = hex(&bytes);
        made.push(bytes);
    }
    made
}

#[test]
fn a_rewritten_chain_is_found_by_what_the_api_server_saw() {
    let (whole, [first, second]) = two_plans();
    let heads = audit_log(&[("p1", &first, later(0)), ("p2", &second, later(60))]);
    let new = check(&journal_of(&rechained(&edited(whole.clone(), 1, "alice", "bobby"))));
    assert_eq!(new.flaw, None, "the chain alone does not show it");
    let findings = compare(&new, &heads);
    assert_eq!((findings.held, findings.rewritten.len(), findings.cut.len()), (0, 2, 0));
    // The second write's lines are taken out of the middle, and something is put behind them.
    let mut lines = whole[..3].to_vec();
    lines.extend(edited(whole[3..].to_vec(), 1, "p2", "p3"));
    let lines = lines.iter().map(|line| String::from_utf8_lossy(line).replace("p2", "p3").into_bytes());
    let mut lines: Vec<Vec<u8>> = lines.collect();
    for i in 3..lines.len() {
        let prev = hex(&lines[i - 1]);
        let mut line: serde_json::Value = serde_json::from_slice(&lines[i]).unwrap();
        line["prev"] = prev.into();
        lines[i] = line.to_string().into_bytes();
    }
    let new = check(&journal_of(&lines));
    assert_eq!(new.flaw, None);
    let findings = compare(&new, &heads);
    assert_eq!((findings.held, findings.rewritten.len(), findings.cut.len()), (1, 1, 0), "{findings:?}");
}

#[test]
fn writes_of_other_journals_accuse_nobody() {
    let (whole, _) = two_plans();
    let other = Anchor { chain: "ab".repeat(8), head: "cd".repeat(32) };
    let findings = compare(&check(&journal_of(&whole)), &audit_log(&[("p9", &other, later(9))]));
    assert!(!findings.accuse());
    assert_eq!(findings.others, [("ab".repeat(8), 1)].into());
}

#[test]
fn a_colleague_who_goes_on_with_a_plan_accuses_nobody() {
    let (whole, _) = two_plans();
    let other = Anchor { chain: "ab".repeat(8), head: "cd".repeat(32) };
    let findings = |path: &str| {
        let mut heads = Heads::default();
        heads.line(&written(path, "p1", &other));
        compare(&check(&journal_of(&whole)), &heads)
    };
    let told = findings("/api/v1/namespaces/ops/configmaps/guard-journal?fieldManager=kubectl-guard");
    assert!(!told.accuse() && told.others == [("ab".repeat(8), 1)].into(), "{told:?}");
    assert!(findings("/apis/apps/v1/namespaces/shop/deployments/web").accuse(), "what the plan was for");
    assert!(findings("/api/v1/namespaces/guard-system/configmaps/guard-mutes").accuse(), "a mute of that id");
}

/// A patch as the audit log holds it.
fn written(path: &str, plan: &str, at: &Anchor) -> Vec<u8> {
    let event = serde_json::json!({"verb": "patch", "requestURI": path, "user": {"username": "bob"},
        "requestReceivedTimestamp": later(9),
        "userAgent": format!("kubectl-guard/0.1.0 (linux/x86_64) {}", at.user_agent(plan))});
    event.to_string().into_bytes()
}

#[test]
fn an_edited_first_line_does_not_make_it_another_journal() {
    let (whole, [first, second]) = two_plans();
    let mut heads = Heads::default();
    let sink = "/api/v1/namespaces/ops/configmaps/guard-journal";
    heads.line(&written(sink, "p1", &first));
    heads.line(&written(sink, "p2", &second));
    let edited = check(&journal_of(&edited(whole, 1, "alice", "bobby")));
    assert!(edited.flaw.is_some());
    let findings = compare(&edited, &heads);
    assert_eq!((findings.held, findings.rewritten.len(), findings.others.len()), (1, 1, 0), "{findings:?}");
}

#[test]
fn a_plan_that_was_cut_off_is_not_called_done() {
    let intent = || Event::intent(&approve(resources_plan(true), Way::Ask, now(), &Typist("web")).unwrap(), None);
    let line = |event| Line { version: VERSION, at: now(), plan_id: "p1".into(), event, prev: None };
    let outcome = |step| Event::Outcome { step, outcome: StepOutcome::Done { generation: None } };
    let next = |step| Event::Next { step, held: None };
    let came_to = |events: Vec<Event>| {
        let lines: Vec<Line> = std::iter::once(intent()).chain(events).map(line).collect();
        entries(&lines).remove(0).outcome
    };
    let not_done = |why: &str| Some(StepOutcome::NotDone { why: why.into() });
    assert_eq!(came_to(vec![]), None);
    assert_eq!(came_to(vec![outcome(0)]), not_done("it ended after 1 of 3 steps"));
    assert_eq!(came_to(vec![outcome(0), next(1)]), None, "nobody knows what became of step 1");
    let two = [outcome(0), next(1), outcome(1)];
    assert_eq!(came_to(two.to_vec()), not_done("it ended after 2 of 3 steps"));
    let all = [&two[..], &[next(2), outcome(2)]].concat();
    assert_eq!(came_to(all), Some(StepOutcome::Done { generation: None }));
}
