#!/usr/bin/env python3
"""How much hangs on luck: labelled clips, changed in ways that change nothing for a
person, through `tawny replay`, and how many of their crossings come out.

    variants.py [--tawny PROGRAM] [--only NAME,NAME…] FOLDER…

Each FOLDER holds clips and their ground_truth.toml (docs/guide/labelled-clips.md).
A crossing counts as in benches/truth.py: group, direction and time. The variants are
made with `ffmpeg` into a temporary folder.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benches"))

import truth  # noqa: E402


@dataclass
class Variant:
    filter: str = "null"
    # Seconds that are cut off at the beginning.
    begins_s: float = 0.0
    crf: int = 23
    mirrored: bool = False
    # The picture takes this share of the new one, in its middle.
    share: float = 1.0


# A busy machine misses pictures, and cameras' clocks waver: other pictures are looked at.
LOST = "select='if(eq(n,0),1+0*st(1,{seed}),gt(random(1),{share}))'"
WAVERING = "setpts='if(eq(N,0),PTS+0*st(1,{seed}),PTS+random(1)*0.02/TB)'"

VARIANTS = {
    "as it is": None,
    "mirrored": Variant("hflip", mirrored=True),
    "coarsely coded": Variant(crf=30),
    "begins later": Variant(begins_s=0.37),
    "seven tenths of the size": Variant("scale=trunc(iw*0.35)*2:trunc(ih*0.35)*2"),
    "without colours": Variant("hue=s=0", crf=25),
    "out of focus": Variant("gblur=sigma=1.2", crf=25),
    "swaying": Variant("crop=iw-16:ih-16:8+4*sin(n/3.1):8+4*sin(n/2.3)"),
    "15 pictures a second": Variant("fps=15"),
    "a tenth of the pictures lost": Variant(LOST.format(seed=1, share=0.1)),
    "a third of the pictures lost": Variant(LOST.format(seed=2, share=0.33)),
    "half of the pictures lost": Variant(LOST.format(seed=3, share=0.5)),
    "wavering times": Variant(WAVERING.format(seed=4)),
    "darker": Variant("eq=brightness=-0.12:contrast=0.8", crf=25),
    "noise": Variant("noise=alls=12:allf=t", crf=26),
    "farther away": Variant("pad=iw*1.25:ih*1.25:iw*0.125:ih*0.125:color=gray", share=0.8),
}
OPPOSITE = {"left": "right", "right": "left", "up": "up", "down": "down"}


def changed(clip: truth.Clip, variant: Variant, folder: Path) -> truth.Clip:
    """The clip and what is to be found in it."""
    path = Path(tempfile.mkdtemp(dir=folder)) / f"{clip.path.stem}.mp4"
    begin = ["-ss", str(variant.begins_s)] if variant.begins_s else []
    subprocess.run(
        ["ffmpeg", "-nostdin", "-v", "error", *begin, "-i", clip.path, "-an", "-vf", variant.filter,
         "-fps_mode", "passthrough", "-enc_time_base", "1/90000", "-c:v", "libx264",
         "-preset", "veryfast", "-pix_fmt", "yuv420p", "-crf", str(variant.crf), "-threads", "1", path],
        check=True,
    )  # fmt: skip
    at, counts, times = clip.at, clip.counts, clip.times
    if variant.mirrored and clip.axis == "x":
        at = 1 - at
        counts = {(group, OPPOSITE[direction]): n for (group, direction), n in counts.items()}
        times = {OPPOSITE[direction]: when for direction, when in times.items()}
    times = {d: [(s - variant.begins_s, tolerance) for s, tolerance in when] for d, when in times.items()}
    at = (1 - variant.share) / 2 + at * variant.share
    return replace(clip, path=path, at=round(at, 4), counts=counts, times=times)


def found(tawny: Path, clip: truth.Clip, folder: Path) -> tuple[int, int, int]:
    """Right, false and missed crossings."""
    config = Path(tempfile.mkdtemp(dir=folder)) / "tawny.toml"
    config.write_text(clip.configuration())
    done = subprocess.run([tawny, "replay", "--config", config, clip.path], capture_output=True, text=True, check=True)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    seconds = lambda stamp: sum(float(n) * s for n, s in zip(stamp[11:-1].split(":"), (3600, 60, 1)))
    crossings = [(e["grp"], e["dir"], seconds(e["t"])) for e in events if e["kind"] == "crossing"]
    crossings = [crossing for crossing in crossings if crossing[0] in truth.GROUPS]
    wanted, told = sum(clip.counts.values()), len(crossings)
    right = round(truth.f1(clip, crossings) * (wanted + told) / 2)
    return right, told - right, wanted - right


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--tawny", type=Path, default=ROOT / "target/release/tawny")
    parser.add_argument("--only", help="names of variants, with commas between them")
    options = parser.parse_args()
    wanted = options.only.split(",") if options.only else list(VARIANTS)
    clips = [clip for folder in options.folders for clip in truth.clips(folder)]
    print("| variant | right | false | missed | |\n|---|---:|---:|---:|---|")
    for name in wanted:
        variant, total, bad = VARIANTS[name], [0, 0, 0], []
        with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(2) as pool:
            def one(clip, folder=Path(folder), variant=variant):
                return found(options.tawny, clip if variant is None else changed(clip, variant, folder), folder)
            for clip, counts in zip(clips, pool.map(one, clips)):
                total = [a + b for a, b in zip(total, counts)]
                if counts[1] or counts[2]:
                    bad.append(clip.path.stem)
        print(f"| {name} | {total[0]} | {total[1]} | {total[2]} | {', '.join(bad)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
