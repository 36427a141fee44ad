//! Every reader of foreign bytes with what must hold of it, whatever the bytes are: one function each, for the tests beside this
//! file, which bend recorded seeds, and for the fuzz targets in `fuzz/`, which go looking by themselves.
//!
//! A function returns nothing; it panics where something does not hold.

use std::collections::BTreeMap;
use std::io;

use guard_model::cadvisor::Reader as Cadvisor;
use guard_model::engine::Engine;
use guard_model::mute::{self, Mute};
use guard_model::recording::RecordingError;
use guard_model::report::NodeReport;
use guard_model::rows::Rows;
use guard_model::table::{Number, Reader, Writer};
use guard_model::{pod, quantity, summary};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kubectl_guard::llm::{self, Pseudonyms};
use kubectl_guard::plan::{ActionKind, Kind, PlanFile, TargetName};
use kubectl_guard::run::agents::Word;
use kubectl_guard::run::due::Proposable;
use kubectl_guard::sink::Held;
use kubectl_guard::{audit, config, events, prometheus, sanitise};
use serde_json::Value;

/// The journal that an audit log is compared with.
const JOURNAL: &[u8] = include_bytes!("../seeds/journal/journal.jsonl");
/// The beginning of each recording is enough.
const TICKS: usize = 20;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A terminal can be shown it, line breaks included.
fn is_harmless(text: &str) -> bool {
    !text.chars().any(sanitise::is_forbidden)
}

/// The same of a single line, in which not even a tab moves the cursor.
fn is_line(text: &str) -> bool {
    is_harmless(text) && !text.contains(['\n', '\t'])
}

/// The kubelet's `/stats/summary`.
pub fn summary(bytes: &[u8]) {
    let Ok(summary) = summary::parse(bytes) else { return };
    assert!(summary.pods.len() <= bytes.len());
}

/// The kubelet's `/metrics/cadvisor`: the first byte says where it is cut into two pieces.
///
/// # Panics
/// If the pieces read otherwise than the whole.
pub fn cadvisor(bytes: &[u8]) {
    let Some((cut, page)) = bytes.split_first() else { return };
    let (mut whole, mut pieces) = (Cadvisor::default(), Cadvisor::default());
    whole.feed(page);
    let (first, second) = page.split_at(page.len() * usize::from(*cut) / 256);
    pieces.feed(first);
    pieces.feed(second);
    assert_eq!(whole.finish(), pieces.finish());
}

/// A PodList of the API server.
pub fn pods(bytes: &[u8]) {
    let Ok(pods) = pod::pods(bytes) else { return };
    let sound = |limit: Option<f64>| limit.is_none_or(|limit| limit.is_finite() && limit > 0.0);
    for pod in pods.into_iter().map(kubectl_guard::pods::sanitised) {
        let workload = pod.workload.iter().flat_map(|workload| [&workload.kind, &workload.name]);
        let end = pod.terminated.iter().flat_map(|end| [&end.reason, &end.container]);
        let told = [&pod.node, &pod.waiting, &pod.unschedulable].into_iter().flatten();
        let limited = pod.container_limits.iter().map(|limits| &limits.name);
        let mut texts = [&pod.namespace, &pod.name].into_iter().chain(told).chain(workload).chain(end).chain(limited);
        assert!(texts.all(|text| is_line(text)), "{pod:?}");
        let own = pod.container_limits.iter().flat_map(|limits| [limits.cpu_cores, limits.memory_bytes]);
        assert!(own.chain([pod.cpu_limit_cores, pod.memory_limit_bytes]).all(sound), "{pod:?}");
    }
}

/// Events of the API server.
pub fn events(bytes: &[u8]) {
    let Ok(list) = serde_json::from_slice::<Vec<Event>>(bytes) else { return };
    for line in events::lines(&list) {
        assert!([&line.kind, &line.reason, &line.message].into_iter().all(|text| is_line(text)), "{line:?}");
    }
}

/// The report of an exporter.
pub fn report(bytes: &[u8]) {
    let _whatever: Result<NodeReport, _> = serde_json::from_slice(bytes);
}

/// A table of metrics: what is read can be written, and reads back as it was.
pub fn table(bytes: &[u8]) {
    let Ok(reader) = Reader::new(bytes) else { return };
    let mut rows = Rows::default();
    for row in reader.map_while(Result::ok) {
        let known = Number::ALL.into_iter().filter_map(|column| row.number(column));
        assert!(known.chain(row.own().iter().map(|(_, value)| *value)).all(f64::is_finite), "{row:?}");
        let own: Vec<&str> = row.own().iter().map(|(name, _)| &**name).collect();
        let mut written = Vec::new();
        let mut writer = Writer::new(&mut written, &own).expect("memory takes every write");
        writer.write(&row).and_then(|()| writer.flush()).expect("memory takes every write");
        drop(writer);
        if let Ok(mut again) = Reader::new(written.as_slice()) {
            let read = again.next().expect("one row was written").expect("what was read can be read");
            assert_eq!(read, row, "{}", text(&written));
        }
        let _newer = rows.sample(row);
    }
}

/// A recording: as it is, and one of the entries that the bytes describe, whose checksums and compression are right. Ticks come
/// in the order of time, the names of nodes are plain, and nothing is there that was not read.
///
/// # Panics
/// If memory cannot be written to.
pub fn recording(bytes: &[u8]) {
    read_recording(bytes, usize::MAX);
    let archive = entries(bytes);
    read_recording(&zstd::encode_all(archive.as_slice(), 1).expect("memory takes every write"), archive.len());
}

fn read_recording(bytes: &[u8], most: usize) {
    let (mut ticks, mut held, mut last) = (0, 0, None);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let _ended = guard_model::recording::read(bytes, |tick| {
        assert!(last.is_none_or(|last| last < tick.at), "{last:?}, and then {}", tick.at);
        last = Some(tick.at);
        assert!(tick.nodes.iter().all(|node| node.node.chars().all(plain)), "{:?}", tick.nodes);
        let lists = [&tick.pods, &tick.events, &tick.cluster_nodes, &tick.deployments, &tick.replicasets];
        let of_nodes = tick.nodes.iter().flat_map(|node| [&node.summary, &node.cadvisor]);
        held += lists.into_iter().chain(of_nodes).flatten().map(Vec::len).sum::<usize>();
        assert!(held <= most, "{held} bytes of {most}");
        ticks += 1;
        if ticks > TICKS { Err(RecordingError::from(io::Error::other("enough"))) } else { Ok(()) }
    });
}

/// What an entry's name may begin with, besides what the bytes say.
const FOLDERS: [&str; 4] = ["", "20261122T131211Z/", "./20261122T131221Z/", "20261122T131231Z/../"];
/// The names of files that are known.
const FILES: [&str; 4] = ["", "pods.json", "node1.summary.json", "node1.cadvisor.txt"];

/// An archive of the entries that bytes describe. Of each the first byte says how its name begins and ends, whether it is a plain
/// file and whether it is as large as it claims; then come the length of the rest of its name, its kind, how much more it claims
/// to have, and the length of what it has.
fn entries(mut bytes: &[u8]) -> Vec<u8> {
    let mut archive = Vec::new();
    while let [how, name, kind, more, body, rest @ ..] = bytes {
        let (name, rest) = rest.split_at(rest.len().min(usize::from(*name) % 100));
        let (body, rest) = rest.split_at(rest.len().min(usize::from(*body)));
        bytes = rest;
        let of = |all: [&'static str; 4], bits: u8| all[usize::from(*how >> bits & 3)].as_bytes();
        let name = [of(FOLDERS, 0), name, of(FILES, 2)].concat();
        let mut header = tar::Header::new_gnu();
        let room = &mut header.as_old_mut().name;
        let length = name.len().min(room.len());
        room[..length].copy_from_slice(&name[..length]);
        header.set_entry_type(if how & 0x10 == 0 { tar::EntryType::Regular } else { tar::EntryType::new(*kind) });
        let claimed = if how & 0x20 == 0 { 0 } else { u64::from(*more) << (*more % 40) };
        header.set_size(body.len() as u64 + claimed);
        header.set_cksum();
        archive.extend(header.as_bytes());
        archive.extend(body);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    // Two empty blocks are the end of a tar.
    archive.resize(archive.len() + 1024, 0);
    archive
}

/// A model file.
pub fn model(bytes: &[u8]) {
    let _loaded = Engine::load(bytes);
}

/// An entry of the ConfigMap of mutes.
pub fn mutes(bytes: &[u8]) {
    let data = BTreeMap::from([("a".to_owned(), text(bytes))]);
    let (mutes, broken) = mute::read(&data, Timestamp::UNIX_EPOCH);
    assert!(mutes.len() + broken <= 1, "what is neither has ended");
    let Ok(mute) = text(bytes).parse::<Mute>() else { return };
    let seconds = mute.silence.until.duration_since(mute.since).as_secs();
    assert!(seconds <= mute::LONGEST_SECONDS, "{mute:?}");
}

/// A quantity of Kubernetes.
pub fn quantity(bytes: &[u8]) {
    assert!(quantity::value(&text(bytes)).is_none_or(f64::is_finite));
    let _exact: Result<quantity::Quantity, _> = text(bytes).parse();
}

/// A plan file whose digest is nobody's: whatever else it says, it is refused, in words that a terminal can be shown.
///
/// # Panics
/// If it is taken, unless somebody found a plan that hashes to what it says.
pub fn plan_file(bytes: &[u8]) {
    let error = PlanFile::read(&text(bytes), Timestamp::UNIX_EPOCH).expect_err("no digest fits by chance");
    assert!(is_harmless(&error.to_string()), "{error}");
}

/// A configuration.
///
/// # Panics
/// If there is nowhere to write it.
pub fn configuration(bytes: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder for a moment");
    let file = folder.path().join("guard.yaml");
    std::fs::write(&file, bytes).expect("room for a small file");
    match config::load(&[file], |_| None, &[]) {
        Ok(merged) => drop(config::Config::of(&merged).expect("what was merged has types")),
        Err(error) => assert!(is_harmless(&error.to_string()), "{error}"),
    }
}

/// A journal.
///
/// # Panics
/// If there is nowhere to write it.
pub fn journal(bytes: &[u8]) {
    let chain = audit::check(bytes);
    assert!(chain.hashes.len() <= bytes.len());
    let folder = tempfile::tempdir().expect("a folder for a moment");
    let journal = audit::Journal::at(folder.path().join("journal.jsonl"));
    std::fs::write(journal.path(), bytes).expect("room for a small file");
    if let Ok(lines) = journal.read() {
        let _shown = (audit::entries(&lines), kubectl_guard::incidents::fixes(&lines, None));
    }
}

/// An answer of a language model, with the server's frame around it: it chooses nothing that was not offered, and what it says
/// can be shown.
///
/// # Panics
/// If it does, or cannot.
pub fn answer(bytes: &[u8]) {
    let offered = [ActionKind::Restart, ActionKind::Cordon];
    match llm::read(bytes, &offered, &Pseudonyms::at(None)) {
        Ok(answer) => {
            assert!(answer.action.is_none_or(|action| offered.contains(&action)), "{answer:?}");
            assert!((0.0..=1.0).contains(&answer.confidence), "{answer:?}");
            let mut said = answer.checks.iter().chain([&answer.root_cause, &answer.explanation]);
            assert!(said.all(|words| is_line(words)), "{answer:?}");
        }
        Err(error) => assert!(is_harmless(&error.to_string()), "{error}"),
    }
}

/// An answer of a Prometheus: its texts can be shown, and its values are numbers.
///
/// # Panics
/// If they cannot, or are none.
pub fn prometheus(bytes: &[u8]) {
    match prometheus::parse("prometheus", bytes) {
        Ok(answer) => {
            let labels = answer.series.iter().flat_map(|series| &series.labels);
            let mut texts = labels.flat_map(|(name, value)| [name, value]).chain(&answer.warnings);
            assert!(texts.all(|text| is_line(text)), "{answer:?}");
            let mut points = answer.series.iter().flat_map(|series| &series.points);
            assert!(points.all(|point| point.at.is_finite() && point.value.is_finite()), "{answer:?}");
        }
        Err(error) => assert!(is_line(&error.to_string()), "{error}"),
    }
}

/// A line that a program of the user's says: it proposes nothing that was not offered, and what it says can be shown.
///
/// # Panics
/// If it does, or cannot.
pub fn word(bytes: &[u8]) {
    let target = TargetName { kind: Kind::Deployment, name: "cart".to_owned() };
    let offered = [Proposable { namespace: "shop".to_owned(), target: target.clone(), score: Some(0.9) }];
    match Word::read(bytes) {
        Ok(Word::Note(_)) => {}
        Ok(Word::Proposal(ask)) => {
            assert!(is_line(&ask.reason()), "{ask:?}");
            match ask.check(&offered) {
                Ok(chosen) => {
                    assert!(chosen == target && ask.namespace == "shop", "{ask:?}");
                    assert!(offered[0].actions().contains(&ask.action), "{ask:?}");
                    assert!(ask.replicas.is_none_or(|replicas| (1..=1000).contains(&replicas)), "{ask:?}");
                }
                Err(why) => assert!(is_line(&why), "{why}"),
            }
        }
        Err(why) => assert!(is_line(&why), "{why}"),
    }
}

/// A plan of the journal that is shared in a ConfigMap: the first line is its key. What is held can be shown, but for the fields
/// of objects, which are only compared.
///
/// # Panics
/// If it cannot.
pub fn shared_journal(bytes: &[u8]) {
    let text = text(bytes);
    let (key, lines) = text.split_once('\n').unwrap_or((&text, ""));
    let held = Held::of(&BTreeMap::from([(key.to_owned(), lines.to_owned())]));
    assert!(held.doubts.iter().all(|doubt| is_line(doubt)), "{held:?}");
    for line in &held.lines {
        is_shown(&serde_json::to_value(line).expect("a line can be written"));
    }
    let _shown = (audit::entries(&held.lines), kubectl_guard::incidents::fixes(&held.lines, None));
}

fn is_shown(value: &Value) {
    match value {
        Value::String(text) => assert!(is_line(text), "{text:?}"),
        Value::Array(items) => items.iter().for_each(is_shown),
        Value::Object(fields) => {
            let shown = fields.iter().filter(|(name, _)| !["patch", "before", "after"].contains(&name.as_str()));
            shown.for_each(|(_, value)| is_shown(value));
        }
        _ => {}
    }
}

/// An audit log of the API server beside a journal: what is found can be shown.
///
/// # Panics
/// If it cannot.
pub fn audit_log(bytes: &[u8]) {
    let mut heads = audit::Heads::default();
    bytes.split(|byte| *byte == b'\n').for_each(|line| heads.line(line));
    assert!(heads.unreadable <= bytes.len());
    let found = audit::compare(&audit::check(JOURNAL), &heads);
    let mut texts = found.rewritten.iter().chain(&found.cut).chain(found.others.keys());
    assert!(texts.all(|text| is_line(text)), "{found:?}");
}

/// Whatever a terminal is shown.
pub fn terminal(bytes: &[u8]) {
    let line = sanitise::line(&text(bytes));
    assert!(is_line(&line), "{line:?}");
    assert_eq!(sanitise::line(&line), line);
    let fitted = sanitise::fit(&line, 20);
    assert!(sanitise::width(&fitted) <= 20, "{fitted:?}");
    // A word that is longer than a line has a line of its own.
    let fits = |part: &String| !part.contains(' ') || sanitise::width(part) <= 20;
    assert!(sanitise::wrap(&line, 20).iter().all(fits), "{line:?}");
}
