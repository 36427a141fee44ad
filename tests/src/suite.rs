//! A small runner for tests that share one cluster: in order, one at a time, with libtest's words.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this is the test runner: it talks to a person")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;

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

/// The words given on the command line: a test runs if its name contains one of them, or if there are none.
fn wanted<C>(tests: &[Test<C>]) -> Vec<&Test<C>> {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    tests
        .iter()
        .filter(|(name, ..)| words.is_empty() || words.iter().any(|word| name.contains(word.as_str())))
        .collect()
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
    let chosen = wanted(tests);
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
pub fn run<C>(tests: &[Test<C>], has: Needs, start: impl FnOnce() -> Result<C>) -> ExitCode {
    let (chosen, ignored): (Vec<&Test<C>>, Vec<&Test<C>>) =
        wanted(tests).into_iter().partition(|(_, needs, _)| has == Needs::Own || *needs == Needs::Any);
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
