"""A clip from file to events: Tawny against what cannot be saved (decoding, and the
inferences it made) and against a program of the usual kind."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

import truth
from measure import Run, median, run, table

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / "models/nanodet_g_u8_int8.onnx"
EFFORT = re.compile(r"(\d+) frames, (\d+) decoded, (\d+) inferences, (\d+) events, ([\d.]+) s video")


SIZES = re.compile(r"(\d+) of (\d+x\d+)")


@dataclass
class Effort:
    frames: int
    decoded: int
    inferences: int
    events: int
    video_s: float
    # Size of the input -> inferences.
    by_size: dict[str, int]


def effort(done: Run) -> Effort:
    """Of `tawny replay`, from its last line."""
    found = EFFORT.findall(done.stderr)[-1]
    line = next((line for line in done.stderr.splitlines() if line.startswith("inferences: ")), "")
    by_size = {size: int(n) for n, size in SIZES.findall(line)}
    return Effort(*map(int, found[:4]), float(found[4]), by_size)


def replay(tawny: Path, clip: truth.Clip, temp: Path, repeats: int) -> tuple[float, Effort, list]:
    """CPU seconds (the median of several runs), the effort, and the crossings."""
    config = temp / "replay.toml"
    config.write_text(clip.configuration())
    runs = [run([tawny, "replay", "--config", config, clip.path]) for _ in range(repeats)]
    return median(r.cpu_s for r in runs), effort(runs[0]), crossings_of(runs[0])


def crossings_of(done: Run) -> list[tuple[str, str, float]]:
    """Group, direction and second of each."""
    events = [json.loads(line) for line in done.stdout.splitlines()]
    return [(e["grp"], e["dir"], seconds(e["t"])) for e in events if e["kind"] == "crossing"]


def seconds(stamp: str) -> float:
    """Since the start of a replay, which is 1970-01-01T00:00:00Z."""
    hours, minutes, rest = stamp.split("T")[1].rstrip("Z").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


def ffmpeg_cpu_s(clip: Path, repeats: int) -> float:
    command = ["ffmpeg", "-v", "error", "-threads", "1", "-i", clip, "-map", "0:v:0", "-f", "null", "-"]
    return median(run(command).cpu_s for _ in range(repeats))


def limit(kernels: Path, clip: Path, by_size: dict[str, int], repeats: int) -> tuple[float, dict[str, float]]:
    """CPU seconds of decoding with Tawny's own decoder, and of one inference of each size."""
    sizes = ",".join(by_size) or "416x256"
    lines = [json.loads(run([kernels, "--limit", sizes, clip]).stdout.splitlines()[-1]) for _ in range(repeats)]
    costs = {size: median(line["inference_ms"][size] for line in lines) / 1e3 for size in by_size}
    return median(line["decode_s"] for line in lines), costs


def peer(python: str, clip: truth.Clip) -> tuple[float, list]:
    command = [python, ROOT / "benches/peers/opencv_pipeline.py", "--model", MODEL, "--line", clip.line, clip.path]
    done = run(command, {"OMP_NUM_THREADS": "1"})
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return done.cpu_s, [(c["group"], c["direction"], c["at_s"]) for c in lines if "direction" in c]


def report(tawny: Path, kernels: Path, python: str | None, clips: list[truth.Clip], temp: Path, repeats: int) -> str:
    limits, peers = [], []
    costs = {}
    for clip in clips:
        print(f"  {clip.path.name}", flush=True)
        cpu_s, done, crossings = replay(tawny, clip, temp, repeats)
        decode_s = ffmpeg_cpu_s(clip.path, repeats)
        own_decode_s, of_this = limit(kernels, clip.path, done.by_size, repeats)
        costs |= of_this
        inferences_s = sum(n * of_this[size] for size, n in done.by_size.items())
        least, own_least = (d + inferences_s for d in (decode_s, own_decode_s))
        name, per_second = f"`{clip.path.name}`", cpu_s / done.video_s
        limits.append([
            name, f"{done.video_s:.0f}", done.frames, done.decoded, done.inferences, f"{cpu_s:.2f}", f"{per_second:.3f}",
            f"{decode_s:.2f}", f"{inferences_s:.2f}", f"**{cpu_s / least:.2f}**", f"{cpu_s / own_least:.2f}",
        ])  # fmt: skip
        if python:
            peer_s, peer_crossings = peer(python, clip)
            scores = truth.f1(clip, crossings), truth.f1(clip, peer_crossings)
            peers.append([
                name, f"{cpu_s:.2f}", f"{peer_s:.2f}", f"**{cpu_s / peer_s:.2f}**", done.inferences, done.frames,
                f"{scores[0]:.2f}", f"{scores[1]:.2f}",
            ])  # fmt: skip
    head = ["clip", "video s", "frames", "decoded", "inferences", "CPU s", "CPU s per video s", "decoding", "inferences' CPU s", "ratio", "ratio to its own decoding"]  # fmt: skip
    text = [
        "### Against the limit",
        "",
        "CPU seconds of `tawny replay CLIP`, its start included, against `ffmpeg -threads 1 -i CLIP -f null -` plus "
        "`session.run` alone, same model, size and settings, for each inference that Tawny made (CPU time: "
        + ", ".join(f"{s * 1e3:.1f} ms for {size}" for size, s in sorted(costs.items()))
        + "). At most 1.15 is wanted. The last column takes Tawny's own libav decoder for the limit, "
        "which costs less than the program `ffmpeg`.",
        "",
        table(head, limits),
        "",
        "### Against a pipeline of the usual kind",
        "",
    ]
    if not peers:
        return "\n".join([*text, "Not measured: no Python with OpenCV and ONNX Runtime."])
    peer_head = ["clip", "Tawny CPU s", "peer CPU s", "ratio", "Tawny's inferences", "peer's", "Tawny F1", "peer F1"]
    return "\n".join([
        *text,
        "`benches/peers/opencv_pipeline.py`: OpenCV and ONNX Runtime from Python, the same model, every frame, one "
        "thread. F1 of the crossings against what was counted by eye. At most 0.25 at no worse F1 is wanted.",
        "",
        table(peer_head, peers),
    ])


def profiles(tawny: Path, clips: list[truth.Clip], temp: Path) -> str:
    """What each `unit.profile` costs and finds, on one core and on all of them."""
    cores = sorted(os.sched_getaffinity(0))
    sets = {1: cores[:1], len(cores): cores}
    rows = []
    for profile in ("eco", "balanced", "fast"):
        for n, allowed in sets.items():
            cpu_s = wall_s = video_s = inferences = 0
            scores = []
            for clip in clips:
                config = temp / "profile.toml"
                config.write_text(f'[unit]\nprofile = "{profile}"\n' + clip.configuration())
                allow = ",".join(map(str, allowed))
                done = run(["taskset", "-c", allow, tawny, "replay", "--config", config, clip.path])
                counts = effort(done)
                cpu_s, wall_s, video_s = cpu_s + done.cpu_s, wall_s + done.wall_s, video_s + counts.video_s
                inferences += counts.inferences
                scores.append(truth.f1(clip, crossings_of(done)))
            rows.append([
                f"`{profile}`", n, inferences, f"{cpu_s / video_s:.3f}", f"{wall_s / video_s:.3f}",
                f"{sum(scores) / len(scores):.2f}",
            ])  # fmt: skip
    names = ", ".join(f"`{clip.path.name}`" for clip in clips)
    return "\n".join([
        "### Profiles",
        "",
        f"`tawny replay` of {names}. `eco` and `balanced` use one thread for each camera's decoding and one for the "
        "detector whatever the number of cores; `fast` uses as many for the detector as there are cores, three at most. "
        + ("" if len(cores) >= 4 else "Four cores could not be measured here: for them the table's rule is an assumption. ")
        + "F1 is the mean over the clips.",
        "",
        table(["profile", "cores", "inferences", "CPU s per video s", "wall s per video s", "F1"], rows),
    ])
