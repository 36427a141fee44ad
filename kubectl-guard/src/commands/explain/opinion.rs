//! `explain --llm`: the page in plain words, then what a language model makes of it.

use std::path::PathBuf;

use jiff::Timestamp;

use super::Page;
use crate::audit::Journal;
use crate::connect::Environment;
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;
use crate::llm::{self, Case, LlmArgs, Pseudonyms};
use crate::render::prose;
use crate::rows::Row;
use crate::sanitise;

/// Prints exactly what would be sent, and sends nothing.
pub(super) fn show_prompt(args: &LlmArgs, page: &Page, rows: &[Row], console: &Console) -> Result<Exit, Error> {
    let mut names = Pseudonyms::at(key().as_deref());
    if let Some((row, detail)) = &page.subject {
        let case = Case::new(row, detail, rows, Timestamp::now(), &mut names);
        console.print(&llm::request(&args.endpoint()?, &case, args.budget()))?;
    }
    Ok(Exit::Done)
}

/// Adds the words and the opinion. That there is none is a warning: the words are there all the same.
pub(super) async fn add(args: &LlmArgs, page: &Page, rows: &[Row], console: &Console) -> Result<(), Error> {
    let Some((row, detail)) = &page.subject else { return Ok(()) };
    let now = Timestamp::now();
    let words = sanitise::wrap(&prose::pod(row, detail, rows, now), console.columns());
    console.print(&format!("\nIn plain words\n{}\n", words.join("\n")))?;
    let endpoint = args.endpoint()?;
    let mut names = Pseudonyms::at(key().as_deref());
    let case = Case::new(row, detail, rows, now, &mut names);
    console.note(&format!(
        "asking {} at {}: numbers and pseudonyms leave this machine, --show-prompt shows them",
        sanitise::line(&endpoint.model),
        endpoint.server()
    ));
    match llm::ask(&endpoint, &case, &names, args.budget(), &Environment::of_process()).await {
        Ok((answer, reply)) => console.print(&llm::show(&answer, &reply, &endpoint, row, console.columns())),
        Err(error) => {
            console.warn(&format!("no opinion of a model: {error}; {}", error.next_step()));
            Ok(())
        }
    }
}

/// The file of the secret that pseudonyms are made with: beside the journal.
pub(crate) fn key() -> Option<PathBuf> {
    let journal = Journal::of_user(|name| std::env::var_os(name)).ok()?;
    Some(journal.path().with_file_name("pseudonyms.key"))
}
