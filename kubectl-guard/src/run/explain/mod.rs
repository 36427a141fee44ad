//! Says in words what each new incident is: by rules, and as an opinion of a language model where one can be asked.
//!
//! reports -> the same book of incidents as the notices -> [`subject`], what is known of the pod that began it -> words, and a
//! [`Case`] for the model. What comes back is shown: in the log, in `run status`, in `pod_insights.json`. Nothing of it reaches a
//! proposal. A model that cannot be asked, or costs too much, ends nothing.

use guard_model::report::NodeReport;
use jiff::Timestamp;
use tokio::time::Instant;

use super::{LOOK_AGAIN, Part, Shared, next_reports};
use crate::commands::explain::opinion;
use crate::config::{Config, Llm};
use crate::connect::{Connection, Environment};
use crate::error::Error;
use crate::llm::{
    self, Budget, Case, Endpoint, Explained, Incidents, LlmError, Opinion, Pattern, Price, Pseudonyms, Reply,
};
use crate::render::prose;
use crate::sanitise;

mod opinions;
mod spent;
mod subject;

pub use opinions::Opinions;
use subject::Subject;

/// The name under which this part is in its book.
const SELF: &str = "explain";

/// Looks whether the model that is named can be.
///
/// # Errors
/// If its address or its key's file cannot be used.
pub fn check(config: &Config) -> Result<(), Error> {
    if config.llm.enabled {
        endpoint(&config.llm)?;
    }
    Ok(())
}

fn endpoint(llm: &Llm) -> Result<Endpoint, LlmError> {
    let price = llm.price.as_deref().and_then(|text| Price::read(text).ok());
    Endpoint::open(&llm.url, &llm.model, llm.api_key_file.as_deref(), price)
}

/// Everything that explaining carries.
struct Explaining<'a> {
    config: &'a Config,
    connection: &'a Connection,
    shared: &'a Shared<'a>,
    /// Whoever can be asked; `None` leaves the rules.
    endpoint: Option<Endpoint>,
    budget: Budget,
    environment: Environment,
    names: Pseudonyms,
}

/// Explains until it is let go.
///
/// # Errors
/// If the model's address or its key's file cannot be used.
pub async fn explain(config: &Config, connection: &Connection, shared: &Shared<'_>) -> Result<(), Error> {
    let endpoint = endpoint(&config.llm)?;
    let mut opinions = shared.opinions.lock().await;
    let askable = endpoint.check_key();
    if let Err(error) = &askable
        && !std::mem::replace(&mut opinions.hinted, true)
    {
        let hint = "set OPENAI_API_KEY or --openai-api-key-file, or name a server on this machine with --llm-url";
        shared.log.info(Part::Explain, &format!("incidents are explained by rules alone: {error}; {hint}"));
    }
    let explaining = Explaining {
        config,
        connection,
        shared,
        endpoint: askable.is_ok().then_some(endpoint),
        budget: Budget { time: config.llm.timeout, tokens: config.llm.max_tokens },
        environment: Environment::of_process(),
        names: Pseudonyms::at(opinion::key().as_deref()),
    };
    explaining.go_on(&mut opinions).await;
    Ok(())
}

impl Explaining<'_> {
    async fn go_on(mut self, opinions: &mut Opinions) {
        let mut reports = self.shared.reports.subscribe();
        loop {
            let heard = self.shared.heard(self.connection, &mut reports).await;
            if let Some((latest, mutes)) = &heard {
                opinions.book.take(latest, mutes);
                self.look(opinions, latest).await;
            }
            next_reports(&mut reports, heard.is_none().then_some(LOOK_AGAIN)).await;
        }
    }

    async fn look(&mut self, opinions: &mut Opinions, reports: &[NodeReport]) {
        let news = opinions.book.due(SELF);
        for incident in &news.began {
            let Some(first) = incident.pods.first() else { continue };
            let now = Timestamp::now();
            let subject = Subject::find(self.config, self.connection, reports, first, now).await;
            let Some(subject) = subject else { continue };
            let words = sanitise::fit(&prose::pod(&subject.row, &subject.detail, &subject.rows, now), 1_000);
            let Explained { namespace, pod, .. } = opinions.explain(incident, words.clone(), now);
            let said = format!("incident {}, {namespace}/{pod}: {words}", incident.id);
            self.shared.log.info(Part::Explain, &said);
        }
        opinions.book.told(SELF, &news);
        opinions.keep(&news);
        // A model may take its time.
        self.show(opinions);
        self.ask_all(opinions, reports).await;
        self.show(opinions);
    }

    fn show(&self, opinions: &Opinions) {
        self.shared.state.set_explanations(opinions.explained().cloned().collect(), opinions.patterns.clone());
        self.shared.state.did(Part::Explain, &format!("{} incidents explained", opinions.explained().count()));
    }

    /// Asks about each incident that there is no opinion of yet, and then what they have in common, as far as that may be.
    async fn ask_all(&mut self, opinions: &mut Opinions, reports: &[NodeReport]) {
        let Some(endpoint) = self.endpoint.take() else { return };
        while let Some(incident) = opinions.next_without_opinion() {
            if !self.ask(&endpoint, opinions, &incident, reports).await {
                break;
            }
        }
        if opinions.may_ask_for_patterns() {
            self.ask_for_patterns(&endpoint, opinions, reports).await;
        }
        self.endpoint = Some(endpoint);
    }

    /// Asks about one incident; false if nothing more is to be asked now.
    async fn ask(
        &mut self,
        endpoint: &Endpoint,
        opinions: &mut Opinions,
        incident: &str,
        reports: &[NodeReport],
    ) -> bool {
        let now = Timestamp::now();
        let first = opinions.first_of(incident).cloned();
        let subject = match &first {
            Some(first) => Subject::find(self.config, self.connection, reports, first, now).await,
            None => None,
        };
        let Some(subject) = subject else {
            opinions.leave(incident);
            return true;
        };
        let case = Case::new(&subject.row, &subject.detail, &subject.rows, now, &mut self.names);
        let request = llm::request(endpoint, &case, self.budget);
        if !self.affordable(opinions, &request) {
            return false;
        }
        match llm::ask(endpoint, &case, &self.names, self.budget, &self.environment).await {
            Ok((answer, reply)) => {
                self.pay(opinions, &reply, &request);
                let opinion = Opinion::new(&answer, &reply, endpoint);
                let said = format!("incident {incident}: {}", opinion.line());
                self.shared.log.info(Part::Explain, &said);
                opinions.answered(incident, opinion);
                true
            }
            Err(error) => {
                self.failed(opinions, incident, &error, &request);
                false
            }
        }
    }

    async fn ask_for_patterns(&mut self, endpoint: &Endpoint, opinions: &mut Opinions, reports: &[NodeReport]) {
        let now = Timestamp::now();
        let incidents = Incidents::new(&opinions.seen(reports, &self.connection.server), now, &mut self.names);
        let request = llm::request_for_patterns(endpoint, &incidents, self.budget);
        if !self.affordable(opinions, &request) {
            return;
        }
        opinions.asked_for_patterns();
        match llm::ask_for_patterns(endpoint, &incidents, &self.names, self.budget, &self.environment).await {
            Ok((groups, reply)) => {
                self.pay(opinions, &reply, &request);
                opinions.patterns = groups.into_iter().map(|group| Pattern::new(group, endpoint, now)).collect();
                for pattern in &opinions.patterns {
                    self.shared.log.info(Part::Explain, &pattern.line());
                }
            }
            Err(error) => self.failed(opinions, "", &error, &request),
        }
    }

    /// There is enough left of this hour's tokens. That there is not is said once.
    fn affordable(&self, opinions: &mut Opinions, request: &str) -> bool {
        let most = self.config.llm.tokens_per_hour;
        let enough = opinions.spent.allows(llm::at_most(request, self.budget), most, Instant::now());
        if !enough && !std::mem::replace(&mut opinions.poor, true) {
            let said = format!("the model is not asked for a while: llm.tokens_per_hour allows {most} tokens an hour");
            self.shared.log.warn(Part::Explain, &said);
        }
        opinions.poor &= !enough;
        enough
    }

    /// Counts what an answer cost; one that was kept cost nothing.
    fn pay(&self, opinions: &mut Opinions, reply: &Reply, request: &str) {
        if reply.took.is_some() {
            let told = reply.usage.map(|usage| u64::from(usage.prompt_tokens) + u64::from(usage.completion_tokens));
            opinions.spent.add(told.unwrap_or_else(|| llm::at_most(request, self.budget)), Instant::now());
            opinions.healthy();
        }
    }

    /// Says that there is no answer, and when the next is asked for. What was asked may have cost as much as it could.
    fn failed(&self, opinions: &mut Opinions, incident: &str, error: &LlmError, request: &str) {
        opinions.spent.add(llm::at_most(request, self.budget), Instant::now());
        let pause = opinions.failed(incident);
        let hint = error.next_step();
        let said = format!("no opinion of a model: {error}; {hint}; again in {pause:?} at the earliest");
        self.shared.log.warn(Part::Explain, &said);
    }
}
