//! Who asked for silence, as all parts know it: what was read last holds for as long as nothing newer can be read.

use std::sync::{Mutex, PoisonError};

use guard_model::mute::Mute;
use jiff::Timestamp;

use super::Part;
use super::log::Log;
use crate::connect::Connection;
use crate::error::Error;
use crate::mutes::Mutes;

/// The mutes, from one look at them to the next. They outlive the parts, which begin anew at each reload.
#[derive(Default)]
pub struct Silence(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// Those that were read last; `None` if none could be yet.
    last: Option<Vec<Mute>>,
    /// Why they cannot be read now; it was said.
    trouble: Option<Trouble>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// The user may not: that does not pass by itself.
    NotAllowed,
    /// The API server does not answer as it should.
    Away,
}

impl Silence {
    /// The mutes that hold. `None` while nobody can know: whoever is told of an incident, or gets a proposal, could have asked
    /// for silence about it.
    pub async fn holding(&self, connection: &Connection, log: &Log<'_>) -> Option<Vec<Mute>> {
        let read = Mutes::read(&connection.client).await;
        let now = Timestamp::now();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let trouble = match read {
            Ok(mutes) => {
                known.last = Some(mutes.holding(now).0);
                None
            }
            // Without the map there is nothing that could be silent.
            Err(Error::NoMutes { .. }) => {
                known.last = Some(Vec::new());
                None
            }
            Err(error) => {
                let trouble =
                    if matches!(error, Error::Forbidden { .. }) { Trouble::NotAllowed } else { Trouble::Away };
                if known.trouble != Some(trouble) {
                    let then = trouble.then(known.last.is_some());
                    log.warn(Part::Run, &format!("mutes cannot be read: {}; {then}", error.in_one_line()));
                }
                if trouble == Trouble::NotAllowed {
                    known.last.get_or_insert_default();
                }
                Some(trouble)
            }
        };
        if trouble.is_none() && known.trouble.is_some() {
            log.info(Part::Run, "mutes are read again");
        }
        known.trouble = trouble;
        if let Some(last) = &mut known.last {
            last.retain(|mute| mute.holds(now));
        }
        known.last.clone()
    }
}

impl Trouble {
    /// What it means, in words.
    fn then(self, were_read: bool) -> &'static str {
        match (self, were_read) {
            (_, true) => "those that were read last hold until they end",
            (Trouble::NotAllowed, false) => "until then what is muted is told and proposed for, too",
            (Trouble::Away, false) => "until they are, nothing new is told or proposed",
        }
    }
}

#[cfg(test)]
mod tests {
    use guard_model::mute::Target;
    use guard_model::silence::Silence as Asked;
    use serde_json::{Value, json};

    use super::*;
    use crate::config::{self, Config};
    use crate::console::capture::console;
    use crate::wire;

    fn failed(code: u16, reason: &str) -> (u16, Value) {
        let status = json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": reason});
        (code, status)
    }

    fn map() -> (u16, Value) {
        let at = |minutes: i64| Timestamp::now() + jiff::SignedDuration::from_mins(minutes);
        let mute = |name: &str, until: Timestamp| {
            let silence = Asked { until, reason: String::new(), by: String::new() };
            Mute { target: Target::Node { name: name.into() }, since: at(-60), silence }
        };
        let mutes = [mute("n1", at(60)), mute("n2", at(-10))];
        let data: serde_json::Map<String, Value> =
            mutes.iter().map(|mute| (mute.target.key(), Value::String(serde_json::to_string(mute).unwrap()))).collect();
        (200, json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "guard-mutes"}, "data": data}))
    }

    /// How many mutes hold at each of so many looks, and what was logged of them.
    async fn looks(answer: fn(&str, usize) -> (u16, Value), count: usize) -> (Vec<Option<usize>>, Vec<String>) {
        let (connection, _) = wire::server(answer).await;
        let (console, streams) = console(400);
        let config = Config::of(&config::load(&[], |_| None, &[]).unwrap()).unwrap();
        let log = Log::open(&console, &config.log).unwrap();
        let silence = Silence::default();
        let mut held = Vec::new();
        for _ in 0..count {
            held.push(silence.holding(&connection, &log).await.map(|mutes| mutes.len()));
        }
        let text = streams.err.text();
        let said = text.lines().map(|line| line.split_once("run     ").unwrap().1.to_owned()).collect();
        (held, said)
    }

    #[tokio::test]
    async fn nothing_is_known_before_the_first_answer_and_what_was_read_holds_while_there_is_none() {
        let answer = |_: &str, before: usize| match before {
            2 | 5 => map(),
            _ => failed(500, "InternalError"),
        };
        let (held, said) = looks(answer, 6).await;
        assert_eq!(held, [None, None, Some(1), Some(1), Some(1), Some(1)]);
        assert_eq!(said.len(), 4, "each change is said once: {said:?}");
        assert!(said[0].ends_with("; until they are, nothing new is told or proposed"), "{said:?}");
        assert!(said[2].ends_with("; those that were read last hold until they end"), "{said:?}");
        assert_eq!((&*said[1], &*said[3]), ("mutes are read again", "mutes are read again"));
    }

    #[tokio::test]
    async fn where_they_may_not_be_read_that_is_said_once_with_the_right_that_is_missing() {
        let (held, said) = looks(|_, _| failed(403, "Forbidden"), 2).await;
        assert_eq!(held, [Some(0), Some(0)]);
        let rule =
            "a Role in namespace guard-system with apiGroups: [\"\"], resources: [\"configmaps\"], verbs: [\"get\"]";
        let why = format!("you may not get configmaps in namespace guard-system; ask for this rule: {rule}");
        assert_eq!(
            said,
            [format!("mutes cannot be read: {why}; until then what is muted is told and proposed for, too")]
        );
    }

    #[tokio::test]
    async fn without_the_map_nothing_is_muted() {
        let (held, said) = looks(|_, _| failed(404, "NotFound"), 1).await;
        assert_eq!((held, said), (vec![Some(0)], vec![]));
    }
}
