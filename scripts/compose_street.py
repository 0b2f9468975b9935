"""Composes the picture sequence of `street.mp4` (see tests/data/clips/README.md).

Two photographs of vehicles are cut out and moved over an empty yard. The yard
is the temporal median of `vtest.avi`: what is left when nobody stands still.
Only the ways are invented; whether and as what the vehicles are found is left
to the detector.

    python3 compose_street.py FOLDER_OF_opencv-doc OUT.mp4

Writes raw frames into ffmpeg, which must be on the PATH.
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

FPS = 12.5
SECONDS = 15.0
# The part of the 768x576 yard that is shown, from its left edge: the parked
# van is above it.
TOP, HEIGHT, WIDTH = 115, 360, 640
# Standard deviation of the sensor noise, in steps of 8-bit brightness.
NOISE = 1.6
# The lamp post and its sign stand between the camera and the road
# (pixels of the 768x576 yard).
POST = [np.array([[425, 40], [429, 40], [438, 391], [430, 391]]), np.array([[413, 203], [445, 203], [445, 244], [413, 244]])]

# A stone at the edge of the lawn that the detector takes for a sheep: painted
# over with what is around it (pixels of the yard).
STONE = np.array([[158, 268], [166, 252], [178, 247], [190, 256], [197, 270], [186, 280], [166, 280]])

# Outlines in pixels of the photographs.
BUS_OUTLINE = [
    (65, 341), (66, 300), (72, 240), (80, 190), (88, 178), (100, 169), (300, 117), (330, 113), (372, 113),
    (400, 118), (430, 130), (438, 140), (442, 160), (447, 185), (455, 215), (460, 260), (463, 325), (470, 345),
    (473, 375), (465, 381), (345, 385), (300, 384), (265, 388), (250, 385), (235, 370), (110, 352), (95, 358),
    (90, 352), (70, 345),
]  # fmt: skip
CAR_OUTLINE = [
    (931, 270), (932, 257), (936, 246), (940, 240), (945, 226), (960, 221), (985, 220), (1015, 219), (1040, 222),
    (1065, 229), (1082, 236), (1092, 243), (1100, 248), (1104, 255), (1104, 284), (1098, 291), (1092, 290),
    (1062, 288), (1058, 293), (1048, 294), (1040, 289), (1034, 284), (1010, 287), (995, 287), (968, 286), (958, 290),
    (948, 289), (940, 282), (929, 276),
]  # fmt: skip
# A thin tree stands in front of the car: these columns are drawn over from
# the columns on both sides of them.
CAR_TREE = (983, 998, 219, 296)


@dataclass
class CutOut:
    """Premultiplied colours [H, W, 3] and coverage [H, W, 1], both 0..1."""

    colour: np.ndarray
    alpha: np.ndarray


def cut_out(photo: np.ndarray, outline: list[tuple[int, int]]) -> CutOut:
    polygon = np.array(outline)
    mask = np.zeros(photo.shape[:2], np.uint8)
    cv2.fillPoly(mask, [polygon], 255, cv2.LINE_AA)
    x, y, w, h = cv2.boundingRect(polygon)
    alpha = cv2.GaussianBlur(cv2.erode(mask, np.ones((3, 3))), (3, 3), 0)[y : y + h, x : x + w, None] / 255.0
    return CutOut(photo[y : y + h, x : x + w] / 255.0 * alpha, alpha)


def without_tree(photo: np.ndarray) -> np.ndarray:
    x0, x1, y0, y1 = CAR_TREE
    out = photo.astype(np.float64)
    left, right = out[y0:y1, x0 - 3 : x0].mean(1), out[y0:y1, x1 : x1 + 3].mean(1)
    for x in range(x0, x1):
        share = (x - x0 + 1) / (x1 - x0 + 1)
        out[y0:y1, x] = left * (1 - share) + right * share
    return out.clip(0, 255).astype(np.uint8)


@dataclass
class Ride:
    """A vehicle on a straight way, at constant speed on the screen."""

    cut: CutOut
    start_s: float
    end_s: float
    # Middle of the lower edge (pixels of the yard) and scale, at both ends.
    start: tuple[float, float, float]
    end: tuple[float, float, float]

    def draw(self, yard: np.ndarray, time_s: float) -> np.ndarray:
        share = (time_s - self.start_s) / (self.end_s - self.start_s)
        if not 0 <= share <= 1:
            return yard
        x, y, scale = (a + (b - a) * share for a, b in zip(self.start, self.end))
        h, w = self.cut.alpha.shape[:2]
        # Smoothed first, so that shrinking does not alias; then moved by
        # fractions of a pixel.
        sigma = max(0.0, 0.5 / scale - 0.3)
        moved = []
        for layer in (self.cut.colour, self.cut.alpha):
            soft = cv2.GaussianBlur(layer, (0, 0), sigma) if sigma > 0.1 else layer
            matrix = np.array([[scale, 0, x - scale * w / 2], [0, scale, y - scale * h]])
            moved.append(cv2.warpAffine(soft, matrix, yard.shape[1::-1], flags=cv2.INTER_LINEAR))
        shade = np.zeros(yard.shape[:2])
        centre, axes = (int(x), int(y - 4 * scale)), (int(w * scale * 0.5), max(3, int(h * scale * 0.07)))
        cv2.ellipse(shade, centre, axes, 0, 0, 360, 0.5, -1)
        shade = cv2.GaussianBlur(shade, (0, 0), 5)[..., None]
        alpha = moved[1][..., None] if moved[1].ndim == 2 else moved[1]
        return yard * (1 - shade) * (1 - alpha) + moved[0]


def empty_yard(video: Path) -> np.ndarray:
    capture, frames = cv2.VideoCapture(str(video)), []
    while True:
        more, frame = capture.read()
        if not more:
            break
        frames.append(frame)
    yard = np.median(np.stack(frames[::6]), axis=0).astype(np.uint8)
    stone = np.zeros(yard.shape[:2], np.uint8)
    cv2.fillPoly(stone, [STONE], 255)
    return cv2.inpaint(yard, stone, 4, cv2.INPAINT_TELEA) / 255.0


def main() -> None:
    package, out = Path(sys.argv[1]), Path(sys.argv[2])
    doc = package / "usr/share/doc/opencv-doc"
    yard = empty_yard(doc / "examples/data/vtest.avi")
    bus = cut_out(cv2.imread(str(doc / "opencv4/html/pexels_double_decker_bus.jpg")), BUS_OUTLINE)
    car = cut_out(without_tree(cv2.imread(str(doc / "opencv4/html/detect_test2.jpg"))), CAR_OUTLINE)
    car = CutOut(car.colour[:, ::-1].copy(), car.alpha[:, ::-1].copy())
    rides = [
        Ride(car, 2.0, 6.0, (780, 312, 0.98), (-110, 234, 0.82)),
        Ride(bus, 7.5, 12.5, (-140, 246, 0.50), (800, 316, 0.60)),
    ]
    post = np.zeros(yard.shape[:2], np.uint8)
    for polygon in POST:
        cv2.fillPoly(post, [polygon], 255, cv2.LINE_AA)
    post = post[..., None] / 255.0

    random = np.random.default_rng(1)
    encoder = subprocess.Popen(
        ["ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{WIDTH}x{HEIGHT}"]
        + ["-r", str(FPS), "-i", "-", "-c:v", "libx264", "-preset", "veryslow", "-crf", "25", "-g", "50"]
        + ["-pix_fmt", "yuv420p", "-threads", "1", "-movflags", "+faststart", str(out)],
        stdin=subprocess.PIPE,
    )
    for n in range(round(SECONDS * FPS)):
        picture = yard
        for ride in rides:
            picture = ride.draw(picture, n / FPS)
        picture = (yard * post + picture * (1 - post))[TOP : TOP + HEIGHT, :WIDTH]
        picture = picture * 255 + random.normal(0, NOISE, picture.shape) + random.normal(0, 0.2)
        encoder.stdin.write(picture.clip(0, 255).round().astype(np.uint8).tobytes())
    encoder.stdin.close()
    sys.exit(encoder.wait())


main()
