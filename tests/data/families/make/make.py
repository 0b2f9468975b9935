#!/usr/bin/env python3
"""Makes the fixtures of tests/families.rs: what each family's own software
makes of two small pictures.

For each family a network is built by its upstream package with random
weights, exported to ONNX, and run by ONNX Runtime on the picture as upstream
prepares it. Kept are: the prepared picture (NAME_input.png), the raw outputs
inside a graph of our own that only replays them (NAME.onnx), and the boxes
that upstream's own post-processing finds in them (expected.json: class,
score, corners in pixels of the picture). No upstream code or weight is kept.

Three classes, each of another group, make the two sides comparable to the
box. Boxes that overlap are kept: suppression is Tawny's own.

    pip install -r requirements.txt   (see its comments)
    ./make.py
"""

import importlib.metadata
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import traceback
import types

os.environ["YOLO_AUTOINSTALL"] = "false"

import cv2
import numpy as np
import onnx
import onnxruntime
import torch

import replay

HERE = pathlib.Path(__file__).resolve().parent
OUT = HERE.parent
CLIPS = HERE.parents[1] / "clips"
SIDE = 96
NAMES = ["animal", "person", "vehicle"]
# Nothing is suppressed but by graphs that do it themselves: when to suppress
# is Tawny's own choice, which the test applies to both sides.
IOU = 1.0
THRESHOLD = 0.3
WORK = pathlib.Path(tempfile.mkdtemp())

expected = {}


# Pictures


def picture(clip, second, size):
    """One frame of a bundled clip, shrunk to `size`."""
    path = OUT / f"{clip}.png"
    scale = f"scale={size[0]}:{size[1]}:flags=area"
    command = ["ffmpeg", "-v", "error", "-y", "-ss", str(second), "-i", str(CLIPS / f"{clip}.mp4")]
    subprocess.run([*command, "-frames:v", "1", "-vf", scale, str(path)], check=True)
    return cv2.imread(str(path))


# Random networks whose scores are spread over 0..1


def settle(model, bgr):
    """Fits the statistics of batch normalisation to pictures and noise, or
    the activations of a random network die out."""
    model.eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.train()
            module.momentum = 0.3
    rgb = cv2.resize(bgr, (SIDE, SIDE))[..., ::-1].astype(np.float32) / 255
    base = torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))[None]
    with torch.no_grad():
        for _ in range(12):
            yield torch.cat([base, base.flip(3), (base + torch.randn_like(base) * 0.2).clamp(0, 1)])
    model.eval()


def spread(convolution, bias, gain):
    """Makes the outputs of a last layer differ from place to place."""
    with torch.no_grad():
        convolution.weight.normal_(0, gain / np.sqrt(convolution.weight[0].numel()))
        convolution.bias.fill_(bias)


def run(path, inputs):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, inputs)))


# What is kept


def keep(name, clip, rgb, inputs, outputs, boxes, metadata=None, scale_by_size=None):
    """`rgb`: what upstream shows the network, as u8 H x W x 3."""
    if rgb is not None:
        cv2.imwrite(str(OUT / f"{name}_input.png"), rgb[..., ::-1])
    replay.save(OUT / f"{name}.onnx", inputs, outputs, metadata, scale_by_size)
    rows = [{"class": NAMES[int(c)], "score": round(float(s), 5), "corners": [round(float(v), 3) for v in b]}
            for b, s, c in boxes]
    rows.sort(key=lambda row: -row["score"])
    expected[name] = {"picture": f"{clip}.png", "threshold": THRESHOLD, "boxes": rows}
    print(f"{name}: {len(rows)} boxes, {(OUT / f'{name}.onnx').stat().st_size} bytes")


def to_bytes(tensor, scale):
    """A prepared tensor [3, H, W] as u8 pixels, and nothing lost by it."""
    pixels = np.asarray(tensor, np.float32).transpose(1, 2, 0) * scale
    assert np.abs(pixels - np.rint(pixels)).max() < 1e-3
    return np.rint(pixels).astype(np.uint8)


# YOLOX


def yolox(clip, bgr):
    from yolox.data.data_augment import ValTransform
    from yolox.exp import get_exp
    from yolox.utils.demo_utils import demo_postprocess, multiclass_nms

    torch.manual_seed(7)
    exp = get_exp(None, "yolox-nano")
    exp.num_classes, exp.test_size = 3, (SIDE, SIDE)
    model = exp.get_model()
    for batch in settle(model, bgr):
        model(batch * 255)
    for level in range(3):
        spread(model.head.cls_preds[level], 0.0, 3.0)
        spread(model.head.obj_preds[level], -0.6, 3.0)
        spread(model.head.reg_preds[level], 0.4, 1.0)
    tensor, _ = ValTransform(legacy=False)(bgr, None, (SIDE, SIDE))
    ratio = min(SIDE / bgr.shape[0], SIDE / bgr.shape[1])
    for decoded in (False, True):
        model.head.decode_in_inference = decoded
        path = WORK / "yolox.onnx"
        torch.onnx.export(model, torch.from_numpy(tensor)[None], str(path), input_names=["images"],
                          output_names=["output"], opset_version=11)
        raw = run(path, {"images": tensor[None]})["output"]
        table = raw[0] if decoded else demo_postprocess(raw.copy(), (SIDE, SIDE))[0]
        x, y, w, h = table[:, :4].T
        corners = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 1) / ratio
        scores = table[:, 4:5] * table[:, 5:]
        kept = multiclass_nms(corners, scores, nms_thr=IOU, score_thr=THRESHOLD, class_agnostic=False)
        boxes = [(row[:4], row[4], row[5]) for row in kept]
        # BGR as it is fed; the kept picture is RGB.
        keep(f"yolox_{'decoded' if decoded else 'raw'}_{clip}", clip, to_bytes(tensor, 1)[..., ::-1],
             {"images": (np.float32, [1, 3, SIDE, SIDE])}, {"output": raw}, boxes)


# YOLOv5, and so MegaDetector v5


def yolov5(clip, bgr):
    import yolov5 as package

    root = pathlib.Path(package.__file__).parent
    from yolov5.models.yolo import Model
    from yolov5.utils.augmentations import letterbox
    from yolov5.utils.general import non_max_suppression, scale_boxes

    torch.manual_seed(7)
    model = Model(str(root / "models/yolov5n.yaml"), ch=3, nc=3)
    for batch in settle(model, bgr):
        model(batch)
    for convolution in model.model[-1].m:
        spread(convolution, -0.2, 2.5)
    model.model[-1].export = True
    image = letterbox(bgr, (SIDE, SIDE), auto=False)[0]
    tensor = np.ascontiguousarray(image.transpose(2, 0, 1)[::-1])[None].astype(np.float32) / 255
    path = WORK / "yolov5.onnx"
    torch.onnx.export(model, torch.from_numpy(tensor), str(path), input_names=["images"], output_names=["output0"],
                      opset_version=12)
    raw = run(path, {"images": tensor})["output0"]
    found = non_max_suppression(torch.from_numpy(raw), THRESHOLD, IOU, multi_label=True, max_det=10000)[0]
    corners = scale_boxes((SIDE, SIDE), found[:, :4], bgr.shape)
    # f16 as `--half` writes it would round; f32 is the default.
    keep(f"yolov5_{clip}", clip, to_bytes(tensor[0], 255), {"images": (np.float32, [1, 3, SIDE, SIDE])},
         {"output0": raw}, zip(corners, found[:, 4], found[:, 5]))


# Ultralytics: YOLOv8, YOLO11, YOLOv10, YOLO26, nms=True, RT-DETR


def ultralytics(clip, bgr, name, config, gain, transposed=False, half=False, **arguments):
    from ultralytics import RTDETR, YOLO
    from ultralytics.data.augment import LetterBox
    from ultralytics.utils import nms, ops

    torch.manual_seed(7)
    import yaml
    from ultralytics.utils import ROOT

    found = next(iter((ROOT / "cfg/models").rglob(f"{config.replace('n.yaml', '.yaml')}")), None)
    layout = yaml.safe_load((found or next((ROOT / "cfg/models").rglob(config))).read_text())
    layout["nc"] = 3
    if "scales" in layout:
        layout["scale"] = "n" if "n" in layout["scales"] else "l"
    changed = WORK / config
    changed.write_text(yaml.safe_dump(layout))
    is_detr = config.startswith("rtdetr")
    wrapper = (RTDETR if is_detr else YOLO)(str(changed))
    model = wrapper.model
    head = model.model[-1]
    if is_detr:
        head.num_queries = 50
        for layer in list(head.dec_score_head) + [head.enc_score_head]:
            spread(layer, 1.0, gain)
    else:
        for batch in settle(model, bgr):
            model(batch)
        branches = [head.cv3] + ([head.one2one_cv3] if hasattr(head, "one2one_cv3") else [])
        for branch in branches:
            for level in branch:
                spread(level[-1], -1.0, gain)
    model.names = dict(enumerate(NAMES))
    path = wrapper.export(format="onnx", imgsz=SIDE, simplify=False, opset=17, **arguments)
    image = LetterBox((SIDE, SIDE), auto=False, scale_fill=is_detr)(image=bgr)
    tensor = np.ascontiguousarray(image.transpose(2, 0, 1)[::-1])[None].astype(np.float32) / 255
    raw = run(path, {"images": tensor})["output0"]
    if half:
        # What `--half` would give, without a processor that computes so.
        raw = raw.astype(np.float16)
    end_to_end = raw.shape[-1] == 6
    if is_detr:
        # As RTDETRPredictor: centre and size in fractions, no suppression.
        size = np.array([bgr.shape[1], bgr.shape[0]] * 2)
        kept = [(np.concatenate([row[:2] - row[2:4] / 2, row[:2] + row[2:4] / 2]) * size, row[4], row[5])
                for row in raw[0] if row[4] > THRESHOLD]
    else:
        table = torch.from_numpy(raw.astype(np.float32))
        found = nms.non_max_suppression(table, THRESHOLD, IOU, multi_label=not end_to_end, nc=3,
                                        max_det=10000, end2end=end_to_end)[0]
        corners = ops.scale_boxes((SIDE, SIDE), found[:, :4].clone(), bgr.shape)
        kept = list(zip(corners, found[:, 4], found[:, 5]))
    metadata = {"names": str(dict(enumerate(NAMES))), "imgsz": str([SIDE, SIDE])}
    if is_detr:
        metadata["head"] = "RTDETRDecoder"
    if transposed:
        raw = np.ascontiguousarray(raw.transpose(0, 2, 1))
    element = np.float16 if half else np.float32
    keep(f"{name}_{clip}", clip, to_bytes(tensor[0], 255), {"images": (element, [1, 3, SIDE, SIDE])},
         {"output0": raw}, kept, metadata)


# RT-DETR and D-FINE as Hugging Face and as their authors export them


def dfine_postprocessor():
    """The authors' class, from its file alone: the package wants a trainer."""
    file = next(f for f in importlib.metadata.files("d-fine-project") if str(f).endswith("dfine/postprocessor.py"))
    core = types.ModuleType("upstream.core")
    core.register = lambda: lambda this: this
    for name in ("upstream", "upstream.zoo", "upstream.zoo.dfine"):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = []
    sys.modules["upstream.core"] = core
    spec = importlib.util.spec_from_file_location("upstream.zoo.dfine.postprocessor", file.locate())
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.DFINEPostProcessor


def detr(clip, bgr, name):
    from transformers import DFineConfig, DFineForObjectDetection
    from transformers import RTDetrConfig, RTDetrForObjectDetection, RTDetrImageProcessor, RTDetrResNetConfig
    from transformers.models.hgnet_v2.configuration_hgnet_v2 import HGNetV2Config
    from transformers.models.rt_detr.modeling_rt_detr import RTDetrObjectDetectionOutput

    torch.manual_seed(7)
    common = dict(num_labels=3, num_queries=30, decoder_layers=2, d_model=64, encoder_hidden_dim=64,
                  encoder_ffn_dim=64, decoder_ffn_dim=64, decoder_attention_heads=4, encoder_attention_heads=4,
                  decoder_in_channels=[64, 64, 64], anchor_image_size=None)
    if name == "dfine":
        model = DFineForObjectDetection(DFineConfig(**common))
    else:
        backbone = RTDetrResNetConfig(embedding_size=16, hidden_sizes=[16, 32, 32, 32], depths=[1, 1, 1, 1],
                                      layer_type="basic", out_features=["stage2", "stage3", "stage4"])
        model = RTDetrForObjectDetection(RTDetrConfig(
            backbone_config=backbone, encoder_in_channels=[32, 32, 32], **common))
    model.eval().requires_grad_(False)
    for layer in model.modules():
        if isinstance(layer, torch.nn.Linear) and layer.out_features == 3:
            spread(layer, -0.5, 3.0)
    processor = RTDetrImageProcessor(size={"height": SIDE, "width": SIDE})
    tensor = processor(bgr[..., ::-1], return_tensors="np")["pixel_values"]

    class Exported(torch.nn.Module):
        def forward(self, pixel_values):
            outputs = model(pixel_values)
            return outputs.logits, outputs.pred_boxes

    path = WORK / f"{name}.onnx"
    torch.onnx.export(Exported(), torch.from_numpy(tensor), str(path), input_names=["pixel_values"],
                      output_names=["logits", "pred_boxes"], opset_version=17)
    raw = run(path, {"pixel_values": tensor})
    outputs = RTDetrObjectDetectionOutput(logits=torch.from_numpy(raw["logits"]),
                                          pred_boxes=torch.from_numpy(raw["pred_boxes"]))
    height, width = bgr.shape[:2]
    found = processor.post_process_object_detection(outputs, THRESHOLD, [(height, width)])[0]
    boxes = list(zip(found["boxes"], found["scores"], found["labels"]))
    keep(f"{name}_hf_{clip}", clip, to_bytes(tensor[0], 255), {"pixel_values": (np.float32, [1, 3, SIDE, SIDE])},
         raw, boxes)

    upstream = dfine_postprocessor()(num_classes=3, num_top_queries=30)
    upstream.deploy_mode = True
    given = {"pred_logits": torch.from_numpy(raw["logits"]), "pred_boxes": torch.from_numpy(raw["pred_boxes"])}
    labels, corners, scores = upstream(given, torch.tensor([[width, height]]))
    # What the graph computes before it multiplies by the size.
    _, fractions, _ = upstream(given, torch.tensor([[1, 1]]))
    chosen = [(b, s, c) for b, s, c in zip(corners[0], scores[0], labels[0]) if s > THRESHOLD]
    keep(f"{name}_authors_{clip}", clip, None,
         {"images": (np.float32, ["N", 3, SIDE, SIDE]), "orig_target_sizes": (np.int64, ["N", 2])},
         {"labels": labels.numpy(), "boxes": fractions.numpy(), "scores": scores.numpy()}, chosen,
         scale_by_size="boxes")


# TensorFlow's Object Detection API: its signature, by its documentation


def ssd(clip, bgr):
    random = np.random.default_rng(7)
    count = 12
    corners = np.sort(random.random((count, 2, 2)), axis=1)  # (top, left), (bottom, right)
    boxes = corners.reshape(1, count, 4).astype(np.float32)
    scores = np.sort(random.random(count))[::-1][None].astype(np.float32).copy()
    # COCO's ids, from 1: person, car, sheep.
    ids = random.choice([1, 3, 20], (1, count)).astype(np.float32)
    group = {1: "person", 3: "vehicle", 20: "animal"}
    height, width = bgr.shape[:2]
    kept = []
    for (top, left, bottom, right), score, id in list(zip(boxes[0], scores[0], ids[0]))[:10]:
        if score > THRESHOLD:
            kept.append((np.array([left * width, top * height, right * width, bottom * height]), score,
                         NAMES.index(group[int(id)])))
    keep(f"ssd_{clip}", clip, bgr[..., ::-1], {"input_tensor": (np.uint8, [1, "height", "width", 3])},
         {"detection_boxes": boxes, "detection_classes": ids, "detection_scores": scores,
          "num_detections": np.array([10], np.float32)}, kept)


def main():
    families = {
        "yolox": yolox,
        "yolov5": yolov5,
        "yolov8": lambda clip, bgr: ultralytics(clip, bgr, "yolov8", "yolov8n.yaml", 3.0),
        "yolov8_rows": lambda clip, bgr: ultralytics(clip, bgr, "yolov8_rows", "yolov8n.yaml", 3.0, transposed=True),
        "yolo11": lambda clip, bgr: ultralytics(clip, bgr, "yolo11", "yolo11n.yaml", 3.0, half=True),
        "yolov10": lambda clip, bgr: ultralytics(clip, bgr, "yolov10", "yolov10n.yaml", 3.0, nms=False, max_det=60),
        "yolo26": lambda clip, bgr: ultralytics(clip, bgr, "yolo26", "yolo26n.yaml", 3.0, nms=False, max_det=60),
        "nms": lambda clip, bgr: ultralytics(clip, bgr, "nms", "yolov8n.yaml", 3.0, nms=True, iou=0.45, conf=0.25),
        "rtdetr_rows": lambda clip, bgr: ultralytics(clip, bgr, "rtdetr_rows", "rtdetr-l.yaml", 6.0),
        "rtdetr": lambda clip, bgr: detr(clip, bgr, "rtdetr"),
        "dfine": lambda clip, bgr: detr(clip, bgr, "dfine"),
        "ssd": ssd,
    }
    wanted = sys.argv[1:] or list(families)
    os.chdir(WORK)
    file = OUT / "expected.json"
    if file.exists():
        expected.update(json.loads(file.read_text()))
    pictures = {"people": picture("people", 3.0, (120, 90)), "street": picture("street", 2.0, (160, 90))}
    for clip, bgr in pictures.items():
        for name in wanted:
            try:
                families[name](clip, bgr)
            except Exception:
                if len(wanted) == 1:
                    raise
                traceback.print_exc()
    lines = [f'"{name}": {json.dumps(expected[name])}' for name in sorted(expected)]
    file.write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
