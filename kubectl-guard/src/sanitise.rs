//! The door through which text from the cluster, a kubeconfig or a file must pass before it is shown or stored.
//!
//! Event messages, container reasons, image names, annotations and log lines can be written by whoever can create a
//! pod. A terminal obeys what is in them: they could recolour, retitle, overwrite lines, forge a prompt, or turn text
//! around. What leaves here holds printable characters only.

use unicode_width::UnicodeWidthChar;

/// No single line of foreign text needs to be wider than this, in terminal columns.
pub const LINE_COLUMNS: usize = 512;
/// No block of foreign text needs more lines than this.
pub const BLOCK_LINES: usize = 400;
/// What looks like the beginning of an OSC sequence and has no end within so many characters is none.
const LONGEST_SEQUENCE: usize = 2048;
/// Marks above and below a letter that real scripts use; more of them only smear over other lines.
const MARKS_IN_A_ROW: usize = 3;

/// Foreign text as one line: line breaks and tabs become blanks, what a terminal would obey is dropped, and what is
/// over [`LINE_COLUMNS`] wide is cut.
pub fn line(text: &str) -> String {
    // As nearly all names are.
    let is_plain = text.len() <= LINE_COLUMNS && text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if is_plain {
        return text.to_owned();
    }
    fit(&whole(text), LINE_COLUMNS)
}

/// Foreign text as one line, as [`line()`], with nothing cut: for programs that read it.
pub fn whole(text: &str) -> String {
    clean(text).replace(['\n', '\t'], " ")
}

/// Foreign text of several lines: as [`line()`], but line breaks and tabs stay, and lines over [`BLOCK_LINES`] are cut.
pub fn block(text: &str) -> String {
    let clean = clean(text);
    let lines: Vec<String> = clean.split('\n').take(BLOCK_LINES).map(|l| fit(l, LINE_COLUMNS)).collect();
    lines.join("\n")
}

/// One line of a change that somebody is to approve, with nothing dropped and nothing cut: what a terminal would obey, or
/// nobody would see, is written out as `\u{202e}`.
pub fn spelled(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for c in line.chars() {
        if is_forbidden(c) || c == '\t' || c == '\n' { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

/// The text cut to at most `columns` terminal columns, the last of them `…` if something was cut.
pub fn fit(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += columns_of(c);
        if used > columns {
            break;
        }
        kept.push(c);
    }
    if columns > 0 {
        kept.push('…');
    }
    kept
}

/// The text in lines of at most `columns`, broken at blanks where there are any.
pub fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(word) <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Terminal columns that the text takes; a tab counts as one.
pub fn width(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

fn columns_of(c: char) -> usize {
    if c == '\t' { 1 } else { c.width().unwrap_or(0) }
}

/// Drops what a terminal would obey; keeps line breaks and tabs.
fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut marks = 0;
    while let Some(c) = rest.chars().next() {
        if let Some(after) = escape_sequence(rest) {
            rest = after;
            continue;
        }
        rest = &rest[c.len_utf8()..];
        if is_forbidden(c) {
            // A lone carriage return or an unusual line separator still separated two words.
            if matches!(c, '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}') && !rest.starts_with('\n') {
                out.push(' ');
            }
            continue;
        }
        marks = if c.width() == Some(0) { marks + 1 } else { 0 };
        if marks <= MARKS_IN_A_ROW {
            out.push(c);
        }
    }
    out
}

/// What follows a whole CSI or OSC sequence at the start of `text`; `None` if there is none. A sequence that never
/// ends is not one: it must not swallow the text behind it.
fn escape_sequence(text: &str) -> Option<&str> {
    let csi = text.strip_prefix("\u{1b}[").or_else(|| text.strip_prefix('\u{9b}'));
    if let Some(body) = csi {
        let end = body.find(|c: char| !matches!(c, ' '..='?'))?;
        let last = body[end..].chars().next()?;
        return matches!(last, '@'..='~').then(|| &body[end + 1..]);
    }
    let body = text.strip_prefix("\u{1b}]").or_else(|| text.strip_prefix('\u{9d}'))?;
    // Each beginning looks for an end: without a bound a text of nothing but beginnings would take for ever.
    let mut near = body.char_indices().take(LONGEST_SEQUENCE);
    let (end, _) = near.find(|(_, c)| matches!(c, '\u{7}' | '\u{1b}' | '\u{9c}' | '\n'))?;
    let tail = &body[end..];
    ["\u{7}", "\u{1b}\\", "\u{9c}"].iter().find_map(|terminator| tail.strip_prefix(terminator))
}

/// True for characters that must never reach a terminal from outside.
pub fn is_forbidden(c: char) -> bool {
    if matches!(c, '\n' | '\t') {
        return false;
    }
    // C0, DEL and C1; then what is invisible or changes the direction of what follows.
    matches!(
        c,
        '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'
            | '\u{1160}'
            | '\u{17b4}'
            | '\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn terminals_obey_nothing_of_it() {
        let cases = [
            ("red \u{1b}[31malert\u{1b}[0m", "red alert"),
            ("title \u{1b}]0;owned\u{7}end", "title end"),
            ("clip \u{1b}]52;c;aGk=\u{1b}\\end", "clip end"),
            ("link \u{1b}]8;;http://x\u{1b}\\here\u{1b}]8;;\u{1b}\\", "link here"),
            ("open \u{1b}]0;never ends", "open ]0;never ends"),
            ("c1 \u{9b}2Jgone", "c1 gone"),
            ("over\rwritten", "over written"),
            ("windows\r\nline", "windows line"),
            ("user\u{202e}txt.exe", "usertxt.exe"),
            ("zero\u{200b}width\u{feff}", "zerowidth"),
            ("tab\tand\nline", "tab and line"),
            ("żółć 日本 ok", "żółć 日本 ok"),
        ];
        for (text, clean) in cases {
            assert_eq!(line(text), clean, "{text:?}");
        }
    }

    #[test]
    fn a_text_of_nothing_but_beginnings_does_not_take_for_ever() {
        let begun = std::time::Instant::now();
        assert_eq!(line(&format!("a{}b", "\u{9d}".repeat(300_000))), "ab");
        assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
    }

    #[test]
    fn for_a_program_nothing_is_cut() {
        let long = format!("{}\u{1b}[31m\n{}", "x".repeat(1000), "y".repeat(1000));
        assert_eq!(whole(&long), format!("{} {}", "x".repeat(1000), "y".repeat(1000)));
    }

    #[test]
    fn blocks_keep_their_lines() {
        assert_eq!(block("a\tb\n\u{1b}[1mc\n"), "a\tb\nc\n");
    }

    #[test]
    fn cuts_at_the_column_not_at_the_character() {
        assert_eq!(fit("abcdef", 6), "abcdef");
        assert_eq!(fit("abcdefg", 6), "abcde…");
        assert_eq!(fit("日本語", 4), "日…");
        assert_eq!(fit("abc", 0), "");
    }

    #[test]
    fn stacked_marks_are_limited() {
        let zalgo = format!("a{}b", "\u{301}".repeat(50));
        assert_eq!(line(&zalgo).chars().count(), 2 + MARKS_IN_A_ROW);
    }

    fn hostile() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            any::<char>().prop_map(String::from),
            proptest::sample::select(vec![
                "\u{1b}", "\u{1b}[", "\u{1b}]", "\u{9b}", "\u{7}", "\\", "31m", "\u{202e}", "\r"
            ])
            .prop_map(String::from),
        ];
        proptest::collection::vec(piece, 0..200).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn nothing_forbidden_ever_leaves(text in hostile()) {
            let one = line(&text);
            prop_assert!(!one.contains(|c| is_forbidden(c) || c == '\n' || c == '\t' || c.is_control()));
            prop_assert!(width(&one) <= LINE_COLUMNS);
            prop_assert!(!block(&text).contains(is_forbidden));
        }

        #[test]
        fn what_is_spelled_holds_nothing_forbidden_and_loses_nothing(text in hostile()) {
            let shown = spelled(&text);
            prop_assert!(!shown.contains(|c| is_forbidden(c) || c == '\n' || c == '\t'));
            prop_assert_eq!(spelled(&shown), shown.clone());
            let hidden = text.chars().filter(|c| is_forbidden(*c) || *c == '\n' || *c == '\t').count();
            prop_assert!(shown.matches("\\u{").count() >= hidden, "{}", shown);
        }

        #[test]
        fn plain_text_is_what_all_of_the_rules_leave_of_it(text in "[ -~]{0,520}") {
            prop_assert_eq!(line(&text), fit(&clean(&text).replace(['\n', '\t'], " "), LINE_COLUMNS));
        }

        #[test]
        fn a_second_pass_changes_nothing(text in hostile()) {
            prop_assert_eq!(line(&line(&text)), line(&text));
        }

        #[test]
        fn fits_where_it_was_told_to(text in hostile(), columns in 0usize..80) {
            prop_assert!(width(&fit(&line(&text), columns)) <= columns);
        }
    }
}
