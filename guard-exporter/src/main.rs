//! Thin: everything is in the library, where tests can call it.

fn main() {}
