//! The picture of a soak: when the faults were and whether they were told, the memory of the processes, the scores of calm
//! pods, the series; all over the same time. An SVG by hand, so that it needs nothing to be made or shown.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::judge::Verdict;
use super::record::{Record, Sample};
use crate::svg::{path, round_up, text};

const WIDTH: f64 = 960.0;
/// Room for the numbers at the left, and for the names at the right.
const LEFT: f64 = 64.0;
const RIGHT: f64 = 90.0;
const PANEL: f64 = 110.0;
const GAP: f64 = 44.0;
const TOP: f64 = 34.0;
/// A line for each of so many faults at once.
const ROWS: usize = 4;
const ROW: f64 = 18.0;
/// Samples further apart are of two parts of a soak.
const BREAK: i64 = 120;
const COLOURS: [&str; 3] = ["#2563eb", "#0d9488", "#c2410c"];

/// A line of a panel: its name, and its points.
type Series<'a> = (&'a str, Vec<(Timestamp, f64)>);

/// Draws it.
pub fn svg(record: &Record, verdict: &Verdict) -> String {
    let times = || record.samples.iter().map(|sample| sample.at);
    let (from, to) = (times().min().unwrap_or_default(), times().max().unwrap_or_default());
    let x = |at: Timestamp| {
        let share = (at.as_second() - from.as_second()) as f64 / (to.as_second() - from.as_second()).max(1) as f64;
        LEFT + share.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT)
    };
    let of = |subject: &str, value: fn(&Sample) -> f64| {
        let samples = record.samples.iter().filter(|sample| sample.subject == subject);
        samples.map(|sample| (sample.at, value(sample))).collect::<Vec<_>>()
    };
    let rss = |sample: &Sample| sample.rss as f64 / 1_048_576.0;
    let memory = ["node1", "node2", "run"].map(|subject| (subject, of(subject, rss)));
    let series = ["node1", "node2"].map(|subject| (subject, of(subject, |sample| sample.series as f64)));
    let scores: [Series<'_>; 2] = [
        ("mean", record.calm.iter().map(|calm| (calm.at, calm.mean)).collect()),
        ("highest", record.calm.iter().map(|calm| (calm.at, calm.highest)).collect()),
    ];
    let bars = ROWS as f64 * ROW;
    let height = TOP + bars + 3.0 * (PANEL + GAP) + 30.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" font-family=\"sans-serif\" \
         font-size=\"11\" fill=\"#1f2937\">\n<rect width=\"{WIDTH}\" height=\"{height:.0}\" fill=\"#ffffff\"/>\n"
    );
    text(&mut out, LEFT, 18.0, "start", "Faults: filled where run told an incident led by the fault's pod");
    faults(&mut out, verdict, &x);
    let place = |number: f64| TOP + bars + GAP + number * (PANEL + GAP);
    panel(&mut out, place(0.0), "Resident memory, MiB", &memory, &x);
    panel(&mut out, place(1.0), "Scores of the pods without a fault", &scores, &x);
    panel(&mut out, place(2.0), "Series of each exporter", &series, &x);
    let minutes = (to.as_second() - from.as_second()) / 60;
    let step = (minutes / 6).max(1);
    for minute in (0..=minutes).step_by(step as usize) {
        let at = from + jiff::SignedDuration::from_mins(minute);
        text(&mut out, x(at), height - 12.0, "middle", &format!("{minute} min"));
    }
    out += "</svg>\n";
    out
}

/// A bar for each fault, in the first row that is free.
fn faults(out: &mut String, verdict: &Verdict, x: &impl Fn(Timestamp) -> f64) {
    let mut free = [f64::NEG_INFINITY; ROWS];
    for fault in &verdict.faults {
        let (begin, end) = (x(fault.label.start), x(fault.label.end));
        // Its name is written after its start, and may be longer than the bar.
        let wide = (end - begin).max(8.0 * fault.label.fault.len() as f64);
        let row = free.iter().position(|until| *until < begin).unwrap_or(ROWS - 1);
        free[row] = begin + wide;
        let y = TOP + row as f64 * ROW - 8.0;
        let right = fault.told.as_ref().is_some_and(|seen| seen.first);
        let (fill, ink) = if right { ("#93c5fd", "#1e3a8a") } else { ("#ffffff", "#b91c1c") };
        writeln!(
            out,
            "<rect x=\"{begin:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"14\" fill=\"{fill}\" stroke=\"{ink}\"/>",
            (end - begin).max(1.0)
        )
        .ok();
        text(out, begin + 3.0, y + 11.0, "start", &fault.label.fault);
    }
}

fn panel(out: &mut String, top: f64, title: &str, series: &[Series], x: &impl Fn(Timestamp) -> f64) {
    let highest = series.iter().flat_map(|(_, points)| points).map(|(_, value)| *value).fold(0.0, f64::max);
    let most = round_up(highest);
    let y = |value: f64| top + PANEL * (1.0 - value / most);
    text(out, LEFT, top - 8.0, "start", title);
    for share in [0.0, 0.5, 1.0] {
        let (line, label) = (y(most * share), shown(most * share));
        let end = WIDTH - RIGHT;
        writeln!(out, "<path d=\"M{LEFT} {line:.1}H{end}\" stroke=\"#e5e7eb\"/>").ok();
        text(out, LEFT - 6.0, line + 4.0, "end", &label);
    }
    let mut taken: Vec<f64> = Vec::new();
    for ((name, points), colour) in series.iter().zip(COLOURS) {
        let mut before: Option<Timestamp> = None;
        let line = path(points.iter().map(|(at, value)| {
            let goes_on = before.is_some_and(|before| at.as_second() - before.as_second() <= BREAK);
            before = Some(*at);
            (x(*at), y(*value), goes_on)
        }));
        writeln!(out, "<path d=\"{line}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.3\"/>").ok();
        let Some((_, last)) = points.last() else { continue };
        // Names of lines that end together stand below each other.
        let mut place = y(*last) + 4.0;
        while taken.iter().any(|other| (other - place).abs() < 12.0) {
            place += 12.0;
        }
        taken.push(place);
        let end = WIDTH - RIGHT + 6.0;
        writeln!(out, "<text x=\"{end:.1}\" y=\"{place:.1}\" fill=\"{colour}\">{name}</text>").ok();
    }
}

fn shown(value: f64) -> String {
    if value >= 10.0 || value == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

#[cfg(test)]
mod tests {
    use super::super::judge::judge;
    use super::super::record::{Calm, Label};
    use super::*;

    #[test]
    fn a_picture_has_every_fault_and_stays_within_its_frame() {
        let at = |second: i64| Timestamp::from_second(1_796_000_000 + second).unwrap();
        let sample = |n: i64, subject: &str| Sample {
            at: at(15 * n),
            subject: subject.to_owned(),
            pid: 1,
            rss: (16 << 20) + n as u64 * 1000,
            fds: 10,
            cpu: 0.0,
            series: 100,
        };
        let label = |start: i64, fault: &str| Label {
            start: at(start),
            end: at(start + 120),
            pod: "web-1".to_owned(),
            workload: "web".to_owned(),
            node: "node1".to_owned(),
            fault: fault.to_owned(),
        };
        let record = Record {
            samples: (0..240).flat_map(|n| ["node1", "node2", "run"].map(|subject| sample(n, subject))).collect(),
            calm: (0..240).map(|n| Calm { at: at(15 * n), pods: 20, mean: 0.01, highest: 0.3 }).collect(),
            labels: vec![label(600, "hang"), label(640, "surge")],
            ..Record::default()
        };
        let picture = svg(&record, &judge(&record));
        assert!(picture.contains(">hang<") && picture.contains(">surge<") && picture.contains(">run<"), "{picture}");
        assert!(!picture.contains("NaN") && !picture.contains("inf"), "{picture}");
        assert!(svg(&Record::default(), &judge(&Record::default())).ends_with("</svg>\n"));
    }
}
