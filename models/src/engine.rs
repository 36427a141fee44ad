//! The LSTM on tract: one batched step for all pods of a node. Bytes of an ONNX file in, probabilities and forecasts out.
//!
//! tract is fastest with fixed batches, so the batch is padded to one of a few sizes, each loaded when first needed. A model
//! file may come from anybody: its size, its interface, the features it was trained on and what its graph asks for (`limits`)
//! are checked before tract sees it, and a panic in the loader is an error here.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::hint::black_box;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tract_onnx::pb::{ModelProto, ValueInfoProto, tensor_shape_proto::dimension, type_proto};
use tract_onnx::prelude::{
    Datum, Framework, InferenceFact, InferenceModelExt, IntoRunnable, IntoTValue, TValue, TVec, Tensor, TractResult,
    TypedRunnableModel,
};

use crate::calibration::Calibration;
use crate::features::{INPUTS, SIGNALS, schema_hash};
use crate::limits;
use crate::report::ModelInfo;

/// The model that ships.
pub const SHIPPED: &[u8] = include_bytes!("../guard.onnx");
/// Width of the LSTM's state: a pod's memory is `h` and `c` of this many numbers each; zeros to begin with.
pub const HIDDEN: usize = 32;
/// Largest model file accepted, in bytes.
pub const MAX_BYTES: usize = 8 << 20;

/// A full node has 110 pods by default: it shall not pay for 128.
const BATCHES: [usize; 6] = [16, 32, 64, 112, 160, 256];
const FLOAT: i32 = 1;
const IN: [(&str, usize); 3] = [("x", INPUTS), ("h", HIDDEN), ("c", HIDDEN)];
const OUT: [(&str, usize); 5] =
    [("probability", 1), ("mean", SIGNALS), ("log_variance", SIGNALS), ("h_out", HIDDEN), ("c_out", HIDDEN)];

/// Why a model file cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// It could not be read to its end.
    #[error("the model cannot be read: {0}")]
    Read(String),
    /// More than [`MAX_BYTES`].
    #[error(
        "the model has more than the {MAX_BYTES} bytes that are accepted; leave training state and test data out of it"
    )]
    TooLarge,
    /// A Keras file, such as the `model.h5` of older tools.
    #[error(
        "the model is an HDF5 (Keras) file; a guard model of your own can be converted by `python -m tf2onnx.convert --keras FILE.h5 --output FILE.onnx`, the model of an older tool has other inputs: leave the path unset to use the model that ships"
    )]
    Keras,
    /// Not an ONNX model.
    #[error("the model cannot be read as ONNX: {0}")]
    NotOnnx(String),
    /// Trained on other features than this program computes.
    #[error(
        "the model was trained on other features (schema {found:?}, this program computes {wanted:?}); use a model of this release"
    )]
    Schema {
        /// What the file says.
        found: String,
        /// What this program computes.
        wanted: String,
    },
    /// Inputs or outputs are not those of a guard model.
    #[error("the model's interface does not fit: {0}")]
    Interface(String),
    /// Its metadata say something about its output that cannot be meant.
    #[error("the model's metadata: {0}")]
    Calibration(String),
    /// Its graph asks for more than is given, or for something else.
    #[error("the model is not one that this program runs: {0}")]
    Limit(String),
    /// tract refused it.
    #[error("the model cannot be prepared for inference: {0}")]
    Unusable(String),
}

/// Why a step gave nothing. The next step may well succeed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// A slice, or an output of the model, has not the length that `rows` asks for.
    #[error("{what} has {found} numbers, {wanted} expected")]
    Shape {
        /// Which argument, or that it is an output.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The length it should have.
        wanted: usize,
    },
    /// tract failed.
    #[error("inference failed: {0}")]
    Failed(String),
}

/// What one step gives, row by row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outputs {
    /// Probability of an anomaly, 0 to 1; one a row.
    pub probability: Vec<f32>,
    /// Forecast of the next residuals, in scales; [`SIGNALS`] a row.
    pub mean: Vec<f32>,
    /// Log of the squared scale of that forecast; [`SIGNALS`] a row.
    pub log_variance: Vec<f32>,
    /// Rows, in order, of which the model gave something that is not a finite number or not a probability: what stands for
    /// them above means nothing, and their memory was cleared.
    pub unusable: Vec<usize>,
}

/// A loaded model.
#[derive(Debug)]
pub struct Engine {
    proto: ModelProto,
    info: ModelInfo,
    calibration: Calibration,
    plans: BTreeMap<usize, Plan>,
    outputs: Outputs,
    /// `h_out` and `c_out`, until all rows are known to be usable.
    state: [Vec<f32>; 2],
}

/// The model made ready for one batch, with the inputs that each step writes anew: a step asks for no memory of its own.
#[derive(Clone, Debug)]
struct Plan {
    model: Arc<TypedRunnableModel>,
    inputs: [Arc<Tensor>; 3],
}

impl Engine {
    /// Reads an ONNX file, no further than [`MAX_BYTES`], and does what [`Engine::load`] does.
    ///
    /// # Errors
    /// As [`Engine::load`], or if it cannot be read.
    pub fn read(input: impl Read) -> Result<Engine, LoadError> {
        let mut bytes = Vec::new();
        let read = input.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|error| LoadError::Read(error.to_string()))?;
        Engine::load(&bytes)
    }

    /// The same model once more, for another node: nothing is read or checked again.
    #[must_use]
    pub fn again(&self) -> Engine {
        let (proto, info, plans) = (self.proto.clone(), self.info.clone(), self.plans.clone());
        Engine { plans, ..Engine::new(proto, info, self.calibration) }
    }

    /// Checks the bytes of an ONNX file and prepares its smallest batch.
    ///
    /// # Errors
    /// Says what about the file does not fit; a panic of the loader is caught and reported as [`LoadError::Unusable`].
    pub fn load(onnx: &[u8]) -> Result<Engine, LoadError> {
        if onnx.len() > MAX_BYTES {
            return Err(LoadError::TooLarge);
        }
        if onnx.starts_with(b"\x89HDF\r\n\x1a\n") {
            return Err(LoadError::Keras);
        }
        let read = contain(|| tract_onnx::onnx().proto_model_for_read(&mut &onnx[..]));
        let proto = read.map_err(LoadError::NotOnnx)?;
        let info = info(&proto, onnx)?;
        check_interface(&proto)?;
        limits::check(&proto, BATCHES[BATCHES.len() - 1], &IN).map_err(LoadError::Limit)?;
        let calibration = property(&proto, "calibration").parse().map_err(LoadError::Calibration)?;
        let mut engine = Engine::new(proto, info, calibration);
        let rows = BATCHES[0];
        let (mut h, mut c) = (vec![0.0; rows * HIDDEN], vec![0.0; rows * HIDDEN]);
        let tried = engine.step(rows, &vec![0.0; rows * INPUTS], &mut h, &mut c);
        if !tried.map_err(|e| LoadError::Unusable(e.to_string()))?.unusable.is_empty() {
            return Err(LoadError::Unusable(
                "it gives no usable number for a pod of which nothing is known".to_owned(),
            ));
        }
        Ok(engine)
    }

    fn new(proto: ModelProto, info: ModelInfo, calibration: Calibration) -> Engine {
        let (outputs, state) = (Outputs::default(), [Vec::new(), Vec::new()]);
        Engine { proto, info, calibration, plans: BTreeMap::new(), outputs, state }
    }

    /// Name, version and hash of the model.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// One step of `rows` pods: `x` is rows x [`INPUTS`], `h` and `c` are rows x [`HIDDEN`] and are replaced by the state
    /// after the step. A row whose numbers are unusable begins anew from zeros; the others are as they would be without it.
    ///
    /// # Errors
    /// If a slice has the wrong length or inference fails. `h` and `c` are then as they were.
    pub fn step(&mut self, rows: usize, x: &[f32], h: &mut [f32], c: &mut [f32]) -> Result<&Outputs, StepError> {
        check_length("x", x.len(), rows * INPUTS)?;
        check_length("h", h.len(), rows * HIDDEN)?;
        check_length("c", c.len(), rows * HIDDEN)?;
        let (outputs, [h_out, c_out]) = (&mut self.outputs, &mut self.state);
        let all = [&mut outputs.probability, &mut outputs.mean, &mut outputs.log_variance, &mut *h_out, &mut *c_out];
        all.into_iter().for_each(Vec::clear);
        let most = BATCHES[BATCHES.len() - 1];
        for from in (0..rows).step_by(most) {
            let to = (from + most).min(rows);
            let part = |width: usize| from * width..to * width;
            let given = [&x[part(INPUTS)], &h[part(HIDDEN)], &c[part(HIDDEN)]];
            let batch = BATCHES.into_iter().find(|&batch| batch >= to - from).unwrap_or(most);
            let results = plan(&mut self.plans, &self.proto, batch).and_then(|plan| contain(|| plan.run(given)));
            let into =
                [&mut outputs.probability, &mut outputs.mean, &mut outputs.log_variance, &mut *h_out, &mut *c_out];
            for ((into, result), (_, width)) in into.into_iter().zip(&results.map_err(StepError::Failed)?).zip(OUT) {
                let values = result.try_as_plain_ram().and_then(|plain| plain.as_slice::<f32>());
                let values = values.map_err(|e| StepError::Failed(e.to_string()))?;
                let wanted = (to - from) * width;
                // What a file says of its outputs need not be what its graph makes.
                let shape = || StepError::Shape { what: "an output of the model", found: values.len(), wanted };
                into.extend_from_slice(values.get(..wanted).ok_or_else(shape)?);
            }
        }
        outputs.unusable.clear();
        for row in 0..rows {
            if !usable(row, outputs, h_out, c_out) {
                outputs.unusable.push(row);
                for state in [&mut *h_out, &mut *c_out] {
                    state[row * HIDDEN..(row + 1) * HIDDEN].fill(0.0);
                }
            }
        }
        outputs.probability.iter_mut().for_each(|p| *p = self.calibration.probability(*p));
        h.copy_from_slice(h_out);
        c.copy_from_slice(c_out);
        Ok(&self.outputs)
    }
}

/// The plan of this batch, made when first asked for.
fn plan<'a>(plans: &'a mut BTreeMap<usize, Plan>, proto: &ModelProto, batch: usize) -> Result<&'a mut Plan, String> {
    match plans.entry(batch) {
        Entry::Occupied(made) => Ok(made.into_mut()),
        Entry::Vacant(place) => Ok(place.insert(contain(|| Plan::prepare(proto, batch))?)),
    }
}

impl Plan {
    fn prepare(proto: &ModelProto, batch: usize) -> TractResult<Plan> {
        let mut model = tract_onnx::onnx().model_for_proto_model(proto)?;
        for (i, (_, width)) in IN.into_iter().enumerate() {
            model.set_input_fact(i, InferenceFact::dt_shape(f32::datum_type(), [batch, width]))?;
        }
        let input = |(_, width)| Tensor::zero::<f32>(&[batch, width]).map(Arc::new);
        let [x, h, c] = IN.map(input);
        Ok(Plan { model: model.into_optimized()?.into_runnable()?, inputs: [x?, h?, c?] })
    }

    /// Runs the rows, at most those of its batch, padded with zeros; results are longer by the padding.
    fn run(&mut self, rows: [&[f32]; 3]) -> TractResult<TVec<TValue>> {
        for (input, given) in self.inputs.iter_mut().zip(rows) {
            // Ours alone between two steps; a copy is made only if the step before broke off.
            let mut values = Arc::make_mut(input).try_as_plain_ram_mut()?;
            let (values, padding) = values.as_slice_mut::<f32>()?.split_at_mut(given.len());
            values.copy_from_slice(given);
            padding.fill(0.0);
        }
        let results = self.model.run(self.inputs.iter().map(|input| Arc::clone(input).into_tvalue()).collect());
        leave_wide_registers();
        results
    }
}

/// tract's AVX and AVX-512 kernels return without `vzeroupper` (0.23.9 has it nowhere). Until somebody executes one, each SSE
/// instruction waits for the upper halves of its register, and what is computed between two steps takes up to six times as
/// long (Intel's optimization manual, "Mixing AVX code with SSE code"). memchr looks through 32 bytes and more with AVX2 where
/// there is any, and the compiler clears the registers behind that: a way there without unsafe code, of some nanoseconds.
fn leave_wide_registers() {
    black_box(memchr::memchr(1, black_box(&[0; 64])));
}

/// Runs what tract does; an error or a panic becomes text.
fn contain<T>(work: impl FnOnce() -> TractResult<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(format!("{error:#}")),
        Err(_) => Err("the ONNX library panicked".to_owned()),
    }
}

/// A metadata property of the file; empty if it has none of that name.
fn property<'a>(proto: &'a ModelProto, key: &str) -> &'a str {
    proto.metadata_props.iter().find(|p| p.key == key).map_or("", |p| p.value.as_str())
}

fn info(proto: &ModelProto, onnx: &[u8]) -> Result<ModelInfo, LoadError> {
    let (found, wanted) = (property(proto, "schema").to_owned(), schema_hash());
    if found != wanted {
        return Err(LoadError::Schema { found, wanted });
    }
    Ok(ModelInfo {
        name: property(proto, "name").to_owned(),
        version: property(proto, "version").to_owned(),
        sha256: crate::features::hex(&Sha256::digest(onnx)),
        ..ModelInfo::default()
    })
}

/// The interface must be exactly that of [`IN`] and [`OUT`], `f32`, with any number of rows.
fn check_interface(proto: &ModelProto) -> Result<(), LoadError> {
    let graph = proto.graph.as_ref().ok_or_else(|| LoadError::NotOnnx("it has no graph".to_owned()))?;
    for (kind, found, wanted) in [("inputs", &graph.input, &IN[..]), ("outputs", &graph.output, &OUT[..])] {
        let found: Vec<String> = found.iter().map(describe).collect();
        let wanted: Vec<String> = wanted.iter().map(|(name, width)| format!("{name}[N,{width}]")).collect();
        if found != wanted {
            let text = format!("{kind} are {}, expected {}", found.join(" "), wanted.join(" "));
            return Err(LoadError::Interface(text));
        }
    }
    Ok(())
}

/// `name[N,width]` for a matrix of `f32` with a free first dimension; anything else reads differently.
fn describe(value: &ValueInfoProto) -> String {
    let name: String = value.name.chars().filter(char::is_ascii_graphic).take(40).collect();
    let tensor = match value.r#type.as_ref().and_then(|t| t.value.as_ref()) {
        Some(type_proto::Value::TensorType(tensor)) if tensor.elem_type == FLOAT => tensor,
        _ => return format!("{name}[not f32]"),
    };
    let dims = tensor.shape.iter().flat_map(|s| &s.dim).map(|d| match d.value {
        Some(dimension::Value::DimValue(n)) => n.to_string(),
        _ => "N".to_owned(),
    });
    format!("{name}[{}]", dims.collect::<Vec<_>>().join(","))
}

fn check_length(what: &'static str, found: usize, wanted: usize) -> Result<(), StepError> {
    if found == wanted { Ok(()) } else { Err(StepError::Shape { what, found, wanted }) }
}

fn usable(row: usize, outputs: &Outputs, h: &[f32], c: &[f32]) -> bool {
    let finite = |all: &[f32], width: usize| all[row * width..(row + 1) * width].iter().all(|v| v.is_finite());
    (0.0..=1.0).contains(&outputs.probability[row])
        && finite(&outputs.mean, SIGNALS)
        && finite(&outputs.log_variance, SIGNALS)
        && finite(h, HIDDEN)
        && finite(c, HIDDEN)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use tract_onnx::pb::StringStringEntryProto;
    use tract_onnx::prelude::tract_ndarray::Array2;

    fn shipped() -> Engine {
        Engine::load(SHIPPED).unwrap()
    }

    #[test]
    fn the_shipped_model_names_itself() {
        let engine = shipped();
        assert_eq!(engine.info().name, "guard-lstm");
        assert_eq!(engine.info().sha256.len(), 64);
        assert_eq!(engine.info().error, None);
    }

    #[test]
    fn only_the_batches_in_use_are_loaded() {
        let mut engine = shipped();
        assert_eq!(engine.plans.keys().copied().collect::<Vec<_>>(), [16]);
        engine.step(33, &[0.0; 33 * INPUTS], &mut [0.0; 33 * HIDDEN], &mut [0.0; 33 * HIDDEN]).unwrap();
        assert_eq!(engine.plans.keys().copied().collect::<Vec<_>>(), [16, 64]);
    }

    #[test]
    fn no_rows_are_no_error_and_a_wrong_length_is() {
        let mut engine = shipped();
        assert_eq!(engine.step(0, &[], &mut [], &mut []), Ok(&Outputs::default()));
        let error = engine.step(1, &[0.0; 3], &mut [0.0; HIDDEN], &mut [0.0; HIDDEN]);
        assert_eq!(error, Err(StepError::Shape { what: "x", found: 3, wanted: INPUTS }));
    }

    #[test]
    fn a_row_without_usable_numbers_begins_anew_and_leaves_the_others_alone() {
        let mut engine = shipped();
        let (mut h, mut c) = ([0.5; 2 * HIDDEN], [0.5; 2 * HIDDEN]);
        c[HIDDEN] = f32::NAN;
        let x = [0.0; 2 * INPUTS];
        let (mut alone_h, mut alone_c) = ([0.5; HIDDEN], [0.5; HIDDEN]);
        let alone = engine.step(1, &x[..INPUTS], &mut alone_h, &mut alone_c).unwrap().probability[0];
        let found = engine.step(2, &x, &mut h, &mut c).unwrap();
        assert_eq!(found.unusable, [1]);
        assert!((found.probability[0] - alone).abs() < 1e-6, "the other row goes on");
        assert!((h[0] - alone_h[0]).abs() < 1e-6 && h[HIDDEN..].iter().chain(&c[HIDDEN..]).all(|v| *v == 0.0));
        assert!(engine.step(2, &x, &mut h, &mut c).unwrap().unusable.is_empty());
    }

    #[test]
    fn what_is_no_guard_model_is_refused_with_the_reason() {
        let refused = |bytes: &[u8]| Engine::load(bytes).unwrap_err().to_string();
        assert!(refused(b"\x89HDF\r\n\x1a\n....").contains("Keras"));
        assert!(refused(b"not a model").contains("ONNX"));
        assert!(refused(&vec![0; MAX_BYTES + 1]).contains("8388608 bytes"));
        assert!(refused(b"").contains("schema"));
        assert!(refused(&SHIPPED[..SHIPPED.len() / 2]).contains("ONNX"));
    }

    fn with(change: impl FnOnce(&mut ModelProto)) -> Result<Engine, LoadError> {
        let mut proto = tract_onnx::onnx().proto_model_for_read(&mut &SHIPPED[..]).unwrap();
        change(&mut proto);
        let info = info(&proto, SHIPPED)?;
        check_interface(&proto)?;
        let calibration = property(&proto, "calibration").parse().map_err(LoadError::Calibration)?;
        Ok(Engine::new(proto, info, calibration))
    }

    #[test]
    fn another_schema_or_interface_is_refused() {
        let other =
            with(|m| m.metadata_props = vec![StringStringEntryProto { key: "schema".into(), value: "x".into() }]);
        assert!(matches!(other, Err(LoadError::Schema { found, .. }) if found == "x"));
        let swapped = with(|m| m.graph.as_mut().unwrap().input.swap(0, 1));
        assert!(matches!(swapped, Err(LoadError::Interface(text)) if text.contains("h[N,32] x[N,31]")));
    }

    #[test]
    fn what_the_file_says_of_its_output_is_heeded() {
        let calibrated = |text: &str| {
            with(|m| m.metadata_props.push(StringStringEntryProto { key: "calibration".into(), value: text.into() }))
        };
        let first = |engine: &mut Engine| {
            engine.step(1, &[0.0; INPUTS], &mut [0.0; HIDDEN], &mut [0.0; HIDDEN]).unwrap().probability[0]
        };
        let (plain, lower) = (first(&mut shipped()), first(&mut calibrated("1,-3").unwrap()));
        let log_odds = |p: f32| (p / (1.0 - p)).ln();
        assert!((log_odds(plain) - log_odds(lower) - 3.0).abs() < 1e-3, "{plain} {lower}");
        let refused = calibrated("high").unwrap_err().to_string();
        assert!(refused.contains("SLOPE,OFFSET"), "{refused}");
    }

    #[expect(clippy::disallowed_methods, reason = "a ratio of two times is what is tested")]
    fn arithmetic() -> Duration {
        let began = Instant::now();
        let sum = (1..2000).map(|i| black_box(f64::from(i)).asinh()).sum::<f64>();
        assert!(black_box(sum) > 0.0);
        began.elapsed()
    }

    /// The fastest of many is what the machine can do, however busy it is.
    fn fastest(mut work: impl FnMut() -> Duration) -> Duration {
        (0..200).map(|_| work()).min().unwrap()
    }

    #[test]
    fn arithmetic_is_as_fast_after_a_step_as_before() {
        let before = fastest(arithmetic);
        let mut engine = shipped();
        let after = fastest(|| {
            engine.step(1, &[0.0; INPUTS], &mut [0.0; HIDDEN], &mut [0.0; HIDDEN]).unwrap();
            arithmetic()
        });
        // Six times without `leave_wide_registers`; a busy neighbour on the same core makes nearly two.
        assert!(after < before * 3, "{after:?} after a step, {before:?} before");
    }

    #[test]
    fn a_panic_in_the_library_becomes_an_error() {
        let panics = || -> TractResult<()> {
            let empty = Array2::<f32>::zeros([0, 0]);
            assert!(empty[[1, 1]].is_nan());
            Ok(())
        };
        assert_eq!(contain(panics), Err("the ONNX library panicked".to_owned()));
    }
}
