//! The executable: everything is in the library, so that tests can call it.

use std::process::ExitCode;

fn main() -> ExitCode {
    kubectl_guard::main_impl(std::env::args_os())
}
