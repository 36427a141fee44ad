//! The places where the program writes, each named once, and a way to end it there as a lost machine would.
//!
//! In a build with debug assertions `GUARD_KILL_AT=step.before:2` kills the process right before its second write of that
//! kind, `step.after:1` right after its first, and `step.before:1:7` seven milliseconds after the first began: the tests go
//! through all of them. What ships knows nothing of it.

macro_rules! write_points {
    ($($(#[$doc:meta])* $point:ident = $name:literal,)*) => {
        /// A kind of write.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum WritePoint {
            $($(#[$doc])* $point,)*
        }

        impl WritePoint {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$point),*];

            /// Its name in `GUARD_KILL_AT`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$point => $name,)*
                }
            }
        }
    };
}

write_points! {
    /// A line of the journal.
    Journal = "journal",
    /// A step of an approved plan.
    Step = "step",
    /// A Kubernetes Event that tells of a step.
    Event = "event",
    /// The map of mutes.
    Mutes = "mutes",
    /// The ConfigMap that the journal is told to as well.
    Sink = "sink",
    /// An object of the installation.
    Object = "object",
}

impl WritePoint {
    /// Writes, to a file.
    pub(crate) fn write<T>(self, write: impl FnOnce() -> T) -> T {
        kill::at(self, "before");
        let written = write();
        kill::at(self, "after");
        written
    }

    /// Sends a write, and waits for its answer.
    pub(crate) async fn send<T>(self, write: impl Future<Output = T>) -> T {
        kill::at(self, "before");
        let written = write.await;
        kill::at(self, "after");
        written
    }
}

#[cfg(all(debug_assertions, unix))]
mod kill {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    use super::WritePoint;

    /// How often the one moment that counts was reached.
    static REACHED: AtomicUsize = AtomicUsize::new(0);

    pub(super) fn at(point: WritePoint, moment: &str) {
        let Ok(wanted) = std::env::var("GUARD_KILL_AT") else { return };
        let Some(Order { time, delay }) = order(&wanted, point, moment) else { return };
        if REACHED.fetch_add(1, Ordering::SeqCst) + 1 != time {
            return;
        }
        let end = move || {
            std::thread::sleep(delay);
            if kill(Pid::this(), Signal::SIGKILL).is_err() {
                std::process::abort();
            }
        };
        if delay.is_zero() {
            end();
        }
        std::thread::spawn(end);
    }

    #[derive(Debug, PartialEq, Eq)]
    pub(super) struct Order {
        pub(super) time: usize,
        pub(super) delay: Duration,
    }

    /// What `POINT.MOMENT:TIME[:MILLISECONDS]` says about this moment.
    pub(super) fn order(wanted: &str, point: WritePoint, moment: &str) -> Option<Order> {
        let mut parts = wanted.split(':');
        if parts.next()? != format!("{}.{moment}", point.name()) {
            return None;
        }
        let time = parts.next()?.parse().ok()?;
        let delay = Duration::from_millis(parts.next().unwrap_or("0").parse().ok()?);
        Some(Order { time, delay })
    }
}

#[cfg(not(all(debug_assertions, unix)))]
mod kill {
    pub(super) fn at(_: super::WritePoint, _: &str) {}
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::Path;

    use super::kill::{Order, order};
    use super::*;

    #[test]
    fn an_order_is_for_one_moment() {
        let told =
            |wanted| order(wanted, WritePoint::Step, "before").map(|Order { time, delay }| (time, delay.as_millis()));
        assert_eq!(told("step.before:2"), Some((2, 0)));
        assert_eq!(told("step.before:1:7"), Some((1, 7)));
        for other in ["", "step.after:2", "journal.before:2", "step.before", "step.before:x"] {
            assert_eq!(told(other), None, "{other}");
        }
    }

    /// What sends to a server, or puts bytes into the journal.
    const SENDERS: [&str; 9] = [
        "client.send(",
        ".request_text(",
        ".request_status(",
        ".request_stream(",
        ".patch(",
        ".delete(",
        ".create(&",
        ".replace(&",
        "self.file.write(",
    ];
    /// The files that hold one of them: how many, and what of it writes. Whoever adds a sender says here which it is.
    const KNOWN: [(&str, usize, &[WritePoint]); 14] = [
        ("apply/announce.rs", 0, &[WritePoint::Event]),
        ("apply/mod.rs", 1, &[WritePoint::Step]),
        ("audit/file.rs", 1, &[WritePoint::Journal]),
        ("collect.rs", 1, &[]),
        ("commands/mute.rs", 1, &[]),
        ("connect.rs", 1, &[]),
        ("doctor/rights.rs", 1, &[]),
        ("facts/access.rs", 1, &[]),
        ("llm/client.rs", 1, &[]),
        ("mutes.rs", 1, &[WritePoint::Mutes]),
        ("prometheus.rs", 1, &[]),
        ("run/notices/send.rs", 1, &[]),
        ("setup/objects.rs", 2, &[WritePoint::Object, WritePoint::Object]),
        ("sink/mod.rs", 1, &[WritePoint::Sink]),
    ];

    fn sources(folder: &Path, found: &mut BTreeMap<String, String>) {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"));
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|ext| ext == "rs") && !name.ends_with("tests.rs") {
                let text = fs::read_to_string(&path).unwrap();
                let shipped = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
                found.insert(name, shipped.to_owned());
            }
        }
    }

    #[test]
    fn every_write_has_its_point() {
        let mut found = BTreeMap::new();
        sources(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")), &mut found);
        let mut known: BTreeMap<&str, (usize, Vec<&str>)> = BTreeMap::new();
        for (name, text) in found.iter().filter(|(name, _)| *name != "write_point.rs") {
            let senders = SENDERS.iter().map(|sender| text.matches(sender).count()).sum();
            let points: Vec<&str> = text
                .split("WritePoint::")
                .skip(1)
                .filter_map(|rest| rest.split_once('.'))
                .map(|(point, _)| point)
                .collect();
            if senders > 0 || !points.is_empty() {
                known.insert(name, (senders, points));
            }
        }
        let named = |points: &[WritePoint]| points.iter().map(|point| format!("{point:?}")).collect::<Vec<String>>();
        let wanted = KNOWN.map(|(name, senders, points)| (name.to_owned(), senders, named(points)));
        let known = known.into_iter().map(|(name, (senders, points))| {
            (name.to_owned(), senders, points.into_iter().map(str::to_owned).collect::<Vec<String>>())
        });
        assert_eq!(known.collect::<Vec<_>>(), wanted);
        for point in WritePoint::ALL {
            assert!(KNOWN.iter().any(|(_, _, points)| points.contains(point)), "{} is written nowhere", point.name());
        }
    }
}
