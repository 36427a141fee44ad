//! `guard-boards` draws the boards of `manifests/grafana` from their records in `tests/records/boards`, for `tests/run --boards`.

use anyhow::Result;
use guard_tests::boards::files;

fn main() -> Result<()> {
    files::write()
}
