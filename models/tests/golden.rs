//! tract must give what ONNX Runtime gives: vectors made by `golden/make.py`.

use guard_model::engine::{Engine, HIDDEN, SHIPPED};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vectors {
    sha256: String,
    rows: usize,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Step {
    x: Vec<f32>,
    probability: Vec<f32>,
    mean: Vec<f32>,
    log_variance: Vec<f32>,
}

#[test]
fn tract_agrees_with_onnx_runtime_over_many_steps() {
    let vectors: Vectors = serde_json::from_str(include_str!("../golden/vectors.json")).unwrap();
    let mut engine = Engine::load(SHIPPED).unwrap();
    assert_eq!(engine.info().sha256, vectors.sha256, "guard.onnx changed: run models/golden/make.py again");
    let rows = vectors.rows;
    let (mut h, mut c) = (vec![0.0; rows * HIDDEN], vec![0.0; rows * HIDDEN]);
    for (t, step) in vectors.steps.iter().enumerate() {
        let found = engine.step(rows, &step.x, &mut h, &mut c).unwrap();
        for (name, found, wanted) in [
            ("probability", &found.probability, &step.probability),
            ("mean", &found.mean, &step.mean),
            ("log_variance", &found.log_variance, &step.log_variance),
        ] {
            assert_eq!(found.len(), wanted.len(), "{name}");
            let worst = found.iter().zip(wanted).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-4, "step {t}: {name} differs by {worst}");
        }
    }
}

#[test]
fn a_row_scores_the_same_in_a_batch_of_any_size() {
    let vectors: Vectors = serde_json::from_str(include_str!("../golden/vectors.json")).unwrap();
    let width = vectors.steps[0].x.len() / vectors.rows;
    let row = &vectors.steps[0].x[..width];
    let mut engine = Engine::load(SHIPPED).unwrap();
    let mut score = |rows: usize| {
        let (mut h, mut c) = (vec![0.0; rows * HIDDEN], vec![0.0; rows * HIDDEN]);
        let found = engine.step(rows, &row.repeat(rows), &mut h, &mut c).unwrap();
        assert_eq!(found.probability.len(), rows);
        found.probability.clone()
    };
    let alone = score(1)[0];
    for rows in [16, 17, 110, 300] {
        assert!(score(rows).iter().all(|p| (p - alone).abs() < 1e-6), "{rows} rows");
    }
}
