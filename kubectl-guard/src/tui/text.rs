//! Text for the screen: what a cell or a line means, and how it is cut and folded.

use unicode_width::UnicodeWidthChar as _;

use crate::sanitise;

/// What a text means beside its words; the words always say it too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// As any other.
    #[default]
    Plain,
    /// Of less interest.
    Dim,
    /// A heading.
    Bold,
    /// Over its line.
    Warning,
    /// Far over its line, refused or failed.
    Critical,
    /// Good, or added.
    Good,
}

/// A text with its tone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Toned {
    /// The text; what is foreign in it is sanitised.
    pub text: String,
    /// What it means.
    pub tone: Tone,
}

impl Toned {
    /// A text with a tone.
    pub fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone }
    }
}

impl From<String> for Toned {
    fn from(text: String) -> Self {
        Self::new(text, Tone::Plain)
    }
}

impl From<&str> for Toned {
    fn from(text: &str) -> Self {
        Self::new(text, Tone::Plain)
    }
}

/// The text cut to these columns and filled up to them with blanks.
pub fn filled(text: &str, columns: usize) -> String {
    let mut cut = sanitise::fit(text, columns);
    cut.extend(std::iter::repeat_n(' ', columns.saturating_sub(sanitise::width(&cut))));
    cut
}

/// A line in pieces of at most these columns: nothing of it is lost. The pieces after the first are indented like it.
pub fn folded(line: &str, columns: usize) -> Vec<String> {
    let blanks = line.chars().take_while(|c| *c == ' ').count();
    let indent = if blanks + 8 <= columns { " ".repeat(blanks) } else { String::new() };
    let mut pieces = Vec::new();
    let mut piece = String::new();
    let mut used = 0;
    for c in line.chars() {
        let width = c.width().unwrap_or(0);
        if used + width > columns && used > 0 {
            let next = indent.clone() + &after_last_blank(&mut piece, indent.len());
            used = sanitise::width(&next);
            pieces.push(std::mem::replace(&mut piece, next));
        }
        piece.push(c);
        used += width;
    }
    pieces.push(piece);
    pieces
}

/// Takes away the word that the piece ends within, if it does not begin with it.
fn after_last_blank(piece: &mut String, indent: usize) -> String {
    match piece.rfind(' ') {
        Some(blank) if blank > indent && !piece[..blank].trim().is_empty() => {
            let word = piece.split_off(blank + 1);
            piece.truncate(piece.trim_end().len());
            word
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_are_folded_at_blanks_and_keep_their_indent() {
        assert_eq!(folded("  why       sends too much", 14), ["  why", "  sends too", "  much"]);
        assert_eq!(folded("sha256:0123456789", 8), ["sha256:0", "12345678", "9"]);
        assert_eq!(folded("日本語 text", 5), ["日本", "語", "text"]);
        assert_eq!(folded("", 10), [""]);
    }

    #[test]
    fn cells_are_exactly_as_wide_as_their_column() {
        assert_eq!(filled("日本", 5), "日本 ");
        assert_eq!(filled("日本語", 5), "日本…");
        assert_eq!(filled("日本語", 4), "日… ");
        assert_eq!(filled("abc", 0), "");
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_everything_fits(line in "[ a-z日é]{0,120}", columns in 2usize..60) {
            let pieces = folded(&line, columns);
            let squeezed = |text: &str| text.replace(' ', "");
            prop_assert_eq!(squeezed(&pieces.concat()), squeezed(&line));
            prop_assert!(pieces.iter().all(|piece| sanitise::width(piece) <= columns), "{:?}", pieces);
        }
    }
}
