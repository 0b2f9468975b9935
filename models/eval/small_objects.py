#!/usr/bin/env python3
"""Measures what tiles bring for small objects.

    small_objects.py [--tawny PROGRAM] [--model MODEL.onnx] FOLDER...

Each FOLDER holds pictures with YOLO labels, as for compare.py. `tawny detect`
looks at each picture as a whole and with `--tile`; printed is COCO's AP of
both, at IoU 0.50 and the mean over 0.50 to 0.95, for objects of less than
32 x 32 pixels and for all. As in COCO's evaluation, labelled objects of other
sizes, and what is found there, do not count, nor do boxes of other sizes that
stand for nothing. Exit code 1 if the tiles' AP at 0.50 of small people or
vehicles is less than --factor times the whole picture's.
"""

import argparse
import pathlib
import sys

import cv2  # noqa: F401  (compare reads the pictures' sizes with it)
import numpy as np

from compare import read_folder, run_tawny

SMALL = (0.0, 32.0**2)
ALL = (0.0, float("inf"))
THRESHOLDS = np.arange(0.5, 0.96, 0.05)
GROUPS = ("person", "vehicle")


def area(box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def overlaps(box, boxes: np.ndarray) -> np.ndarray:
    """IoU of one box with many."""
    width = np.minimum(box[2], boxes[:, 2]) - np.maximum(box[0], boxes[:, 0])
    height = np.minimum(box[3], boxes[:, 3]) - np.maximum(box[1], boxes[:, 1])
    shared = np.clip(width, 0, None) * np.clip(height, 0, None)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return shared / (area(box) + areas - shared)


def average_precision(truth: dict, found: list, sizes: tuple[float, float], threshold: float) -> float:
    """COCO's 101-point AP in percent of the objects whose area is in `sizes`."""
    counts = {file: np.array([sizes[0] <= area(b) < sizes[1] for b in boxes], bool) for file, boxes in truth.items()}
    taken = {file: np.zeros(len(boxes), bool) for file, boxes in truth.items()}
    hits = []
    for file, _, box in sorted(found, key=lambda entry: -entry[1]):
        boxes = truth[file]
        iou = overlaps(box, boxes) if len(boxes) else np.zeros(0)
        iou = np.where(taken[file] | (iou < threshold), -1.0, iou)
        # What counts first, then what does not.
        for wanted in (counts[file], ~counts[file]):
            best = int(np.where(wanted, iou, -1.0).argmax()) if len(boxes) else -1
            if best >= 0 and wanted[best] and iou[best] >= 0:
                taken[file][best] = True
                if counts[file][best]:
                    hits.append(True)
                break
        else:
            if sizes[0] <= area(box) < sizes[1]:
                hits.append(False)
    total = sum(int(c.sum()) for c in counts.values())
    correct = np.cumsum(hits)
    precision = correct / np.arange(1, len(hits) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(correct / total, np.linspace(0, 1, 101))
    return 100 * float(np.where(at < len(hits), precision[np.minimum(at, max(len(hits) - 1, 0))], 0).mean()) if hits else 0.0


def main() -> int:
    root = pathlib.Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=pathlib.Path, metavar="FOLDER")
    parser.add_argument("--tawny", default=str(root / "target/release/tawny"))
    parser.add_argument("--model", type=pathlib.Path)
    parser.add_argument("--ids", help="COCO classes of the labels' ids, such as 1,5,2,7")
    parser.add_argument("--threshold", type=float, default=0.02)
    parser.add_argument("--factor", type=float, default=1.5)
    options = parser.parse_args()

    ids = [int(part) for part in options.ids.split(",")] if options.ids else None
    labelled = [entry for folder in options.folders for entry in read_folder(folder, ids)]
    files = [file for file, _ in labelled]
    whole = run_tawny(options.tawny, options.model, files, options.threshold)
    tiled = run_tawny(options.tawny, options.model, files, options.threshold, ["--tile"])
    print(f"{len(files)} pictures           labelled   AP50 whole   tiled      AP whole   tiled")
    held = True
    for group in GROUPS:
        truth = {file: boxes[group] for file, boxes in labelled}
        for name, sizes in (("small", SMALL), ("all", ALL)):
            labels = sum(sizes[0] <= area(box) < sizes[1] for boxes in truth.values() for box in boxes)
            if not labels:
                continue
            scores = [[average_precision(truth, run[group], sizes, t) for t in THRESHOLDS] for run in (whole, tiled)]
            (a, b), (c, d) = (s[0] for s in scores), (float(np.mean(s)) for s in scores)
            print(f"{group:10s} {name:6s} {labels:14d}   {a:10.1f}  {b:6.1f}    {c:10.1f}  {d:6.1f}")
            held &= name != "small" or b >= options.factor * a
    print("small objects found better" if held else "small objects NOT found better")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
