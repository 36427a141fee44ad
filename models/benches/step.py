#!/usr/bin/env python3
"""Measures a step of the model in tract beside ONNX Runtime and Keras, and writes models/SPEED.md.

    python3 -m venv venv && venv/bin/pip install onnxruntime numpy keras tensorflow-cpu
    venv/bin/python models/benches/step.py          (builds the bench in both profiles; needs valgrind for instructions)

All run on one thread, in turns, so that the ratio holds on a machine that others use.
"""
import json
import os
import pathlib
import platform
import re
import shutil
import statistics
import subprocess
import time

os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
import keras
import numpy as np
import onnxruntime
import tensorflow

MODELS = pathlib.Path(__file__).resolve().parent.parent
ROUNDS, STEPS = 3, 2000
# The bench's WINDOW; and how often Keras is asked, which takes up to a tenth of a second each time.
WINDOW, LOOKS = 30, 20


def built(profile):
    """The bench's program."""
    command = ["cargo", "bench", "-p", "guard-model", "--bench", "step", "--no-run", "--locked"]
    command += ["--profile", profile, "--message-format", "json"]
    lines = subprocess.run(command, cwd=MODELS, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    programs = [json.loads(line).get("executable") for line in lines if '"name":"step"' in line]
    return next(program for program in programs if program)


def tract(program):
    """Microseconds of a step, and of a look of the older kind, by the number of pods."""
    lines = subprocess.run([program], check=True, stdout=subprocess.PIPE, text=True).stdout.split("\n")
    return {int(rows): (float(step), float(windows)) for rows, step, windows in (line.split() for line in lines if line)}


def runtime(rows):
    """Microseconds of a step in ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(MODELS / "guard.onnx"), options, providers=["CPUExecutionProvider"])
    inputs, hidden = (session.get_inputs()[i].shape[1] for i in (0, 1))
    x = (np.arange(rows * inputs) * 31 % 97 / 97 - 0.5).astype(np.float32).reshape(rows, inputs) * 2
    h = c = np.zeros((rows, hidden), np.float32)
    took = []
    for _ in range(STEPS):
        start = time.perf_counter()
        _, _, _, h, c = session.run(None, {"x": x, "h": h, "c": c})
        took.append((time.perf_counter() - start) * 1e6)
    return statistics.median(took)


def windowed():
    """Microseconds of a look at one pod in Keras: a network of the same size, and `predict` with the pod's last samples."""
    session = onnxruntime.InferenceSession(str(MODELS / "guard.onnx"), providers=["CPUExecutionProvider"])
    inputs, hidden = (session.get_inputs()[i].shape[1] for i in (0, 1))
    outputs = sum(output.shape[1] for output in session.get_outputs()[:3])
    layers = [
        keras.layers.Dense(hidden, activation="relu"),
        keras.layers.LSTM(hidden),
        keras.layers.Dense(outputs),
    ]
    network = keras.Sequential([keras.Input((WINDOW, inputs)), *layers])
    samples = np.zeros((1, WINDOW, inputs), np.float32)
    network.predict(samples, verbose=0)
    took = []
    for _ in range(LOOKS):
        start = time.perf_counter()
        network.predict(samples, verbose=0)
        took.append((time.perf_counter() - start) * 1e6)
    return statistics.median(took)


def instructions(program, rows):
    """Instructions of one step: the difference of two counts, so that loading is not in it."""

    def count(steps):
        command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", program]
        command += ["--rows", str(rows), "--steps", str(steps)]
        said = subprocess.run(command, check=True, stderr=subprocess.PIPE, text=True).stderr
        return int(re.search(r"Collected : (\d+)", said).group(1))

    return (count(300) - count(100)) / 200


def main():
    programs = {profile: built(profile) for profile in ("release", "dist")}
    times = {profile: [] for profile in programs}
    beside, older = [], []
    tensorflow.config.threading.set_intra_op_parallelism_threads(1)
    tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    for _ in range(ROUNDS):
        for profile, program in programs.items():
            times[profile].append(tract(program))
        beside.append({rows: runtime(rows) for rows in times["dist"][0]})
        older.append(windowed())
    lines = [
        "# Speed of the model",
        "",
        "Written by `models/benches/step.py`; do not edit.",
        "",
        f"Medians of {ROUNDS} rounds in turns, one thread, microseconds; {platform.machine()}, ONNX Runtime"
        f" {onnxruntime.__version__} by its Python interface. What counts is a line's ratio: the machine is shared.",
        f"The last columns are the older tool's way: each pod by itself, its last {WINDOW} samples again at each look; in tract, and"
        f" by `predict` of a network of the same size in Keras {keras.__version__}, measured for one pod.",
        "",
        "| pods | release | dist | ONNX Runtime | dist / ONNX Runtime | instructions, dist | windows in tract | that / dist"
        " | windows in Keras | that / dist |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    look = statistics.median(older)
    for rows in beside[0]:
        release, dist = (statistics.median(round[rows][0] for round in times[p]) for p in ("release", "dist"))
        windows = statistics.median(round[rows][1] for round in times["dist"])
        other = statistics.median(round[rows] for round in beside)
        counted = f"{instructions(programs['dist'], rows) / 1e6:.2f} M" if shutil.which("valgrind") else "-"
        lines.append(
            f"| {rows} | {release:.0f} | {dist:.0f} | {other:.0f} | {dist / other:.1f} | {counted} | {windows:.0f}"
            f" | {windows / dist:.0f} | {look * rows:.0f} | {look * rows / dist:.0f} |"
        )
    (MODELS / "SPEED.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
