//! Which fault is when, where and for how long: the same for the same seed.

use std::collections::BTreeMap;

/// A kind of fault: its name in the labels, the service that suffers it, and how it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its name, as in the labels.
    pub name: &'static str,
    /// The service one of whose pods suffers it.
    pub service: &'static str,
    /// How it is made.
    pub way: Way,
}

impl Kind {
    /// The pod's status says it: no model needs to know the pod.
    pub fn is_told_by_kubernetes(&self) -> bool {
        matches!(self.name, "unready" | "oom" | "crash_loop")
    }
}

/// How a fault is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The program in the pod does it, told by this word.
    Itself(&'static str),
    /// The pod's link takes 40 kbit/s.
    Limit,
    /// A third of the TCP segments that arrive are dropped in the pod's network.
    Loss,
    /// The pod's link takes shorter packets than its other end sends: the interface counts them as dropped.
    Drops,
    /// SIGSTOP to its processes.
    Stop,
    /// Its customers call ten times as often.
    Surge,
}

/// All kinds.
pub const KINDS: [Kind; 14] = [
    kind("cpu_hog", "worker", Way::Itself("cpu")),
    kind("mem_leak", "store", Way::Itself("slow-leak")),
    kind("oom", "store", Way::Itself("leak")),
    kind("io_hog", "store", Way::Itself("disk")),
    kind("drops", "store", Way::Drops),
    kind("net_limit", "web", Way::Limit),
    kind("net_loss", "web", Way::Loss),
    kind("hang", "web", Way::Stop),
    kind("surge", "web", Way::Surge),
    kind("crash_loop", "worker", Way::Itself("crash")),
    kind("threads", "worker", Way::Itself("threads")),
    kind("unready", "worker", Way::Itself("unready")),
    kind("silence", "sender", Way::Itself("silence")),
    kind("exfil", "sender", Way::Itself("egress")),
];

/// Kinds that happen at once on one node, once a round each: they have nothing to do with each other.
const AT_ONCE: [(&str, &str); 2] = [("cpu_hog", "mem_leak"), ("unready", "exfil")];
/// How long a fault lasts, and the calm after it; seconds.
const LASTING: (u64, u64) = (90, 150);
const CALM: (u64, u64) = (70, 110);
/// The second of two at once begins so much later.
const LATER: u64 = 20;
/// Once a round nothing happens for so long.
const LONG_CALM: u64 = 300;
/// Nothing begins in the last seconds: what it does is to be seen, and to be over.
const LAST: u64 = 120;

const fn kind(name: &'static str, service: &'static str, way: Way) -> Kind {
    Kind { name, service, way }
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What it is.
    pub kind: Kind,
    /// The number of the node whose pod of the service suffers it, 1 or 2.
    pub node: u8,
    /// Seconds from the start of the soak.
    pub start: u64,
    /// How long it lasts, in seconds.
    pub seconds: u64,
}

impl Fault {
    /// When it is over, in seconds from the start.
    pub fn end(&self) -> u64 {
        self.start + self.seconds
    }
}

/// Numbers that look random and are the same for the same seed (splitmix64, Steele and others, OOPSLA 2014).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Begins with a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number from one to the other, both included.
    pub fn between(&mut self, (least, most): (u64, u64)) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        least + (word ^ (word >> 31)) % (most - least + 1)
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.between((0, last as u64)) as usize);
        }
    }
}

/// For how long after its end a fault of this name is still news of its pod, in seconds: a crash loop's last pause alone
/// takes up to five minutes, and restarts and OOM kills are told of for ten.
pub fn felt_for(fault: &str) -> u64 {
    if matches!(fault, "crash_loop" | "oom") { 700 } else { 330 }
}

/// The faults of a soak of so many seconds, in the order of their starts; the first may begin after `warm_up`. A service has
/// its next fault when the last one is no news any more: what befalls a workload meanwhile belongs to the same incident.
pub fn plan(seed: u64, seconds: u64, warm_up: u64) -> Vec<Fault> {
    let mut dice = Dice::new(seed);
    let (mut faults, mut at) = (Vec::new(), warm_up);
    let mut rested: BTreeMap<&str, u64> = BTreeMap::new();
    for round in 0.. {
        let mut slots = slots();
        dice.shuffle(&mut slots);
        let half = slots.len() / 2;
        while !slots.is_empty() {
            if slots.len() == half {
                at += LONG_CALM;
            }
            let from =
                |slot: &[Kind]| slot.iter().filter_map(|kind| rested.get(kind.service)).fold(at, |a, b| a.max(*b));
            let next = (0..slots.len()).min_by_key(|place| from(&slots[*place])).unwrap_or_default();
            at = from(&slots[next]);
            let slot = slots.remove(next);
            let lasting = dice.between(LASTING);
            let node = node(&slot, round);
            for (kind, later) in slot.iter().zip([0, LATER]) {
                let fault = Fault { kind: *kind, node, start: at + later, seconds: lasting };
                rested.insert(kind.service, fault.end() + felt_for(kind.name));
                faults.push(fault);
            }
            at += lasting + LATER * u64::from(slot.len() > 1) + dice.between(CALM);
            if at > seconds {
                faults.retain(|fault| fault.end() + LAST <= seconds);
                return faults;
            }
        }
    }
    faults
}

/// Each kind has the pod of the other node in the next round.
fn node(slot: &[Kind], round: usize) -> u8 {
    let place = KINDS.iter().position(|kind| slot.first() == Some(kind)).unwrap_or_default();
    if (place + round).is_multiple_of(2) { 1 } else { 2 }
}

/// What happens at once, for each kind.
fn slots() -> Vec<Vec<Kind>> {
    let find = |name: &str| KINDS.into_iter().find(|kind| kind.name == name);
    let mut slots: Vec<Vec<Kind>> =
        AT_ONCE.iter().map(|(a, b)| [find(a), find(b)].into_iter().flatten().collect()).collect();
    let paired = |name: &str| AT_ONCE.iter().any(|(a, b)| *a == name || *b == name);
    slots.extend(KINDS.into_iter().filter(|kind| !paired(kind.name)).map(|kind| vec![kind]));
    slots
}

/// The short soak: what Kubernetes tells and what the model sees, two of them at once.
pub fn short() -> Vec<Fault> {
    let fault = |name: &str, node, start, seconds| {
        KINDS.into_iter().find(|kind| kind.name == name).map(|kind| Fault { kind, node, start, seconds })
    };
    [fault("unready", 1, 70, 40), fault("exfil", 2, 140, 60), fault("oom", 2, 150, 30)].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_has_every_kind_and_is_the_same_for_a_seed() {
        for seed in 0..50 {
            let hour = plan(seed, 3600, 330);
            assert_eq!(hour, plan(seed, 3600, 330));
            let kinds = KINDS.iter().filter(|kind| hour.iter().any(|fault| fault.kind.name == kind.name));
            // The slowest dice leave one slot, of one kind or two, to the next hour.
            assert!(kinds.count() >= KINDS.len() - 2, "seed {seed}: {hour:#?}");
            assert!(hour.iter().all(|fault| fault.start >= 330 && fault.end() + LAST <= 3600));
        }
        let both = plan(1, 7200, 330);
        for kind in KINDS {
            let nodes: Vec<u8> = both.iter().filter(|fault| fault.kind == kind).map(|fault| fault.node).collect();
            assert!(!nodes.is_empty(), "{kind:?}");
        }
    }

    #[test]
    fn no_pod_has_two_faults_at_once_and_some_nodes_do() {
        let faults = plan(7, 7200, 330);
        let overlap = |a: &Fault, b: &Fault| a.start < b.end() && b.start < a.end();
        let mut at_once = 0;
        for (number, fault) in faults.iter().enumerate() {
            for other in faults[..number].iter().filter(|other| overlap(fault, other)) {
                assert_eq!(fault.node, other.node);
                assert_ne!(fault.kind.service, other.kind.service);
                at_once += 1;
            }
        }
        assert!(at_once >= 3, "{at_once}");
    }

    #[test]
    fn no_fault_is_news_of_a_service_when_its_next_begins() {
        for seed in 0..50 {
            let faults = plan(seed, 7200, 330);
            for (number, fault) in faults.iter().enumerate() {
                let before = faults[..number].iter().rev().find(|other| other.kind.service == fault.kind.service);
                let rests = before.is_none_or(|before| before.end() + felt_for(before.kind.name) <= fault.start);
                assert!(rests, "seed {seed}: {fault:?} after {before:?}");
            }
        }
    }

    #[test]
    fn dice_stay_between() {
        let mut dice = Dice::new(3);
        let mut seen = [0u32; 7];
        for _ in 0..7000 {
            seen[(dice.between((5, 11)) - 5) as usize] += 1;
        }
        assert!(seen.iter().all(|count| (800..1200).contains(count)), "{seen:?}");
    }
}
