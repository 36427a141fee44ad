//! What a drain may do: kubectl drain's own flags, and two that accept what guard refuses.

use clap::Args;
use serde::{Deserialize, Serialize};

/// The flags of a drain, as typed; part of the plan.
#[derive(Args, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of kubectl drain")]
pub struct DrainOptions {
    /// Drain although pods of DaemonSets stay
    #[arg(long, help_heading = "Drain")]
    pub ignore_daemonsets: bool,
    /// Drain although pods lose what they keep in emptyDir volumes
    #[arg(long, help_heading = "Drain")]
    pub delete_emptydir_data: bool,
    /// Drain although pods without a controller are not made again
    #[arg(long, help_heading = "Drain")]
    pub force: bool,
    /// Seconds each pod is given to end; -1 for its own setting
    #[arg(long, value_name = "SECONDS", default_value_t = -1, allow_negative_numbers = true, help_heading = "Drain")]
    pub grace_period: i64,
    /// Drain only pods with these labels
    #[arg(long, value_name = "SELECTOR", help_heading = "Drain")]
    pub pod_selector: Option<String>,
    /// Delete instead of evicting: disruption budgets are not asked
    #[arg(long, help_heading = "Drain")]
    pub disable_eviction: bool,
    /// Leave pods alone that have been ending for longer than this many seconds; 0 waits for them
    #[arg(long, value_name = "SECONDS", default_value_t = 0, help_heading = "Drain")]
    pub skip_wait_for_delete_timeout: u32,
    /// Drain although a disruption budget allows nothing now, and wait for it as long as --timeout
    #[arg(long, help_heading = "Drain")]
    pub wait_for_budgets: bool,
    /// Drain, or scale up, although pods would fit on no other node
    #[arg(long, help_heading = "Drain")]
    pub allow_pending: bool,
}

impl Default for DrainOptions {
    fn default() -> Self {
        Self {
            ignore_daemonsets: false,
            delete_emptydir_data: false,
            force: false,
            // 0 would end every pod at once.
            grace_period: -1,
            pod_selector: None,
            disable_eviction: false,
            skip_wait_for_delete_timeout: 0,
            wait_for_budgets: false,
            allow_pending: false,
        }
    }
}
