//! `-o jsonpath=TEMPLATE` in kubectl's dialect: text, `{path}`, `{range path}...{end}` and `{"text"}`.
//!
//! As in kubectl, no line break follows the output, and several results of one path stand in one line.

use serde_json::Value;

use super::path::{self, Path};
use super::{TemplateError, text};

/// A template, ready to be filled in.
#[derive(Clone, Debug)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    Path(Path),
    Range(Path, Vec<Part>),
}

/// A `range` whose `end` has not come yet.
struct Open {
    path: Path,
    at: usize,
    before: Vec<Part>,
}

impl Template {
    /// Reads a template. One without braces is a path, as in kubectl's `--sort-by`.
    ///
    /// # Errors
    /// Names the place of the mistake.
    pub fn parse(template: &str) -> Result<Self, TemplateError> {
        if !template.contains('{') {
            let (path, at) = path::trim(template, 1);
            if path.is_empty() {
                return Err(TemplateError::new(1, "the template is empty"));
            }
            return Ok(Self(vec![Part::Path(Path::parse(path, at)?)]));
        }
        let mut parts = Vec::new();
        let mut open: Vec<Open> = Vec::new();
        let mut rest = template;
        loop {
            let (before, braces) = rest.split_at(rest.find('{').unwrap_or(rest.len()));
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            if braces.is_empty() {
                break;
            }
            let at = 1 + template[..template.len() - braces.len()].chars().count();
            let end = path::closing(braces, '{', '}').ok_or_else(|| TemplateError::new(at, "this { has no }"))?;
            action(&braces[1..end], at + 1, &mut parts, &mut open)?;
            rest = &braces[end + 1..];
        }
        match open.pop() {
            Some(range) => Err(TemplateError::new(range.at, "this range has no {end}")),
            None => Ok(Self(parts)),
        }
    }

    /// Fills it in.
    pub fn fill(&self, document: &Value) -> String {
        let mut out = String::new();
        fill(&self.0, document, document, &mut out);
        out
    }
}

/// What stands between two braces.
fn action(inner: &str, at: usize, parts: &mut Vec<Part>, open: &mut Vec<Open>) -> Result<(), TemplateError> {
    let (inner, at) = path::trim(inner, at);
    if inner == "end" {
        let range = open.pop().ok_or_else(|| TemplateError::new(at, "there is no range to end here"))?;
        let body = std::mem::replace(parts, range.before);
        parts.push(Part::Range(range.path, body));
        return Ok(());
    }
    if let Some(over) = inner.strip_prefix("range").filter(|over| over.starts_with(char::is_whitespace)) {
        let (over, over_at) = path::trim(over, at + "range".len());
        let path = Path::parse(over, over_at)?;
        open.push(Open { path, at, before: std::mem::take(parts) });
        return Ok(());
    }
    parts.push(match inner.chars().next() {
        None => return Err(TemplateError::new(at, "there is nothing between these braces")),
        Some('\'' | '"') => Part::Text(literal(inner, at)?),
        Some(_) => Part::Path(Path::parse(inner, at)?),
    });
    Ok(())
}

/// `"text"` with the escapes that Go knows.
fn literal(quoted: &str, at: usize) -> Result<String, TemplateError> {
    if path::quoted_end(quoted) != Some(quoted.len()) {
        return Err(TemplateError::new(at, "one text in quotes belongs here, and nothing behind it"));
    }
    let mut out = String::new();
    let mut chars = quoted[1..quoted.len() - 1].chars().enumerate();
    while let Some((i, c)) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        let wrong = || TemplateError::new(at + 1 + i, "this escape is not known; \\n, \\t, \\\\, \\\" and \\u00e9 are");
        out.push(match chars.next() {
            Some((_, 'n')) => '\n',
            Some((_, 't')) => '\t',
            Some((_, 'r')) => '\r',
            Some((_, c @ ('\\' | '"' | '\''))) => c,
            Some((_, 'u')) => {
                let hex: String = chars.by_ref().take(4).map(|(_, c)| c).collect();
                u32::from_str_radix(&hex, 16).ok().and_then(char::from_u32).ok_or_else(wrong)?
            }
            _ => return Err(wrong()),
        });
    }
    Ok(out)
}

fn fill(parts: &[Part], root: &Value, current: &Value, out: &mut String) {
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Path(path) => {
                let found: Vec<String> = path.find(root, current).into_iter().map(text).collect();
                out.push_str(&found.join(" "));
            }
            Part::Range(path, body) => path.find(root, current).into_iter().for_each(|at| fill(body, root, at, out)),
        }
    }
}
