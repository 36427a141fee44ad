//! `mute`: silence for a pod, workload or node, with an end, a name and a reason.
//!
//! Scores go on and nothing in the cluster's workloads changes; exporters show the pods as muted, and alerts leave them out.

use std::time::Duration;

use clap::Args;
use guard_model::mute::{LONGEST_SECONDS, Mute, Target};
use guard_model::silence::Silence;
use guard_model::words;
use guard_model::workload::Workload;
use http::Request as HttpRequest;
use jiff::Timestamp;

use crate::audit::{Event, Journal, plan_agent};
use crate::connect::{Connection, Environment};
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::flags::{DryRun, DryRunFlag, KubeFlags, duration};
use crate::mutes::{Mutes, write};
use crate::output::{Format, Formats};
use crate::plan::{Kind, TargetName, hex};
use crate::render::{self, Style};
use crate::request::Request;

/// How often a change is made while others make theirs.
const TRIES: usize = 3;

/// What outlasts a mute.
const HELP: &str = "Annotations on the pod template hold for good: guard.kubectl.io/ignore: \"true\" shows the pods as muted, \
guard.kubectl.io/threshold: \"0.9\" gives them a line of their own, guard.kubectl.io/expected-high-cpu: \"true\" does not count CPU \
at its limit.";

/// Arguments of `mute`.
#[derive(Args, Clone, Debug)]
#[command(after_help = HELP)]
pub struct MuteArgs {
    /// What to mute, such as deployment/cart, pod/cart-0 or node/node1; without it, list what is muted
    #[arg(value_name = "TYPE/NAME", num_args = 0..=2)]
    target: Vec<String>,
    /// How long, up to 30 days, such as 2h
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse, default_value = "1h")]
    length: Duration,
    /// Why; shown wherever the muted pods are shown
    #[arg(long, value_name = "TEXT", requires = "target")]
    reason: Option<String>,
    /// End the mute now
    #[arg(long, requires = "target", conflicts_with = "reason")]
    end: bool,
    #[command(flatten)]
    dry_run: DryRunFlag,
    /// Format of the list of mutes
    #[arg(short, long, value_name = "FORMAT", value_parser = Formats::OF_MUTES, default_value = "table")]
    output: Format,
}

/// Shows, begins or ends silence.
///
/// # Errors
/// If there is no such target or no ConfigMap of mutes, the user may not write it, or the journal cannot be written.
pub async fn run(args: &MuteArgs, kube: &KubeFlags, console: &Console) -> Result<Exit, Error> {
    let name = TargetName::typed(&args.target).map_err(|error| Error::Usage {
        message: error.to_string(),
        hint: "for example: kubectl guard mute deployment/cart --reason TEXT".into(),
    })?;
    let connection = Connection::open(kube, &Environment::of_process())?;
    let Some(name) = &name else { return list(&connection, &args.output, console).await };
    let target = target(name, &connection.namespace);
    if args.end {
        return end(&connection, &target, args.dry_run.dry_run, console).await;
    }
    let mute = mute(args, &connection, target).await?;
    exists(&connection, name).await?;
    let how = args.dry_run.dry_run;
    if how != DryRun::Client {
        change(&connection, how == DryRun::Server, &mute.target, Some(&mute.silence), |mutes, now| {
            Some(mutes.with(&mute, now))
        })
        .await?;
    }
    let length = words::duration(args.length.as_secs_f64());
    let suffix = how.suffix();
    console.line(&format!("{} muted for {length}, until {:.0}{suffix}", mute.target, mute.silence.until))?;
    Ok(Exit::Done)
}

async fn mute(args: &MuteArgs, connection: &Connection, target: Target) -> Result<Mute, Error> {
    let usage = |message: String, hint: &str| Error::Usage { message, hint: hint.to_owned() };
    let Some(reason) = args.reason.clone().filter(|reason| !reason.trim().is_empty()) else {
        return Err(usage("why? whoever meets the silence wants to know".to_owned(), "say it with --reason"));
    };
    let seconds = i64::try_from(args.length.as_secs()).unwrap_or(i64::MAX);
    if seconds == 0 || seconds > LONGEST_SECONDS {
        let hint =
            "for good: the annotation guard.kubectl.io/ignore: \"true\" on the pod template, as `mute --help` says";
        return Err(usage(format!("--for must lie between 1s and {}d", LONGEST_SECONDS / 86_400), hint));
    }
    let since = now();
    let until = since + jiff::SignedDuration::from_secs(seconds);
    let by = connection.identity().await?.username;
    Ok(Mute { target, since, silence: Silence { until, reason, by } })
}

fn target(name: &TargetName, namespace: &str) -> Target {
    let namespace = namespace.to_owned();
    match name.kind {
        Kind::Pod => Target::Pod { namespace, name: name.name.clone() },
        Kind::Node => Target::Node { name: name.name.clone() },
        kind => Target::Workload { namespace, workload: Workload::new(kind.name(), name.name.clone()) },
    }
}

/// A mute of a name that is misspelt would silence nobody, and be noticed when it is too late.
async fn exists(connection: &Connection, name: &TargetName) -> Result<(), Error> {
    let namespace = (name.kind != Kind::Node).then_some(connection.namespace.as_str());
    let place = namespace.map(|namespace| format!("/namespaces/{namespace}")).unwrap_or_default();
    let path = format!("{}{place}/{}/{}", name.kind.api(), name.kind.resource(), name.name);
    let request = Request { verb: "get", resource: name.kind.resource(), group: name.kind.group(), namespace };
    let asked = HttpRequest::get(path).body(Vec::new()).map_err(|error| request.unreadable(&error))?;
    match connection.client.request_text(asked).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => {
            let place = namespace.map(|namespace| format!(" in namespace {namespace}")).unwrap_or_default();
            Err(Error::NotFound { what: format!("{name}{place}") })
        }
        Err(error) => Err(request.failed(&error)),
    }
}

async fn end(connection: &Connection, target: &Target, how: DryRun, console: &Console) -> Result<Exit, Error> {
    let ended = match how {
        DryRun::Client => Mutes::read(&connection.client).await?.without(target, now()).is_some(),
        _ => change(connection, how == DryRun::Server, target, None, |mutes, now| mutes.without(target, now)).await?,
    };
    let said = if ended { "unmuted" } else { "was not muted" };
    console.line(&format!("{target} {said}{}", how.suffix()))?;
    Ok(Exit::Done)
}

/// Writes what `change` makes of the map; false if that is nothing. Made anew if somebody else was faster.
async fn change(
    connection: &Connection,
    dry_run: bool,
    target: &Target,
    silence: Option<&Silence>,
    change: impl Fn(&Mutes, Timestamp) -> Option<serde_json::Value>,
) -> Result<bool, Error> {
    let mut tries = TRIES;
    loop {
        let Some(change) = change(&Mutes::read(&connection.client).await?, now()) else { return Ok(false) };
        let id = id(target, Timestamp::now());
        let agent = if dry_run {
            plan_agent(&id)
        } else {
            let journal = Journal::of_user(|name| std::env::var_os(name))?;
            let event = Event::Mute { target: target.clone(), silence: silence.cloned() };
            journal.append(Timestamp::now(), &id, event)?.user_agent(&id)
        };
        tries -= 1;
        match write(&connection.with_user_agent_suffix(&agent)?.client, &change, dry_run).await {
            Err(Error::Api { code: 409, .. }) if tries > 0 => {}
            written => return written.map(|()| true),
        }
    }
}

/// What a mute is called in the journal and the audit log, where a plan has its id: each another name, for a journal knows
/// its own writes by it.
fn id(target: &Target, at: Timestamp) -> String {
    format!("mute-{}", &hex(format!("{}\n{}", target.key(), at.as_nanosecond()).as_bytes())[..12])
}

async fn list(connection: &Connection, output: &Format, console: &Console) -> Result<Exit, Error> {
    let (mutes, broken) = Mutes::read(&connection.client).await?.holding(Timestamp::now());
    if broken > 0 {
        console.warn(&format!("{broken} entries of the ConfigMap of mutes cannot be understood and mute nobody"));
    }
    match output {
        Format::Machine(machine) => console.print(&machine.write(&mutes))?,
        Format::CustomColumns(columns) => {
            let items: Vec<_> = mutes.iter().map(crate::output::value).collect();
            console.print(&columns.fill(&items, false))?;
        }
        _ if mutes.is_empty() => console.note("nothing is muted"),
        Format::Table | Format::Wide | Format::Name => {
            console.print(&table(&mutes, Style::of(console, now())))?;
        }
    }
    Ok(Exit::Done)
}

fn table(mutes: &[Mute], style: Style) -> String {
    let line = |mute: &Mute| {
        let namespace = match &mute.target {
            Target::Pod { namespace, .. } | Target::Workload { namespace, .. } => namespace.clone(),
            Target::Node { .. } => String::new(),
        };
        let left = mute.silence.until.duration_since(style.now).as_secs_f64();
        let Silence { by, reason, .. } = &mute.silence;
        vec![namespace, mute.target.to_string(), words::duration(left), by.clone(), reason.clone()]
    };
    let lines: Vec<Vec<String>> = mutes.iter().map(line).collect();
    render::simple(&["NAMESPACE", "TARGET", "ENDS IN", "BY", "REASON"], &lines, style)
}

/// Whole seconds: an end is read by people.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_target_may_be_two_words_as_in_kubectl() {
        #[derive(clap::Parser)]
        struct Typed {
            #[command(flatten)]
            args: MuteArgs,
        }
        let typed =
            |words: &str| <Typed as clap::Parser>::try_parse_from(words.split(' ')).map(|typed| typed.args.target);
        let named = |words: &str| TargetName::typed(&typed(words).unwrap()).unwrap().map(|name| name.to_string());
        assert_eq!(named("mute po cart-0 --reason x").as_deref(), Some("pod/cart-0"));
        assert_eq!(named("mute deploy/cart --end").as_deref(), Some("deployment/cart"));
        assert_eq!(named("mute"), None);
        assert!(typed("mute po cart-0 cart-1").is_err() && typed("mute --end").is_err());
        let args = <Typed as clap::Parser>::parse_from(["mute", "service", "cart"]).args;
        let (console, _) = crate::console::capture::console(80);
        let refused = run(&args, &KubeFlags::default(), &console).await.unwrap_err();
        assert_eq!(refused.process_exit_code(), Exit::Usage);
    }

    #[test]
    fn no_two_mutes_have_the_same_name() {
        let (node, other) = (Target::Node { name: "node1".into() }, Target::Node { name: "node2".into() });
        let at = |nanosecond| Timestamp::from_nanosecond(nanosecond).unwrap();
        let names = [id(&node, at(1)), id(&node, at(2)), id(&other, at(1))];
        assert!(names.iter().all(|name| name.len() == 17), "{names:?}");
        assert!(names[0] != names[1] && names[0] != names[2], "{names:?}");
    }

    #[test]
    fn what_is_silent_is_shown_with_its_end_and_its_reason() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let silence =
            |until, reason: &str| Silence { until: at(until), reason: reason.into(), by: "ann@example.org".into() };
        let name = |text: &str| target(&text.parse().unwrap(), "shop");
        let mutes = [
            ("deploy/cart", silence("2026-11-23T14:00:00Z", "load test, ticket 4711")),
            ("no/node1", silence("2026-11-24T12:00:00Z", "new kernel")),
        ];
        let mutes =
            mutes.map(|(text, silence)| Mute { target: name(text), since: at("2026-11-23T11:00:00Z"), silence });
        let items: Vec<_> = mutes.iter().map(crate::output::value).collect();
        crate::output::tests::examples_find_something(Formats::OF_MUTES, &mutes.to_vec(), &items);
        let style = Style { columns: 100, colour: false, headless: false, now: at("2026-11-23T12:00:00Z") };
        insta::assert_snapshot!(table(&mutes, style));
    }
}
