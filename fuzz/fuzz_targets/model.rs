#![no_main]

use std::sync::Once;

static CONTAINED: Once = Once::new();

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // The loader's panics are part of the contract: the engine catches them and gives an error. libFuzzer's own hook would
    // end the process before that; without it only a panic that nobody catches is a finding.
    CONTAINED.call_once(|| std::panic::set_hook(Box::new(|_| ())));
    guard_hostile::model(bytes);
});
