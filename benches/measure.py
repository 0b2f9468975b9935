"""Running programs and weighing them: CPU seconds and memory of a process, whatever
else the machine does meanwhile."""

import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Run:
    """What a program did and what it took."""

    stdout: str
    stderr: str
    cpu_s: float
    wall_s: float
    peak_mb: float


class Failed(Exception):
    """A program did not do its work; the text says which and what it said."""


def run(command: list, env: dict | None = None, may_fail: bool = False) -> Run:
    """Runs it to its end."""
    return Running(command, env).wait(may_fail)


class Running:
    """A program that runs beside this one."""

    def __init__(self, command: list, env: dict | None = None):
        self.command = [str(part) for part in command]
        self._out, self._err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        self._began = time.monotonic()
        self._process = subprocess.Popen(
            self.command, stdout=self._out, stderr=self._err, stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})}
        )
        self.pid = self._process.pid

    def memory_mb(self) -> tuple[float, float]:
        """Resident now, and its peak."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        field = {line.split(":")[0]: line.split()[1] for line in status.splitlines() if line.startswith("Vm")}
        return int(field.get("VmRSS", 0)) / 1e3, int(field.get("VmHWM", 0)) / 1e3

    def cpu_s(self) -> float:
        """Used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> Run:
        """Asks it to end."""
        if self._process.poll() is None:
            self._process.terminate()
        return self.wait(may_fail=True)

    def wait(self, may_fail: bool = False) -> Run:
        if self._process.returncode is None:
            _, status, used = os.wait4(self.pid, 0)
            self._process.returncode = os.waitstatus_to_exitcode(status)
            self._used = used
        wall_s = time.monotonic() - self._began
        texts = []
        for file in (self._out, self._err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
        if self._process.returncode and not may_fail:
            raise Failed(f"{' '.join(self.command)}: exit code {self._process.returncode}\n{texts[1][-2000:]}")
        return Run(*texts, self._used.ru_utime + self._used.ru_stime, wall_s, self._used.ru_maxrss / 1e3)


def median(values) -> float:
    values = sorted(values)
    return values[len(values) // 2]


def table(head: list[str], rows: list[list]) -> str:
    """Markdown; the first column to the left, the others to the right."""
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])
