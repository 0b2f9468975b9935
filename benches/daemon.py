"""The daemon on a camera that sends in real time: how late its events are, and how
much memory it holds."""

import json
import socket
import time
from pathlib import Path

from measure import Failed, Running, table

HEALTH_S = 20


def configuration(clip: Path, temp: Path, port: int | None, realtime: bool) -> Path:
    journal = temp / f"journal-{time.monotonic_ns()}.db"
    text = (
        f'[unit]\nid = "bench"\n[journal]\npath = "{journal}"\n'
        f'[[camera]]\nsource = "{clip}"\nloop = true\nrealtime = {str(realtime).lower()}\n'
        '[[camera.tripwire]]\nname = "line"\nfrom = [0.45, 1.0]\nto = [0.45, 0.0]\n'
    )
    if port:
        text += f'[uplink]\nbroker = "mqtt://127.0.0.1:{port}"\n[health]\ninterval = "{HEALTH_S}s"\n'
    path = temp / "daemon.toml"
    path.write_text(text)
    return path


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def latency(tawny: Path, clip: Path, temp: Path, inference_ms: float, seconds: int) -> str:
    """From health messages; each covers the time since the one before."""
    port = free_port()
    conf = temp / "mosquitto.conf"
    conf.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    broker = Running(["mosquitto", "-c", conf])
    time.sleep(1)
    listener = Running(["mosquitto_sub", "-V", "5", "-p", port, "-t", "tawny/bench/health"])
    daemon = Running([tawny, "run", "--config", configuration(clip, temp, port, True)])
    time.sleep(seconds)
    cpu = daemon.cpu_s() / seconds
    daemon.stop()
    heard = listener.stop()
    broker.stop()
    cameras = [json.loads(line)["cameras"][0] for line in heard.stdout.splitlines() if '"cameras":[{' in line]
    uplinks = [json.loads(line)["uplink"] for line in heard.stdout.splitlines() if '"uplink":{' in line]
    rows = []
    for said, key, what in (
        (cameras, "look", "from a picture's last packet to the end of the detector's look"),
        (cameras, "commit", "from a picture's last packet to the commit of the events it brought"),
        (uplinks, "ack", "from the commit of an event to the broker's acknowledgement"),
    ):
        seen = [one[key] for one in said if key in one]
        if not seen:
            raise Failed(f"no figures of '{key}' in {len(said)} health messages")
        worst = [max(part[p] for part in seen) for p in ("p50_ms", "p95_ms", "p99_ms")]
        rows.append([what, sum(part["n"] for part in seen), *(f"{ms:.1f}" for ms in worst)])
    return "\n".join([
        "### Latency",
        "",
        f"`tawny run` on `{clip.name}` as a camera, in real time, for {seconds} s; `look`, `commit` and `ack` of the health "
        f"messages, the worst of all intervals of {HEALTH_S} s. An event is made by the look that completes its evidence, so "
        "the frames that the confirmation rule waits for come before these times. Wanted: p95 of the second row "
        f"at most one inference ({inference_ms:.1f} ms) and 15 ms, {inference_ms + 15:.1f} ms. "
        f"CPU seconds per video second meanwhile: {cpu:.3f}.",
        "",
        table(["", "how many", "p50 ms", "p95 ms", "p99 ms"], rows),
    ])


def memory(tawny: Path, clip: Path, temp: Path, seconds: int) -> str:
    rows = []
    for realtime, title in ((True, "in real time"), (False, "as fast as it goes, again and again")):
        daemon = Running([tawny, "run", "--config", configuration(clip, temp, None, realtime)])
        samples = []
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            time.sleep(0.5)
            samples.append(daemon.memory_mb())
        daemon.stop()
        # The start is over after five seconds.
        steady = [now for now, _ in samples[10:]]
        third = len(steady) // 3
        parts = [sum(part) / max(len(part), 1) for part in (steady[:third], steady[third : 2 * third], steady[2 * third :])]
        rows.append([title, f"{samples[-1][1]:.0f}", *(f"{part:.1f}" for part in parts)])
    return "\n".join([
        "### Memory",
        "",
        f"Resident memory of `tawny run` with `{clip.name}` (libraries included), {seconds} s each; at most 150 MB and no "
        "growth are wanted.",
        "",
        table(["", "peak MB", "first third MB", "second third MB", "last third MB"], rows),
    ])
