//! Who may scrape the network port: whoever shows a token that the API server made out to us, and may `get` the path
//! `/metrics`. The API server judges both (TokenReview, SubjectAccessReview); what cannot be judged is refused.
//!
//! Verdicts are kept for a while under the hash of the token, so that most scrapes cost no call and no token stays in memory.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, HeaderMap};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::{Api, PostParams};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use crate::server::Answer;

/// What a scraper must be allowed to get.
const PATH: &str = "/metrics";
/// How many verdicts are remembered.
const REMEMBERED: usize = 256;
/// How many tokens may be with the API server at once: strangers with many tokens must not make us a burden on it.
const REVIEWS: usize = 4;
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
    #[error("too many tokens are being judged already")]
    Busy(#[from] tokio::sync::TryAcquireError),
}

/// The judge of tokens.
pub struct Gate {
    client: kube::Client,
    audience: String,
    lifetimes: Lifetimes,
    verdicts: Mutex<Verdicts>,
    reviews: Semaphore,
}

impl Gate {
    /// A judge of tokens made out to `audience`.
    pub fn new(client: kube::Client, audience: String, lifetimes: Lifetimes) -> Self {
        Self { client, audience, lifetimes, verdicts: Mutex::default(), reviews: Semaphore::new(REVIEWS) }
    }

    /// Judges the bearer token of a request.
    pub async fn judge(&self, headers: &HeaderMap) -> Verdict {
        let Some(token) = bearer(headers) else { return Verdict::Unauthenticated };
        let key = Sha256::digest(token).into();
        if let Some(verdict) = self.verdicts().get(&key, Instant::now()) {
            return verdict;
        }
        match self.review(token).await {
            Ok(verdict) => {
                let lifetime = if verdict == Verdict::Allowed { self.lifetimes.yes } else { self.lifetimes.no };
                self.verdicts().put(key, verdict, Instant::now(), lifetime);
                verdict
            }
            Err(error) => {
                tracing::warn!(%error, "a scrape is refused, because nobody can say who asks");
                Verdict::Unknown
            }
        }
    }

    fn verdicts(&self) -> MutexGuard<'_, Verdicts> {
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn review(&self, token: &str) -> Result<Verdict, ReviewError> {
        let _place = self.reviews.try_acquire()?;
        tokio::time::timeout(REVIEW_TIMEOUT, async {
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

/// The token of the one `Authorization` header.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// What was thought of tokens, and until when that holds.
#[derive(Default)]
struct Verdicts(HashMap<[u8; 32], (Verdict, Instant)>);

impl Verdicts {
    fn get(&self, key: &[u8; 32], now: Instant) -> Option<Verdict> {
        self.0.get(key).filter(|(_, end)| now < *end).map(|(verdict, _)| *verdict)
    }

    /// Remembers a verdict. When full, what has ended goes, then the noes, so that strangers cannot push out a scraper.
    fn put(&mut self, key: [u8; 32], verdict: Verdict, now: Instant, lifetime: Duration) {
        if self.0.len() >= REMEMBERED {
            self.0.retain(|_, (_, end)| now < *end);
        }
        if self.0.len() >= REMEMBERED {
            self.0.retain(|_, (verdict, _)| *verdict == Verdict::Allowed);
        }
        if self.0.len() < REMEMBERED {
            self.0.insert(key, (verdict, now + lifetime));
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
