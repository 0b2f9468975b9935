"""A scene in which nothing happens: what watching it costs, against decoding it and
against Debian's `motion`; and the same scene with somebody passing now and then, who
must not be missed."""

import csv
import shutil
import time
from pathlib import Path

import truth
from measure import Run, Running, median, run, table
from pipeline import crossings_of, effort, ffmpeg_cpu_s

ROOT = Path(__file__).resolve().parent.parent


PASSES = 20
# Before CPU time is counted in real time.
SETTLE_S = 30


def make(python: str, cache: Path, length_s: int, passes: int = 0) -> list[Path]:
    """The clips that benches/still_scene.py makes; kept for the next time."""
    maker = ROOT / "benches/still_scene.py"
    if not maker.is_file():
        return []
    folder = cache / f"{'passes' if passes else 'still'}-{length_s}"
    if not (folder / "made").is_file():
        print("  making the clip; this takes about as long as it lasts", flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        run([python, maker, "--folder", folder, "--seconds", length_s, "--passes", passes, "--profile", "crf23-gop50"])
        (folder / "made").touch()
    return sorted(folder.glob("*.mp4"))


def gate(stderr: str) -> str:
    """What `tawny replay` says of its packet gate."""
    return next((line for line in stderr.splitlines() if line.startswith("gate:")), "no gate")


def found_passes(done: Run, passes: Path) -> tuple[int, int, int]:
    """How many passed, how many of them were reported with group and direction, and
    how many other crossings were."""
    with open(passes, newline="") as file:
        due = list(csv.DictReader(file))
    crossings = crossings_of(done)
    found = 0
    for one in due:
        during = (float(one["from_s"]), float(one["to_s"]))
        fits = [c for c in crossings if c[:2] == (one["kind"], one["direction"]) and during[0] <= c[2] <= during[1]]
        if fits:
            found += 1
            crossings.remove(fits[0])
    return len(due), found, len(crossings)


def passes_text(tawny: Path, python: str, cache: Path, config: Path, length_s: int) -> list[str]:
    rows = []
    for clip in make(python, cache, length_s, PASSES):
        done = run([tawny, "replay", "--config", config, clip])
        due, found, others = found_passes(done, clip.parent / "passes.csv")
        counts, decode_s = effort(done), ffmpeg_cpu_s(clip, 1)
        rows.append([
            f"`{clip.name}`", f"**{found} of {due}**", others, counts.frames, counts.decoded, counts.inferences,
            f"{done.cpu_s / decode_s:.3f}", gate(done.stderr).removeprefix("gate: "),
        ])  # fmt: skip
    return [
        "",
        f"The same scene with {PASSES} people and cars, a tenth of the picture high, passing at random times; at least 19 "
        "are wanted.",
        "",
        table(["clip", "found", "other crossings", "frames", "decoded", "inferences", "CPU / decoding", "gate"], rows),
    ]


def video(path: Path) -> tuple[int, int, float]:
    """Width, height, frames a second."""
    entries = "stream=width,height,avg_frame_rate"
    command = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", entries, "-of", "csv=p=0", path]
    width, height, rate = run(command).stdout.strip().split(",")[:3]
    over, under = map(int, rate.split("/"))
    return int(width), int(height), over / under


def motion_cpu(clip: Path, temp: Path, length_s: int) -> float | None:
    """CPU seconds of `motion` per second, after its start."""
    if not shutil.which("motion"):
        return None
    width, height, rate = video(clip)
    conf = temp / "motion.conf"
    conf.write_text(
        f"daemon off\nlog_level 4\nnetcam_url file://{clip}\nnetcam_params capture_rate={rate:.0f}\nwidth {width}\n"
        f"height {height}\nframerate {rate:.0f}\npicture_output off\nmovie_output off\nwebcontrol_port 0\nstream_port 0\n"
        f"target_dir {temp}\n"
    )
    return cpu_per_second(["motion", "-n", "-c", conf], length_s)


def tawny_cpu(tawny: Path, clip: Path, temp: Path, length_s: int) -> float:
    config = temp / "still.toml"
    config.write_text(f'[journal]\npath = "{temp}/still-{time.monotonic_ns()}.db"\n[[camera]]\nsource = "{clip}"\nloop = true\n')
    return cpu_per_second([tawny, "run", "--config", config], length_s)


def cpu_per_second(command: list, length_s: int) -> float:
    """After the start, in which backgrounds and gates learn."""
    program = Running(command)
    time.sleep(SETTLE_S)
    before, began = program.cpu_s(), time.monotonic()
    time.sleep(length_s)
    used = (program.cpu_s() - before) / (time.monotonic() - began)
    program.stop()
    return used


def report(tawny: Path, python: str | None, cache: Path, temp: Path, length_s: int, live_s: int, repeats: int) -> str:
    head = ["### A still scene", ""]
    made = make(python, cache, length_s) if python else []
    if not made:
        return "\n".join([*head, "Not measured: it needs benches/still_scene.py and a Python with OpenCV."])
    rows, live = [], []
    config = temp / "replay.toml"
    config.write_text(truth.Clip(made[0], "x", 0.5, {}, {}).configuration())
    for clip in made:
        runs = [run([tawny, "replay", "--config", config, clip]) for _ in range(repeats)]
        done, cpu_s = effort(runs[0]), median(r.cpu_s for r in runs)
        decode_s = ffmpeg_cpu_s(clip, repeats)
        rows.append([
            f"`{clip.name}`", f"{done.video_s:.0f}", done.frames, done.decoded, done.inferences, done.events,
            f"{cpu_s:.2f}", f"{decode_s:.2f}", f"**{cpu_s / decode_s:.3f}**", gate(runs[0].stderr).removeprefix("gate: "),
        ])  # fmt: skip
        own, theirs = tawny_cpu(tawny, clip, temp, live_s), motion_cpu(clip, temp, live_s)
        ratio = f"**{own / theirs:.2f}**" if theirs else "-"
        live.append([f"`{clip.name}`", f"{own:.4f}", f"{theirs:.4f}" if theirs else "not installed", ratio])
    return "\n".join([
        *head,
        "Clips of `benches/still_scene.py`: a still 1080p scene with sensor noise. CPU seconds of `tawny replay` "
        "against `ffmpeg -threads 1 -i CLIP -f null -`; at most 0.10 is wanted.",
        "",
        table(["clip", "video s", "frames", "decoded", "inferences", "events", "CPU s", "decoding CPU s", "ratio", "gate"], rows),
        "",
        f"The same as a camera in real time, all frames, {live_s} s, {SETTLE_S} s after the start: CPU seconds per second of "
        "`tawny run` and of Debian's `motion` (no pictures, no films).",
        "",
        table(["clip", "Tawny", "motion", "ratio"], live),
        *passes_text(tawny, python, cache, config, length_s),
    ])
