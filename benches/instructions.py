"""How many instructions each kernel executes, counted by callgrind: the same on every
run, whatever else the machine does. Compares with benches/instructions.json.

    python3 instructions.py --kernels PROGRAM [--record]

Exit code 1 when a kernel needs over 2 % more than recorded. The counts belong to
a compiler and a build profile; record anew, in a commit of its own, when those
change.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

from measure import run, table

RECORD = Path(__file__).with_name("instructions.json")
TOLERANCE = 0.02


def count(kernels: Path) -> dict[str, int]:
    counts = {}
    for name in run([kernels, "--list"]).stdout.split():
        command = [
            "valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--collect-atstart=no",
            "--toggle-collect=*measured*", kernels, "--once", name,
        ]  # fmt: skip
        counts[name] = int(re.search(r"Collected : (\d+)", run(command).stderr)[1])
    return counts


def compiler() -> str:
    return subprocess.run(["rustc", "--version"], capture_output=True, text=True).stdout.strip() or "unknown"


def compare(counts: dict[str, int], profile: str) -> tuple[str, list[str]]:
    """A table, and the kernels that became slower."""
    known = json.loads(RECORD.read_text()) if RECORD.is_file() else {}
    comparable = known.get("profile") == profile
    before = known.get("instructions", {}) if comparable else {}
    rows, slower = [], []
    for name, n in counts.items():
        change = n / before[name] - 1 if before.get(name) else None
        if change is not None and change > TOLERANCE:
            slower.append(f"{name}: {change:+.1%}")
        rows.append([f"`{name}`", f"{n:,}", "new" if change is None else f"{change:+.1%}"])
    text = [
        "### Instructions",
        "",
        f"Of one run of each kernel, counted by callgrind (without AVX-512, which it does not know); {compiler()}, "
        f"profile `{profile}`. The last column compares with `benches/instructions.json`"
        + ("." if comparable or not known else f", which is of another profile (`{known.get('profile')}`)."),
        "",
        table(["kernel", "instructions", "change"], rows),
    ]
    return "\n".join(text), slower


def record(counts: dict[str, int], profile: str):
    known = {"profile": profile, "compiler": compiler(), "instructions": counts}
    RECORD.write_text(json.dumps(known, indent=2) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernels", type=Path, required=True)
    parser.add_argument("--profile", default="release")
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    counts = count(args.kernels)
    text, slower = compare(counts, args.profile)
    print(text)
    if args.record:
        record(counts, args.profile)
        return 0
    for line in slower:
        print(f"slower: {line}", file=sys.stderr)
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
