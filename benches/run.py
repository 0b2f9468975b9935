"""Measures everything that docs/performance.md shows and writes it there, between
its two marks. Called by scripts/bench, which builds what is measured.

A part that cannot be measured here says so in its place; the others go on.
"""

import argparse
import os
import platform
import re
import shutil
import sys
import tempfile
import traceback
from pathlib import Path

import daemon
import instructions
import pipeline
import still
import truth
from measure import run

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs/performance.md"
BEGIN, END = "<!-- scripts/bench writes from here -->", "<!-- to here -->"
PARTS = ["kernels", "instructions", "pipeline", "profiles", "still", "latency", "memory"]


def machine() -> str:
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    system = re.search(r'PRETTY_NAME="(.*)"', Path("/etc/os-release").read_text())
    ffmpeg = run(["ffmpeg", "-version"]).stdout.split()[2]
    return (
        f"{len(os.sched_getaffinity(0))} cores {platform.machine()}"
        + (f" ({cpu[1]})" if cpu else "")
        + (f", {system[1]}" if system else "")
        + f", FFmpeg {ffmpeg}"
    )


def street_1080(cache: Path) -> truth.Clip:
    """The bundled street as a 1080p25 camera would send it."""
    clip = next(c for c in truth.clips(ROOT / "tests/data/clips") if c.path.name == "street.mp4")
    large = cache / "street1080.mp4"
    if not large.is_file():
        half = large.with_suffix(".part.mp4")
        encode = ["-vf", "scale=1920:1080,fps=25", "-c:v", "libx264", "-preset", "veryfast", "-g", "50", "-pix_fmt", "yuv420p"]
        run(["ffmpeg", "-v", "error", "-y", "-i", clip.path, *encode, half])
        half.rename(large)
    clip.path = large
    return clip


def kernels_text(kernels: Path) -> str:
    timed = run([kernels]).stdout.rstrip()
    return "\n".join([
        "### Kernels",
        "",
        "The median CPU time of one run each (`benches/kernels/`). Wanted: `preprocess-1080p-u8` at most 1.2 ms.",
        "",
        "```text",
        timed,
        "```",
    ])


def measure(args: argparse.Namespace, temp: Path) -> dict[str, str]:
    clips = truth.clips(ROOT / "tests/data/clips")
    large = street_1080(args.cache)
    clips.append(large)
    for folder in args.clips:
        clips += truth.clips(folder)

    def counted() -> str:
        if not shutil.which("valgrind"):
            return "### Instructions\n\nNot counted: valgrind is not installed."
        counts = instructions.count(args.kernels)
        text, slower = instructions.compare(counts, args.profile)
        if args.record:
            instructions.record(counts, args.profile)
        for line in slower:
            print(f"  slower: {line}", flush=True)
        return text

    def latency() -> str:
        done = pipeline.replay(args.tawny, large, temp, 1)[1]
        costs = pipeline.limit(args.kernels, large.path, done.by_size, 1)[1]
        return daemon.latency(args.tawny, large.path, temp, max(costs.values()) * 1e3, args.live_seconds)

    parts = {
        "kernels": lambda: kernels_text(args.kernels),
        "instructions": counted,
        "pipeline": lambda: pipeline.report(args.tawny, args.kernels, args.python, clips, temp, args.repeats),
        "profiles": lambda: pipeline.profiles(args.tawny, clips, temp),
        "still": lambda: still.report(
            args.tawny, args.python, args.cache, temp, args.still_seconds, args.live_seconds, args.repeats
        ),
        "latency": latency,
        "memory": lambda: daemon.memory(args.tawny, large.path, temp, args.live_seconds),
    }
    texts = {}
    for name in PARTS:
        if args.only and name not in args.only:
            continue
        print(f"== {name}", flush=True)
        try:
            texts[name] = parts[name]()
        except Exception as error:  # One part must not take the others along.
            traceback.print_exc()
            texts[name] = f"### {name.capitalize()}\n\nNot measured: {type(error).__name__}: {str(error).splitlines()[0]}"
        print(texts[name] + "\n", flush=True)
    return texts


def write(text: str):
    """Between the marks of the document."""
    document = DOCUMENT.read_text()
    before, rest = document.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tawny", type=Path, required=True)
    parser.add_argument("--kernels", type=Path, required=True)
    parser.add_argument("--python", help="one with the packages of benches/peers/requirements.txt")
    parser.add_argument("--cache", type=Path, required=True, help="where generated clips are kept")
    parser.add_argument("--profile", default="release")
    parser.add_argument("--clips", type=Path, action="append", default=[], metavar="FOLDER")
    parser.add_argument("--only", action="append", choices=PARTS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--still-seconds", type=int, default=600)
    parser.add_argument("--live-seconds", type=int, default=60)
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    args.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temp:
        texts = measure(args, Path(temp))
    if args.only:
        print("not written to docs/performance.md: only some parts were measured")
        return 0
    version = run([args.tawny, "--version"]).stdout.strip().splitlines()
    # Where the libraries lie says nothing about the figures.
    version = [re.sub(r"\(/[^)]*\)", "", line).strip() for line in version]
    head = f"Machine: {machine()}. Build: profile `{args.profile}`. {'; '.join(line.strip() for line in version)}."
    write("\n\n".join([head, *texts.values()]))
    print(f"written to {DOCUMENT.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
