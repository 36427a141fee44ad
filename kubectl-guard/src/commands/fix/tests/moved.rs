//! A Deployment whose status is written between the last look and the request: the version is another, and nothing else.

use super::*;

fn once() -> FixArgs {
    FixArgs { timeout: Duration::ZERO, ..yes() }
}

#[tokio::test]
async fn a_status_that_is_written_meanwhile_makes_nothing_stale() {
    let run = run(cluster(|c| c.moves = [2, 1]), SICK, once()).await;
    assert_eq!(run.exit(), Exit::Done, "{:?} {}", run.result, run.output.err.text());
    let writes = run.writes();
    let [refused, taken] = writes.as_slice() else { panic!("{writes:#?}") };
    let held =
        |write: &str| write.split_once(r#""resourceVersion":""#).unwrap().1.split_once('"').unwrap().0.to_owned();
    assert_eq!(refused.replacen(&held(refused), &held(taken), 1), *taken, "the same write, at another version");
    let lines = run.journal.read().unwrap();
    let events: Vec<&Event> = lines.iter().map(|line| &line.event).collect();
    let [Event::Intent { plan, .. }, again, came_to] = events.as_slice() else { panic!("{events:#?}") };
    assert_eq!(plan.steps[0].target.resource_version, Some(held(refused)));
    assert_eq!(**again, Event::Next { step: 0, held: Some(held(taken)) }, "recorded before it is sent again");
    assert!(matches!(came_to, Event::Outcome { step: 0, outcome: StepOutcome::Done { .. } }));
    let heads = crate::audit::check(&run.journal.bytes().unwrap()).hashes;
    let cluster = run.cluster.lock().unwrap();
    let carried = cluster.agents.iter().filter_map(|agent| heads.iter().position(|head| agent.ends_with(head)));
    assert_eq!(carried.collect::<Vec<_>>(), [0, 1, 2], "the write, the same once more, the Event");
}

#[tokio::test]
async fn a_spec_that_is_changed_between_the_look_and_the_write_is_left_as_it_is() {
    let run = run(cluster(|c| (c.moves, c.changes_at_read) = ([0, 1], Some(5))), SICK, once()).await;
    assert_eq!(run.exit(), Exit::Stale);
    let told = run.result.as_ref().unwrap_err().to_string();
    assert_eq!(told, "deployment/web has changed since; nothing was changed, make the plan again");
    assert_eq!(run.writes().len(), 1);
    let lines = run.journal.read().unwrap();
    assert!(matches!(&lines[1].event, Event::Outcome { step: 0, outcome: StepOutcome::NotDone { .. } }), "{lines:?}");
}

#[tokio::test]
async fn an_object_that_never_rests_is_given_up() {
    for moves in [[9, 0], [0, 9]] {
        let run = run(cluster(|c| c.moves = moves), SICK, once()).await;
        assert_eq!(run.exit(), Exit::Stale, "{:?}", run.result);
        assert!(run.result.as_ref().unwrap_err().to_string().contains("the object has been modified"));
        assert_eq!(run.writes().len(), if moves[1] == 0 { 0 } else { 4 });
    }
}
