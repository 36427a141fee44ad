//! `tests/FIGURES.md`: each of its sections is written by the command that measures it, and by nobody else.

use std::fs;

use anyhow::{Context, Result};

/// The page.
pub const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/FIGURES.md");

/// What a test holds without a count: what, the test, and its file from the root of the repository.
pub type Held = (&'static str, &'static str, &'static str);

/// A table of them, in Markdown.
pub fn held(what: &str, tests: &[Held]) -> String {
    let mut text = format!("\nHeld by a test each, without a count:\n\n| {what} | test |\n| --- | --- |\n");
    text.extend(tests.iter().map(|(what, test, file)| format!("| {what} | [{test}](../{file}) |\n")));
    text
}

/// Puts a section in the place of the one that was there.
///
/// # Errors
/// If the page has no place for it, or cannot be written.
pub fn set(section: &str, text: &str) -> Result<()> {
    let page = fs::read_to_string(PAGE).context(PAGE)?;
    let page = replaced(&page, section, text).with_context(|| format!("{PAGE} has no section {section}"))?;
    Ok(fs::write(PAGE, page)?)
}

/// The page with a section exchanged; `None` if it has none of this name.
fn replaced(page: &str, section: &str, text: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- {section} -->\n"), format!("<!-- end of {section} -->\n"));
    let (head, rest) = page.split_once(&begin)?;
    let (_, tail) = rest.split_once(&end)?;
    Some(format!("{head}{begin}{}\n{end}{tail}", text.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_test_that_is_named_is_there() {
        let root = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        for (_, test, file) in crate::survival::HELD.iter().chain(&crate::fuzzing::HELD) {
            let text = fs::read_to_string(root.join(file)).unwrap();
            assert!(text.contains(&format!("fn {test}(")), "{file}: {test}");
        }
    }

    #[test]
    fn a_section_is_exchanged_and_the_rest_stays() {
        let page = "# Page\n<!-- a -->\nold\n<!-- end of a -->\nbetween\n<!-- b -->\n<!-- end of b -->\n";
        let once = replaced(page, "a", "new\n\n").unwrap();
        assert_eq!(once, page.replace("old", "new"));
        let both = replaced(&once, "b", "more").unwrap();
        assert_eq!(replaced(&both, "a", "new").unwrap(), both);
        assert_eq!(replaced(page, "c", ""), None);
    }
}
