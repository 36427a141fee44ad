//! `-o custom-columns=TITLE:PATH,...`: one line for each element, `<none>` where there is nothing.

use serde_json::Value;

use super::path::{self, Path};
use super::{TemplateError, text};
use crate::sanitise;

/// Columns stand this far apart, as kubectl's do.
const GAP: usize = 3;

/// Titles and paths.
#[derive(Clone, Debug)]
pub struct Columns(Vec<(String, Path)>);

impl Columns {
    /// Reads `TITLE:PATH,TITLE:PATH`; braces around a path and its first dot may be missing.
    ///
    /// # Errors
    /// Names the place of the mistake.
    pub fn parse(spec: &str) -> Result<Self, TemplateError> {
        path::split(spec, 1, ',')
            .into_iter()
            .map(|(column, at)| column_of(column, at))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The table of these elements.
    pub fn fill(&self, items: &[Value], headless: bool) -> String {
        let titles = (!headless).then(|| self.0.iter().map(|(title, _)| title.clone()).collect());
        let lines: Vec<Vec<String>> = titles.into_iter().chain(items.iter().map(|item| self.line(item))).collect();
        let widths: Vec<usize> = (0..self.0.len())
            .map(|column| lines.iter().map(|line| sanitise::width(&line[column])).max().unwrap_or(0))
            .collect();
        let drawn = lines.iter().map(|line| {
            let cells = line.iter().zip(&widths);
            let padded =
                cells.map(|(cell, width)| format!("{cell}{}", " ".repeat(width - sanitise::width(cell) + GAP)));
            padded.collect::<String>().trim_end().to_owned() + "\n"
        });
        drawn.collect()
    }

    fn line(&self, item: &Value) -> Vec<String> {
        let cell = |path: &Path| {
            let found: Vec<String> =
                path.find(item, item).into_iter().filter(|value| !value.is_null()).map(text).collect();
            if found.is_empty() { "<none>".to_owned() } else { found.join(",") }
        };
        self.0.iter().map(|(_, path)| cell(path)).collect()
    }
}

fn column_of(column: &str, at: usize) -> Result<(String, Path), TemplateError> {
    let wrong = || TemplateError::new(at, format!("{column:?} is no TITLE:PATH"));
    let (title, path) = column.split_once(':').ok_or_else(wrong)?;
    let (path, path_at) = path::trim(path, at + title.chars().count() + 1);
    let (bare, path_at) = match path.strip_prefix('{').and_then(|path| path.strip_suffix('}')) {
        Some(bare) => path::trim(bare, path_at + 1),
        None => (path, path_at),
    };
    if title.trim().is_empty() || bare.is_empty() {
        return Err(wrong());
    }
    Ok((sanitise::line(title.trim()), Path::parse(bare, path_at)?))
}
