//! YAML as a tree in which every key and value knows where it stands. Bounded in depth and size: no file can exhaust
//! the stack or the memory.

use granit_parser::{Event, Parser, ScalarStyle, Span};

use super::problem::{Place, Problem};

/// Deeper than any setting.
const MAX_DEPTH: usize = 16;
/// More than any configuration holds.
const MAX_NODES: usize = 10_000;

/// A value, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Content,
    pub(super) at: Place,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// A text; `plain` if it stands without quotes, so that it may mean a number, a boolean or nothing.
    Scalar { text: String, plain: bool },
    /// A list.
    List(Vec<Node>),
    /// Keys and their values.
    Map(Vec<(String, Place, Node)>),
}

impl Node {
    /// The value is left out: `key:` or `key: null`.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Content::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// What it is, in words.
    pub(super) fn kind(&self) -> String {
        match &self.value {
            Content::Scalar { .. } if self.is_null() => "nothing".to_owned(),
            Content::Scalar { text, .. } => format!("{:?}", crate::sanitise::line(text)),
            Content::List(_) => "a list".to_owned(),
            Content::Map(_) => "a section".to_owned(),
        }
    }

    /// The same without quoting it: `webhook_url:https://...`, with no space behind the colon, is a text where a section should be.
    pub(super) fn shape(&self) -> String {
        match &self.value {
            Content::Scalar { .. } if !self.is_null() => "a single value".to_owned(),
            _ => self.kind(),
        }
    }
}

/// A collection that is not closed yet.
struct Open {
    at: Place,
    key: Option<(String, Place)>,
    entries: Vec<(String, Place, Node)>,
    items: Vec<Node>,
    is_map: bool,
}

/// Builds the tree from the parser's events.
#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
    documents: usize,
}

/// Parses one YAML document; `None` if there is nothing in it.
///
/// # Errors
/// If it is no YAML, too deep or too large, or uses what no configuration needs: aliases, tags, several documents.
pub(super) fn parse(text: &str) -> Result<Option<Node>, Problem> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, span) = event
            .map_err(|error| Problem::new(place(*error.marker()), format!("this is no YAML: {}", error.info())))?;
        builder.take(event, span)?;
    }
    Ok(builder.root.filter(|root| !root.is_null()))
}

fn place(marker: granit_parser::Marker) -> Place {
    Place { line: marker.line(), column: marker.col() + 1 }
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Problem> {
        let at = place(span.start);
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(Problem::new(at, "a second document; one file holds one configuration"));
                }
            }
            Event::Scalar(text, style, _, tag) => {
                refuse_tag(tag.is_some(), at)?;
                let plain = style == ScalarStyle::Plain;
                self.scalar(text.into_owned(), plain, at)?;
            }
            Event::MappingStart(_, _, tag) => {
                refuse_tag(tag.is_some(), at)?;
                self.start(true, at)?;
            }
            Event::SequenceStart(_, _, tag) => {
                refuse_tag(tag.is_some(), at)?;
                self.start(false, at)?;
            }
            Event::MappingEnd | Event::SequenceEnd => self.end()?,
            Event::Alias(_) | Event::UnresolvedAlias(_) => {
                return Err(Problem::new(at, "an alias; write the value itself"));
            }
            _ => {}
        }
        Ok(())
    }

    fn scalar(&mut self, text: String, plain: bool, at: Place) -> Result<(), Problem> {
        if let Some(open) = self.open.last_mut()
            && open.is_map
            && open.key.is_none()
        {
            if let Some((_, first, _)) = open.entries.iter().find(|(key, ..)| *key == text) {
                let key = crate::sanitise::line(&text);
                return Err(Problem::new(
                    at,
                    format!("key {key:?} stands here a second time, first in line {}", first.line),
                ));
            }
            open.key = Some((text, at));
            return Ok(());
        }
        self.put(Node { value: Content::Scalar { text, plain }, at })
    }

    fn start(&mut self, is_map: bool, at: Place) -> Result<(), Problem> {
        if self.open.len() >= MAX_DEPTH {
            return Err(Problem::new(at, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        if self.open.last().is_some_and(|open| open.is_map && open.key.is_none()) {
            return Err(Problem::new(at, "a key must be a name"));
        }
        self.open.push(Open { at, key: None, entries: Vec::new(), items: Vec::new(), is_map });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Problem> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let value = if open.is_map { Content::Map(open.entries) } else { Content::List(open.items) };
        self.put(Node { value, at: open.at })
    }

    fn put(&mut self, node: Node) -> Result<(), Problem> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(Problem::new(node.at, format!("more than {MAX_NODES} values")));
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(open) => match open.key.take() {
                Some((key, at)) => open.entries.push((key, at, node)),
                None => open.items.push(node),
            },
        }
        Ok(())
    }
}

fn refuse_tag(tagged: bool, at: Place) -> Result<(), Problem> {
    if tagged { Err(Problem::new(at, "a tag; write the plain value")) } else { Ok(()) }
}
