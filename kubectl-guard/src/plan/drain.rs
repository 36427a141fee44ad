//! What a drain may do: kubectl drain's own flags, and those that accept what guard refuses.

use clap::Args;
use serde::{Deserialize, Serialize};

/// The flags of a drain, as typed; part of the plan.
#[derive(Args, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of kubectl drain")]
pub struct DrainOptions {
    /// Drain even if there are pods of DaemonSets, which stay
    #[arg(long, help_heading = "Drain")]
    pub ignore_daemonsets: bool,
    /// Drain even if pods use emptyDir volumes, whose data is lost
    #[arg(long, help_heading = "Drain")]
    pub delete_emptydir_data: bool,
    /// Drain even if there are pods without a controller, which nothing starts again
    #[arg(long, help_heading = "Drain")]
    pub force: bool,
    /// Seconds given to each pod to terminate; -1 uses the pod's own setting
    #[arg(long, value_name = "SECONDS", default_value_t = -1, allow_negative_numbers = true, help_heading = "Drain")]
    pub grace_period: i64,
    /// Drain only pods with these labels
    #[arg(long, value_name = "SELECTOR", help_heading = "Drain")]
    pub pod_selector: Option<String>,
    /// Delete pods instead of evicting them: disruption budgets are not asked. Needs `delete` on pods, which no role of
    /// guard gives
    #[arg(long, help_heading = "Drain")]
    pub disable_eviction: bool,
    /// Do not wait for pods that have been terminating for longer than this many seconds; 0 waits for them
    #[arg(long, value_name = "SECONDS", default_value_t = 0, help_heading = "Drain")]
    pub skip_wait_for_delete_timeout: u32,
    /// Drain even if a disruption budget allows no eviction now, and wait for it up to --timeout
    #[arg(long, help_heading = "Drain")]
    pub wait_for_budgets: bool,
    /// Drain, scale up or raise requests even if pods would fit on no other node
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

impl DrainOptions {
    /// The same, accepting of what guard refuses what `typed` accepts, and nothing else.
    #[must_use]
    pub fn accepting(self, typed: &Self) -> Self {
        Self {
            disable_eviction: typed.disable_eviction,
            wait_for_budgets: typed.wait_for_budgets,
            allow_pending: typed.allow_pending,
            ..self
        }
    }
}
