//! `history`: what was done from this machine, as the journal has it, or from all of them, as the sink has it.

use clap::Args;
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};

use crate::audit::{Entry, Journal, Line, check, entries};
use crate::commands::fix::told;
use crate::connect::{Connection, Environment};
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::flags::{FromSinkFlag, KubeFlags, SinkFlags};
use crate::outcome::Resize;
use crate::outcome::StepOutcome;
use crate::output::{self, Format, Formats};
use crate::sanitise;

/// Arguments of `history`.
#[derive(Args, Clone, Debug)]
pub struct HistoryArgs {
    /// Format of the output
    #[arg(short, long, value_name = "FORMAT", value_parser = Formats::OF_HISTORY, default_value = "table")]
    output: Format,
    #[command(flatten)]
    sink: SinkFlags,
    #[command(flatten)]
    from: FromSinkFlag,
}

/// Prints what was done, oldest first.
///
/// # Errors
/// The journal or the sink cannot be read.
pub async fn run(args: &HistoryArgs, kube: &KubeFlags, console: &Console) -> Result<Exit, Error> {
    let (lines, sink) = match args.sink.source(&args.from)? {
        Some(sink) => {
            let connection = Connection::open(kube, &Environment::of_process())?;
            (told(&sink, &connection, console).await?, " --sink")
        }
        None => (of_this_machine(console)?, ""),
    };
    let mut entries = entries(&lines);
    // Whatever is asked for: what was cut off may have to be taken up by somebody.
    for entry in entries.iter().filter(|entry| entry.is_cut_off()) {
        let id = sanitise::line(&entry.id);
        console.warn(&format!(
            "nobody knows what became of {id}; unless it is being carried out now: kubectl guard fix --resume {id}{sink} \
             goes on with it, --abort {id}{sink} leaves it"
        ));
    }
    let namespace = kube.namespace.as_deref();
    entries.retain(|entry| namespace.is_none_or(|namespace| entry.namespace == namespace));
    match &args.output {
        Format::Machine(machine) => console.print(&machine.write(&entries))?,
        _ if entries.is_empty() => console.note(&nothing(!sink.is_empty(), namespace)),
        Format::CustomColumns(columns) => {
            let items: Vec<_> = entries.iter().map(output::value).collect();
            console.print(&columns.fill(&items, false))?;
        }
        Format::Table | Format::Wide | Format::Name => console.print(&table(&entries))?,
    }
    Ok(Exit::Done)
}

fn nothing(sink: bool, namespace: Option<&str>) -> String {
    let place = namespace.map(|namespace| format!(" in namespace {}", sanitise::line(namespace))).unwrap_or_default();
    let by = if sink { "by anybody, as far as the shared journal tells" } else { "from this machine" };
    format!("nothing was done yet{place} {by}")
}

fn of_this_machine(console: &Console) -> Result<Vec<Line>, Error> {
    let journal = Journal::of_user(|name| std::env::var_os(name))?;
    if check(&journal.bytes()?).torn {
        console.warn("the last line of the journal was not written to its end, and is left out");
    }
    Ok(journal.read()?)
}

fn table(entries: &[Entry]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled).force_no_tty();
    table.set_header(["WHEN", "PLAN", "ACTION", "TARGET", "NAMESPACE", "CONTEXT", "BY", "OUTCOME", "VERIFIED"]);
    for entry in entries {
        let outcome = match &entry.outcome {
            Some(StepOutcome::Done { .. }) => "done",
            Some(StepOutcome::NotDone { .. }) => "not done",
            Some(StepOutcome::Unknown { .. }) | None => "unknown",
        };
        let outcome = match entry.resized.len() {
            0 => outcome.to_owned(),
            all => {
                let done = entry.resized.iter().filter(|resized| resized.resize == Resize::Done).count();
                format!("{outcome}, {done} of {all} in place")
            }
        };
        let verified = entry.verified.map_or("-", crate::outcome::Outcome::name);
        let at = entry.at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        // The journal is a file: whoever can write it must not be able to move the cursor of whoever reads it.
        let cells = [&at, &entry.id, &entry.action, &entry.target, &entry.namespace, &entry.context, &entry.identity];
        let cells = cells.into_iter().map(|cell| sanitise::line(cell)).chain([outcome, verified.into()]);
        table.add_row(cells.collect::<Vec<String>>());
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::approve::Approval;
    use crate::audit::Resized;
    use crate::outcome::Outcome;

    fn entry(outcome: Option<StepOutcome>, verified: Option<Outcome>) -> Entry {
        Entry {
            id: "0f3a9c1b2d4e".into(),
            at: "2026-11-22T13:20:05Z".parse().unwrap(),
            context: "prod".into(),
            server: "https://10.0.0.1:6443".into(),
            identity: "alice".into(),
            action: "restart".into(),
            target: "deployment/web".into(),
            namespace: "shop".into(),
            digest: "sha256:00".into(),
            approval: Approval::Digest,
            outcome,
            resized: Vec::new(),
            verified,
            closed: None,
        }
    }

    const SCHEMA: &str = include_str!("../../history.schema.json");

    /// `GUARD_BLESS=1 cargo test -p kubectl-guard` writes the file anew.
    #[test]
    fn the_committed_schema_is_that_of_what_is_printed() {
        let made = serde_json::to_string_pretty(&schemars::schema_for!(Vec<Entry>)).unwrap() + "\n";
        if std::env::var_os("GUARD_BLESS").is_some() {
            std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/history.schema.json"), &made).unwrap();
        }
        assert_eq!(made, SCHEMA, "kubectl-guard/history.schema.json is out of date");
    }

    #[test]
    fn the_templates_of_the_help_find_something() {
        let entries = vec![entry(None, None)];
        let items: Vec<_> = entries.iter().map(output::value).collect();
        output::tests::examples_find_something(Formats::OF_HISTORY, &entries, &items);
    }

    #[test]
    fn an_empty_history_says_whose_it_is() {
        assert_eq!(nothing(false, None), "nothing was done yet from this machine");
        assert_eq!(
            nothing(true, Some("shop")),
            "nothing was done yet in namespace shop by anybody, as far as the shared journal tells"
        );
    }

    #[test]
    fn shows_what_is_known_and_what_is_not() {
        let done = Some(StepOutcome::Done { generation: Some(2) });
        let refused = Some(StepOutcome::NotDone { why: "conflict".into() });
        let resized = |pod: &str, resize| Resized { pod: pod.into(), resize };
        let deferred = Resize::Deferred("no room".into());
        let in_place = Entry {
            resized: vec![resized("web-a", Resize::Done), resized("web-b", deferred)],
            ..entry(done.clone(), None)
        };
        insta::assert_snapshot!(table(&[
            entry(done, Some(Outcome::Recovered)),
            entry(refused, None),
            entry(None, None),
            in_place,
        ]));
    }
}
