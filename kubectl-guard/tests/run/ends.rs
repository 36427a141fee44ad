//! What else goes on until it is told to end: `analyze --follow` and `ui`.

use super::*;

#[test]
fn a_table_that_is_followed_is_finished_when_a_signal_comes() {
    for (signal, code) in [(Signal::SIGTERM, 0), (Signal::SIGINT, 130)] {
        let folder = folder_with_table(&rows(0..3, -1));
        let follow = ["analyze", "--follow", "--watch-interval=1s", "--scores=scores.csv"];
        let mut run = Run::start(&folder, &follow);
        run.until("insights", |run| run.insights().filter(|insights| insights["pods_watched"] == 1));
        append(&run.path("pod_metrics.csv"), &rows(3..4, 3));
        run.until("the insight", |run| run.insights().filter(|insights| insights["pods"][0].is_object()));
        run.send(signal);
        assert_eq!(run.ended().code(), Some(code), "{}", run.stderr());
        assert!(run.stderr().ends_with("1 pod misbehaved of 1 watched, 4 rows\n"), "{}", run.stderr());
        assert_eq!(fs::read_to_string(run.path("scores.csv")).unwrap().lines().count(), 5);
    }
}

#[test]
fn what_takes_no_insights_holds_up_no_order_and_no_signal() {
    let folder = folder_with_table(&rows(0..3, 2));
    // Nobody reads from it, so that a writing takes for ever, as one to a disk that hangs.
    nix::unistd::mkfifo(&folder.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut run = Run::start(&folder, &[&ANALYZE[..], &["--insights-file=pipe"]].concat());
    run.until_logged("shop/cart is over its line");
    let status = run.until("the status", |_| {
        Some(order(folder.path(), "status")).filter(|status| status.1.contains("rows scored"))
    });
    assert!(status.0 == 0 && status.1.contains("1 pod over its line"), "{status:?}");
    run.send(Signal::SIGTERM);
    assert_eq!(run.ended().code(), Some(0), "{}", run.stderr());
}

#[test]
fn a_dashboard_ends_when_a_signal_comes() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let folder = tempfile::tempdir().unwrap();
        let mut run = Run::start(&folder, &["ui", "--demo", "--port=0"]);
        run.until_logged("^C ends the dashboard");
        run.send(signal);
        assert_eq!(run.ended().code(), Some(0), "{}", run.stderr());
    }
}

#[test]
fn a_long_table_that_is_followed_is_left_before_its_end() {
    let folder = folder_with_table(&rows(-200_000..0, i64::MIN));
    let mut run = Run::start(&folder, &["analyze", "--follow"]);
    run.until_logged("^C ends it");
    run.send(Signal::SIGINT);
    assert_eq!(run.ended().code(), Some(130), "{}", run.stderr());
    let told = run.stderr();
    let read = told.trim_end().strip_suffix(" rows").and_then(|told| told.rsplit(' ').next()?.parse::<u64>().ok());
    assert!(read.is_some_and(|rows| rows < 200_000), "{told}");
}

#[test]
fn a_dashboard_that_waits_for_its_first_look_ends_when_a_signal_comes() {
    for (signal, code) in [(Signal::SIGTERM, 0), (Signal::SIGINT, 130)] {
        // It takes connections and says nothing.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let server = format!("--server=http://{}", silent.local_addr().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let mut run = Run::start(&folder, &["ui", "--port=0", &server]);
        let asked = silent.accept().unwrap();
        run.send(signal);
        assert_eq!(run.ended().code(), Some(code), "{}", run.stderr());
        drop(asked);
    }
}
