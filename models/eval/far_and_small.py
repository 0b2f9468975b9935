#!/usr/bin/env python3
"""Does a small person far away cross the line?

    far_and_small.py [--tawny PROGRAM] [--heights 40 50 60] [--keep FOLDER]

A man walking through tests/data/clips/people.mp4 is cut out, shrunk to each
height in pixels, and walks at 1.4 m/s across a still 1920x1080 scene (the empty
scene of the same clip, enlarged) with sensor noise, coded as H.264. Printed is
for each height what `tawny replay` reported at a line in the middle. Exit code
1 unless every clip gave exactly one crossing of a person to the left. Needs
ffmpeg, numpy and opencv.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import cv2
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
WIDTH, HEIGHT, FPS = 1920, 1080, 10
NOISE = 3.0  # standard deviation, levels of 255
BEFORE_S, WALK_S, AFTER_S = 3, 10, 3
FIRST, LAST = 24, 52  # frames in which the man walks alone
START = (489.0, 221.0)  # his middle in the first of them
CONFIG = """
[[camera]]
name = "far"
[[camera.tripwire]]
name = "line"
from = [0.5, 1.0]
to = [0.5, 0.0]
forward = "right"
backward = "left"
anchor = "center"
"""


def read_clip() -> list[np.ndarray]:
    capture = cv2.VideoCapture(str(ROOT / "tests/data/clips/people.mp4"))
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1])
    return frames


def cut_out(frames, scene):
    """(picture, opacity) of the man in each frame where he stands clear."""
    near, cuts = np.array(START), []
    for frame in frames[FIRST:LAST]:
        difference = np.abs(frame.astype(int) - scene).max(2).astype(np.uint8)
        mask = (cv2.GaussianBlur(difference, (5, 5), 0) > 22).astype(np.uint8)
        mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((7, 7)))
        count, labels, boxes, centres = cv2.connectedComponentsWithStats(mask)
        large = [i for i in range(1, count) if boxes[i, 4] > 250]
        if not large:
            continue
        mine = min(large, key=lambda i: np.hypot(*(centres[i] - near)))
        if np.hypot(*(centres[mine] - near)) > 40:
            continue
        near = centres[mine]
        x, y, w, h, _ = boxes[mine]
        if 60 < h < 140 and w < 90:
            opacity = cv2.GaussianBlur((labels[y : y + h, x : x + w] == mine).astype(np.float32), (3, 3), 0)
            cuts.append((frame[y : y + h, x : x + w].astype(np.float32), opacity))
    return cuts


def make_clip(path, height, cuts, scene):
    random = np.random.default_rng(height)
    back = cv2.resize(scene, (WIDTH, round(WIDTH * scene.shape[0] / scene.shape[1])), interpolation=cv2.INTER_CUBIC)
    back = back[-HEIGHT:].astype(np.float32)
    noise = [random.normal(0, NOISE, (HEIGHT, WIDTH, 1)).astype(np.float32) for _ in range(5)]
    step = height / 1.75 * 1.4 / FPS
    begin, ground = WIDTH / 2 + step * FPS * WALK_S / 2, int(HEIGHT * 0.7)
    coder = ["ffmpeg", "-y", "-v", "error", "-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{WIDTH}x{HEIGHT}"]
    coder += ["-r", str(FPS), "-i", "-", "-c:v", "libx264", "-preset", "ultrafast", "-crf", "23", "-pix_fmt", "yuv420p"]
    with subprocess.Popen([*coder, str(path)], stdin=subprocess.PIPE) as process:
        for frame in range((BEFORE_S + WALK_S + AFTER_S) * FPS):
            picture, walked = back.copy(), frame - BEFORE_S * FPS
            if 0 <= walked < WALK_S * FPS:
                man, opacity = cuts[walked % len(cuts)]
                width = max(2, round(man.shape[1] * height / man.shape[0]))
                man = cv2.resize(man, (width, height), interpolation=cv2.INTER_AREA)
                opacity = cv2.resize(opacity, (width, height), interpolation=cv2.INTER_AREA)[..., None]
                x, y = round(begin - step * walked - width / 2), ground - height
                place = picture[y : y + height, x : x + width]
                picture[y : y + height, x : x + width] = place * (1 - opacity) + man * opacity
            picture += noise[random.integers(len(noise))]
            process.stdin.write(np.clip(picture, 0, 255).astype(np.uint8).tobytes())
        process.stdin.close()


def crossings(program, config, clip):
    output = subprocess.run([program, "replay", "--config", config, clip], stdout=subprocess.PIPE, check=True, text=True)
    events = map(json.loads, output.stdout.splitlines())
    return [(e["grp"], e["dir"], e["m"] / 1000) for e in events if e["kind"] == "crossing"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tawny", default=str(ROOT / "target/release/tawny"))
    parser.add_argument("--heights", type=int, nargs="+", default=[40, 50, 60], metavar="PIXELS")
    parser.add_argument("--keep", type=pathlib.Path, help="folder for the clips")
    options = parser.parse_args()
    frames = read_clip()
    scene = np.median(np.array(frames[::4]), axis=0).astype(np.uint8)
    cuts = cut_out(frames, scene)
    all_found = True
    with tempfile.TemporaryDirectory() as folder:
        folder = options.keep or pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "far.toml"
        config.write_text(CONFIG)
        for height in options.heights:
            clip = folder / f"far_{height}.mp4"
            make_clip(clip, height, cuts, scene)
            found = crossings(options.tawny, config, clip)
            print(f"{height} px: {found or 'nothing'}", flush=True)
            all_found &= [(group, way) for group, way, _ in found] == [("person", "left")]
    return 0 if all_found else 1


if __name__ == "__main__":
    sys.exit(main())
