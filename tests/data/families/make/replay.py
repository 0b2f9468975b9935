"""Graphs that only replay: inputs and outputs as an exporter writes them,
with outputs that are constants. Nothing of any network is in them."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

TYPES = {
    np.dtype(np.uint8): TensorProto.UINT8,
    np.dtype(np.float16): TensorProto.FLOAT16,
    np.dtype(np.float32): TensorProto.FLOAT,
    np.dtype(np.int64): TensorProto.INT64,
}


def save(path, inputs, outputs, metadata=None, scale_by_size=None):
    """`inputs`: name -> (dtype, shape); `outputs`: name -> array.

    Every output is its constant. `scale_by_size` names an output [1, N, 4]
    that holds fractions and is multiplied by the second input, [W, H]: what
    the authors' RT-DETR and D-FINE do with `orig_target_sizes`.
    """
    nodes, constants = [], []
    for name, array in outputs.items():
        constant = f"{name.split(':')[0]}_constant"
        constants.append(numpy_helper.from_array(np.ascontiguousarray(array), constant))
        if name == scale_by_size:
            size = list(inputs)[1]
            nodes.append(helper.make_node("Cast", [size], ["size"], to=TensorProto.FLOAT))
            nodes.append(helper.make_node("Concat", ["size", "size"], ["sizes"], axis=1))
            nodes.append(helper.make_node("Mul", [constant, "sizes"], [name]))
        else:
            nodes.append(helper.make_node("Identity", [constant], [name]))
    infos = [helper.make_tensor_value_info(n, TYPES[np.dtype(t)], s) for n, (t, s) in inputs.items()]
    results = [helper.make_tensor_value_info(n, TYPES[a.dtype], a.shape) for n, a in outputs.items()]
    graph = helper.make_graph(nodes, "replay", infos, results, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], producer_name="tawny")
    model.ir_version = 8
    if metadata:
        helper.set_model_props(model, metadata)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
