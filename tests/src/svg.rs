//! Parts of pictures that are written by hand as SVG, so that they need nothing to be made or shown.

use std::fmt::Write as _;

/// How wide a letter is, as a part of its size, in the widest of the usual fonts.
const LETTER: f64 = 0.62;

/// Words as XML may hold them.
pub fn escaped(words: &str) -> String {
    words.chars().fold(String::with_capacity(words.len()), |mut out, letter| {
        match letter {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            // XML has no way to write these.
            letter if letter.is_control() => out.push('\u{fffd}'),
            letter => out.push(letter),
        }
        out
    })
}

/// Words at a place, by their `start`, `middle` or `end`.
pub fn text(out: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    styled(out, (x, y), anchor, "", words);
}

/// The same with attributes of their own, each after a space.
pub fn styled(out: &mut String, (x, y): (f64, f64), anchor: &str, style: &str, words: &str) {
    let words = escaped(words);
    writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\"{style}>{words}</text>").ok();
}

/// How much room words take at most.
pub fn width(words: &str, size: f64) -> f64 {
    words.chars().count() as f64 * size * LETTER
}

/// Words that fit into some room, with a mark if some are left out.
pub fn fitted(words: &str, size: f64, room: f64) -> String {
    if width(words, size) <= room {
        return words.to_owned();
    }
    let letters = (room / (size * LETTER)).floor().max(1.0) as usize - 1;
    let kept: String = words.chars().take(letters).collect();
    format!("{}…", kept.trim_end())
}

/// A line through points; one that does not go on with the point before it begins a new part.
pub fn path(points: impl IntoIterator<Item = (f64, f64, bool)>) -> String {
    points.into_iter().fold(String::new(), |mut path, (x, y, goes_on)| {
        write!(path, "{}{x:.1} {y:.1}", if goes_on { 'L' } else { 'M' }).ok();
        path
    })
}

/// The next of 1, 2, 4, 5 or 10 times a power of ten.
pub fn round_up(value: f64) -> f64 {
    let power = 10f64.powf(value.max(1e-9).log10().floor());
    [1.0, 2.0, 4.0, 5.0, 10.0].map(|step| step * power).into_iter().find(|step| *step >= value).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_no_markup() {
        let mut out = String::new();
        text(&mut out, 1.0, 2.0, "end", "<b a=\"1\">&\u{1}");
        let words = "&lt;b a=&quot;1&quot;&gt;&amp;\u{fffd}";
        assert_eq!(out, format!("<text x=\"1.0\" y=\"2.0\" text-anchor=\"end\">{words}</text>\n"));
    }

    #[test]
    fn what_does_not_fit_is_cut_and_marked() {
        assert_eq!(fitted("short", 10.0, 100.0), "short");
        let cut = fitted("a name that is much too long", 10.0, 100.0);
        assert!(cut.ends_with('…') && width(&cut, 10.0) <= 100.0, "{cut}");
        assert_eq!(fitted("anything", 10.0, 0.0), "…");
    }

    #[test]
    fn scales_end_with_a_round_number() {
        for (highest, end) in [(0.3, 0.4), (17.0, 20.0), (100.0, 100.0), (41.0, 50.0)] {
            assert!((round_up(highest) - end).abs() < 1e-9, "{highest}: {}", round_up(highest));
        }
    }
}
