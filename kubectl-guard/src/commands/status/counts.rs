//! How many pods there are, in the line under the table and in the document. Pure.

use serde::Serialize;

use crate::rows::Counts;

/// How many pods there are.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Counted {
    /// All that the user sees.
    All(Counts),
    /// Those that have a score, and those over their line: all that is known where the others were not read.
    Scored {
        /// Pods with a score.
        watched: usize,
        /// Over their line.
        anomalous: usize,
    },
}

impl Counted {
    /// Pods over their line.
    pub(super) fn anomalous(&self) -> usize {
        match self {
            Self::All(counts) => counts.anomalous,
            Self::Scored { anomalous, .. } => *anomalous,
        }
    }

    /// `No anomalous pods in namespace shop (12 pods watched, 1 learning)`.
    pub(super) fn summary(&self, namespace: Option<&str>) -> String {
        let place = namespace.map_or_else(|| "the cluster".to_owned(), |namespace| format!("namespace {namespace}"));
        let (watched, others) = match self {
            Self::All(counts) => (counts.watched, parts(counts)),
            Self::Scored { watched, .. } => (*watched, Vec::new()),
        };
        if watched == 0 {
            return format!("No pods in {place}.");
        }
        let pods = if watched == 1 { "1 pod".to_owned() } else { format!("{watched} pods") };
        let how = if matches!(self, Self::All(_)) { "watched" } else { "with a score" };
        let parts = [vec![format!("{pods} {how}")], others].concat();
        let found = match self.anomalous() {
            0 => "No anomalous pods".to_owned(),
            1 => "1 anomalous pod".to_owned(),
            n => format!("{n} anomalous pods"),
        };
        format!("{found} in {place} ({})", parts.join(", "))
    }
}

fn parts(counts: &Counts) -> Vec<String> {
    let all = [
        (counts.learning, "learning"),
        (counts.stale, "stale"),
        (counts.muted, "muted"),
        (counts.unscored, "without a score"),
    ];
    all.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_counts_what_is_not_shown() {
        let summary = |counts, namespace| Counted::All(counts).summary(namespace);
        let counts = Counts { watched: 12, learning: 1, ..Counts::default() };
        assert_eq!(summary(counts, Some("shop")), "No anomalous pods in namespace shop (12 pods watched, 1 learning)");
        let counts = Counts { watched: 1, anomalous: 1, unscored: 2, ..Counts::default() };
        assert_eq!(summary(counts, None), "1 anomalous pod in the cluster (1 pod watched, 2 without a score)");
        assert_eq!(summary(Counts::default(), Some("x")), "No pods in namespace x.");
        let most = Counted::Scored { watched: 150_000, anomalous: 3 };
        assert_eq!(most.summary(None), "3 anomalous pods in the cluster (150000 pods with a score)");
    }

    #[test]
    fn what_is_not_known_is_not_in_the_document() {
        let most = Counted::Scored { watched: 2, anomalous: 1 };
        assert_eq!(serde_json::to_string(&most).unwrap(), r#"{"watched":2,"anomalous":1}"#);
        let all = serde_json::to_value(Counted::All(Counts::default())).unwrap();
        assert_eq!(all.as_object().unwrap().len(), 6);
    }
}
