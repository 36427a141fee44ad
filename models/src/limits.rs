//! What a model file may ask for, before tract sees it: how many nodes, which operators, how large each value may become.
//!
//! A file of a few bytes can ask for gigabytes (a value joined to itself thirty times), and no `catch_unwind` helps
//! against a process that runs out of memory. So each value's shape is bounded from above, node by node, for the largest
//! batch; only operators whose result can be bounded so are accepted.

use std::collections::HashMap;

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto};

/// Most nodes of a graph.
const NODES: usize = 512;
/// Most numbers of one value: 8 MB of `f32`.
const ELEMENTS: usize = 2 << 20;
/// Most numbers of all values together: 64 MB.
const TOTAL: usize = 16 << 20;
/// Most dimensions of a value.
const RANK: usize = 6;
/// Letters of a foreign name that are repeated in an error.
const NAME: usize = 40;

/// Operators whose result has the shape of the first input, or is smaller in it.
const SAME: [&str; 21] = [
    "Abs",
    "Cast",
    "Clip",
    "Elu",
    "Erf",
    "Exp",
    "HardSigmoid",
    "Identity",
    "LeakyRelu",
    "Log",
    "LogSoftmax",
    "Neg",
    "Reciprocal",
    "Relu",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Softplus",
    "Split",
    "Sqrt",
    "Tanh",
];
/// Operators whose result has the shape that all inputs broadcast to.
const BROADCAST: [&str; 10] = ["Add", "Div", "Greater", "Less", "Max", "Min", "Mul", "Pow", "Sub", "Where"];
/// The others.
const OTHERS: [&str; 10] =
    ["Concat", "Constant", "GRU", "Gemm", "LSTM", "MatMul", "RNN", "Squeeze", "Transpose", "Unsqueeze"];

/// An upper bound of a value's shape.
type Shape = Vec<usize>;

/// Refuses, in words, what is too large or cannot be bounded; `batch` is the most rows of one run, and `inputs` are the names
/// and widths of what comes in, which the model was found to have.
pub(crate) fn check(model: &ModelProto, batch: usize, inputs: &[(&'static str, usize)]) -> Result<(), String> {
    if !model.functions.is_empty() || !model.training_info.is_empty() {
        return Err("it has functions or training information of its own; export it for inference, inlined".to_owned());
    }
    if let Some(set) = model.opset_import.iter().find(|set| !["", "ai.onnx"].contains(&set.domain.as_str())) {
        return Err(format!("it uses operators of {:?}; only those of ONNX itself are accepted", name(&set.domain)));
    }
    model.graph.as_ref().map_or(Ok(()), |graph| Bounds::of(graph, batch, inputs).map(drop))
}

/// What is known so far, walking along the graph.
#[derive(Default)]
struct Bounds<'a> {
    shapes: HashMap<&'a str, Shape>,
    constants: HashMap<&'a str, &'a TensorProto>,
    total: usize,
}

impl<'a> Bounds<'a> {
    fn of(graph: &'a GraphProto, batch: usize, inputs: &[(&'static str, usize)]) -> Result<Self, String> {
        if graph.node.len() > NODES || graph.initializer.len() > NODES {
            let (nodes, constants) = (graph.node.len(), graph.initializer.len());
            return Err(format!("{nodes} nodes and {constants} constants, at most {NODES} of each are accepted"));
        }
        if !graph.sparse_initializer.is_empty() {
            return Err("it has sparse constants; export them dense".to_owned());
        }
        let mut bounds = Bounds::default();
        for &(input, width) in inputs {
            // The interface was checked already.
            debug_assert!(graph.input.iter().any(|value| value.name == input));
            bounds.keep(input, vec![batch, width])?;
        }
        for tensor in &graph.initializer {
            bounds.constant(&tensor.name, tensor)?;
        }
        for node in &graph.node {
            bounds.node(node)?;
        }
        if let Some(output) = graph.output.iter().find(|output| !bounds.shapes.contains_key(output.name.as_str())) {
            return Err(format!("its output {:?} is made by none of its nodes", name(&output.name)));
        }
        Ok(bounds)
    }

    fn keep(&mut self, value: &'a str, shape: Shape) -> Result<(), String> {
        let size = shape.iter().try_fold(1_usize, |size, &n| size.checked_mul(n.max(1)));
        let fits = shape.len() <= RANK && size.is_some_and(|size| size <= ELEMENTS);
        self.total = self.total.saturating_add(size.unwrap_or(usize::MAX));
        if !fits || self.total > TOTAL {
            return Err(format!("{:?} of shape {shape:?} is too large", name(value)));
        }
        self.shapes.insert(value, shape);
        Ok(())
    }

    fn constant(&mut self, value: &'a str, tensor: &'a TensorProto) -> Result<(), String> {
        if !tensor.external_data.is_empty() || tensor.data_location.is_some_and(|place| place != 0) {
            return Err(format!("{:?} is kept in another file; export all weights into one", name(value)));
        }
        let shape: Option<Shape> = tensor.dims.iter().map(|&n| usize::try_from(n).ok()).collect();
        let shape = shape.ok_or_else(|| format!("{:?} has a negative size", name(value)))?;
        let wanted = shape.iter().try_fold(1_usize, |size, &n| size.checked_mul(n));
        let width = match DataType::try_from(tensor.data_type) {
            Ok(DataType::Float) => 4,
            Ok(DataType::Int64) => 8,
            _ => return Err(format!("{:?} holds neither f32 nor i64", name(value))),
        };
        let found = match tensor.raw_data.len() {
            0 => tensor.float_data.len() + tensor.int64_data.len(),
            bytes => bytes / width,
        };
        if wanted != Some(found) {
            return Err(format!("{:?} of shape {shape:?} holds {found} numbers", name(value)));
        }
        self.constants.insert(value, tensor);
        self.keep(value, shape)
    }

    fn node(&mut self, node: &'a NodeProto) -> Result<(), String> {
        let op = node.op_type.as_str();
        let nested = node.attribute.iter().any(|a| a.g.is_some() || !a.graphs.is_empty() || a.sparse_tensor.is_some());
        if nested || !["", "ai.onnx"].contains(&node.domain.as_str()) || operators().all(|known| known != op) {
            let mut all: Vec<&str> = operators().collect();
            all.sort_unstable();
            return Err(format!("operator {:?} is not accepted; these are: {}", name(op), all.join(", ")));
        }
        if let ("Constant", [output]) = (op, &node.output[..]) {
            let tensor = attribute(node, "value").and_then(|a| a.t.as_ref());
            let tensor = tensor.ok_or_else(|| format!("{:?} is a constant without a tensor", name(output)))?;
            return self.constant(output, tensor);
        }
        let mut inputs = Vec::new();
        for input in &node.input {
            let missing = || format!("{op} reads {:?}, which nothing before it gives", name(input));
            // An input that is left out has no name.
            let shape = if input.is_empty() { Some(Shape::new()) } else { self.shapes.get(input.as_str()).cloned() };
            inputs.push(shape.ok_or_else(missing)?);
        }
        let refused = || format!("{op} cannot take values of shapes {inputs:?}");
        let shapes = self.results(node, &inputs).ok_or_else(refused)?;
        let outputs = node.output.iter().enumerate().filter(|(_, output)| !output.is_empty());
        for (i, output) in outputs {
            let shape = shapes.get(i).or(shapes.last()).ok_or_else(refused)?;
            self.keep(output, shape.clone())?;
        }
        Ok(())
    }

    /// Shapes of the outputs; if there are more outputs than shapes, the last shape is that of the rest.
    fn results(&self, node: &NodeProto, inputs: &[Shape]) -> Option<Vec<Shape>> {
        let first = inputs.first()?;
        let flag = |name: &str| attribute(node, name).is_some_and(|a| a.i != 0);
        Some(match node.op_type.as_str() {
            op if SAME.contains(&op) => vec![first.clone()],
            op if BROADCAST.contains(&op) => vec![broadcast(inputs)],
            "Concat" => vec![concat(inputs, axis(attribute(node, "axis")?.i, first.len())?)?],
            "Gemm" => {
                let second = inputs.get(1)?;
                let rows = *first.get(usize::from(flag("transA")))?;
                let columns = *second.get(usize::from(!flag("transB")))?;
                vec![broadcast(&[vec![rows, columns], inputs.get(2).cloned().unwrap_or_default()])]
            }
            "MatMul" => vec![product(first, inputs.get(1)?)?],
            "Transpose" => vec![transposed(node, first)?],
            "Squeeze" => vec![squeezed(first, &self.axes(node, first.len())?)?],
            "Unsqueeze" => {
                let rank = first.len() + self.axes(node, RANK)?.len();
                vec![unsqueezed(first, &self.axes(node, rank)?, rank)]
            }
            // LSTM, GRU, RNN: all states, then the last ones.
            _ => {
                let (recurrent, &[steps, rows, _]) = (inputs.get(2)?, first.as_slice()) else { return None };
                let &[directions, _, width] = recurrent.as_slice() else { return None };
                vec![vec![steps, directions, rows, width], vec![directions, rows, width]]
            }
        })
    }

    fn axes(&self, node: &NodeProto, rank: usize) -> Option<Vec<usize>> {
        let axes = match node.input.get(1).filter(|name| !name.is_empty()) {
            None => attribute(node, "axes")?.ints.clone(),
            Some(name) => integers(self.constants.get(name.as_str())?),
        };
        if axes.len() > RANK { None } else { axes.into_iter().map(|i| axis(i, rank)).collect() }
    }
}

/// Dimensions are aligned from the right; the larger one is the bound.
fn broadcast(shapes: &[Shape]) -> Shape {
    let rank = shapes.iter().map(Vec::len).max().unwrap_or(0);
    let mut out = vec![1; rank];
    for shape in shapes {
        for (into, &n) in out.iter_mut().rev().zip(shape.iter().rev()) {
            *into = n.max(*into);
        }
    }
    out
}

fn concat(shapes: &[Shape], axis: usize) -> Option<Shape> {
    let rank = shapes.first()?.len();
    let mut out = broadcast(shapes);
    let widths = shapes.iter().map(|shape| shape.get(axis).copied().filter(|_| shape.len() == rank));
    *out.get_mut(axis)? = widths.collect::<Option<Vec<_>>>()?.into_iter().fold(0, usize::saturating_add);
    Some(out)
}

fn product(a: &[usize], b: &[usize]) -> Option<Shape> {
    let (batch, &[rows, _]) = a.split_last_chunk()?;
    let (other, &[_, columns]) = b.split_last_chunk()?;
    let mut out = broadcast(&[batch.to_vec(), other.to_vec()]);
    out.extend([rows, columns]);
    Some(out)
}

fn transposed(node: &NodeProto, shape: &Shape) -> Option<Shape> {
    let Some(permutation) = attribute(node, "perm") else { return Some(shape.iter().rev().copied().collect()) };
    let mut seen = permutation.ints.clone();
    seen.sort_unstable();
    let complete = seen.iter().copied().eq(0..shape.len() as i64);
    complete.then(|| permutation.ints.iter().map(|&i| shape[i as usize]).collect())
}

/// Only dimensions of one may go: of anything else the bound would be lost.
fn squeezed(shape: &Shape, axes: &[usize]) -> Option<Shape> {
    let stay = |(i, &n): (usize, &usize)| (!axes.contains(&i)).then_some(n);
    axes.iter().all(|&i| shape[i] == 1).then(|| shape.iter().enumerate().filter_map(stay).collect())
}

fn unsqueezed(shape: &Shape, axes: &[usize], rank: usize) -> Shape {
    let mut left = shape.iter().copied();
    (0..rank).map(|i| if axes.contains(&i) { 1 } else { left.next().unwrap_or(1) }).collect()
}

/// An axis counts from the end if it is negative.
fn axis(axis: i64, rank: usize) -> Option<usize> {
    let rank = i64::try_from(rank).ok()?;
    let axis = if axis < 0 { axis.checked_add(rank)? } else { axis };
    (0..rank).contains(&axis).then_some(axis as usize)
}

fn integers(tensor: &TensorProto) -> Vec<i64> {
    if tensor.raw_data.is_empty() {
        return tensor.int64_data.clone();
    }
    tensor.raw_data.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect()
}

fn attribute<'n>(node: &'n NodeProto, name: &str) -> Option<&'n AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

fn operators() -> impl Iterator<Item = &'static str> {
    SAME.into_iter().chain(BROADCAST).chain(OTHERS)
}

/// A name of the file, fit for a line of text.
fn name(foreign: &str) -> String {
    foreign.chars().filter(char::is_ascii_graphic).take(NAME).collect()
}

#[cfg(test)]
mod tests;
