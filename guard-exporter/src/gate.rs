//! Who may scrape the network port: whoever shows a token that the API server made out to us, and may `get` the path
//! `/metrics`. The API server judges both (TokenReview, SubjectAccessReview); what cannot be judged is refused.
//!
//! Verdicts are kept for a while under the hash of the token, so that most scrapes cost no call and no token stays in memory.
//!
//! Anybody can come with tokens without end. What strangers show is judged so often and no more, and never in the place of a
//! token that was let in before, nor of what the same scraper shows when its token has been renewed.

mod bucket;
mod memory;
mod strangers;

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HeaderMap};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::{Api, PostParams};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use bucket::Bucket;
use memory::Memory;
use strangers::Strangers;

use crate::server::Answer;

/// What a scraper must be allowed to get.
const PATH: &str = "/metrics";
/// How many tokens may be with the API server at once, of those let in before and of all others: the others wait only for
/// each other.
const REVIEWS: usize = 4;
/// How often the log says that scrapes are refused.
const TOLD_EVERY: Duration = Duration::from_mins(1);
/// How long a review may take; less than Prometheus waits for a scrape.
const REVIEW_TIMEOUT: Duration = Duration::from_secs(5);

/// What is thought of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its owner may scrape.
    Allowed,
    /// Its owner is known and may not.
    Forbidden,
    /// It is none, or none for us.
    Unauthenticated,
    /// Nobody could say: refused, and not remembered.
    Unknown,
}

impl Verdict {
    /// What the scraper is told; `None` if it is let in.
    pub fn refusal(self) -> Option<Answer> {
        match self {
            Self::Allowed => None,
            Self::Forbidden => Some(Answer::text(StatusCode::FORBIDDEN, "forbidden\n")),
            Self::Unauthenticated => Some(Answer::text(StatusCode::UNAUTHORIZED, "unauthorized\n")),
            Self::Unknown => Some(Answer::text(StatusCode::SERVICE_UNAVAILABLE, "cannot authenticate now\n")),
        }
    }
}

/// For how long verdicts hold.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// A yes: this long after a right or a token was taken away it may still be used.
    pub yes: Duration,
    /// A no: this long somebody waits who was given the right just now.
    pub no: Duration,
}

impl Default for Lifetimes {
    fn default() -> Self {
        // A yes as long as a kubelet believes a token (its cacheTTL): a scraper that comes each 30 s is asked about each fourth time.
        Self { yes: Duration::from_mins(2), no: Duration::from_secs(10) }
    }
}

/// Why a token could not be judged.
#[derive(Debug, thiserror::Error)]
enum ReviewError {
    #[error("the API server does not judge it: {0}")]
    Api(#[from] kube::Error),
    #[error("the API server did not answer within {} s", REVIEW_TIMEOUT.as_secs())]
    Slow(#[from] tokio::time::error::Elapsed),
    #[error("too many unknown tokens are shown")]
    Busy,
}

/// The judge of tokens.
pub struct Gate {
    client: kube::Client,
    audience: String,
    lifetimes: Lifetimes,
    memory: Mutex<Memory>,
    strangers: Mutex<Strangers>,
    told: Mutex<Told>,
    known: Semaphore,
    others: Semaphore,
}

/// What the log says so often and no more: that strangers crowd in must not hide why a scraper is refused.
struct Told {
    crowds: Bucket,
    failures: Bucket,
}

impl Gate {
    /// A judge of tokens made out to `audience`.
    pub fn new(client: kube::Client, audience: String, lifetimes: Lifetimes) -> Self {
        let now = Instant::now();
        let told = || Bucket::new(1, TOLD_EVERY, now);
        Self {
            client,
            audience,
            lifetimes,
            memory: Mutex::default(),
            strangers: Mutex::new(Strangers::new(now)),
            told: Mutex::new(Told { crowds: told(), failures: told() }),
            known: Semaphore::new(REVIEWS),
            others: Semaphore::new(REVIEWS),
        }
    }

    /// Judges the bearer token of a request that came from this address.
    pub async fn judge(&self, headers: &HeaderMap, from: IpAddr) -> Verdict {
        let Some(token) = bearer(headers) else { return Verdict::Unauthenticated };
        let (key, now) = (Sha256::digest(token).into(), Instant::now());
        let (verdict, known, at_home) = {
            let memory = locked(&self.memory);
            (memory.verdict(&key, now), memory.knows(&key, now), memory.knows_address(from, now))
        };
        if let Some(verdict) = verdict {
            return verdict;
        }
        let reviewed = if known {
            self.review(token, &self.known).await
        } else if at_home || locked(&self.strangers).take(from, now) {
            self.review(token, &self.others).await
        } else {
            Err(ReviewError::Busy)
        };
        match reviewed {
            Ok(verdict) => {
                let lifetime = if verdict == Verdict::Allowed { self.lifetimes.yes } else { self.lifetimes.no };
                locked(&self.memory).put(key, from, verdict, Instant::now(), lifetime);
                verdict
            }
            Err(error) => {
                self.tell(&error);
                Verdict::Unknown
            }
        }
    }

    /// Says why a scrape is refused, but not of each: strangers must not fill the log.
    fn tell(&self, error: &ReviewError) {
        let is_first = {
            let mut told = locked(&self.told);
            let of_its_kind = if matches!(error, ReviewError::Busy) { &mut told.crowds } else { &mut told.failures };
            of_its_kind.take(Instant::now())
        };
        if is_first {
            tracing::warn!(%error, "a scrape is refused, because nobody can say who asks; said once a minute");
        } else {
            tracing::debug!(%error, "a scrape is refused, because nobody can say who asks");
        }
    }

    async fn review(&self, token: &str, places: &Semaphore) -> Result<Verdict, ReviewError> {
        tokio::time::timeout(REVIEW_TIMEOUT, async {
            // Never closed, so that there is a place in it.
            let _place = places.acquire().await;
            let Some(owner) = self.owner(token).await? else { return Ok(Verdict::Unauthenticated) };
            Ok(if self.may_scrape(owner).await? { Verdict::Allowed } else { Verdict::Forbidden })
        })
        .await?
    }

    /// Whose token it is, if it is valid and made out to us.
    async fn owner(&self, token: &str) -> Result<Option<UserInfo>, kube::Error> {
        let spec = TokenReviewSpec { token: Some(token.to_owned()), audiences: Some(vec![self.audience.clone()]) };
        let review = TokenReview { spec, ..TokenReview::default() };
        let review = Api::<TokenReview>::all(self.client.clone()).create(&PostParams::default(), &review).await?;
        let status = review.status.unwrap_or_default();
        // An authenticator that knows no audiences would let any token of the cluster pass.
        let for_us = status.audiences.iter().flatten().any(|audience| *audience == self.audience);
        Ok(status.user.filter(|_| status.authenticated == Some(true) && for_us))
    }

    async fn may_scrape(&self, owner: UserInfo) -> Result<bool, kube::Error> {
        let spec = SubjectAccessReviewSpec {
            user: owner.username,
            uid: owner.uid,
            groups: owner.groups,
            extra: owner.extra,
            non_resource_attributes: Some(NonResourceAttributes {
                path: Some(PATH.to_owned()),
                verb: Some("get".to_owned()),
            }),
            ..SubjectAccessReviewSpec::default()
        };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let review =
            Api::<SubjectAccessReview>::all(self.client.clone()).create(&PostParams::default(), &review).await?;
        Ok(review.status.is_some_and(|status| status.allowed && status.denied != Some(true)))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The token of the one `Authorization` header.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
pub(crate) mod tests;
