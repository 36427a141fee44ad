//! Where in a YAML or JSON text a key stands.

use granit_parser::{Event, Parser};

/// A collection that is not closed yet: where in it we are.
enum Inside {
    /// In a map: the key whose value is next, if one was read.
    Map(Option<String>),
    /// In a list: how many items were read.
    List(usize),
}

/// Line and column, both from 1, of the key at the end of this path; list items are counted from 0. `None` if it is not
/// there.
pub(super) fn place(text: &str, path: &[String]) -> Option<(usize, usize)> {
    let mut open: Vec<Inside> = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.ok()?;
        match event {
            Event::Scalar(text, ..) => match open.last_mut() {
                Some(Inside::Map(key @ None)) => {
                    *key = Some(text.into_owned());
                    if is_at(&open, path) {
                        return Some((span.start.line(), span.start.col() + 1));
                    }
                }
                _ => value_ends(&mut open),
            },
            Event::MappingStart(..) => open.push(Inside::Map(None)),
            Event::SequenceStart(..) => open.push(Inside::List(0)),
            Event::MappingEnd | Event::SequenceEnd => {
                open.pop();
                value_ends(&mut open);
            }
            Event::Alias(_) | Event::UnresolvedAlias(_) => value_ends(&mut open),
            _ => {}
        }
    }
    None
}

fn value_ends(open: &mut [Inside]) {
    match open.last_mut() {
        Some(Inside::Map(key)) => *key = None,
        Some(Inside::List(read)) => *read += 1,
        None => {}
    }
}

fn is_at(open: &[Inside], path: &[String]) -> bool {
    open.len() == path.len()
        && open.iter().zip(path).all(|(inside, wanted)| match inside {
            Inside::Map(key) => key.as_ref() == Some(wanted),
            Inside::List(index) => index.to_string() == *wanted,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, path: &[&str]) -> Option<(usize, usize)> {
        place(text, &path.iter().map(|&part| part.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_key_is_found_in_yaml_and_json() {
        let yaml = "a: 1\nsteps:\n- target: {x: 1}\n  patch: {}\n- target:\n    x: 1\n    y: 2\n";
        assert_eq!(at(yaml, &["steps"]), Some((2, 1)));
        assert_eq!(at(yaml, &["steps", "0", "patch"]), Some((4, 3)));
        assert_eq!(at(yaml, &["steps", "1", "target", "y"]), Some((7, 5)));
        assert_eq!(at(yaml, &["steps", "1", "patch"]), None);
        assert_eq!(at("{\"a\": [{\"b\": 1}, [2], {\"b\": 3}]}", &["a", "2", "b"]), Some((1, 24)));
    }

    #[test]
    fn no_text_is_too_odd() {
        for text in ["", "a", "- 1\n- 2", "{", "a: &x 1\nb: *x\nc: 2", "? [1]\n: 2"] {
            assert_eq!(at(text, &["z", "1"]), None, "{text}");
        }
    }
}
