//! `audit verify`: is the journal whole, and does the API server's audit log agree with it?

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use jiff::Timestamp;

use crate::audit::{Chain, Findings, Heads, Journal, check, compare};
use crate::console::Console;
use crate::error::Error;
use crate::exit::Exit;

/// Arguments of `audit`.
#[derive(Args, Clone, Debug)]
pub struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

/// What can be done with the journal.
#[derive(Clone, Debug, Subcommand)]
enum AuditCommand {
    /// Name the first line of the journal that was edited, lost or moved
    Verify(VerifyArgs),
}

/// Arguments of `audit verify`.
#[derive(Args, Clone, Debug)]
struct VerifyArgs {
    /// Audit log of the API server (JSON lines) to compare with: finds a journal that was rewritten, or whose end is
    /// cut off
    #[arg(long, value_name = "AUDIT_LOG")]
    against: Option<PathBuf>,
}

/// Verifies the journal; what is wrong with it makes exit code 1.
///
/// # Errors
/// The journal or the audit log cannot be read.
pub fn run(args: &AuditArgs, console: &Console) -> Result<Exit, Error> {
    let AuditCommand::Verify(args) = &args.command;
    let journal = Journal::of_user(|name| std::env::var_os(name))?;
    let chain = check(&journal.bytes()?);
    let heads = args.against.as_deref().map(heads).transpose()?;
    let findings = heads.as_ref().map(|heads| compare(&chain, heads));
    console.print(&verdict(journal.path(), &chain))?;
    if let Some(heads) = heads.as_ref().filter(|heads| heads.unreadable > 0) {
        console.warn(&format!("{} lines of the audit log are no events of it, and were left out", heads.unreadable));
    }
    match &findings {
        Some(findings) => console.print(&told(findings))?,
        None => console.note(BLIND_SPOT),
    }
    let wrong = chain.flaw.is_some() || findings.is_some_and(|findings| findings.accuse());
    Ok(if wrong { Exit::Error } else { Exit::Done })
}

/// What hashes alone cannot know.
const BLIND_SPOT: &str = "note: a chain alone cannot show that all of it was written anew from some line on, or that its \
last lines were changed or cut off; --against AUDIT_LOG compares it with what the API server saw";

fn heads(log: &Path) -> Result<Heads, Error> {
    let failed = |source| Error::Io { doing: format!("read {}", log.display()), source };
    let mut reader = BufReader::new(File::open(log).map_err(failed)?);
    let mut heads = Heads::default();
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).map_err(failed)? > 0 {
        heads.line(&line);
        line.clear();
    }
    Ok(heads)
}

fn verdict(path: &Path, chain: &Chain) -> String {
    let lines = |n: usize| if n == 1 { "1 line".to_owned() } else { format!("{n} lines") };
    let day = |at: Timestamp| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let span = chain.span.map(|(first, last)| format!(", {} to {}", day(first), day(last)));
    let mut told = vec![format!("{}: {}{}", path.display(), lines(chain.hashes.len()), span.unwrap_or_default())];
    if chain.before > 0 {
        told.push(format!("before the chain: {}, written without hashes; nothing protects them", lines(chain.before)));
    }
    if chain.torn {
        told.push("torn: the last line was not written to its end; it is left out".to_owned());
    }
    let inside = chain.hashes.len() - chain.before;
    told.push(match &chain.flaw {
        Some(flaw) => format!("not whole: {flaw}"),
        None if chain.hashes.is_empty() => "empty: it tells of nothing that was done".to_owned(),
        None if inside == 0 => {
            "no chain: no line has a hash, so nothing shows whether one was edited, lost or moved".to_owned()
        }
        None => format!("whole: no line inside the chain ({inside}) was edited, lost or moved"),
    });
    told.join("\n") + "\n"
}

fn told(findings: &Findings) -> String {
    let rewritten = findings
        .rewritten
        .iter()
        .map(|write| format!("rewritten: the line that was synced before this write is another one now: {write}\n"));
    let cut = findings.cut.iter().map(|write| format!("cut off: the journal ends before this write: {write}\n"));
    let others = findings.others.iter().map(|(chain, writes)| {
        format!("another journal ({chain}): {writes} writes; if they were made from here, this one was begun anew\n")
    });
    let held = match findings.held {
        0 => "no write in the audit log carries a head of this journal\n".to_owned(),
        1 => "agrees: 1 write in the audit log carries a head that the journal holds\n".to_owned(),
        n => format!("agrees: {n} writes in the audit log carry heads that the journal holds\n"),
    };
    rewritten.chain(cut).chain(others).chain([held]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_journal_is_told_with_its_size_and_span() {
        let at = |text: &str| text.parse().unwrap();
        let chain = Chain {
            hashes: vec!["a".into(), "b".into(), "c".into()],
            before: 1,
            span: Some((at("2026-11-22T13:20:05Z"), at("2026-11-23T01:02:03Z"))),
            torn: true,
            ..Chain::default()
        };
        insta::assert_snapshot!(verdict(Path::new("/j"), &chain), @r"
        /j: 3 lines, 2026-11-22T13:20:05Z to 2026-11-23T01:02:03Z
        before the chain: 1 line, written without hashes; nothing protects them
        torn: the last line was not written to its end; it is left out
        whole: no line inside the chain (2) was edited, lost or moved
        ");
    }

    #[test]
    fn a_journal_that_tells_of_nothing_is_not_called_whole() {
        assert_eq!(
            verdict(Path::new("/j"), &Chain::default()),
            "/j: 0 lines\nempty: it tells of nothing that was done\n"
        );
    }

    #[test]
    fn a_journal_without_hashes_is_not_called_whole() {
        let chain = Chain { hashes: vec!["a".into()], before: 1, ..Chain::default() };
        let told = verdict(Path::new("/j"), &chain);
        assert!(told.contains("no chain: no line has a hash") && !told.contains("whole"), "{told}");
    }

    #[test]
    fn each_finding_has_its_line() {
        let write = |what: &str| vec![format!("plan 0f3a: {what} by ann at 2026-11-22T13:20:05Z")];
        let findings = Findings {
            held: 2,
            rewritten: write("patch /apis/apps/v1/x"),
            cut: write("patch /apis/apps/v1/y"),
            others: [("ab12".into(), 3)].into(),
        };
        insta::assert_snapshot!(told(&findings), @r"
        rewritten: the line that was synced before this write is another one now: plan 0f3a: patch /apis/apps/v1/x by ann at 2026-11-22T13:20:05Z
        cut off: the journal ends before this write: plan 0f3a: patch /apis/apps/v1/y by ann at 2026-11-22T13:20:05Z
        another journal (ab12): 3 writes; if they were made from here, this one was begun anew
        agrees: 2 writes in the audit log carry heads that the journal holds
        ");
        insta::assert_snapshot!(told(&Findings::default()), @"no write in the audit log carries a head of this journal");
    }
}
