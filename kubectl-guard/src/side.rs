//! On which side of what is expected the value lies that leads a score. Pure.
//!
//! A cause names what is unusual, never in which direction: who sends nothing at all is as unusual as who sends too much.

use guard_model::report::PodReport;
use serde::{Deserialize, Serialize};

/// Where the value that was seen lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Under the range that is expected.
    Below,
    /// In it: what is unusual is how it came there, or what came with it.
    Within,
    /// Over it.
    Above,
}

impl Side {
    /// That of what leads the score of this pod; `None` if that was not measured, as a fact never is, or nothing is expected.
    pub fn leading(report: &PodReport) -> Option<Self> {
        let cause = report.reasons.first()?.cause;
        let feature = report.features.iter().find(|feature| feature.name == cause.name())?;
        let (seen, low, high) = (feature.seen?, feature.expected_low?, feature.expected_high?);
        Some(if seen < low {
            Side::Below
        } else if seen > high {
            Side::Above
        } else {
            Side::Within
        })
    }
}

#[cfg(test)]
mod tests {
    use guard_model::cause::{Cause, Reason};
    use guard_model::report::FeatureView;

    use super::*;

    #[test]
    fn what_leads_is_compared_with_its_own_range() {
        let feature = |cause: Cause, seen| FeatureView {
            name: cause.name().into(),
            unit: "bytes".into(),
            seen,
            expected_low: Some(10.0),
            expected_high: Some(20.0),
            share: 0.5,
        };
        let side = |lead, seen| {
            let reasons = vec![Reason { cause: lead, score: 0.9, text: String::new() }];
            let features = vec![feature(Cause::Memory, Some(15.0)), feature(Cause::Transmit, seen)];
            Side::leading(&PodReport { reasons, features, ..PodReport::default() })
        };
        for (seen, expected) in [(9.0, Side::Below), (10.0, Side::Within), (20.0, Side::Within), (20.5, Side::Above)] {
            assert_eq!(side(Cause::Transmit, Some(seen)), Some(expected), "{seen}");
        }
        assert_eq!(side(Cause::Memory, Some(9.0)), Some(Side::Within), "not that of another feature");
        assert_eq!(side(Cause::Transmit, None), None);
        assert_eq!(side(Cause::CrashLoop, Some(9.0)), None);
        assert_eq!(Side::leading(&PodReport::default()), None);
    }
}
