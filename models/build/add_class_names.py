#!/usr/bin/env python3
"""Writes a model's class names into its ONNX metadata, where `tawny` reads them.

    add_class_names.py MODEL_IN.onnx MODEL_OUT.onnx

The names go under the key `names` as a JSON list in index order. Nothing else
of the file changes: graph and weights are compared before it is written.
"""

import json
import sys

import onnx

COCO_80 = (
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,stop sign,"
    "parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,backpack,umbrella,handbag,"
    "tie,suitcase,frisbee,skis,snowboard,sports ball,kite,baseball bat,baseball glove,skateboard,surfboard,"
    "tennis racket,bottle,wine glass,cup,fork,knife,spoon,bowl,banana,apple,sandwich,orange,broccoli,carrot,"
    "hot dog,pizza,donut,cake,chair,couch,potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,"
    "cell phone,microwave,oven,toaster,sink,refrigerator,book,clock,vase,scissors,teddy bear,hair drier,toothbrush"
).split(",")


def add_class_names(model: onnx.ModelProto, names: list[str] = COCO_80) -> None:
    """Sets the metadata key `names`, replacing an older value."""
    kept = [entry for entry in model.metadata_props if entry.key != "names"]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    model.metadata_props.add(key="names", value=json.dumps(names, separators=(",", ":")))


def main() -> None:
    source, target = sys.argv[1:3]
    model = onnx.load(source)
    graph = model.graph.SerializeToString(deterministic=True)
    add_class_names(model)
    assert model.graph.SerializeToString(deterministic=True) == graph
    onnx.checker.check_model(model)
    onnx.save(model, target)


if __name__ == "__main__":
    main()
