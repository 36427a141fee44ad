//! What ties the journal to the API server's audit log: each write carries, in its User-Agent, the plan's id and the
//! journal's head, the hash of the line that was synced before it.

use super::Hash;

/// Marks the plan in a User-Agent.
const PLAN: &str = "plan/";
/// Marks the journal.
const JOURNAL: &str = "journal/";
/// Of the first line's hash this much names the journal.
const CHAIN: usize = 16;

/// Where a journal stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Names the journal: the beginning of its first line's hash.
    pub chain: String,
    /// Hash of its last line.
    pub head: Hash,
}

impl Anchor {
    /// Of a journal with these lines at its ends.
    pub(super) fn new(first: &Hash, head: Hash) -> Self {
        Self { chain: name_of_chain(first).to_owned(), head }
    }

    /// What a write carries behind `kubectl-guard/VERSION (...)`.
    pub fn user_agent(&self, plan_id: &str) -> String {
        format!("{} {JOURNAL}{}.{}", plan_agent(plan_id), self.chain, self.head)
    }

    /// The plan's id and the anchor that a User-Agent carries, if it does.
    pub(super) fn read(user_agent: &str) -> Option<(&str, Self)> {
        let word = |mark| user_agent.split(' ').find_map(|word| word.strip_prefix(mark));
        let (chain, head) = word(JOURNAL)?.split_once('.')?;
        let hex = |text: &str, length| text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let ours = user_agent.starts_with("kubectl-guard/") && hex(chain, CHAIN) && hex(head, 64);
        ours.then(|| (word(PLAN).unwrap_or_default(), Self { chain: chain.to_owned(), head: head.to_owned() }))
    }
}

/// What requests carry that store nothing, such as a server's dry run.
pub fn plan_agent(plan_id: &str) -> String {
    format!("{PLAN}{plan_id}")
}

/// The name of the journal that begins with this line.
pub(super) fn name_of_chain(first: &str) -> &str {
    first.get(..CHAIN).unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_write_carries_can_be_read_back() {
        let anchor = Anchor::new(&"ab".repeat(32), "cd".repeat(32));
        let agent = format!("kubectl-guard/0.1.0 (linux/x86_64) {}", anchor.user_agent("0f3a"));
        assert_eq!(Anchor::read(&agent), Some(("0f3a", anchor)));
    }

    #[test]
    fn other_user_agents_carry_nothing() {
        let head = "cd".repeat(32);
        for agent in [
            "kubectl/v1.35.4".to_owned(),
            "kubectl-guard/0.1.0 (linux/x86_64) plan/0f3a".to_owned(),
            format!("curl/8 plan/0f3a journal/{}.{head}", "ab".repeat(8)),
            format!("kubectl-guard/0.1.0 (x) journal/ab.{head}"),
            format!("kubectl-guard/0.1.0 (x) journal/{}.{}", "ab".repeat(8), "é".repeat(32)),
        ] {
            assert_eq!(Anchor::read(&agent), None, "{agent}");
        }
    }
}
