use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any, prop_assert, prop_oneof, proptest};
use prost::Message;
use tract_onnx::onnx;
use tract_onnx::pb::OperatorSetIdProto;
use tract_onnx::prelude::Framework;

use super::*;
use crate::engine::{Engine, HIDDEN, LoadError, MAX_BYTES, Outputs, SHIPPED};
use crate::features::INPUTS;

fn refused(change: impl FnOnce(&mut GraphProto)) -> String {
    refused_model(|model| change(model.graph.as_mut().unwrap()))
}

fn refused_model(change: impl FnOnce(&mut ModelProto)) -> String {
    let mut model = onnx().proto_model_for_read(&mut &SHIPPED[..]).unwrap();
    change(&mut model);
    match Engine::load(&model.encode_to_vec()) {
        Err(LoadError::Limit(text)) => text,
        other => panic!("not refused for its limits: {other:?}"),
    }
}

fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: op.to_owned(),
        input: inputs.iter().map(|&name| name.to_owned()).collect(),
        output: vec![output.to_owned()],
        ..NodeProto::default()
    }
}

#[test]
fn the_shipped_model_is_within_the_limits() {
    let model = onnx().proto_model_for_read(&mut &SHIPPED[..]).unwrap();
    let graph = model.graph.as_ref().unwrap();
    let inputs = [("x", INPUTS), ("h", HIDDEN), ("c", HIDDEN)];
    let shapes = Bounds::of(graph, 256, &inputs).unwrap().shapes;
    assert_eq!(shapes["h_out"], [256, 32]);
    assert_eq!(shapes["heads"], [256, 9]);
}

#[test]
fn an_operator_whose_result_cannot_be_bounded_is_refused_by_name() {
    let text = refused(|graph| graph.node.push(node("ConstantOfShape", &["first_axis"], "huge")));
    assert!(text.starts_with("operator \"ConstantOfShape\" is not accepted; these are: Abs, Add, "), "{text}");
    let hidden = refused(|graph| {
        graph.node[0].attribute.push(AttributeProto { g: Some(GraphProto::default()), ..AttributeProto::default() });
    });
    assert!(hidden.contains("is not accepted"), "{hidden}");
    let foreign = OperatorSetIdProto { domain: "com.microsoft".to_owned(), version: 1 };
    let foreign = refused_model(|model| model.opset_import.push(foreign));
    assert!(foreign.contains("com.microsoft"), "{foreign}");
}

#[test]
fn a_value_that_doubles_itself_is_refused_before_it_is_large() {
    let text = refused(|graph| {
        for i in 0..30 {
            let from = if i == 0 { "x".to_owned() } else { format!("twice{}", i - 1) };
            let mut twice = node("Concat", &[&from, &from], &format!("twice{i}"));
            twice.attribute.push(AttributeProto { name: "axis".to_owned(), i: 1, ..AttributeProto::default() });
            graph.node.push(twice);
        }
    });
    assert!(text.contains("is too large"), "{text}");
}

#[test]
fn an_outer_sum_of_two_long_vectors_is_refused() {
    let text = refused(|graph| {
        for (name, dims) in [("row", vec![1, 4096]), ("column", vec![4096, 1])] {
            let raw_data = vec![0; 4 * 4096];
            graph.initializer.push(TensorProto {
                name: name.into(),
                dims,
                data_type: 1,
                raw_data,
                ..Default::default()
            });
        }
        graph.node.push(node("Add", &["row", "column"], "square"));
    });
    assert_eq!(text, "\"square\" of shape [4096, 4096] is too large");
}

#[test]
fn a_constant_that_is_not_what_it_says_is_refused() {
    let short = refused(|graph| graph.initializer[0].dims = vec![1 << 40, 31]);
    assert_eq!(short, "\"embed_w\" of shape [1099511627776, 31] holds 992 numbers");
    assert!(refused(|graph| graph.initializer[0].dims = vec![i64::MAX, i64::MAX]).contains("holds 992"));
    assert!(refused(|graph| graph.initializer[0].dims = vec![-1, 31]).contains("negative"));
    assert!(refused(|graph| graph.initializer[0].data_location = Some(1)).contains("another file"));
    assert!(refused(|graph| graph.initializer[0].data_type = 8).contains("neither f32 nor i64"));
}

#[test]
fn a_graph_that_reads_what_nothing_gives_or_is_too_long_is_refused() {
    assert!(refused(|graph| graph.node.swap(0, 1)).contains("which nothing before it gives"));
    let text = refused(|graph| graph.node.extend((0..600).map(|i| node("Abs", &["x"], &format!("a{i}")))));
    assert!(text.starts_with("613 nodes"), "{text}");
}

/// Found by fuzzing: the loader panicked, which was caught, and told nobody what was wrong with the file.
#[test]
fn an_output_that_no_node_makes_is_named() {
    let text = refused(|graph| graph.node.retain(|node| !node.output.contains(&graph.output[0].name)));
    assert!(text.contains("is made by none of its nodes") && text.contains("output"), "{text}");
}

#[test]
fn only_a_dimension_of_one_can_be_squeezed() {
    assert_eq!(squeezed(&vec![1, 7], &[0]), Some(vec![7]));
    assert_eq!(squeezed(&vec![1, 7], &[1]), None);
}

#[test]
fn a_model_cut_off_anywhere_is_refused() {
    for length in (0..SHIPPED.len()).step_by(997).chain(SHIPPED.len() - 300..SHIPPED.len()) {
        assert!(Engine::load(&SHIPPED[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn a_file_without_end_is_not_read_to_it() {
    let mut endless = std::io::repeat(0);
    assert_eq!(Engine::read(&mut endless).unwrap_err(), LoadError::TooLarge);
    assert_eq!(Engine::load(&vec![0; MAX_BYTES + 1]).unwrap_err(), LoadError::TooLarge);
}

/// Most of the file is weights; its graph stands before them, its interface and metadata after them.
fn places() -> impl Strategy<Value = usize> {
    let all = SHIPPED.len();
    prop_oneof![0_usize..1600, all - 900..all, 0..all]
}

/// Found by the property below: an output of nine rows, whatever the batch.
#[test]
fn an_output_that_is_shorter_than_its_rows_is_refused() {
    let mut bytes = SHIPPED.to_vec();
    bytes[638] = 0;
    assert!(Engine::load(&bytes).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// The process outlives whatever is in the file, and nothing but probabilities comes of it.
    #[test]
    fn a_damaged_model_is_refused_or_runs(damage in vec((places(), any::<u8>()), 1..4)) {
        let mut bytes = SHIPPED.to_vec();
        for (place, byte) in damage {
            bytes[place] = byte;
        }
        if let Ok(mut engine) = Engine::load(&bytes) {
            let (mut h, mut c) = (vec![0.0; 300 * HIDDEN], vec![0.0; 300 * HIDDEN]);
            let step = engine.step(300, &vec![0.5; 300 * INPUTS], &mut h, &mut c);
            let sound = |out: &Outputs| {
                let is_sound = |row: &usize| (0.0..=1.0).contains(&out.probability[*row]) || out.unusable.contains(row);
                (0..300).all(|row| is_sound(&row))
            };
            prop_assert!(step.is_err() || sound(step.unwrap()));
        }
    }

    #[test]
    fn garbage_is_refused(bytes in vec(any::<u8>(), 0..2000)) {
        prop_assert!(Engine::load(&bytes).is_err());
    }
}
