"""The labelled clips of a folder, and how many of their crossings were found: the
measure of tests/acceptance, for programs that report one line each."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

# How far a report may be from the counted time where the label does not say it.
TOLERANCE_S, TOLERANCE_WHOLE_S = 0.5, 1.5
GROUPS = ("person", "vehicle")


@dataclass
class Clip:
    path: Path
    axis: str
    at: float
    # (group, direction) -> how many
    counts: dict
    # direction -> [(seconds, tolerance)]
    times: dict

    @property
    def line(self) -> str:
        return f"{self.axis}={self.at}"

    def configuration(self) -> str:
        """Tawny's: the line with the middle of the box as its anchor."""
        if self.axis == "x":
            ends, names = ([self.at, 1.0], [self.at, 0.0]), ("right", "left")
        else:
            ends, names = ([0.0, self.at], [1.0, self.at]), ("down", "up")
        return (
            f'[[camera]]\n[[camera.tripwire]]\nname = "line"\nfrom = {ends[0]}\nto = {ends[1]}\n'
            f'forward = "{names[0]}"\nbackward = "{names[1]}"\nanchor = "center"\n'
        )


def clips(folder: Path) -> list[Clip]:
    """Those with a line and something to count."""
    found = []
    for label in tomllib.loads((folder / "ground_truth.toml").read_text()).get("clip", []):
        line, path = label.get("line"), folder / label["file"]
        if not line or not path.is_file():
            continue
        directions = ("left", "right") if line[0] == "x" else ("up", "down")
        counts = {(g, d): label.get(g, {}).get(d, 0) for g in GROUPS for d in directions}
        times = {}
        for direction, seconds in label.get("times_s", {}).items():
            whole = all(isinstance(s, int) for s in seconds)
            tolerance = label.get("tolerance_s", TOLERANCE_WHOLE_S if whole else TOLERANCE_S)
            times[direction] = [(float(s), tolerance) for s in seconds]
        found.append(Clip(path, line[0], float(line[2:]), counts, times))
    return found


def f1(clip: Clip, reported: list[tuple[str, str, float]]) -> float:
    """2 hits / (2 hits + false reports + misses) for (group, direction, seconds);
    animals do not count."""
    reported = [r for r in reported if r[0] in GROUPS]
    left = dict(clip.counts)
    taken = set()
    pairs = sorted(
        (abs(at - counted), i, direction, k)
        for i, (_, direction, at) in enumerate(reported)
        for k, (counted, tolerance) in enumerate(clip.times.get(direction, []))
        if abs(at - counted) <= tolerance + 1e-9
    )
    hits = set()
    for _, i, direction, k in pairs:
        kind = reported[i][:2]
        if i not in hits and (direction, k) not in taken and left.get(kind, 0) > 0:
            hits.add(i)
            taken.add((direction, k))
            left[kind] -= 1
    wrong = len(reported) - len(hits) + sum(clip.counts.values()) - len(hits)
    return 1.0 if wrong == 0 else 2 * len(hits) / (2 * len(hits) + wrong)
