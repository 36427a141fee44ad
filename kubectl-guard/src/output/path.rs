//! Paths as kubectl writes them, translated to the JSONPath of RFC 9535 and evaluated by a library.
//!
//! kubectl leaves out the leading `$`, puts dots behind a backslash, and lets a quoted key be a path of its own.

use jsonpath_rust::parser::model::JpQuery;
use jsonpath_rust::parser::parse_json_path;
use jsonpath_rust::query::{QueryRef, js_path_process};
use serde_json::Value;

use super::TemplateError;

/// Filters in filters, and keys in keys: nobody types more.
const DEEPEST: usize = 8;

/// A path through a document.
#[derive(Clone, Debug)]
pub(super) struct Path {
    /// It began with `$`: inside a `range` it starts at the document all the same.
    from_root: bool,
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
enum Step {
    Query(Box<JpQuery>),
    /// `['a', 'b.c']`: all results of the first, then all of the second, as in kubectl.
    Union(Vec<Path>),
}

impl Path {
    /// Reads a path; `at` is where it stands in what was typed. Its first dot may be missing.
    pub(super) fn parse(text: &str, at: usize) -> Result<Self, TemplateError> {
        parse(text, at, 0)
    }

    /// What it leads to.
    pub(super) fn find<'a>(&self, root: &'a Value, current: &'a Value) -> Vec<&'a Value> {
        let mut found = vec![if self.from_root { root } else { current }];
        for step in &self.steps {
            found = match step {
                Step::Query(query) => found.into_iter().flat_map(|value| results(query, value)).collect(),
                Step::Union(paths) => {
                    paths.iter().flat_map(|path| found.iter().flat_map(|value| path.find(root, value))).collect()
                }
            };
        }
        found
    }
}

/// A filter that compares what cannot be compared finds nothing.
fn results<'a>(query: &JpQuery, value: &'a Value) -> Vec<&'a Value> {
    js_path_process(query, value).unwrap_or_default().into_iter().map(QueryRef::val).collect()
}

fn parse(text: &str, at: usize, depth: usize) -> Result<Path, TemplateError> {
    if depth > DEEPEST {
        return Err(TemplateError::new(at, "this is nested too deeply"));
    }
    let mut reader = Reader { rest: text, at, depth, query: String::new(), steps: Vec::new() };
    let from_root = reader.take('$');
    if !from_root {
        reader.take('@');
    }
    // `.` alone is where we are.
    if reader.rest != "." {
        if !reader.rest.is_empty() && !reader.rest.starts_with(['.', '[']) {
            reader.name("")?;
        }
        while !reader.rest.is_empty() {
            reader.segment()?;
        }
        reader.end_query()?;
    }
    Ok(Path { from_root, steps: reader.steps })
}

struct Reader<'a> {
    rest: &'a str,
    at: usize,
    depth: usize,
    /// What is read of the query in RFC 9535's words, without its `$`.
    query: String,
    steps: Vec<Step>,
}

impl<'a> Reader<'a> {
    fn take(&mut self, c: char) -> bool {
        let Some(rest) = self.rest.strip_prefix(c) else { return false };
        self.rest = rest;
        self.at += 1;
        true
    }

    /// The next `bytes` of what is left.
    fn advance(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        self.at += taken.chars().count();
        taken
    }

    fn segment(&mut self) -> Result<(), TemplateError> {
        if self.take('.') {
            let descends = if self.take('.') { ".." } else { "" };
            return if self.rest.starts_with('[') { self.bracket(descends) } else { self.name(descends) };
        }
        if self.rest.starts_with('[') {
            return self.bracket("");
        }
        let c = self.rest.chars().next().unwrap_or_default();
        Err(TemplateError::new(self.at, format!("{c:?} has no place in a path; put it in quotes within brackets")))
    }

    /// `name` or `*`; a backslash takes the next character as it is.
    fn name(&mut self, descends: &str) -> Result<(), TemplateError> {
        let at = self.at;
        let mut name = String::new();
        let mut escaped = false;
        let mut end = self.rest.len();
        for (i, c) in self.rest.char_indices() {
            match c {
                '\\' if !escaped => {
                    escaped = true;
                    continue;
                }
                c if !escaped && (c.is_whitespace() || ".[]{}(),'\"$@?=<>!&|".contains(c)) => {
                    end = i;
                    break;
                }
                c => name.push(c),
            }
            escaped = false;
        }
        let raw = self.advance(end);
        match name.as_str() {
            "" => return Err(TemplateError::new(at, "a name is missing here")),
            "*" if raw == "*" => self.push(descends, "*"),
            name => self.push(descends, &Value::from(name).to_string()),
        }
        Ok(())
    }

    fn push(&mut self, descends: &str, selector: &str) {
        for part in [descends, "[", selector, "]"] {
            self.query.push_str(part);
        }
    }

    fn bracket(&mut self, descends: &str) -> Result<(), TemplateError> {
        let start = self.at;
        let end = closing(self.rest, '[', ']').ok_or_else(|| TemplateError::new(start, "this [ has no ]"))?;
        let inner = &self.rest[1..end];
        let (trimmed, inner_at) = trim(inner, self.at + 1);
        self.advance(end + 1);
        if let Some(filter) = trimmed.strip_prefix('?') {
            let filter = self.filter(filter, inner_at + 1)?;
            self.push(descends, &format!("?{filter}"));
            return Ok(());
        }
        if trimmed.starts_with(['\'', '"']) {
            return self.keys(trimmed, inner_at, descends);
        }
        if trimmed.is_empty() || !trimmed.chars().all(|c| c.is_ascii_digit() || "*:-, ".contains(c)) {
            let problem = "between [ and ] belong *, numbers, a slice, keys in quotes or a ?(filter)";
            return Err(TemplateError::new(inner_at, problem));
        }
        self.push(descends, trimmed);
        Ok(())
    }

    /// `'a'`, `'a.b'` or `'a', 'b.c'`.
    fn keys(&mut self, text: &str, at: usize, descends: &str) -> Result<(), TemplateError> {
        let mut paths = Vec::new();
        for (key, at) in split(text, at, ',') {
            let (key, at) = trim(key, at);
            let bare = key.strip_prefix('\'').and_then(|key| key.strip_suffix('\''));
            let bare = bare.or_else(|| key.strip_prefix('"').and_then(|key| key.strip_suffix('"')));
            let bare = bare.ok_or_else(|| TemplateError::new(at, "a key in quotes belongs here"))?;
            paths.push(parse(&format!("{descends}{bare}"), at + 1, self.depth + 1)?);
        }
        self.end_query()?;
        match (paths.len(), paths.pop()) {
            (1, Some(path)) => self.steps.extend(path.steps),
            (_, last) => {
                paths.extend(last);
                self.steps.push(Step::Union(paths));
            }
        }
        Ok(())
    }

    /// The filter in RFC 9535's words: only the paths in it differ.
    fn filter(&self, text: &str, at: usize) -> Result<String, TemplateError> {
        let mut out = String::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let here = at + text[..text.len() - rest.len()].chars().count();
            let length = match c {
                '\'' | '"' => quoted_end(rest).ok_or_else(|| TemplateError::new(here, "this quote is not closed"))?,
                '@' => extent(rest),
                '$' => return Err(TemplateError::new(here, "a filter can only look at @, the element itself")),
                c => c.len_utf8(),
            };
            let (part, after) = rest.split_at(length);
            if c == '@' {
                out.push('@');
                out.push_str(&rfc(part, here, self.depth + 1)?);
            } else {
                out.push_str(part);
            }
            rest = after;
        }
        Ok(out)
    }

    fn end_query(&mut self) -> Result<(), TemplateError> {
        if self.query.is_empty() {
            return Ok(());
        }
        let text = format!("${}", std::mem::take(&mut self.query));
        // The library's own words speak of its grammar, not of what was typed.
        let query = parse_json_path(&text)
            .map_err(|_| TemplateError::new(self.at, "what ends here is no path: see its filter or its brackets"))?;
        self.steps.push(Step::Query(Box::new(query)));
        Ok(())
    }
}

/// A path inside a filter, as text.
fn rfc(text: &str, at: usize, depth: usize) -> Result<String, TemplateError> {
    if depth > DEEPEST {
        return Err(TemplateError::new(at, "this is nested too deeply"));
    }
    let mut reader = Reader { rest: text, at, depth, query: String::new(), steps: Vec::new() };
    reader.take('@');
    while !reader.rest.is_empty() {
        reader.segment()?;
    }
    if reader.steps.is_empty() {
        Ok(reader.query)
    } else {
        Err(TemplateError::new(at, "keys in quotes do not work inside a filter; write .a\\.b"))
    }
}

/// Where a path that starts here ends: at a blank or an operator outside of brackets and quotes.
fn extent(text: &str) -> usize {
    let mut i = 1;
    while let Some(c) = text[i..].chars().next() {
        i += match c {
            '[' => match closing(&text[i..], '[', ']') {
                Some(end) => end + 1,
                None => return text.len(),
            },
            '\\' => 1 + text[i + 1..].chars().next().map_or(0, char::len_utf8),
            c if c.is_whitespace() || "=!<>&|(),".contains(c) => return i,
            c => c.len_utf8(),
        };
    }
    i
}

/// The byte behind the quote that closes the one `text` starts with.
pub(super) fn quoted_end(text: &str) -> Option<usize> {
    let quote = text.chars().next()?;
    let mut escaped = false;
    for (i, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return Some(i + 1),
            _ => {}
        }
    }
    None
}

/// The byte of the bracket that closes the one `text` starts with; what is in quotes does not count.
pub(super) fn closing(text: &str, open: char, close: char) -> Option<usize> {
    let mut depth = 0_usize;
    let mut i = 0;
    while let Some(c) = text[i..].chars().next() {
        match c {
            '\'' | '"' => {
                i += quoted_end(&text[i..])?;
                continue;
            }
            c if c == open => depth += 1,
            c if c == close => {
                depth -= 1;
                if depth == 0 {
                    return Some(i);
                }
            }
            _ => {}
        }
        i += c.len_utf8();
    }
    None
}

/// The parts between `separator`s outside of quotes and brackets, each with its place.
pub(super) fn split(text: &str, at: usize, separator: char) -> Vec<(&str, usize)> {
    let mut parts = Vec::new();
    let (mut start, mut i) = (0, 0);
    let place = |byte: usize| at + text[..byte].chars().count();
    while let Some(c) = text[i..].chars().next() {
        i += match c {
            '\'' | '"' => quoted_end(&text[i..]).unwrap_or(text.len() - i),
            '[' => closing(&text[i..], '[', ']').map_or(text.len() - i, |end| end + 1),
            '\\' => 1 + text[i + 1..].chars().next().map_or(0, char::len_utf8),
            c if c == separator => {
                parts.push((&text[start..i], place(start)));
                start = i + c.len_utf8();
                c.len_utf8()
            }
            c => c.len_utf8(),
        };
    }
    parts.push((&text[start..], place(start)));
    parts
}

/// Without the blanks around it, and where it then starts.
pub(super) fn trim(text: &str, at: usize) -> (&str, usize) {
    let start = text.trim_start();
    (start.trim_end(), at + text.chars().count() - start.chars().count())
}
