"""What a programmer writes in an afternoon: OpenCV reads the video, ONNX Runtime
runs the detector on every frame, boxes are joined to tracks by their overlap,
and whoever's middle passes the line is counted. The same model as Tawny's, one
thread for each of both libraries.

    python3 opencv_pipeline.py --model MODEL.onnx --line x=0.5 CLIP

Prints a line of JSON for each crossing and one about the effort.
"""

import argparse
import json
import os
import time
from dataclasses import dataclass, field

# Before OpenCV is loaded, or it does not see it.
os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = "threads;1"

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import onnxruntime as ort  # noqa: E402

SIDE = 416
# COCO's classes by group.
GROUPS = {"person": [0], "vehicle": [1, 2, 3, 5, 6, 7], "animal": list(range(14, 24))}
NAMES = list(GROUPS)
CONFIDENCE = 0.35
SUPPRESSION = 0.5


def letterbox(frame: np.ndarray) -> tuple[np.ndarray, float, int, int]:
    height, width = frame.shape[:2]
    scale = SIDE / max(height, width)
    small = cv2.resize(frame, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_LINEAR)
    canvas = np.zeros((SIDE, SIDE, 3), np.uint8)
    left, top = (SIDE - small.shape[1]) // 2, (SIDE - small.shape[0]) // 2
    canvas[top : top + small.shape[0], left : left + small.shape[1]] = cv2.cvtColor(small, cv2.COLOR_BGR2RGB)
    return canvas, scale, left, top


class Detector:
    def __init__(self, model: str):
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self.session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name

    def detect(self, frame: np.ndarray) -> list[tuple[int, np.ndarray]]:
        """Group and corners in fractions of the frame."""
        image, scale, left, top = letterbox(frame)
        boxes, scores = self.session.run(["boxes", "scores"], {self.input: image[None]})
        boxes, scores = boxes[0], scores[0]
        groups = np.stack([scores[:, GROUPS[name]].max(1) for name in NAMES], 1)
        group, confidence = groups.argmax(1), groups.max(1)
        sure = confidence >= CONFIDENCE
        boxes, group, confidence = boxes[sure], group[sure], confidence[sure]
        sizes = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)
        kept = cv2.dnn.NMSBoxes(sizes.tolist(), confidence.tolist(), CONFIDENCE, SUPPRESSION)
        shift = np.array([left, top, left, top], np.float32)
        size = np.array([frame.shape[1], frame.shape[0]] * 2, np.float32)
        return [(int(group[i]), (boxes[i] - shift) / scale / size) for i in np.ravel(kept).astype(int)]


@dataclass
class Track:
    group: int
    box: np.ndarray
    hits: int = 1
    missed: int = 0
    moved: np.ndarray = field(default_factory=lambda: np.zeros(4, np.float32))
    votes: dict = field(default_factory=dict)
    side: int = 0
    counted: bool = False

    def take(self, group: int, box: np.ndarray):
        self.moved = 0.5 * self.moved + 0.5 * (box - self.box) / (self.missed + 1)
        self.box, self.hits, self.missed = box, self.hits + 1, 0
        self.votes[group] = self.votes.get(group, 0) + 1
        self.group = max(self.votes, key=self.votes.get)

    def expected(self) -> np.ndarray:
        return self.box + self.moved * (self.missed + 1)


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    inside = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    both = max(inside[0], 0) * max(inside[1], 0)
    area = lambda box: max(float((box[2] - box[0]) * (box[3] - box[1])), 1e-9)  # noqa: E731
    return both / (area(a) + area(b) - both)


class Tracker:
    """Greedy by overlap, then by the distance of the middles."""

    def __init__(self, frame_rate: float):
        self.tracks: list[Track] = []
        self.patience = round(frame_rate)

    def update(self, found: list[tuple[int, np.ndarray]]) -> list[Track]:
        pairs = []
        for t, track in enumerate(self.tracks):
            expected = track.expected()
            for d, (_, box) in enumerate(found):
                near = overlap(expected, box)
                if near < 0.2:
                    gap = np.abs((expected[:2] + expected[2:] - box[:2] - box[2:]) / 2)
                    near = 0.1 if (gap < 0.5 * (box[2:] - box[:2])).all() else 0
                if near:
                    pairs.append((near, t, d))
        taken_tracks, taken = set(), set()
        for _, t, d in sorted(pairs, reverse=True):
            if t not in taken_tracks and d not in taken:
                taken_tracks.add(t)
                taken.add(d)
                self.tracks[t].take(*found[d])
        for t, track in enumerate(self.tracks):
            track.missed += t not in taken_tracks
        self.tracks = [track for track in self.tracks if track.missed <= self.patience]
        self.tracks += [Track(group, box) for d, (group, box) in enumerate(found) if d not in taken]
        return [track for track in self.tracks if track.hits >= 3 and track.missed == 0]


def crossings(tracks: list[Track], axis: int, at: float):
    """Who has just come to the other side; there is a band in which nothing is decided."""
    for track in tracks:
        middle = float(track.box[axis] + track.box[axis + 2]) / 2
        side = 0 if abs(middle - at) < 0.01 else (1 if middle > at else -1)
        if side and track.side and side != track.side and not track.counted:
            track.counted = True
            yield track, side
        if side:
            track.side = side


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--line", required=True, help="x=F or y=F, a fraction of the picture")
    parser.add_argument("clip")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    axis, at = "xy".index(args.line[0]), float(args.line[2:])
    directions = [("left", "right"), ("up", "down")][axis]
    began = time.monotonic()
    detector = Detector(args.model)
    video = cv2.VideoCapture(args.clip, cv2.CAP_FFMPEG)
    rate = video.get(cv2.CAP_PROP_FPS) or 25.0
    tracker = Tracker(rate)
    frames = 0
    while True:
        more, frame = video.read()
        if not more:
            break
        for track, side in crossings(tracker.update(detector.detect(frame)), axis, at):
            crossing = {"group": NAMES[track.group], "direction": directions[side > 0], "at_s": round(frames / rate, 2)}
            print(json.dumps(crossing), flush=True)
        frames += 1
    used = os.times()
    cpu_s = used.user + used.system
    print(json.dumps({"frames": frames, "inferences": frames, "cpu_s": cpu_s, "wall_s": time.monotonic() - began}))


if __name__ == "__main__":
    main()
