#!/usr/bin/env python3
"""Lets a converted NanoDet of a fixed size take pictures of every size whose
sides are multiples of 32, and notes its own size as the usual one.

    free_size.py IN.onnx OUT.onnx

The network itself works at every size; only the decoding of the boxes knows
one: constants with each cell's centre and stride, and the number of cells.
They are replaced by what is computed from the shapes of the heads. At the
original size the outputs stay the same to the bit. A model that is not square
need not be shown a square: less than two thirds of it is picture where a
camera's is wide, and inference costs as much as its area.
"""

import json
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

STRIDES = (8, 16, 32)


def free_size(model: onnx.ModelProto) -> None:
    graph = model.graph
    _, height, width, _ = (dim.dim_value for dim in graph.input[0].type.tensor_type.shape.dim)
    cells = graph.output[0].type.tensor_type.shape.dim[1].dim_value
    assert cells, "its size is free already"
    constants = {each.name: numpy_helper.to_array(each) for each in graph.initializer}

    def constant(name, array):
        graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    added = []

    def add(op, inputs, output, **attributes):
        added.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    rows_columns = constant("rows_columns", np.array([2], np.int64))
    end = constant("rows_columns_end", np.array([4], np.int64))
    half = constant("half", np.float32(0.5))
    xyxy = constant("xyxy", np.array([1, 0, 1, 0], np.int64))
    one = helper.make_tensor("one", TensorProto.INT64, [1], [1])
    heads = [node.input[0] for node in graph.node if node.op_type == "Split"]
    centres, strides = [], []
    for stride, head in zip(STRIDES, heads, strict=True):
        size = add("Slice", [add("Shape", [head], f"shape_{stride}"), rows_columns, end], f"size_{stride}")
        # The indices of all cells, row by row.
        cell = add("NonZero", [add("ConstantOfShape", [size], f"ones_{stride}", value=one)], f"cells_{stride}")
        cell = add("Transpose", [cell], f"cell_{stride}", perm=[1, 0])
        cell = add("Cast", [add("Gather", [cell, xyxy], f"xyxy_{stride}", axis=1)], f"float_{stride}", to=TensorProto.FLOAT)
        middle = add("Add", [cell, half], f"middle_{stride}")
        centre = add("Mul", [middle, constant(f"stride_{stride}", np.float32(stride))], f"centre_{stride}")
        signed = constant(f"signed_{stride}", np.array([[-stride, -stride, stride, stride]], np.float32))
        strides.append(add("Expand", [signed, add("Shape", [centre], f"all_{stride}")], f"strides_{stride}"))
        centres.append(centre)
    centre, stride = add("Concat", centres, "centres", axis=0), add("Concat", strides, "strides", axis=0)

    by_cell = lambda name: name in constants and constants[name].shape == (1, cells, 4)
    for node in graph.node:
        if node.op_type == "Reshape" and cells in constants[node.input[1]]:
            shape = constants[node.input[1]].copy()
            shape[shape == cells] = -1
            node.input[1] = constant(f"{node.name}_shape", shape)
        if node.op_type in ("Mul", "Add") and by_cell(node.input[1]):
            node.input[1] = stride if node.op_type == "Mul" else centre
    first_reader = next(at for at, node in enumerate(graph.node) if stride in node.input)
    nodes = list(graph.node)
    del graph.node[:], graph.value_info[:]
    graph.node.extend(nodes[:first_reader] + added + nodes[first_reader:])
    read = {name for node in graph.node for name in node.input}
    kept = [each for each in graph.initializer if each.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    for tensor, at, name in ((0, 1, "height"), (0, 2, "width")):
        free(graph.input[tensor], at, name)
    for output in graph.output:
        free(output, 1, "cells")
    for entry in model.metadata_props:
        if entry.key == "input":
            entry.value = entry.value.split()[0] + " HxW, multiples of 32"
    # Under the key that Ultralytics uses.
    model.metadata_props.add(key="imgsz", value=json.dumps([height, width]))


def free(value, at, name):
    """Makes one size of a tensor a free one of this name."""
    value.type.tensor_type.shape.dim[at].Clear()
    value.type.tensor_type.shape.dim[at].dim_param = name


def main() -> None:
    source, target = sys.argv[1:3]
    model = onnx.load(source)
    free_size(model)
    onnx.checker.check_model(model)
    onnx.save(model, target)


if __name__ == "__main__":
    main()
