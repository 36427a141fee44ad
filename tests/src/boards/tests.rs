//! Every board is drawn: from its committed record, and from values that are made up here and nowhere kept.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use serde_json::Value;

use super::panel::{panels, placeholders};
use super::record::{Answer, Record, Series};
use super::{RECORD, page};
use crate::dashboards::{Board, boards};
use crate::svg::{escaped, width};

const STEPS: usize = 100;
/// A name that would be markup, and one that is too long for any panel.
const NAMES: [&str; 3] =
    ["plain", "<b a=\"1\">&amp;", "a-name-that-goes-on-and-on-and-is-longer-than-all-the-room-that-there-is"];

/// The labels that the panel shows.
fn labels(panel: &Value, target: &Value, name: &str) -> BTreeMap<String, String> {
    let mut labels = placeholders(target["legendFormat"].as_str().unwrap_or_default());
    for transformation in panel["transformations"].as_array().into_iter().flatten() {
        let options = &transformation["options"];
        let renamed = options["renameByName"].as_object().into_iter().flatten().map(|(label, _)| label);
        labels.extend(renamed.filter(|label| !label.starts_with("Value")).cloned());
    }
    labels.into_iter().map(|label| (label, name.to_owned())).collect()
}

fn series(panel: &Value, target: &Value, place: usize, at: Timestamp) -> Series {
    let value = |n: usize| match n {
        // A gap, and one value alone between two.
        10..=19 | 21..=29 => None,
        _ if target["expr"].as_str().is_some_and(|text| text.contains("since")) => {
            Some(at.as_millisecond() as f64 - 90_000.0)
        }
        _ => Some(((n * (place + 1)) as f64 / 15.0).sin() * 10f64.powi(place as i32)),
    };
    let values = if target["instant"] == true { vec![value(1)] } else { (0..=STEPS).map(value).collect() };
    Series { labels: labels(panel, target, NAMES[place % NAMES.len()]), values }
}

fn made_up(board: &Board, count: usize) -> Record {
    let from = Timestamp::from_second(1_795_353_002).unwrap();
    let to = Timestamp::from_second(1_795_353_002 + 5 * STEPS as i64).unwrap();
    let mut answers = Vec::new();
    for panel in board.panels() {
        let values = if panel["repeat"].is_null() { vec![None] } else { vec![Some("cpu_cores"), Some("<&>")] };
        for value in values {
            for target in panel["targets"].as_array().unwrap() {
                answers.push(Answer {
                    panel: panel["id"].as_i64().unwrap(),
                    query: target["refId"].as_str().unwrap().to_owned(),
                    expression: target["expr"].as_str().unwrap().to_owned(),
                    repeated: value.map(str::to_owned),
                    series: (0..count).map(|place| series(panel, target, place, to)).collect(),
                });
            }
        }
    }
    let variables = board.variables().iter().map(|variable| (variable.name.to_owned(), NAMES[1].to_owned())).collect();
    Record { board: board.name.to_owned(), from, to, step: 5, variables, answers }
}

/// The records to be drawn: one with many series, one with one, one with none, and the real one if there is one.
fn records(board: &Board) -> Vec<Record> {
    let real = Record::read(Path::new(RECORD), board.name).unwrap();
    [0, 1, 14].map(|count| made_up(board, count)).into_iter().chain(real).collect()
}

/// The tags of a picture, each with the text behind it. Fails if it is no XML of the kind that is written here.
fn tags(svg: &str) -> Vec<(&str, &str)> {
    let mut open = Vec::new();
    let mut tags = Vec::new();
    for part in svg.split('<').skip(1) {
        let (tag, text) = part.split_once('>').unwrap();
        assert!(!text.contains('>') && tag.matches('"').count() % 2 == 0, "{part}");
        for entity in text.split('&').skip(1) {
            assert!(["amp;", "lt;", "gt;", "quot;"].iter().any(|known| entity.starts_with(known)), "{part}");
        }
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "{part}"),
            None if tag.ends_with('/') => {}
            None => open.push(tag.split(' ').next().unwrap()),
        }
        assert!(
            ["svg ", "rect ", "path ", "text ", "/svg", "/text"].iter().any(|known| tag.starts_with(known)),
            "{part}"
        );
        tags.push((tag, text));
    }
    assert!(open.is_empty(), "{open:?}");
    tags
}

fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    tag.split_once(&format!(" {name}=\""))?.1.split_once('"').map(|(value, _)| value)
}

fn number(tag: &str, name: &str) -> f64 {
    let text = attribute(tag, name).unwrap_or_else(|| panic!("no {name}: {tag}"));
    text.parse().unwrap_or_else(|_| panic!("{name} is no number: {tag}"))
}

/// The left, upper, right and lower side of what a tag draws; words are as wide as they are held to be.
fn sides(tag: &str, text: &str) -> [f64; 4] {
    if tag.starts_with("path ") {
        let (xs, ys) = points(attribute(tag, "d").unwrap());
        let lowest = |all: &[f64]| all.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = |all: &[f64]| all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        return [lowest(&xs), lowest(&ys), highest(&xs), highest(&ys)];
    }
    let (x, y) = (number(tag, "x"), number(tag, "y"));
    if tag.starts_with("rect ") {
        return [x, y, x + number(tag, "width"), y + number(tag, "height")];
    }
    let size = attribute(tag, "font-size").map_or(13.0, |size| size.parse().unwrap());
    let plain = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
    let wide = width(&plain, size);
    let left = match attribute(tag, "text-anchor").unwrap() {
        "start" => x,
        "middle" => x - wide / 2.0,
        _ => x - wide,
    };
    [left, y - size, left + wide, y + size * 0.3]
}

/// All places along a path.
fn points(d: &str) -> (Vec<f64>, Vec<f64>) {
    let (mut xs, mut ys) = (Vec::new(), Vec::new());
    let apart = ['M', 'L', 'H', 'V', 'Z'].iter().fold(d.to_owned(), |d, c| d.replace(*c, &format!(" {c} ")));
    let mut words = apart.split_whitespace();
    while let Some(command) = words.next() {
        let mut next = || words.next().unwrap().parse().unwrap();
        match command {
            "M" | "L" => {
                xs.push(next());
                ys.push(next());
            }
            "H" => xs.push(next()),
            "V" => ys.push(next()),
            "Z" => {}
            other => panic!("{other}: {d}"),
        }
    }
    (xs, ys)
}

#[test]
fn every_panel_of_every_board_is_in_its_picture() {
    for board in boards().unwrap() {
        for record in records(&board) {
            let (svg, _) = page::svg(&board, &record).unwrap();
            let texts: Vec<&str> = tags(&svg).into_iter().map(|(_, text)| text).collect();
            for panel in panels(&board, &record).unwrap() {
                assert!(texts.contains(&escaped(&panel.title).as_str()), "{}: {}", board.name, panel.title);
            }
            assert!(texts.contains(&escaped(&page::caption(&record)).as_str()), "{}", board.name);
        }
    }
}

#[test]
fn pictures_are_xml_without_a_wrong_number_and_within_their_frame() {
    for board in boards().unwrap() {
        for record in records(&board) {
            let (svg, height) = page::svg(&board, &record).unwrap();
            for wrong in ["NaN", "inf", "null"] {
                let found = svg.lines().find(|line| line.contains(wrong));
                assert_eq!(found, None, "{}", board.name);
            }
            for (tag, text) in tags(&svg).into_iter().filter(|(tag, _)| !tag.starts_with('/')).skip(1) {
                let [left, top, right, bottom] = sides(tag, text);
                let is_within = left >= 0.0 && top >= 0.0 && right <= page::WIDTH && bottom <= height;
                assert!(is_within && left <= right && top <= bottom, "{}: {tag}>{text}", board.name);
            }
        }
    }
}

#[test]
fn a_board_that_asks_for_something_else_is_not_drawn_from_an_old_record() {
    for mut board in boards().unwrap() {
        let record = made_up(&board, 1);
        board.json["panels"][0]["targets"][0]["expr"] = "up".into();
        let error = page::svg(&board, &record).unwrap_err().to_string();
        assert!(error.contains("tests/run --boards"), "{error}");
        board.json["panels"][0]["id"] = 99.into();
        assert!(page::svg(&board, &record).is_err());
    }
}

/// What is drawn knows only as much of a board's language as the boards use.
#[test]
fn boards_say_nothing_that_a_picture_would_leave_out() {
    for board in boards().unwrap() {
        for panel in board.panels() {
            for other in panel["fieldConfig"]["overrides"].as_array().into_iter().flatten() {
                let wanted = other["matcher"]["options"].as_str().unwrap();
                let word = wanted.trim_matches('/').trim_start_matches('^');
                let is_plain = word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                assert!(is_plain, "{}: {wanted}", board.name);
            }
            let calcs = &panel["options"]["reduceOptions"]["calcs"];
            assert!(calcs.is_null() || calcs == &serde_json::json!(["lastNotNull"]), "{}: {calcs}", board.name);
        }
    }
}
