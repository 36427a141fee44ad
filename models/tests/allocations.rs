//! What scoring asks of the allocator, and what a pod costs between two ticks. One test, for it counts for the whole process.

use std::sync::Arc;

use guard_model::engine::{Engine, HIDDEN, SHIPPED};
use guard_model::features::INPUTS;
use guard_model::sample::{Measures, Phase, PodFacts, PodSample};
use guard_model::scorer::{Scorer, Settings};
use guard_model::workload::Workload;
use jiff::Timestamp;
use tract_onnx::prelude::{DatumType, Framework, InferenceFact, InferenceModelExt, IntoRunnable, IntoTValue, Tensor};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// The batch that a full node is padded to.
const BATCH: usize = 112;
const PODS: usize = 110;
/// What a pod may cost, by the project's own rule.
const BYTES_A_POD: usize = 4096;
/// Past the learning time and the length of the history.
const TICKS: i64 = 60;

/// Blocks that `work` asks for.
fn blocks(mut work: impl FnMut()) -> u64 {
    let before = dhat::HeapStats::get().total_blocks;
    work();
    dhat::HeapStats::get().total_blocks - before
}

/// Blocks of one run of the bare model by tract.
fn blocks_of_tract() -> u64 {
    let mut model = tract_onnx::onnx().model_for_read(&mut &SHIPPED[..]).expect("the shipped model can be read");
    let inputs = [INPUTS, HIDDEN, HIDDEN];
    for (i, width) in inputs.into_iter().enumerate() {
        let fact = InferenceFact::dt_shape(DatumType::F32, [BATCH, width]);
        model.set_input_fact(i, fact).expect("the shipped model has three inputs");
    }
    let plan = model.into_optimized().and_then(IntoRunnable::into_runnable).expect("the shipped model runs");
    let zeros = inputs.map(|width| Arc::new(Tensor::zero::<f32>(&[BATCH, width]).expect("a small tensor")));
    let run = || {
        let given = zeros.iter().map(|zero| Arc::clone(zero).into_tvalue()).collect();
        plan.run(given).expect("the shipped model runs");
    };
    (0..3).for_each(|_| run());
    blocks(run)
}

fn sample(tick: i64, pod: usize) -> PodSample {
    let wave = 1.0 + 0.02 * ((tick as f64) + pod as f64).sin();
    let facts = PodFacts {
        // As long as names are in a real cluster.
        uid: format!("c7cd61ad-1841-4d15-9be0-{pod:012}"),
        namespace: "shop".to_owned(),
        name: format!("catalog-56d6c4f556-{pod:05}"),
        node: Some("node1".to_owned()),
        workload: Some(Workload::new("Deployment", "catalog")),
        revision: Some("56d6c4f556".to_owned()),
        phase: Phase::Running,
        ready: true,
        ..PodFacts::default()
    };
    let measures = Measures {
        cpu_cores: Some(0.05 * wave),
        cpu_limit_share: Some(0.25 * wave),
        memory_bytes: Some(5e7 * wave),
        memory_limit_share: Some(0.5 * wave),
        receive_bytes_per_second: Some(2e4 * wave),
        transmit_bytes_per_second: Some(4e4 * wave),
        ..Measures::default()
    };
    PodSample { at: 1.79e9 + 15.0 * tick as f64, fresh: true, reset: false, facts, measures, metrics: Vec::new() }
}

fn bytes_a_pod() -> usize {
    let engine = Engine::load(SHIPPED).expect("the shipped model loads");
    let mut scorer = Scorer::new(Settings { threshold: 0.7, interval_seconds: 15.0 }, Some(engine.into()));
    let mut tick = |tick: i64, pods: usize| {
        let samples: Vec<PodSample> = (0..pods).map(|pod| sample(tick, pod)).collect();
        let now = Timestamp::from_second(1_790_000_000 + 15 * tick).expect("a time of this century");
        scorer.tick(now, &samples);
    };
    // What there is once, such as the plan of the batch, is there with one pod more than half as well.
    (0..TICKS).for_each(|i| tick(i, PODS / 2 + 10));
    let half = dhat::HeapStats::get().curr_bytes;
    (TICKS..3 * TICKS).for_each(|i| tick(i, PODS));
    (dhat::HeapStats::get().curr_bytes - half) / (PODS - PODS / 2 - 10)
}

#[test]
fn a_step_allocates_nothing_of_ours_and_a_pod_is_four_kibibytes_at_most() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let tract = blocks_of_tract();
    let mut engine = Engine::load(SHIPPED).expect("the shipped model loads");
    let (x, mut h, mut c) = (vec![0.1; PODS * INPUTS], vec![0.0; PODS * HIDDEN], vec![0.0; PODS * HIDDEN]);
    let mut step = || {
        engine.step(PODS, &x, &mut h, &mut c).expect("the shipped model runs");
    };
    (0..3).for_each(|_| step());
    assert_eq!(blocks(step), tract, "blocks of a step beside those of the library alone");

    let bytes = bytes_a_pod();
    assert!((1000..BYTES_A_POD).contains(&bytes), "{bytes} bytes a pod");
}
