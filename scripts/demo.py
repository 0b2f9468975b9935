"""The parts of scripts/demo that are not starting and stopping programs.

    demo.py ports                                three TCP ports that are free on loopback
    demo.py config CLIPS FOLDER PORT [--once]    a configuration that watches the clips, on stdout
    demo.py seconds CLIPS                        how long the longest clip plays at most
    demo.py watch CLIPS READY [--once]           prints what arrives on stdin ("TOPIC PAYLOAD" lines,
                                                 from mosquitto_sub); --once: and compares

CLIPS is the folder that holds the clips and their ground_truth.toml.
"""

import json
import socket
import sys
import tomllib
from collections import Counter
from datetime import datetime
from pathlib import Path

GROUPS = ("vehicle", "person", "animal")
DIRECTIONS = ("left", "right", "up", "down")


def truth(clips: Path) -> list[dict]:
    with open(clips / "ground_truth.toml", "rb") as file:
        return tomllib.load(file)["clip"]


def expected_crossings(clips: Path) -> Counter:
    """How many objects cross, by (camera, group, direction)."""
    expected = Counter()
    for clip in truth(clips):
        for group in GROUPS:
            for direction in DIRECTIONS:
                if count := clip.get(group, {}).get(direction, 0):
                    expected[Path(clip["file"]).stem, group, direction] = count
    return expected


def ports() -> None:
    sockets = [socket.socket() for _ in range(3)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    print(*(s.getsockname()[1] for s in sockets))


def config(clips: Path, folder: Path, port: str, once: bool) -> None:
    quote = json.dumps  # Its strings are TOML's basic strings, too.
    print('[unit]\nid = "demo"\n')
    print(f"[journal]\npath = {quote(str(folder / 'journal.db'))}\n")
    print(f"[uplink]\nbroker = \"mqtt://127.0.0.1:{port}\"")
    # Shorter than usual: somebody is looking.
    print('\n[health]\ninterval = "5s"')
    for clip in truth(clips):
        axis, _, at = clip["line"].partition("=")
        # From the bottom up, what is to the right on the screen is on the
        # right; from left to right, what is below.
        start, end, forward, backward = {
            "x": (f"[{at}, 1.0]", f"[{at}, 0.0]", "right", "left"),
            "y": (f"[0.0, {at}]", f"[1.0, {at}]", "down", "up"),
        }[axis]
        path = clips / clip["file"]
        print(f"\n[[camera]]\nname = {quote(path.stem)}\nsource = {quote(str(path))}")
        print(f"realtime = true\nloop = {'false' if once else 'true'}")
        print(f'\n  [[camera.tripwire]]\n  name = "line"\n  from = {start}\n  to = {end}')
        print(f'  forward = "{forward}"\n  backward = "{backward}"\n  anchor = "center"')


def seconds(clips: Path) -> None:
    """A clip ends soon after its last crossing; the caller adds a minute."""
    times = [t for clip in truth(clips) for of_direction in clip["times_s"].values() for t in of_direction]
    print(round(max(times)) + 10)


ARROWS = {"left": "←", "right": "→", "up": "↑", "down": "↓"}


def line_for(event: dict) -> str | None:
    """One event for a person to read; nothing for kinds of no interest here."""
    kind, what = event["kind"], None
    if kind == "crossing":
        what = f"{event['cls']:<10} crosses {ARROWS.get(event['dir'], '')} {event['dir']:<6} {event['conf']:.0%} sure"
    elif kind == "sighting" and event["phase"] == "start":
        what = f"{event['cls']:<10} appears"
    elif kind == "sighting":
        what = f"{event['cls']:<10} gone after {event.get('dur', 0):.0f} s"
    elif kind == "group" and event["phase"] == "end":
        what = f"{event['n']} x {event['grp']} together {ARROWS.get(event['dir'], '')} {event['dir']}"
    elif kind == "camera":
        what = f"camera {event['phase']}" + (f": {event['why']}" if event.get("why") else "")
    if what is None:
        return None
    time = datetime.fromisoformat(event["t"].replace("Z", "+00:00")).astimezone()
    mark = ">" if kind == "crossing" else " "
    return f"{mark} {time:%H:%M:%S}.{time.microsecond // 100000}  {event.get('cam', ''):<8} {what}"


def watch(clips: Path, ready: Path, once: bool) -> int:
    arrived, numbers = Counter(), set()
    for line in sys.stdin.buffer:
        topic, _, payload = line.decode(errors="replace").rstrip("\n").partition(" ")
        if topic == "demo/ready":
            ready.touch()
            continue
        if "/event/" not in topic:
            continue
        try:
            event = json.loads(payload)
            number = (event["unit"], event["log"], event["seq"])
            text = line_for(event)
        except (ValueError, KeyError, TypeError) as error:
            print(f"! not an event ({error!r}): {line!r}", flush=True)
            arrived["?", "unreadable", "?"] += 1
            continue
        if number in numbers:
            continue  # MQTT's QoS 1 may deliver twice; the number tells.
        numbers.add(number)
        if text:
            print(text, flush=True)
        if event["kind"] == "crossing":
            arrived[event["cam"], event["grp"], event["dir"]] += 1
    return compare(expected_crossings(clips), arrived, numbers) if once else 0


def compare(expected: Counter, arrived: Counter, numbers: set) -> int:
    good = expected == arrived
    print(f"\n  {'camera':<10}{'group':<12}{'direction':<11}{'expected':>8}{'arrived':>9}")
    for key in sorted(expected.keys() | arrived.keys()):
        mark = "" if expected[key] == arrived[key] else "   <-- wrong"
        print(f"  {key[0]:<10}{key[1]:<12}{key[2]:<11}{expected[key]:>8}{arrived[key]:>9}{mark}")
    for unit, log in sorted({number[:2] for number in numbers}):
        seqs = {number[2] for number in numbers if number[:2] == (unit, log)}
        missing = sorted(set(range(1, max(seqs) + 1)) - seqs)
        good &= not missing
        print(f"\n  {len(seqs)} events, numbers 1 to {max(seqs)}: " + (f"missing {missing}" if missing else "none missing"))
    print("  All crossings arrived, each once." if good else "  This is NOT what crossed.", flush=True)
    return 0 if good else 1


def main() -> int:
    match sys.argv[1:]:
        case ["ports"]:
            ports()
        case ["config", clips, folder, port, *once]:
            config(Path(clips), Path(folder), port, bool(once))
        case ["seconds", clips]:
            seconds(Path(clips))
        case ["watch", clips, ready, *once]:
            return watch(Path(clips), Path(ready), bool(once))
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


sys.exit(main())
