//! A small runner for tests that share one cluster: in order, one at a time, with libtest's words.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is the test runner: it talks to a person")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, ensure};

/// One test: what it shows, as a name, and how.
pub type Test<C> = (&'static str, Needs, fn(&mut C) -> Result<()>);

/// What a test needs of its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Any cluster.
    Any,
    /// One whose nodes and control plane the tests may stop, and whose audit log they may read.
    Own,
}

/// A line to whoever waits.
pub fn note(text: &str) {
    eprintln!("guard-tests: {text}");
}

/// What must have run before a test of this name, by its name; it runs even if nobody chose it.
pub type Before = fn(&str) -> &'static [&'static str];

/// For tests of which each stands for itself.
pub fn nothing(_: &str) -> &'static [&'static str] {
    &[]
}

/// The words given on the command line.
fn words() -> Vec<String> {
    std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect()
}

/// A test runs if its name contains one of the words, if there are none, or if one that runs needs it before.
fn wanted<'a, C>(tests: &'a [Test<C>], words: &[String], before: Before) -> Result<Vec<&'a Test<C>>> {
    let chosen = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    let mut names: Vec<&str> = tests.iter().map(|(name, ..)| *name).filter(|name| chosen(name)).collect();
    ensure!(!names.is_empty(), "no test has {} in its name", words.join(" or "));
    let mut at = 0;
    while let Some(name) = names.get(at).copied() {
        for needed in before(name) {
            let place = |of: &str| tests.iter().position(|(name, ..)| *name == of);
            ensure!(place(needed).is_some_and(|needed| Some(needed) < place(name)), "{needed} is not before {name}");
            if !names.contains(needed) {
                names.push(needed);
            }
        }
        at += 1;
    }
    Ok(tests.iter().filter(|(name, ..)| names.contains(name)).collect())
}

/// With `--list`, the names of the tests that the words choose, as libtest has them; then nothing is to be run.
pub fn listed<C>(tests: &[Test<C>]) -> Option<ExitCode> {
    std::env::args().any(|word| word == "--list").then(|| {
        // Whoever asks whether there are any is answered by none.
        for (name, ..) in wanted(tests, &words(), nothing).unwrap_or_default() {
            println!("{name}: test");
        }
        ExitCode::SUCCESS
    })
}

/// The tests to run; with the reason for which there are none.
fn chosen<C>(tests: &[Test<C>], before: Before) -> Result<Vec<&Test<C>>, ExitCode> {
    wanted(tests, &words(), before).map_err(|error| {
        eprintln!("guard-tests: {error:#}");
        ExitCode::FAILURE
    })
}

/// Says that no test can run here, and succeeds: the reason is told.
pub fn ignore_all<C>(tests: &[Test<C>], reason: &str) -> ExitCode {
    println!("\nrunning {} tests", tests.len());
    for (name, ..) in tests {
        println!("test {name} ... ignored, {reason}");
    }
    println!("\ntest result: ok. 0 passed; 0 failed; {} ignored; 0 measured; 0 filtered out\n", tests.len());
    ExitCode::SUCCESS
}

/// Runs the wanted tests at once, each with a context of its own: for tests that mostly wait.
pub fn run_at_once<C>(tests: &[Test<C>], context: impl Fn() -> C + Sync) -> ExitCode {
    let chosen = match chosen(tests, nothing) {
        Ok(chosen) => chosen,
        Err(code) => return code,
    };
    println!("\nrunning {} tests", chosen.len());
    let begin = Instant::now();
    let passed = std::thread::scope(|scope| {
        let context = &context;
        let running: Vec<_> = chosen.iter().map(|test| scope.spawn(move || passes(test, &mut context()))).collect();
        // A test that panics is one that fails.
        running.into_iter().map(|test| test.join().unwrap_or(false)).filter(|passed| *passed).count()
    });
    conclude(passed, chosen.len() - passed, 0, tests.len() - chosen.len(), begin)
}

/// Runs one test, and says what came of it.
fn passes<C>((name, _, test): &Test<C>, context: &mut C) -> bool {
    let start = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(|| test(context)));
    let seconds = start.elapsed().as_secs_f64();
    match &result {
        Ok(Ok(())) => println!("test {name} ... ok ({seconds:.1} s)"),
        Ok(Err(error)) => println!("test {name} ... FAILED ({seconds:.1} s)\n{error:#}\n"),
        Err(_) => println!("test {name} ... FAILED ({seconds:.1} s), panicked\n"),
    }
    matches!(result, Ok(Ok(())))
}

fn conclude(passed: usize, failed: usize, ignored: usize, filtered: usize, begin: Instant) -> ExitCode {
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; {filtered} filtered out; finished in {:.2}s\n",
        begin.elapsed().as_secs_f64()
    );
    ExitCode::from(u8::from(failed > 0))
}

/// Runs the wanted tests on what `start` makes, as far as they need no more than it `has`; the first failure does not stop the others.
pub fn run<C>(tests: &[Test<C>], before: Before, has: Needs, start: impl FnOnce() -> Result<C>) -> ExitCode {
    let chosen = match chosen(tests, before) {
        Ok(chosen) => chosen,
        Err(code) => return code,
    };
    let (chosen, ignored): (Vec<&Test<C>>, Vec<&Test<C>>) =
        chosen.into_iter().partition(|(_, needs, _)| has == Needs::Own || *needs == Needs::Any);
    println!("\nrunning {} tests", chosen.len());
    let begin = Instant::now();
    let mut context = match catch_unwind(AssertUnwindSafe(start)) {
        Ok(Ok(context)) => context,
        Ok(Err(error)) => {
            println!("the cluster did not start: {error:#}");
            return ExitCode::FAILURE;
        }
        Err(_) => return ExitCode::FAILURE,
    };
    println!("the cluster is ready after {:.1} s", begin.elapsed().as_secs_f64());
    for (name, ..) in &ignored {
        println!("test {name} ... ignored, needs a cluster of its own");
    }
    let passed = chosen.iter().filter(|test| passes(test, &mut context)).count();
    conclude(passed, chosen.len() - passed, ignored.len(), tests.len() - chosen.len() - ignored.len(), begin)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TESTS: [Test<()>; 4] = [
        ("it_is_installed", Needs::Any, |()| Ok(())),
        ("a_pod_crashes", Needs::Any, |()| Ok(())),
        ("a_pod_is_fixed", Needs::Any, |()| Ok(())),
        ("it_is_taken_away", Needs::Own, |()| Ok(())),
    ];

    fn before(test: &str) -> &'static [&'static str] {
        match test {
            "a_pod_is_fixed" => &["a_pod_crashes"],
            "a_pod_crashes" => &["it_is_installed"],
            _ => &[],
        }
    }

    fn names(words: &[&str], before: Before) -> Result<Vec<&'static str>> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        Ok(wanted(&TESTS, &words, before)?.into_iter().map(|(name, ..)| *name).collect())
    }

    #[test]
    fn words_choose_by_name_what_runs_and_what_it_needs_before() {
        assert_eq!(names(&[], before).unwrap().len(), TESTS.len());
        assert_eq!(names(&["fixed", "installed"], nothing).unwrap(), ["it_is_installed", "a_pod_is_fixed"]);
        let first = ["it_is_installed", "a_pod_crashes", "a_pod_is_fixed"];
        assert_eq!(names(&["fixed"], before).unwrap(), first);
        assert_eq!(names(&["taken"], before).unwrap(), ["it_is_taken_away"]);
    }

    #[test]
    fn words_that_choose_nothing_are_an_error() {
        let error = names(&["fxied", "typo"], before).unwrap_err().to_string();
        assert_eq!(error, "no test has fxied or typo in its name");
    }

    #[test]
    fn what_is_needed_must_be_there_and_earlier() {
        let later: Before = |test| if test == "a_pod_crashes" { &["it_is_taken_away"] } else { &[] };
        assert!(names(&["crashes"], later).unwrap_err().to_string().contains("it_is_taken_away is not before"));
        let unknown: Before = |_| &["something_else"];
        assert!(names(&["crashes"], unknown).is_err());
    }
}
