//! The network as an ONNX file of one step: inputs `x`, `h`, `c`; outputs `probability`, `mean`, `log_variance`, `h_out`,
//! `c_out`; any number of rows (`N`).

use guard_model::engine::HIDDEN;
use guard_model::features::{INPUTS, SIGNALS, schema_hash};
use prost::Message;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, type_proto,
};

use crate::net::{EMBED, FORECAST, GATES, LOG_VARIANCE, Net, part};

/// What operator set 17 goes with.
const IR_VERSION: i64 = 8;
const OPERATORS: i64 = 17;

/// Bytes of the ONNX file, with name, version and the hash of the features in its metadata.
pub fn encode(net: &Net, name: &str) -> Vec<u8> {
    let mut graph = GraphProto { name: name.to_owned(), ..GraphProto::default() };
    embedding(&mut graph, net);
    recurrence(&mut graph, net);
    heads(&mut graph, net);
    graph.input = [("x", INPUTS), ("h", HIDDEN), ("c", HIDDEN)].map(|(name, width)| rows_of(name, width)).into();
    let outputs =
        [("probability", 1), ("mean", SIGNALS), ("log_variance", SIGNALS), ("h_out", HIDDEN), ("c_out", HIDDEN)];
    graph.output = outputs.map(|(name, width)| rows_of(name, width)).into();
    let schema = schema_hash();
    let metadata = [("name", name), ("version", env!("CARGO_PKG_VERSION")), ("schema", &schema)];
    let property = |(key, value): (&str, &str)| StringStringEntryProto { key: key.to_owned(), value: value.to_owned() };
    let model = ModelProto {
        ir_version: IR_VERSION,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPERATORS }],
        producer_name: env!("CARGO_PKG_NAME").to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: Some(graph),
        metadata_props: metadata.map(property).into(),
        ..ModelProto::default()
    };
    model.encode_to_vec()
}

fn embedding(graph: &mut GraphProto, net: &Net) {
    floats(graph, "embed_w", &[EMBED, INPUTS], &net.values(part::EMBED_W));
    floats(graph, "embed_b", &[EMBED], &net.values(part::EMBED_B));
    node(graph, "Gemm", &["x", "embed_w", "embed_b"], &["embed_linear"], Some(("transB", 1)));
    node(graph, "Relu", &["embed_linear"], &["embed"], None);
}

/// The LSTM, one step long. h and c are always given: tract panics on an LSTM without them.
fn recurrence(graph: &mut GraphProto, net: &Net) {
    floats(graph, "lstm_w", &[1, GATES, EMBED], &gates_in_onnx_order(&net.values(part::INPUT_W)));
    floats(graph, "lstm_r", &[1, GATES, HIDDEN], &gates_in_onnx_order(&net.values(part::HIDDEN_W)));
    // ONNX has a bias of the input and one of the state; the second stays zero.
    let mut bias = gates_in_onnx_order(&net.values(part::GATE_B));
    bias.resize(2 * GATES, 0.0);
    floats(graph, "lstm_b", &[1, 2 * GATES], &bias);
    integers(graph, "first_axis", &[0]);
    for (from, to) in [("embed", "embed_step"), ("h", "h_step"), ("c", "c_step")] {
        node(graph, "Unsqueeze", &[from, "first_axis"], &[to], None);
    }
    let inputs = ["embed_step", "lstm_w", "lstm_r", "lstm_b", "", "h_step", "c_step"];
    node(graph, "LSTM", &inputs, &["y", "y_h", "y_c"], Some(("hidden_size", HIDDEN)));
    node(graph, "Squeeze", &["y_h", "first_axis"], &["h_out"], None);
    node(graph, "Squeeze", &["y_c", "first_axis"], &["c_out"], None);
}

/// One product for all heads, of the state and the embedding; only the anomaly looks at the embedding.
fn heads(graph: &mut GraphProto, net: &Net) {
    let mut weights = Vec::new();
    for row in net.values(part::FORECAST_W).chunks_exact(HIDDEN) {
        weights.extend_from_slice(row);
        weights.resize(weights.len() + EMBED, 0.0);
    }
    weights.extend(net.values(part::LOGIT_W));
    let bias = [net.values(part::FORECAST_B), net.values(part::LOGIT_B)].concat();
    floats(graph, "head_w", &[FORECAST + 1, HIDDEN + EMBED], &weights);
    floats(graph, "head_b", &[FORECAST + 1], &bias);
    node(graph, "Concat", &["h_out", "embed"], &["seen"], Some(("axis", 1)));
    node(graph, "Gemm", &["seen", "head_w", "head_b"], &["heads"], Some(("transB", 1)));
    integers(graph, "head_sizes", &[SIGNALS, SIGNALS, 1]);
    node(graph, "Split", &["heads", "head_sizes"], &["mean", "free_log_variance", "logit"], Some(("axis", 1)));
    floats(graph, "lowest", &[], &LOG_VARIANCE[..1]);
    floats(graph, "highest", &[], &LOG_VARIANCE[1..]);
    node(graph, "Clip", &["free_log_variance", "lowest", "highest"], &["log_variance"], None);
    node(graph, "Sigmoid", &["logit"], &["probability"], None);
}

/// From i, f, g, o to i, o, f, g.
fn gates_in_onnx_order(weights: &[f32]) -> Vec<f32> {
    let gate = weights.len() / 4;
    [0, 3, 1, 2].into_iter().flat_map(|g| &weights[g * gate..(g + 1) * gate]).copied().collect()
}

fn node(graph: &mut GraphProto, op: &str, inputs: &[&str], outputs: &[&str], attribute: Option<(&str, usize)>) {
    let names = |of: &[&str]| of.iter().map(|&name| name.to_owned()).collect();
    let attribute = attribute.map(|(name, value)| AttributeProto {
        name: name.to_owned(),
        i: value as i64,
        r#type: AttributeType::Int as i32,
        ..AttributeProto::default()
    });
    graph.node.push(NodeProto {
        name: outputs[0].to_owned(),
        op_type: op.to_owned(),
        input: names(inputs),
        output: names(outputs),
        attribute: attribute.into_iter().collect(),
        ..NodeProto::default()
    });
}

fn floats(graph: &mut GraphProto, name: &str, shape: &[usize], values: &[f32]) {
    constant(graph, name, shape, DataType::Float, values.iter().flat_map(|v| v.to_le_bytes()).collect());
}

fn integers(graph: &mut GraphProto, name: &str, values: &[usize]) {
    let bytes = values.iter().flat_map(|&v| (v as i64).to_le_bytes()).collect();
    constant(graph, name, &[values.len()], DataType::Int64, bytes);
}

fn constant(graph: &mut GraphProto, name: &str, shape: &[usize], kind: DataType, raw_data: Vec<u8>) {
    graph.initializer.push(TensorProto {
        name: name.to_owned(),
        dims: shape.iter().map(|&d| d as i64).collect(),
        data_type: kind as i32,
        raw_data,
        ..TensorProto::default()
    });
}

fn rows_of(name: &str, width: usize) -> ValueInfoProto {
    let dim = |value| Dimension { value: Some(value), ..Dimension::default() };
    let shape = TensorShapeProto {
        dim: vec![dim(dimension::Value::DimParam("N".to_owned())), dim(dimension::Value::DimValue(width as i64))],
    };
    let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape: Some(shape) };
    let kind = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { name: name.to_owned(), r#type: Some(kind), ..ValueInfoProto::default() }
}
