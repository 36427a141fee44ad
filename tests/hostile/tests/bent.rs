//! Recorded seeds of everything that comes from outside, bent in thousands of ways. Deterministic: the same bytes on every
//! machine.
//!
//! `GUARD_HOSTILE_TIMES=100` bends a hundred times as often.

use guard_model::engine::SHIPPED;

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

/// Hands each seed, and each seed bent, to `read`.
fn each(seeds: &[&[u8]], times: usize, mut read: impl FnMut(&[u8])) {
    let factor: usize = std::env::var("GUARD_HOSTILE_TIMES").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let mut draw = Draw(7);
    for seed in seeds {
        read(seed);
        (0..times * factor).for_each(|_| read(&bent(seed, &mut draw)));
    }
}

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../../models/tests/fixtures/", $name)).as_slice()
    };
}

#[test]
fn the_kubelets_summary() {
    each(&[fixture!("summary.json")], BENT, guard_hostile::summary);
}

#[test]
fn the_kubelets_cadvisor_page_in_whatever_pieces() {
    let pages = [fixture!("cadvisor.txt"), fixture!("oom_after.cadvisor.txt")].map(|page| [b"\x80", page].concat());
    each(&[&pages[0], &pages[1]], BENT, guard_hostile::cadvisor);
}

/// Every text that is shown of a pod moves the cursor and turns the line around.
const HOSTILE_PODS: &[u8] = br#"{"items": [{
    "metadata": {"name": "a\u001b[2J", "namespace": "b\u202e", "uid": "u",
        "ownerReferences": [{"apiVersion": "v1", "kind": "c\u009b31m", "name": "d\u001b[1A", "uid": "o", "controller": true}]},
    "spec": {"nodeName": "e\u200b\u001b[H", "containers": [{"name": "f"}]},
    "status": {
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes\u001b[2K\ng"}],
        "containerStatuses": [{"name": "f\u0007", "ready": false, "restartCount": 1, "image": "", "imageID": "",
            "state": {"waiting": {"reason": "h\u001b]0;x\u0007"}},
            "lastState": {"terminated": {"exitCode": 1, "reason": "i\u202e", "finishedAt": "2026-11-22T13:12:11Z"}}}]}}]}"#;

#[test]
fn pods_of_the_api_server() {
    let list = [b"{\"items\":[", fixture!("pod.json"), b"]}"].concat();
    each(&[&list, fixture!("crash_loop.pods.json"), HOSTILE_PODS], BENT, guard_hostile::pods);
}

#[test]
fn events_of_the_api_server() {
    let seed =
        br#"[{"metadata":{"name":"a"},"type":"Warning","reason":"BackOff","message":"Back-off restarting","count":3,
        "involvedObject":{"kind":"Pod","name":"cart-0","namespace":"shop"},"lastTimestamp":"2026-11-22T13:12:11Z"}]"#;
    let hostile = br#"[{"metadata":{},"involvedObject":{},"type":"Warning\u001b[2J","reason":"Back\u202eOff","message":"a\u009b1A\nb"}]"#;
    each(&[seed, hostile], BENT, guard_hostile::events);
}

#[test]
fn a_report_of_an_exporter() {
    each(&[fixture!("report.json")], BENT, guard_hostile::report);
}

#[test]
fn a_table_of_metrics() {
    let seed =
        b"timestamp,namespace,pod,node,cpu_usage_cores,memory_working_set_bytes,phase,workload,queue,errors_total\n\
        2026-11-22T13:12:11Z,shop,cart-0,node1,0.25,1e8,Running,Deployment/cart,7,100\n\
        2026-11-22T13:12:21Z,shop,cart-0,node1,0.30,1e8,Running,Deployment/cart,9,130\n";
    each(&[seed], BENT, guard_hostile::table);
}

#[test]
fn a_recording() {
    const INCIDENT: &[u8] = include_bytes!("../../../kubectl-guard/demo/incident.tar.zst");
    each(&[INCIDENT], 20, guard_hostile::recording);
    // Entries as `guard_hostile::recording` takes them: two ticks, a link, a path that leaves its place, a size that is a lie.
    let described = [
        &[0x05, 0, 0, 0, 2][..],
        b"{}",
        &[0x09, 0, 0, 0, 2],
        b"{}",
        &[0x0e, 0, 0, 0, 6],
        b"# HELP",
        &[0x16, 0, b'2', 0, 0],
        &[0x09, 6, 0, 0, 0],
        b"../../",
        &[0x26, 0, 0, 200, 1],
        b"[",
    ];
    let (first, second, path) = (described[..2].concat(), described[4..6].concat(), described[7..9].concat());
    let seeds = [described.concat(), [&second[..], &first].concat(), [&first[..], &path].concat()];
    each(&seeds.each_ref().map(Vec::as_slice), BENT, guard_hostile::recording);
}

#[test]
fn a_model() {
    each(&[SHIPPED], 60, guard_hostile::model);
}

#[test]
fn a_mute() {
    let seed = br#"{"target":{"kind":"workload","namespace":"shop","workload":"Deployment/cart"},"since":"2026-11-23T12:00:00Z",
        "until":"2026-11-23T14:00:00Z","reason":"known","by":"ann"}"#;
    each(&[seed], BENT, guard_hostile::mutes);
}

#[test]
fn quantities() {
    each(&[b"1.5Gi", b"250m", b"-12E", b"1e3", b"9223372036854775807"], BENT, guard_hostile::quantity);
}

#[test]
fn a_plan_file() {
    let seed = b"version: 1\nid: 0f3a9c1b2d4e\ncreated: 2026-11-22T13:00:00Z\nexpires: 2026-11-22T13:10:00Z\nidentity: ann\n\
        place: {context: prod, cluster: prod, server: 'https://10.0.0.1:6443', clusterUid: u}\nsteps:\n\
        - target: {kind: Deployment, namespace: shop, name: web, uid: u, resourceVersion: '7'}\n  action: {type: rolloutRestart}\n\
        digest: sha256:00\n";
    each(&[seed], BENT, guard_hostile::plan_file);
}

#[test]
fn a_configuration() {
    let seed = b"dataset_generator: {output_file: a.csv, interval: 30s, prometheus_url: 'http://localhost:9090'}\n\
        agents:\n  alert_threshold: 0.7\n  watch_interval: 10\nremediation: {dry_run: true}\nprometheus: {queries: {q: up}}\n";
    // A key, a value and what is no YAML at all; each is quoted in the refusal.
    let hostile: [&[u8]; 3] = [
        b"\"agents\\e[2J\\u202e\": 1\n",
        b"agents: {alert_threshold: \"0\\e[1A\\u202e\"}\n",
        b"agents: [\"\\e[2J\", \"\xe2\x80\xae\": {\n",
    ];
    each(&[&[&seed[..]], &hostile[..]].concat(), BENT, guard_hostile::configuration);
}

#[test]
fn a_journal() {
    let line = br#"{"version":1,"at":"2026-11-22T13:00:00Z","plan_id":"p1","event":"next","step":1,"prev":"00"}"#;
    each(&[&[&line[..], b"\n", line, b"\n"].concat()], BENT, guard_hostile::journal);
}

#[test]
fn an_answer_of_a_language_model() {
    each(&[include_bytes!("answer.sse")], BENT, guard_hostile::answer);
}

#[test]
fn whatever_a_terminal_is_shown() {
    let seeds: [&[u8]; 3] =
        [b"a pod \x1b[31mred\x1b[0m name", "\u{202e}evil\u{2066}\u{200d}".as_bytes(), b"tab\tand\nline"];
    each(&seeds, 4 * BENT, guard_hostile::terminal);
}
