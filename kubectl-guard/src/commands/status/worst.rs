//! The worst pods of a large cluster, by Prometheus: neither all series nor the list of pods are read.

use std::num::NonZeroUsize;

use jiff::Timestamp;

use super::{Counted, StatusArgs, View, What, joined};
use crate::connect::Connection;
use crate::error::Error;
use crate::pods;
use crate::prometheus::Prometheus;
use crate::scores::Source;
use crate::scores::prometheus::{self, Among, Matcher};

/// Refuses what cannot be said of pods that are not read.
pub(super) fn check(args: &StatusArgs, source: &Source) -> Result<(), Error> {
    let Some(limit) = args.limit.filter(|_| matches!(source, Source::Prometheus { .. })) else { return Ok(()) };
    let needs_all = match args.what {
        _ if args.selection.selector.is_some() => "--selector",
        _ if args.selection.field_selector.is_some() => "--field-selector",
        What::Workloads => "workloads",
        What::Nodes => "nodes",
        What::Pods => return Ok(()),
    };
    Err(Error::Usage {
        message: format!("--limit {limit} reads the worst pods alone from Prometheus, and {needs_all} needs them all"),
        hint: "leave one of them out; -n and --prometheus-matcher can be had with --limit".to_owned(),
    })
}

/// Looks at the worst pods alone.
pub(super) async fn look(
    args: &StatusArgs,
    connection: &Connection,
    (prometheus, matchers): (&Prometheus, &[Matcher]),
    limit: NonZeroUsize,
) -> Result<View, Error> {
    let namespace = pods::scope(connection, &args.selection);
    let worst = prometheus::worst(prometheus, matchers, namespace, limit.get(), among(args)).await?;
    let pods = pods::named(connection, &worst.names).await?;
    let at = Timestamp::now();
    let (rows, warnings) = joined(&worst.scores(&pods.facts, at)?, &pods, at);
    let counts = Counted::Scored { watched: worst.watched, anomalous: worst.anomalous };
    Ok(View { rows, groups: Vec::new(), counts, warnings, at })
}

/// Among which pods the worst are sought: among those that [`StatusArgs::keep`] leaves.
fn among(args: &StatusArgs) -> Among {
    match (args.threshold, args.usual) {
        (Some(least), _) => Among::Scored(least),
        (None, _) if args.all => Among::Scored(0.0),
        (None, Some(least)) => Among::OverTheirLineOrScored(least),
        (None, None) => Among::OverTheirLine,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::typed;
    use super::*;
    use crate::connect::Environment;
    use crate::exit::Exit;
    use crate::flags::KubeFlags;

    #[tokio::test]
    async fn what_needs_every_pod_is_refused_of_prometheus_and_taken_of_exporters() {
        let kube = KubeFlags { server: Some("http://127.0.0.1:1".into()), ..KubeFlags::default() };
        let connection = Connection::open(&kube, &Environment::default()).unwrap();
        let checked = |words: &str| {
            let args = typed(words);
            check(&args, &args.source.open(&connection, &Environment::default()).unwrap())
        };
        let prometheus = "--source prometheus --prometheus-url http://127.0.0.1:9";
        for (words, named) in [
            ("--limit 5 workloads", "workloads"),
            ("nodes --limit 5", "nodes"),
            ("--limit 5 -l app=cart", "--selector"),
            ("--limit 5 --field-selector spec.nodeName=a", "--field-selector"),
        ] {
            checked(words).unwrap();
            let refused = checked(&format!("{words} {prometheus}")).unwrap_err();
            assert_eq!(refused.process_exit_code(), Exit::Usage);
            let message = refused.to_string();
            assert!(message.contains("--limit 5 reads") && message.contains(named), "{message}");
        }
        for words in ["--limit 5 --sort-by name", "workloads -l app=cart"] {
            checked(&format!("{words} {prometheus}")).unwrap();
        }
    }

    #[test]
    fn the_worst_are_sought_among_what_is_shown() {
        for (words, usual, sought) in [
            ("", None, Among::OverTheirLine),
            ("", Some(0.6), Among::OverTheirLineOrScored(0.6)),
            ("--all", Some(0.6), Among::Scored(0.0)),
            ("--threshold 0.9", Some(0.6), Among::Scored(0.9)),
        ] {
            assert_eq!(among(&StatusArgs { usual, ..typed(words) }), sought, "{words}");
        }
    }
}
