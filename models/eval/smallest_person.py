#!/usr/bin/env python3
"""Measures how small a standing person may be and still be found.

    smallest_person.py [--tawny PROGRAM] FOLDER...

Each FOLDER holds pictures with YOLO labels, as for compare.py. Every standing
person is shrunk, with the picture around, to a series of heights in pixels of
the model's input (416 x 416, padded with grey), and `tawny detect` looks at
each. Printed is, for each height, the share of the persons found with at least
0.4, among those that are found at some height at all.
"""

import argparse
import collections
import json
import pathlib
import subprocess
import tempfile

import cv2
import numpy as np

INPUT = 416
HEIGHTS = (12, 16, 20, 24, 28, 32, 36, 40, 48, 56, 64, 80)
CONFIDENCE = 0.4
STANDING = 1.7  # height over width
SMALLEST_ORIGINAL = 30  # pixels; smaller ones are blurred already


def standing_people(labels: pathlib.Path, width: int, height: int):
    """(centre x, centre y, width, height) in pixels of each."""
    for line in labels.read_text().splitlines():
        kind, x, y, w, h = (float(word) for word in line.split()[:5])
        box = (x * width, y * height, w * width, h * height)
        if kind == 0 and box[3] >= STANDING * box[2]:
            yield box


def shrink(image: np.ndarray, box, person_height: int):
    """The padded picture, and the box [x, y, w, h] in it; None if it would not fit."""
    height, width = image.shape[:2]
    scale = person_height / box[3]
    if scale > 1.001 * min(INPUT / width, INPUT / height):
        return None
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    left, top = (INPUT - size[0]) // 2, (INPUT - size[1]) // 2
    canvas = np.full((INPUT, INPUT, 3), 114, np.uint8)
    canvas[top : top + size[1], left : left + size[0]] = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    x, y, w, h = (value * scale for value in box)
    return canvas, (left + x - w / 2, top + y - h / 2, w, h)


def overlap(a, b) -> float:
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(0.0, width) * max(0.0, height)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tawny", default="target/release/tawny")
    parser.add_argument("folders", nargs="+", type=pathlib.Path)
    arguments = parser.parse_args()
    shown = {}
    with tempfile.TemporaryDirectory() as folder:
        for labels in sorted(path for folder in arguments.folders for path in folder.glob("*.txt")):
            image = cv2.imread(str(labels.with_suffix(".jpg")))
            if image is None:
                continue
            height, width = image.shape[:2]
            for person, box in enumerate(standing_people(labels, width, height)):
                if box[3] * min(INPUT / width, INPUT / height) < SMALLEST_ORIGINAL:
                    continue
                for person_height in HEIGHTS:
                    shrunk = shrink(image, box, person_height)
                    if shrunk is not None:
                        path = f"{folder}/{len(shown):06}.png"
                        cv2.imwrite(path, shrunk[0])
                        shown[path] = ((labels.name, person), person_height, shrunk[1])
        command = [arguments.tawny, "detect", "--min-confidence", str(CONFIDENCE), folder]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = {}
    for line in map(json.loads, output.splitlines()):
        who, person_height, box = shown[line["file"]]
        hits = (d for d in line["detections"] if d["group"] == "person" and overlap(d["box"], box) >= 0.4)
        found[who, person_height] = any(hits)
    known = {who for (who, _), hit in found.items() if hit}
    shares = collections.defaultdict(list)
    for (who, person_height), hit in found.items():
        if who in known:
            shares[person_height].append(hit)
    print(f"{len(known)} persons found at some height")
    for person_height, hits in sorted(shares.items()):
        print(f"{person_height:3} px: {sum(hits) / len(hits):.2f} of {len(hits)}")


if __name__ == "__main__":
    main()
