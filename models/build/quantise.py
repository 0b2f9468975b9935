#!/usr/bin/env python3
"""Quantises a converted NanoDet (u8 input) to INT8.

    quantise.py IN.onnx OUT.onnx CALIBRATION_FOLDER [--count 64]

Static QDQ: weights S8 per channel, activations U8, ranges by moving-average
MinMax over letterboxed pictures of the folder. The heads' last convolutions
and the decoding stay in fp32: their outputs are what is read, and one step of
an 8-bit score is 0.004, of an 8-bit box a pixel or two.
"""

import argparse
import logging
import pathlib

import cv2
import numpy as np
import onnx
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)

from add_class_names import add_class_names

QUANTISED = ["Conv", "LeakyRelu", "MaxPool", "Concat", "AveragePool", "Resize", "Add"]
# About the mean in BGR, so that the bars do not widen the ranges.
BARS = (104, 116, 124)


class Pictures(CalibrationDataReader):
    """Letterboxed pictures of a folder, one after the other."""

    def __init__(self, folder, count, height, width):
        names = (path for path in folder.iterdir() if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
        self.files = iter(sorted(names)[:count])
        self.height, self.width = height, width

    def get_next(self):
        file = next(self.files, None)
        if file is None:
            return None
        picture = cv2.imread(str(file))
        height, width = picture.shape[:2]
        ratio = min(self.width / width, self.height / height)
        size = (round(width * ratio), round(height * ratio))
        left, top = (self.width - size[0]) // 2, (self.height - size[1]) // 2
        canvas = np.empty((self.height, self.width, 3), np.uint8)
        canvas[:] = BARS
        canvas[top : top + size[1], left : left + size[0]] = cv2.resize(picture, size)
        return {"images": np.ascontiguousarray(canvas[None, ..., ::-1])}


def kept_in_float(model):
    """The heads' last convolutions and everything of the decoding."""
    graph, readers = model.graph, {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    split = lambda node: any(reader.op_type == "Split" for reader in readers.get(node.output[0], []))
    output = lambda node: any(reader.op_type == "Identity" for reader in readers.get(node.output[0], []))
    names = [node.name for node in graph.node if node.op_type == "Conv" and split(node)]
    first_split = next(i for i, node in enumerate(graph.node) if node.op_type == "Split")
    names += [node.name for node in list(graph.node)[first_split:] if node.op_type == "Concat"]
    names += [node.name for node in graph.node if node.op_type == "Add" and output(node)]
    return names


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", metavar="IN.onnx")
    parser.add_argument("target", metavar="OUT.onnx")
    parser.add_argument("calibration", type=pathlib.Path, metavar="CALIBRATION_FOLDER")
    parser.add_argument("--count", type=int, default=64, help="pictures to look at")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    model = onnx.load(options.source)
    _, height, width, _ = (d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim)
    quantize_static(
        options.source,
        options.target,
        Pictures(options.calibration, options.count, height, width),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod.MinMax,
        op_types_to_quantize=QUANTISED,
        nodes_to_exclude=kept_in_float(model),
        extra_options=dict(ActivationSymmetric=False, CalibTensorRangeSymmetric=False, CalibMovingAverage=True),
    )
    quantised = onnx.load(options.target)
    add_class_names(quantised)
    onnx.save(quantised, options.target)


if __name__ == "__main__":
    main()
