"""A process that does one thing for each line it is sent, and answers each with a line of JSON."""

from __future__ import annotations

import json
import subprocess


class Worker:
    """The other end of such a process.

    Attributes:
        ready: What it said when it was ready.
    """

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.ready = self.read()["ready"]

    def read(self) -> dict[str, object]:
        """The next JSON line; libraries may print others in between."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                answer: dict[str, object] = json.loads(line)
                return answer
        raise SystemExit(f"the worker ended early with status {self.process.wait()}: {self.process.args!r}")

    def ask(self, line: str = "go") -> dict[str, object]:
        """Has it done once, and gives what came of it."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.read()

    def close(self) -> None:
        """Ends the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
