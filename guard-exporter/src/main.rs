//! Thin: everything is in the library, where tests can call it.

use std::process::ExitCode;

fn main() -> ExitCode {
    guard_exporter::app::main_impl(std::env::args_os())
}
