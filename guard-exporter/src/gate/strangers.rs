//! How often tokens that nobody knows are judged: they must not make us a burden on the API server, and one who shows them without
//! end must not keep out others who are new.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::bucket::Bucket;

/// How many tokens of an address are judged at once, and how often another.
const AT_ONCE: u32 = 8;
const EVERY: Duration = Duration::from_secs(1);
/// How many addresses are told from each other; those beyond share what is one's.
const ADDRESSES: usize = 32;

/// The strangers of the last moments.
#[derive(Debug)]
pub(super) struct Strangers {
    addresses: HashMap<IpAddr, Bucket>,
    others: Bucket,
}

impl Strangers {
    /// Nobody has come yet.
    pub(super) fn new(now: Instant) -> Self {
        Self { addresses: HashMap::new(), others: bucket(now) }
    }

    /// Whether a token that came from there is judged now.
    pub(super) fn take(&mut self, from: IpAddr, now: Instant) -> bool {
        if !self.addresses.contains_key(&from) && self.addresses.len() >= ADDRESSES {
            // Whoever has shown nothing for a while is as one who never came.
            self.addresses.retain(|_, bucket| !bucket.is_full(now));
        }
        if self.addresses.len() < ADDRESSES || self.addresses.contains_key(&from) {
            self.addresses.entry(from).or_insert_with(|| bucket(now)).take(now)
        } else {
            self.others.take(now)
        }
    }
}

fn bucket(now: Instant) -> Bucket {
    Bucket::new(AT_ONCE, EVERY, now)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from(number).into()
    }

    fn taken(strangers: &mut Strangers, from: u32, now: Instant) -> usize {
        (0..100).filter(|_| strangers.take(address(from), now)).count()
    }

    #[test]
    fn whoever_shows_tokens_without_end_keeps_out_nobody_else() {
        let now = Instant::now();
        let mut strangers = Strangers::new(now);
        assert_eq!((taken(&mut strangers, 1, now), taken(&mut strangers, 1, now)), (8, 0));
        assert!(strangers.take(address(2), now));
        assert_eq!(taken(&mut strangers, 1, now + EVERY), 1);
    }

    #[test]
    fn however_many_addresses_they_come_from_only_so_many_are_judged() {
        let now = Instant::now();
        let mut strangers = Strangers::new(now);
        let judged: usize = (0..1000).map(|from| taken(&mut strangers, from, now)).sum();
        assert_eq!((judged, strangers.addresses.len()), (8 * (ADDRESSES + 1), ADDRESSES));
        assert_eq!(taken(&mut strangers, 5000, now), 0);
        assert_eq!(taken(&mut strangers, 5000, now + 10 * EVERY), 8, "the others have gone");
        assert_eq!(strangers.addresses.len(), 1);
    }
}
