//! Everything that comes from outside, bent in thousands of ways: no reader fails on it, runs away, or passes on what a terminal
//! obeys. Deterministic: the same bytes on every machine, from recorded seeds.
//!
//! `GUARD_HOSTILE_TIMES=100` bends a hundred times as often.

use std::collections::BTreeMap;

use guard_model::cadvisor::Reader as Cadvisor;
use guard_model::engine::{Engine, SHIPPED};
use guard_model::mute::Mute;
use guard_model::recording::{self, RecordingError};
use guard_model::report::NodeReport;
use guard_model::rows::Rows;
use guard_model::{pod, quantity, summary, table};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use kubectl_guard::plan::PlanFile;
use kubectl_guard::{audit, config, events, sanitise};

/// How often each seed is bent.
const BENT: usize = 1500;

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
const WORDS: [&[u8]; 24] = [
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

/// Hands each seed, and each seed bent, to `read`.
fn each(seeds: &[&[u8]], times: usize, mut read: impl FnMut(&[u8])) {
    let factor: usize = std::env::var("GUARD_HOSTILE_TIMES").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let mut draw = Draw(7);
    for seed in seeds {
        read(seed);
        (0..times * factor).for_each(|_| read(&bent(seed, &mut draw)));
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../models/tests/fixtures/", $name)).as_slice()
    };
}

#[test]
fn the_kubelets_summary() {
    each(&[fixture!("summary.json")], BENT, |bytes| {
        let Ok(summary) = summary::parse(bytes) else { return };
        assert!(summary.pods.len() <= bytes.len());
    });
}

#[test]
fn the_kubelets_cadvisor_page_in_whatever_pieces() {
    let mut draw = Draw(1);
    each(&[fixture!("cadvisor.txt"), fixture!("oom_after.cadvisor.txt")], BENT, |bytes| {
        let (mut whole, mut pieces) = (Cadvisor::default(), Cadvisor::default());
        whole.feed(bytes);
        let (first, second) = bytes.split_at(draw.next(bytes.len() + 1));
        pieces.feed(first);
        pieces.feed(second);
        assert_eq!(whole.finish(), pieces.finish());
    });
}

#[test]
fn pods_of_the_api_server() {
    let list = format!(r#"{{"items":[{}]}}"#, text(fixture!("pod.json")));
    each(&[list.as_bytes(), fixture!("crash_loop.pods.json")], BENT, |bytes| {
        let Ok(pods) = pod::pods(bytes) else { return };
        for pod in pods.into_iter().map(kubectl_guard::pods::sanitised) {
            assert!(!pod.name.chars().any(sanitise::is_forbidden), "{pod:?}");
            assert!(pod.cpu_limit_cores.is_none_or(|limit| limit.is_finite() && limit > 0.0), "{pod:?}");
            assert!(pod.memory_limit_bytes.is_none_or(|limit| limit.is_finite() && limit > 0.0), "{pod:?}");
        }
    });
}

#[test]
fn events_of_the_api_server() {
    let seed =
        br#"[{"metadata":{"name":"a"},"type":"Warning","reason":"BackOff","message":"Back-off restarting","count":3,
        "involvedObject":{"kind":"Pod","name":"cart-0","namespace":"shop"},"lastTimestamp":"2026-11-22T13:12:11Z"}]"#;
    each(&[seed], BENT, |bytes| {
        let Ok(list) = serde_json::from_slice::<Vec<Event>>(bytes) else { return };
        for line in events::lines(&list) {
            assert!(!format!("{line:?}").contains('\u{1b}'), "{line:?}");
        }
    });
}

#[test]
fn a_report_of_an_exporter() {
    each(&[fixture!("report.json")], BENT, |bytes| {
        let _whatever: Result<NodeReport, _> = serde_json::from_slice(bytes);
    });
}

#[test]
fn a_table_of_metrics_reads_back_as_it_was_read() {
    let seed =
        b"timestamp,namespace,pod,node,cpu_usage_cores,memory_working_set_bytes,phase,workload,queue,errors_total\n\
        2026-11-22T13:12:11Z,shop,cart-0,node1,0.25,1e8,Running,Deployment/cart,7,100\n\
        2026-11-22T13:12:21Z,shop,cart-0,node1,0.30,1e8,Running,Deployment/cart,9,130\n";
    each(&[seed], BENT, |bytes| {
        let Ok(reader) = table::Reader::new(bytes) else { return };
        let mut rows = Rows::default();
        for row in reader.map_while(Result::ok) {
            assert!(row.numbers.values().all(|number| number.is_finite()), "{row:?}");
            let own: Vec<&str> = row.custom().map(|(name, _)| &**name).collect();
            let mut written = Vec::new();
            let mut writer = table::Writer::new(&mut written, &own).unwrap();
            writer.write(&row).and_then(|()| writer.flush()).unwrap();
            drop(writer);
            if let Ok(mut again) = table::Reader::new(written.as_slice()) {
                assert_eq!(again.next().unwrap().unwrap(), row, "{}", text(&written));
            }
            rows.sample(&row);
        }
    });
}

#[test]
fn a_recording() {
    const INCIDENT: &[u8] = include_bytes!("../demo/incident.tar.zst");
    each(&[INCIDENT], 20, |bytes| {
        let mut ticks = 0;
        let _ended = recording::read(bytes, |_| {
            ticks += 1;
            // The beginning of each is enough.
            if ticks > 20 { Err(RecordingError::from(std::io::Error::other("enough"))) } else { Ok(()) }
        });
    });
}

#[test]
fn a_model() {
    each(&[SHIPPED], 60, |bytes| {
        let _loaded = Engine::load(bytes);
    });
}

#[test]
fn a_mute() {
    let seed = br#"{"target":{"kind":"workload","namespace":"shop","workload":"Deployment/cart"},"since":"2026-11-23T12:00:00Z",
        "until":"2026-11-23T14:00:00Z","reason":"known","by":"ann"}"#;
    each(&[seed], BENT, |bytes| {
        let data = BTreeMap::from([("a".to_owned(), text(bytes))]);
        let (mutes, broken) = guard_model::mute::read(&data, Timestamp::UNIX_EPOCH);
        assert!(mutes.len() + broken <= 1, "what is neither has ended");
        let longest = |mute: &Mute| mute.silence.until.duration_since(mute.since).as_secs();
        assert!(mutes.iter().all(|mute| longest(mute) <= guard_model::mute::LONGEST_SECONDS), "{mutes:?}");
    });
}

#[test]
fn quantities() {
    each(&[b"1.5Gi", b"250m", b"-12E", b"1e3", b"9223372036854775807"], BENT, |bytes| {
        assert!(quantity::value(&text(bytes)).is_none_or(f64::is_finite));
        let _exact: Result<quantity::Quantity, _> = text(bytes).parse();
    });
}

#[test]
fn a_plan_file_is_refused_or_the_plan_that_it_says() {
    let seed = b"version: 1\nid: 0f3a9c1b2d4e\ncreated: 2026-11-22T13:00:00Z\nexpires: 2026-11-22T13:10:00Z\nidentity: ann\n\
        place: {context: prod, cluster: prod, server: 'https://10.0.0.1:6443', clusterUid: u}\nsteps:\n\
        - target: {kind: Deployment, namespace: shop, name: web, uid: u, resourceVersion: '7'}\n  action: {type: rolloutRestart}\n\
        digest: sha256:00\n";
    each(&[seed], BENT, |bytes| {
        let at = "2026-11-22T13:05:00Z".parse().unwrap();
        // The digest is nobody's: whatever else was bent, it cannot fit.
        let error = PlanFile::read(&text(bytes), at).expect_err("no digest fits by chance");
        assert!(!error.to_string().chars().any(sanitise::is_forbidden), "{error}");
    });
}

#[test]
fn a_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("guard.yaml");
    let seed = b"dataset_generator: {output_file: a.csv, interval: 30s, prometheus_url: 'http://localhost:9090'}\n\
        agents:\n  alert_threshold: 0.7\n  watch_interval: 10\nremediation: {dry_run: true}\nprometheus: {queries: {q: up}}\n";
    each(&[seed], BENT, |bytes| {
        std::fs::write(&file, bytes).unwrap();
        match config::load(std::slice::from_ref(&file), |_| None, &[]) {
            Ok(merged) => drop(config::Config::of(&merged).expect("what was merged has types")),
            Err(error) => assert!(!error.to_string().contains('\u{1b}'), "{error}"),
        }
    });
}

#[test]
fn a_journal() {
    let line = br#"{"version":1,"at":"2026-11-22T13:00:00Z","plan_id":"p1","event":"next","step":1,"prev":"00"}"#;
    let seed = [&line[..], b"\n", line, b"\n"].concat();
    let folder = tempfile::tempdir().unwrap();
    let journal = audit::Journal::at(folder.path().join("journal.jsonl"));
    each(&[&seed], BENT, |bytes| {
        let chain = audit::check(bytes);
        assert!(chain.hashes.len() <= bytes.len());
        std::fs::write(journal.path(), bytes).unwrap();
        let _lines = journal.read();
    });
}

#[test]
fn whatever_a_terminal_is_shown() {
    let seeds: [&[u8]; 3] =
        [b"a pod \x1b[31mred\x1b[0m name", "\u{202e}evil\u{2066}\u{200d}".as_bytes(), b"tab\tand\nline"];
    each(&seeds, 4 * BENT, |bytes| {
        let given = text(bytes);
        let line = sanitise::line(&given);
        assert!(!line.chars().any(sanitise::is_forbidden), "{line:?}");
        assert_eq!(sanitise::line(&line), line, "{given:?}");
        let fitted = sanitise::fit(&line, 20);
        assert!(sanitise::width(&fitted) <= 20, "{fitted:?}");
        // A word that is longer than a line has a line of its own.
        let fits = |part: &String| !part.contains(' ') || sanitise::width(part) <= 20;
        assert!(sanitise::wrap(&line, 20).iter().all(fits), "{line:?}");
    });
}
