//! Trains the LSTM of kubectl guard: recorded days in `models/data` in, an ONNX file out.
//!
//! Days ([`data`]) -> windows at many intervals -> synthetic faults in them -> the features that serving uses -> the
//! network and its gradient -> AdamW -> [`encode`].

mod augment;
pub mod card;
pub mod data;
pub mod draw;
mod net;
mod onnx;
mod optim;
pub mod statistics;
mod track;
mod train;

pub use crate::net::Net;
pub use crate::onnx::encode;
pub use crate::train::{Memory, Plan, STEPS, Source, WINDOW, train, write_windows};
