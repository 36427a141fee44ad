//! What was thought of tokens and until when that holds, and who was let in before.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::Verdict;

/// How many verdicts are remembered.
const TOKENS: usize = 256;
/// How many addresses that scrapers came from are remembered.
const ADDRESSES: usize = 64;
/// For how long a scraper is remembered after its yes: longer than the hour that its token is usually good for.
const SCRAPER: Duration = Duration::from_hours(2);

/// The hash of a token.
pub(super) type Key = [u8; 32];

/// Verdicts by token, and the addresses that tokens which were let in came from.
#[derive(Default)]
pub(super) struct Memory {
    tokens: HashMap<Key, Entry>,
    addresses: HashMap<IpAddr, Instant>,
}

struct Entry {
    verdict: Verdict,
    /// Until when the verdict holds.
    end: Instant,
    /// Until when it is remembered what it was.
    forgotten: Instant,
}

impl Memory {
    /// The verdict, if it still holds.
    pub(super) fn verdict(&self, key: &Key, now: Instant) -> Option<Verdict> {
        self.tokens.get(key).filter(|entry| now < entry.end).map(|entry| entry.verdict)
    }

    /// Whether the last that was thought of this token was a yes.
    pub(super) fn knows(&self, key: &Key, now: Instant) -> bool {
        self.tokens.get(key).is_some_and(|entry| entry.verdict == Verdict::Allowed && now < entry.forgotten)
    }

    /// Whether a scraper came from there: its next token will, too.
    pub(super) fn knows_address(&self, from: IpAddr, now: Instant) -> bool {
        self.addresses.get(&from).is_some_and(|forgotten| now < *forgotten)
    }

    /// Remembers a verdict. When full, what is past goes, then the noes, so that strangers cannot push out a scraper.
    pub(super) fn put(&mut self, key: Key, from: IpAddr, verdict: Verdict, now: Instant, lifetime: Duration) {
        let end = now + lifetime;
        let forgotten = if verdict == Verdict::Allowed { end + SCRAPER } else { end };
        self.tokens.remove(&key);
        let past: [fn(&Entry, Instant) -> bool; 3] = [
            |entry, now| now >= entry.forgotten,
            |entry, _| entry.verdict != Verdict::Allowed,
            |entry, now| now >= entry.end,
        ];
        for past in past {
            if self.tokens.len() >= TOKENS {
                self.tokens.retain(|_, entry| !past(entry, now));
            }
        }
        if self.tokens.len() < TOKENS {
            self.tokens.insert(key, Entry { verdict, end, forgotten });
        }
        if verdict == Verdict::Allowed {
            self.put_address(from, now, forgotten);
        }
    }

    fn put_address(&mut self, from: IpAddr, now: Instant, forgotten: Instant) {
        if self.addresses.len() >= ADDRESSES {
            self.addresses.retain(|_, forgotten| now < *forgotten);
        }
        if self.addresses.len() < ADDRESSES || self.addresses.contains_key(&from) {
            self.addresses.insert(from, forgotten);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use sha2::{Digest, Sha256};

    use super::*;

    const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const MINUTE: Duration = Duration::from_mins(1);

    fn key(name: usize) -> Key {
        Sha256::digest(name.to_string()).into()
    }

    #[test]
    fn verdicts_end_and_strangers_cannot_push_out_a_scraper() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        memory.put([1; 32], HOME, Verdict::Allowed, now, MINUTE);
        for stranger in 0..2 * TOKENS {
            memory.put(key(stranger), HOME, Verdict::Unauthenticated, now, Duration::from_secs(1));
            assert!(memory.tokens.len() <= TOKENS);
        }
        assert_eq!(memory.verdict(&[1; 32], now), Some(Verdict::Allowed));
        assert_eq!(memory.verdict(&[1; 32], now + MINUTE), None);
    }

    #[test]
    fn a_scraper_is_known_for_a_while_after_its_yes_has_ended_and_not_after_a_no() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        memory.put([1; 32], HOME, Verdict::Allowed, now, MINUTE);
        let later = now + 2 * MINUTE;
        for stranger in 0..2 * TOKENS {
            let other = IpAddr::V4(Ipv4Addr::from_bits(stranger as u32));
            memory.put(key(stranger), other, Verdict::Unauthenticated, later, MINUTE);
        }
        assert!(memory.knows(&[1; 32], later) && memory.knows_address(HOME, later));
        assert_eq!(memory.addresses.len(), 1, "a no makes no address known");
        let end = now + MINUTE + SCRAPER;
        assert!(!memory.knows(&[1; 32], end) && !memory.knows_address(HOME, end));
        memory.put([1; 32], HOME, Verdict::Forbidden, later, MINUTE);
        assert!(!memory.knows(&[1; 32], later));
    }

    #[test]
    fn more_scrapers_than_fit_leave_those_whose_yes_holds() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        for scraper in 0..TOKENS {
            let from = IpAddr::V4(Ipv4Addr::from_bits(scraper as u32));
            memory.put(key(scraper), from, Verdict::Allowed, now, MINUTE);
        }
        memory.put([1; 32], HOME, Verdict::Allowed, now + MINUTE, MINUTE);
        assert_eq!(memory.verdict(&[1; 32], now + MINUTE), Some(Verdict::Allowed));
        assert!(memory.addresses.len() <= ADDRESSES);
    }
}
