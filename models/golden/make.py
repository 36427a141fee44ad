#!/usr/bin/env python3
"""Writes vectors.json: what ONNX Runtime makes of guard.onnx, step by step.

    python3 -m venv venv && venv/bin/pip install onnx onnxruntime numpy && venv/bin/python models/golden/make.py

The inputs are drawn from a fixed seed; a Rust test holds tract to the outputs.
"""
import hashlib
import json
import pathlib

import numpy as np
import onnx
import onnxruntime

STEPS, ROWS, SEED = 20, 5, 7
HERE = pathlib.Path(__file__).parent


def rounded(array):
    return [float(f"{value:.7g}") for value in np.asarray(array, dtype=np.float32).ravel()]


def main():
    data = (HERE.parent / "guard.onnx").read_bytes()
    onnx.checker.check_model(onnx.load_from_string(data), full_check=True)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    inputs, hidden = (session.get_inputs()[i].shape[1] for i in (0, 1))
    draw = np.random.default_rng(SEED)
    h = c = np.zeros((ROWS, hidden), np.float32)
    steps = []
    for _ in range(STEPS):
        # Rounded first, so that the numbers in the file are the numbers that were run.
        x = np.array(rounded(draw.normal(0, 1.5, (ROWS, inputs))), np.float32).reshape(ROWS, inputs)
        probability, mean, log_variance, h, c = session.run(None, {"x": x, "h": h, "c": c})
        steps.append(
            {
                "x": rounded(x),
                "probability": rounded(probability),
                "mean": rounded(mean),
                "log_variance": rounded(log_variance),
            }
        )
    vectors = {
        "onnxruntime": onnxruntime.__version__,
        "sha256": hashlib.sha256(data).hexdigest(),
        "rows": ROWS,
        "steps": steps,
    }
    (HERE / "vectors.json").write_text(json.dumps(vectors, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
