#!/usr/bin/env python3
"""Makes bright_person_raw.onnx: a NanoDet as upstream exports it, but tiny.

It has the raw heads' inputs and outputs at 32 x 32 and "finds" a person at one
anchor when the picture is bright, so that preprocessing, raw decoding and the
command line can be tested with a known answer. Needs numpy and onnx.
"""

import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ANCHORS = 4 * 4 + 2 * 2 + 1
PERSON_AT = 5  # stride 8, row 1, column 1: centre (12, 12)

gain = np.zeros((1, ANCHORS, 80), np.float32)
gain[0, PERSON_AT, 0] = 2.0
offset = np.full((1, ANCHORS, 80), -20.0, np.float32)
offset[0, PERSON_AT, 0] = -2.0
# All of each side's distribution on bin 1: 8 pixels to every side.
dist = np.zeros((1, ANCHORS, 4, 11), np.float32)
dist[..., 1] = 40.0
constants = {"gain": gain, "offset": offset, "bins": dist.reshape(1, ANCHORS, 44)}

nodes = [
    helper.make_node("ReduceMean", ["images"], ["mean"], axes=[1, 2, 3], keepdims=0),
    helper.make_node("Mul", ["mean", "gain"], ["scaled"]),
    helper.make_node("Add", ["scaled", "offset"], ["logits"]),
    helper.make_node("Sigmoid", ["logits"], ["scores"]),
    helper.make_node("Identity", ["bins"], ["dist"]),
]
graph = helper.make_graph(
    nodes,
    "bright_person",
    [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 32, 32])],
    [
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, ANCHORS, 80]),
        helper.make_tensor_value_info("dist", TensorProto.FLOAT, [1, ANCHORS, 44]),
    ],
    [numpy_helper.from_array(array, name) for name, array in constants.items()],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], producer_name="tawny")
model.ir_version = 8
onnx.checker.check_model(model)
onnx.save(model, str(pathlib.Path(__file__).with_name("bright_person_raw.onnx")))
