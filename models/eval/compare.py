#!/usr/bin/env python3
"""Compares `tawny detect` with a plain reference decode of the same model.

    compare.py [--tawny PROGRAM] [--model MODEL.onnx] FOLDER...

Each FOLDER holds pictures and, beside them, YOLO labels with COCO's class ids
(NAME.txt for NAME.jpg: class, centre x, centre y, width, height in fractions).
With another numbering: --ids 1,5,2,7 says which COCO class each id is.

The reference is what the model's authors do: letterbox with OpenCV's
INTER_LINEAR, per-class threshold and suppression, no combining of classes; its
classes are then gathered into groups, with suppression within the group.
Printed is AP at IoU 0.50 (COCO's 101-point interpolation) of each group, and
the verdict: exit code 1 if Tawny is worse by more than --tolerance points.
"""

import argparse
import json
import pathlib
import subprocess
import sys

import cv2
import numpy as np
import onnxruntime

GROUPS = {"person": [0], "vehicle": [1, 2, 3, 5, 7], "animal": list(range(14, 24))}
MUST_HOLD = ("person", "vehicle")
STRIDES = (8, 16, 32)
MEAN = np.array([123.675, 116.28, 103.53], np.float32)
DEVIATION = np.array([58.395, 57.12, 57.375], np.float32)


class Reference:
    """NanoDet in numpy: u8 input with decoded boxes, or f32 with raw heads."""

    def __init__(self, model: pathlib.Path, padding: int, iou: float):
        self.session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        image = self.session.get_inputs()[0]
        self.bytes_in = image.type == "tensor(uint8)"
        self.height, self.width = image.shape[1:3] if self.bytes_in else image.shape[2:4]
        if not isinstance(self.height, int):
            # Its size is free: the usual one, which its exporter noted.
            self.height, self.width = json.loads(self.session.get_modelmeta().custom_metadata_map["imgsz"])
        self.padding, self.iou = padding, iou

    def __call__(self, bgr: np.ndarray, threshold: float) -> dict[str, list[tuple[float, np.ndarray]]]:
        """The boxes of each group (corners in picture pixels) with their scores."""
        tensor, (scale_x, scale_y, left, top) = self.letterbox(bgr)
        boxes, scores = self.infer(tensor)
        height, width = bgr.shape[:2]
        boxes = (boxes - [left, top, left, top]) / [scale_x, scale_y, scale_x, scale_y]
        boxes[:, 0::2] = boxes[:, 0::2].clip(0, width)
        boxes[:, 1::2] = boxes[:, 1::2].clip(0, height)
        anchors, classes = np.where(scores > threshold)
        best = np.argsort(-scores[anchors, classes])[:1000]
        anchors, classes = anchors[best], classes[best]
        values = scores[anchors, classes]
        # Far-apart offsets keep boxes of different classes from suppressing each other.
        kept = suppress(boxes[anchors] + classes[:, None] * 1e5, values, self.iou)
        found = {}
        for group, members in GROUPS.items():
            mine = kept[np.isin(classes[kept], members)]
            mine = mine[suppress(boxes[anchors[mine]], values[mine], self.iou)]
            found[group] = [(float(values[i]), boxes[anchors[i]]) for i in mine]
        return found

    def letterbox(self, bgr):
        height, width = bgr.shape[:2]
        ratio = min(self.width / width, self.height / height)
        new_width, new_height = round(width * ratio), round(height * ratio)
        left, top = (self.width - new_width) // 2, (self.height - new_height) // 2
        canvas = np.full((self.height, self.width, 3), self.padding, np.uint8)
        resized = cv2.resize(bgr, (new_width, new_height), interpolation=cv2.INTER_LINEAR)
        canvas[top : top + new_height, left : left + new_width] = resized
        return canvas[..., ::-1], (new_width / width, new_height / height, left, top)

    def infer(self, rgb):
        if self.bytes_in:
            tensor = np.ascontiguousarray(rgb[None])
        else:
            tensor = np.ascontiguousarray(((rgb.astype(np.float32) - MEAN) / DEVIATION).transpose(2, 0, 1)[None])
        name = self.session.get_inputs()[0].name
        outputs = [output.name for output in self.session.get_outputs()]
        out = dict(zip(outputs, self.session.run(None, {name: tensor})))
        boxes = out["boxes"][0] if "boxes" in out else self.decode(out["dist"][0])
        return boxes.astype(np.float64), out["scores"][0].astype(np.float64)

    def decode(self, distribution):
        """Softmax over each side's bins, expectation, times the stride."""
        centres, strides = [], []
        for stride in STRIDES:
            rows, columns = np.mgrid[0 : self.height // stride, 0 : self.width // stride]
            centres.append(np.stack([columns.ravel() + 0.5, rows.ravel() + 0.5], 1) * stride)
            strides.append(np.full(rows.size, stride))
        centres, strides = np.concatenate(centres), np.concatenate(strides)
        bins = distribution.reshape(len(centres), 4, -1)
        weights = np.exp(bins - bins.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        distance = (weights * np.arange(bins.shape[-1])).sum(-1) * strides[:, None]
        return np.concatenate([centres - distance[:, :2], centres + distance[:, 2:]], 1)


def overlap(box, others):
    """IoU of one box with several, by corners."""
    shared_width = np.minimum(box[2], others[:, 2]) - np.maximum(box[0], others[:, 0])
    shared_height = np.minimum(box[3], others[:, 3]) - np.maximum(box[1], others[:, 1])
    shared = np.maximum(shared_width, 0) * np.maximum(shared_height, 0)
    area = lambda b: np.maximum(b[..., 2] - b[..., 0], 0) * np.maximum(b[..., 3] - b[..., 1], 0)
    return shared / (area(box) + area(others) - shared + 1e-9)


def suppress(boxes, scores, iou):
    """Greedy non-maximum suppression; indices of what is kept, best first."""
    order, kept = np.argsort(-scores, kind="stable"), []
    while order.size:
        best, order = order[0], order[1:]
        kept.append(best)
        order = order[overlap(boxes[best], boxes[order]) <= iou]
    return np.array(kept, int)


def average_precision(truth, found):
    """AP at IoU 0.50 in points; `truth`: picture -> boxes, `found`: (picture, score, box)."""
    total = sum(len(boxes) for boxes in truth.values())
    if total == 0:
        return None
    free = {picture: np.ones(len(boxes), bool) for picture, boxes in truth.items()}
    hits = []
    for picture, _, box in sorted(found, key=lambda item: -item[1]):
        boxes = truth.get(picture, np.zeros((0, 4)))
        hit = False
        if len(boxes):
            overlaps = np.where(free[picture], overlap(np.asarray(box), boxes), -1)
            best = overlaps.argmax()
            if overlaps[best] >= 0.5:
                free[picture][best], hit = False, True
        hits.append(hit)
    if not hits:
        return 0.0
    correct = np.cumsum(hits)
    precision = correct / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(correct / total, np.linspace(0, 1, 101))
    return 100 * float(np.where(at < len(precision), precision[np.minimum(at, len(precision) - 1)], 0).mean())


def read_folder(folder, ids):
    """(picture file, its size, group -> boxes) of every labelled picture."""
    for file in sorted(p for p in folder.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png")):
        labels = file.with_suffix(".txt")
        if not labels.exists():
            continue
        height, width = cv2.imread(str(file)).shape[:2]
        truth = {group: [] for group in GROUPS}
        for line in labels.read_text().splitlines():
            if not line.strip():
                continue
            label, x, y, w, h = map(float, line.split()[:5])
            label = ids[int(label)] if ids else int(label)
            box = [(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height]
            for group, members in GROUPS.items():
                if label in members:
                    truth[group].append(box)
        yield str(file), {group: np.array(boxes).reshape(-1, 4) for group, boxes in truth.items()}


def run_tawny(program, model, files, threshold, further=()):
    """group -> (picture, score, box) as Tawny finds them."""
    command = [program, "detect", "--min-confidence", str(threshold), *further]
    command += ["--model", str(model)] if model else []
    output = subprocess.run(command + files, stdout=subprocess.PIPE, check=True, text=True).stdout
    found = {group: [] for group in GROUPS}
    for line in map(json.loads, output.splitlines()):
        for item in line["detections"]:
            x, y, w, h = item["box"]
            found[item["group"]].append((line["file"], item["confidence"], [x, y, x + w, y + h]))
    return found


def main() -> int:
    root = pathlib.Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=pathlib.Path, metavar="FOLDER")
    parser.add_argument("--tawny", default=str(root / "target/release/tawny"), help="the program to compare")
    parser.add_argument("--model", type=pathlib.Path, help="a model other than the built-in one, for both")
    parser.add_argument("--ids", help="COCO classes of the labels' ids, such as 1,5,2,7")
    parser.add_argument("--threshold", type=float, default=0.02)
    parser.add_argument("--padding", type=int, default=0, help="of the reference, 0 to 255")
    parser.add_argument("--iou", type=float, default=0.6, help="of the reference's suppression")
    parser.add_argument("--tolerance", type=float, default=1.0, help="points of AP50")
    options = parser.parse_args()

    ids = [int(part) for part in options.ids.split(",")] if options.ids else None
    labelled = [entry for folder in options.folders for entry in read_folder(folder, ids)]
    files = [file for file, _ in labelled]
    built_in = root / "models/nanodet_g_u8_int8.onnx"
    reference = Reference(options.model or built_in, options.padding, options.iou)
    plain = {group: [] for group in GROUPS}
    for file in files:
        for group, boxes in reference(cv2.imread(file), options.threshold).items():
            plain[group] += [(file, score, box) for score, box in boxes]
    tawny = run_tawny(options.tawny, options.model, files, options.threshold)

    print(f"{len(files)} pictures; AP50   labelled  reference   tawny")
    held = True
    for group in GROUPS:
        truth = {file: boxes[group] for file, boxes in labelled}
        a, b = average_precision(truth, plain[group]), average_precision(truth, tawny[group])
        if a is None:
            continue
        labels = sum(len(boxes) for boxes in truth.values())
        print(f"{group:22s} {labels:8d}  {a:9.1f}  {b:6.1f}")
        held &= group not in MUST_HOLD or b >= a - options.tolerance
    print("not worse than the reference" if held else "WORSE than the reference")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
