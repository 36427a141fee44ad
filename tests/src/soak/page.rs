//! What is told of a soak: a few lines at its end, and its section of `tests/FIGURES.md`.

use std::fmt::Write as _;

use anyhow::Result;

use super::judge::{DRIFT, Fault, LEAST, Life, MORE_FDS, MORE_SERIES, SHARE, Seen, Verdict};
use super::record::Record;
use super::{RECORD, plot};
use crate::figures;

/// The name of its section.
pub const SECTION: &str = "soak";

/// Writes the section and the plot.
///
/// # Errors
/// If a file cannot be written.
pub fn write(verdict: &Verdict, record: &Record) -> Result<()> {
    std::fs::write(format!("{RECORD}/soak.svg"), plot::svg(record, verdict))?;
    figures::set(SECTION, &section(verdict, record))
}

/// The end of a soak in a few lines.
pub fn summary(verdict: &Verdict) -> String {
    let all = verdict.faults.len();
    let (told, first) = verdict.told();
    let mut text = format!(
        "soak: {:.2} h, {told} of {all} faults told, the right pod first in {first}; {} false incidents",
        verdict.hours,
        verdict.false_incidents.len(),
    );
    for line in verdict.faults.iter().filter(|fault| fault.told.as_ref().is_none_or(|seen| !seen.first)) {
        let said = line.told.as_ref().map_or_else(|| "not told".to_owned(), |seen| format!("led by {}", seen.lead));
        write!(text, "\n  {} in {}: {said}", line.label.fault, line.label.pod).ok();
    }
    for told in &verdict.false_incidents {
        write!(text, "\n  without a fault: {} {} {} {:.2}", told.from, told.pod, told.cause, told.score).ok();
    }
    for broken in verdict.broken() {
        write!(text, "\n  {broken}").ok();
    }
    text
}

/// The section, in Markdown.
pub fn section(verdict: &Verdict, record: &Record) -> String {
    let (told, first) = verdict.told();
    let (seen, seen_first) = verdict.seen();
    let all = verdict.faults.len();
    let begun = record.events.iter().find(|event| event.event == "start");
    let begun = begun.map(|event| format!("{}: {}", event.at, event.what)).unwrap_or_default();
    let mut text = format!(
        "`tests/run --soak {:.0}` (begun {begun}). Two nodes, {:.0} hours of calm pods watched; the raw record is in \
         [records/soak](records/soak), and a test judges it again.\n\n![Memory, scores and faults over time](records/soak/soak.svg)\n\n",
        verdict.hours * 60.0,
        verdict.calm_hours
    );
    text += "| what | came to |\n| --- | --- |\n";
    let mut row = |what: &str, came: String| text.extend([format!("| {what} | {came} |\n")]);
    row(
        "faults that `run` told as an incident",
        format!("{told} of {all}, the right pod first in {first}; {}", in_the_median(verdict)),
    );
    row("faults that an exporter alerted of", format!("{seen} of {all}, no other pod before it in {seen_first}"));
    row("incidents without a fault", verdict.false_incidents.len().to_string());
    row("incidents of neighbours while a fault lasted, neither right nor wrong", verdict.neighbours.len().to_string());
    row("alerts of an exporter without a fault", verdict.false_alerts.len().to_string());
    row(
        "`run` killed at a random moment, its files whole afterwards",
        format!("{} of {}", verdict.kills.1, verdict.kills.0),
    );
    row("configurations taken while it ran", verdict.reloads.to_string());
    let (from, to) = verdict.drift;
    row(
        "mean score of calm pods, first and last third",
        format!("{from:.3} and {to:.3} (may differ by {DRIFT}); the highest of any was {:.2}", verdict.highest),
    );
    text.extend([format!(
        "\nGrowth is the median of the slopes between all pairs of samples, times the time; it may be {:.0} % of the median, or \
         {:.0} MiB. Open files may be {MORE_FDS} more in the last third than in the first, series {MORE_SERIES}.\n\n",
        SHARE * 100.0,
        LEAST / 1_048_576.0
    )]);
    text += "| process | hours | memory, MiB | growth, MiB | open files | series | CPU, ms a second |\n| --- | --- | --- | --- | --- | --- | --- |\n";
    verdict.lives.iter().for_each(|life| text += &line_of(life));
    text += "\n| fault | pod | `run` told it after | first mover | cause | over an exporter's line after | cause |\n| --- | --- | --- | --- | --- | --- | --- |\n";
    verdict.faults.iter().for_each(|fault| text += &line(fault));
    text.extend(
        verdict.false_incidents.iter().map(|told| {
            format!("\nWithout a fault: {} {} ({}, {:.2}).\n", told.from, told.pod, told.cause, told.score)
        }),
    );
    text.extend(verdict.false_alerts.iter().map(|alert| {
        format!("\nAlert without a fault: {} {} ({}, {:.2}).\n", alert.since, alert.pod, alert.cause, alert.score)
    }));
    text
}

/// How soon faults were told; the README says it too.
fn in_the_median(verdict: &Verdict) -> String {
    format!("{} s after it began in the median", verdict.told_after())
}

fn line_of(life: &Life) -> String {
    let mib = |bytes: f64| bytes / 1_048_576.0;
    let Life { subject, hours, fds, series, cpu, .. } = life;
    format!(
        "| {subject} | {hours:.2} | {:.1} | {:+.2} | {} and {} | {} and {} | {:.1} and {:.1} |\n",
        mib(life.median),
        mib(life.growth),
        fds.0,
        fds.1,
        series.0,
        series.1,
        cpu.0 * 1000.0,
        cpu.1 * 1000.0
    )
}

fn line(fault: &Fault) -> String {
    let after = |seen: &Option<Seen>| seen.as_ref().map_or_else(|| "-".to_owned(), |seen| format!("{} s", seen.after));
    let cause = |seen: &Option<Seen>| seen.as_ref().map_or_else(|| "-".to_owned(), |seen| seen.cause.clone());
    let lead = fault.told.as_ref().map_or("-", |seen| if seen.first { "right" } else { &seen.lead });
    let (told, seen) = (after(&fault.told), after(&fault.seen));
    format!(
        "| {} | {} | {told} | {lead} | {} | {seen} | {} |\n",
        fault.label.fault,
        fault.label.pod,
        cause(&fault.told),
        cause(&fault.seen)
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::judge::judge;
    use super::*;

    /// Of ten faults so many must be told as an incident that the right pod leads, and so many must an exporter see before it sees
    /// another pod.
    const OF_TEN: usize = 9;

    /// Whoever runs a soak commits its record; what is told of it follows from the record and holds.
    #[test]
    fn the_committed_record_holds_what_is_promised() {
        if !Path::new(RECORD).exists() {
            return;
        }
        let record = Record::read(Path::new(RECORD)).unwrap();
        assert!(record.is_whole(), "the soak was cut off: tests/run --soak goes on with it");
        let verdict = judge(&record);
        assert!(verdict.broken().is_empty(), "{:#?}", verdict.broken());
        assert!(verdict.false_incidents.is_empty(), "{:#?}", verdict.false_incidents);
        assert!(verdict.false_alerts.is_empty(), "{:#?}", verdict.false_alerts);
        for (_, first) in [verdict.told(), verdict.seen()] {
            assert!(first * 10 >= verdict.faults.len() * OF_TEN, "{}", summary(&verdict));
        }
        assert!(verdict.kills.0 > 0 && verdict.reloads >= 2, "{}", summary(&verdict));
        let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
        assert!(
            readme.contains(&in_the_median(&verdict)),
            "the README tells of another soak: {}",
            in_the_median(&verdict)
        );
        let page = std::fs::read_to_string(figures::PAGE).unwrap();
        assert!(page.contains(section(&verdict, &record).trim_end()), "the page tells of another soak");
        let plot = std::fs::read_to_string(format!("{RECORD}/soak.svg")).unwrap();
        assert_eq!(plot, plot::svg(&record, &verdict));
    }
}
