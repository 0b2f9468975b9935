"""Makes the clips of `still_scene`: a still 1080p scene as a cheap camera
sends it, empty, and the same with somebody passing now and then.

    python3 still_scene.py --folder OUT [--seconds 600] [--passes 20] [--profile crf23-gop50] [--picture FILE]

The scene is a picture, or the temporal median of the bundled `street.mp4`
(what is left when nobody stands still). Those who pass, a tenth of the frame
high, are cut out of the bundled clips by the difference to such a median: a
car from `street.mp4`, a walker from `people.mp4`. On top comes the noise of a cheap sensor, partly removed by the
camera as those do: new in every frame, stronger in the dark, a little blurred.
`passes.csv` says who passes when, and where. Only ffmpeg, numpy and OpenCV are
needed.
"""

import argparse
import csv
import subprocess
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
CLIPS = ROOT / "tests/data/clips"
WIDTH, HEIGHT, FPS = 1920, 1080, 25
NOISE_BANK = 12

# How cheap cameras encode: no B-frames, no look-ahead, a keyframe every one to
# four seconds.
PROFILES = {
    "crf23-gop50": "-preset veryfast -tune zerolatency -crf 23 -g 50",
    "crf28-gop25": "-preset ultrafast -tune zerolatency -crf 28 -g 25",
    "crf25-gop100": "-preset veryfast -tune zerolatency -crf 25 -g 100",
    "capped-gop50": "-preset veryfast -tune zerolatency -crf 25 -maxrate 4M -bufsize 8M -g 50",
    "cbr2m-gop50": "-preset veryfast -tune zerolatency -b:v 2M -minrate 2M -maxrate 2M -bufsize 2M -nal-hrd cbr -g 50",
    "bframes-gop50": "-preset veryfast -crf 25 -g 50",
}


def frames_of(path: Path, size: tuple[int, int]) -> np.ndarray:
    raw = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "bgr24", "-"], check=True, capture_output=True
    ).stdout
    return np.frombuffer(raw, np.uint8).reshape(-1, size[1], size[0], 3)


def cut_by_difference(frame: np.ndarray, empty: np.ndarray, box: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The pixels inside `box` that differ from the empty scene, and where they are (0..1)."""
    x, y, w, h = box
    part, behind = (image[y : y + h, x : x + w].astype(np.int16) for image in (frame, empty))
    mask = (np.abs(part - behind).max(2) > 22).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    largest = 1 + int(stats[1:count, cv2.CC_STAT_AREA].argmax())
    mask = (labels == largest).astype(np.float32)
    rows, columns = np.where(mask.any(1))[0], np.where(mask.any(0))[0]
    cut = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return part[cut].astype(np.float32), cv2.GaussianBlur(mask, (3, 3), 0)[cut]


def scaled(cut: tuple[np.ndarray, np.ndarray], height: int) -> tuple[np.ndarray, np.ndarray]:
    colour, mask = cut
    size = (max(8, round(colour.shape[1] * height / colour.shape[0]) // 2 * 2), height // 2 * 2)
    return cv2.resize(colour, size, interpolation=cv2.INTER_CUBIC), cv2.resize(mask, size, interpolation=cv2.INTER_AREA)


def to_yuv(bgr: np.ndarray) -> list[np.ndarray]:
    h, w = bgr.shape[:2]
    planes = cv2.cvtColor(bgr.clip(0, 255).astype(np.uint8), cv2.COLOR_BGR2YUV_I420).reshape(-1)
    y, c = h * w, h * w // 4
    return [
        planes[:y].reshape(h, w).copy(),
        planes[y : y + c].reshape(h // 2, w // 2).copy(),
        planes[y + c :].reshape(h // 2, w // 2).copy(),
    ]


def noise_bank(rng: np.random.Generator, sigma: float) -> list[np.ndarray]:
    """Pictures of noise, larger than the frame so that each use is at another place."""
    bank = []
    for _ in range(NOISE_BANK):
        noise = rng.normal(0, 1, (HEIGHT + 64, WIDTH + 64)).astype(np.float32)
        noise = cv2.GaussianBlur(noise, (0, 0), 0.7)
        bank.append(np.round(noise / noise.std() * sigma).astype(np.int8))
    return bank


class Passer:
    """A cut-out on a straight way from left to right or back."""

    def __init__(self, kind: str, cut, start: int, frames: int, x0: float, x1: float, bottom: int, turned: bool):
        colour, mask = cut
        if turned:
            colour, mask = colour[:, ::-1], mask[:, ::-1]
        self.kind, self.start, self.frames, self.x0, self.x1, self.bottom = kind, start, frames, x0, x1, bottom
        self.planes = to_yuv(np.ascontiguousarray(colour))
        self.mask = np.ascontiguousarray(mask)
        self.half = cv2.resize(self.mask, (mask.shape[1] // 2, mask.shape[0] // 2), interpolation=cv2.INTER_AREA)

    def draw(self, planes: list[np.ndarray], frame: int) -> None:
        if not self.start <= frame < self.start + self.frames:
            return
        share = (frame - self.start) / max(1, self.frames - 1)
        h, w = self.mask.shape
        left = int(round(self.x0 + (self.x1 - self.x0) * share)) // 2 * 2
        top = (self.bottom - h) // 2 * 2
        for plane, source, mask, by in zip(planes, self.planes, (self.mask, self.half, self.half), (1, 2, 2)):
            x, y = left // by, top // by
            a, b = max(0, -x), min(mask.shape[1], plane.shape[1] - x)
            if b <= a:
                continue
            part = plane[y : y + mask.shape[0], x + a : x + b]
            alpha = mask[:, a:b]
            part[:] = np.round(part * (1 - alpha) + source[:, a:b] * alpha).astype(np.uint8)


def passers(rng: np.random.Generator, count: int, seconds: float, cuts: dict, first_s: float) -> list[Passer]:
    result = []
    slot = (seconds - first_s) / max(1, count)
    for i in range(count):
        kind = "person" if i % 2 == 0 else "vehicle"
        cut = scaled(cuts[kind], HEIGHT // 10)
        width = cut[1].shape[1]
        # A walker crosses a tenth of the picture a second, a car a third.
        speed = (WIDTH * 0.1 if kind == "person" else WIDTH * 0.33) * rng.uniform(0.8, 1.2)
        way = (-width, WIDTH) if kind == "vehicle" else (WIDTH * 0.25, WIDTH * 0.75)
        frames = int(abs(way[1] - way[0]) / speed * FPS)
        latest = max(0.0, slot - frames / FPS - 4)
        start = int((first_s + i * slot + rng.uniform(0, latest)) * FPS)
        to_right = bool(rng.integers(2))
        x0, x1 = way if to_right else way[::-1]
        bottom = int(HEIGHT * rng.uniform(0.55, 0.85))
        result.append(Passer(kind, cut, start, frames, x0, x1, bottom, turned=not to_right))
    return result


def encode(path: dict[str, Path], still, noise, people, seconds: float, rng) -> None:
    command = ["ffmpeg", "-y", "-v", "error", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{WIDTH}x{HEIGHT}"]
    command += ["-r", str(FPS), "-i", "-"]
    for profile, out in path.items():
        command += ["-c:v", "libx264", *PROFILES[profile].split(), "-pix_fmt", "yuv420p", str(out)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        for frame in range(int(seconds * FPS)):
            planes = [plane.copy() for plane in still]
            for passer in people:
                passer.draw(planes, frame)
            dy, dx = rng.integers(64, size=2)
            grain = noise[rng.integers(len(noise))][dy : dy + HEIGHT, dx : dx + WIDTH]
            planes[0] = cv2.add(planes[0], grain, dtype=cv2.CV_8U)
            for plane in planes:
                process.stdin.write(plane.tobytes())
        process.stdin.close()
        if process.wait() != 0:
            raise SystemExit("ffmpeg failed")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--passes", type=int, default=0)
    parser.add_argument("--profile", action="append", choices=PROFILES)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--noise", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(args.seed)
    walk = frames_of(CLIPS / "people.mp4", (576, 432))
    street = frames_of(CLIPS / "street.mp4", (640, 360))
    yard = np.median(walk[::5], axis=0).astype(np.uint8)
    road = np.median(street[::5], axis=0).astype(np.uint8)
    picture = cv2.imread(str(args.picture)) if args.picture else road
    h, w = picture.shape[:2]
    crop = min(h, w * HEIGHT // WIDTH)
    top = (h - crop) // 2
    picture = cv2.resize(picture[top : top + crop], (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    cuts = {
        "person": cut_by_difference(walk[PERSON[0]], yard, PERSON[1]),
        "vehicle": cut_by_difference(street[CAR[0]], road, CAR[1]),
    }
    people = passers(rng, args.passes, args.seconds, cuts, first_s=min(30.0, args.seconds / 4))
    name = "passes" if args.passes else "still"
    out = {profile: args.folder / f"{name}-{profile}.mp4" for profile in args.profile or ["crf23-gop50"]}
    if people:
        write_passes(args.folder / "passes.csv", people)
    encode(out, to_yuv(picture), noise_bank(rng, args.noise), people, args.seconds, rng)


def write_passes(path: Path, people: list[Passer]) -> None:
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["kind", "from_s", "to_s", "direction", "bottom"])
        for p in people:
            direction = "right" if p.x1 > p.x0 else "left"
            row = [p.kind, p.start / FPS, (p.start + p.frames) / FPS, direction, round(p.bottom / HEIGHT, 3)]
            writer.writerow(row)


# Frame and box (pixels) in which somebody stands alone.
PERSON = (20, (378, 150, 70, 142))
CAR = (60, (60, 62, 190, 95))

if __name__ == "__main__":
    main()
