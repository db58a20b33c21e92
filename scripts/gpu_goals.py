"""What xpnet should reach on a GPU, and what a run of `gpu_check.py` measured.

    python scripts/gpu_goals.py scripts/results/gpu.json

prints the table of docs/performance.md. A test compares both.
"""

import json
import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Goal:
    """A limit of a measurement, mostly relative to another one.

    Attributes:
        part: the part of the check that measures it.
        job: what is measured, for people.
        ours: pattern of the label of the row with the measurement.
        limit: the limit.
        peer: what it is compared with, for people; "" for nothing.
        theirs: pattern of the label of that row.
        elsewhere: the part that measures it, if it is another one.
        times: the measurement of the peer counts so many times.
        unit: key of both measurements in their rows.
        is_speedup: whether to be at least `limit` times as fast as the peer. If not, a time has to be at most
            `limit` times that of the peer.
    """

    part: str
    job: str
    ours: str
    limit: float
    peer: str = ""
    theirs: str = ""
    elsewhere: str = ""
    times: int = 1
    unit: str = "ms"
    is_speedup: bool = False

    @property
    def is_rate(self) -> bool:
        """Whether more is better."""
        return self.unit.endswith("/s")

    @property
    def wanted(self) -> str:
        """The limit, for people."""
        if not self.peer:
            return f"at least {self.limit:g} {self.unit}"
        if self.is_speedup:
            return f"at least {self.limit:g} times as fast"
        return f"{'at least' if self.is_rate else 'at most'} {self.limit:g}"

    def result(self, parts: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """Return the row of the goal: the measurements, their ratio, the limit, and whether it is met."""
        ours = _value(parts, self.part, self.ours, self.unit)
        theirs = _value(parts, self.elsewhere or self.part, self.theirs, self.unit)
        measured = {"job": self.job, "xpnet": _shown(ours, self.unit), "compared with": self.peer or "-"}
        ratio: float | None = None
        met: bool | None = None
        if ours is not None and not self.peer:
            ratio = ours
        elif ours is not None and theirs is not None:
            theirs *= self.times
            measured["compared with"] = f"{self.peer}: {_shown(theirs, self.unit)}"
            ratio = theirs / ours if self.is_speedup else ours / theirs
        else:
            measured["compared with"] += ": not measured" if self.peer else ""
        if ratio is not None:
            met = ratio >= self.limit if self.is_speedup or self.is_rate else ratio <= self.limit
        return {
            **measured,
            "ratio": "-" if ratio is None or not self.peer else f"{ratio:.2f}",
            "goal": self.wanted,
            "met": {None: "not measured", True: "ok", False: "not ok"}[met],
        }


def _value(parts: dict[str, dict[str, Any]], part: str, pattern: str, unit: str) -> float | None:
    """Return the measurement in the last row of a part whose label has a pattern; None if there is none.

    The last, because with more workers it is the later row.
    """
    for row in reversed(parts.get(part, {}).get("rows", [])):
        label = " ".join(str(row[key]) for key in ("batch", "optimizer", "how") if key in row)
        if pattern and re.fullmatch(pattern, label):
            value = row.get(unit)
            return None if value is None else float(value)
    return None


def _shown(value: float | None, unit: str) -> str:
    if value is None:
        return "not measured"
    number = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return f"{number} {unit.removesuffix(' a step')}"


def _goals() -> Iterator[Goal]:
    step, ours, reading = "bench-step", "xpnet, one pass over bytes", "reading the bytes once"
    large = "logistic step, 12288 x 1,000,000"
    yield Goal(step, large, ours, 1.3, "reading alone", reading)
    yield Goal(step, large, ours, 6.0, "PyTorch float32", "PyTorch float32", is_speedup=True)
    yield Goal(step, large, ours, 3.0, "PyTorch bfloat16", "PyTorch bfloat16", is_speedup=True)
    yield Goal(
        step, "logistic step, 3072 x 4,000,000", f"{ours}, 3072 features", 1.1, "reading alone", reading
    )
    yield Goal(
        "bench-softmax", "softmax step, 10 classes, 12288 x 1,000,000", "xpnet, two passes over 1000000 x .*",
        1.3, "reading twice", reading, elsewhere=step, times=2,
    )  # fmt: skip
    sweep, many, job = "bench-sweep", "a step (with|of) 32", "sweep step, 32 rates, 12288 x 1,000,000"
    yield Goal(sweep, job, many, 2.5, "one rate", "a step (with|of) 1")
    yield Goal(sweep, job, many, 1.8, "reading twice", reading, elsewhere=step, times=2)
    for batch, precision, sgd, adam in ((256, "float32", 0.9, 0.6), (4096, "tf32", 0.95, 0.7)):
        for name, limit in (("sgd", sgd), ("adam", adam)):
            way = f"{batch} {name} %s, {precision}%s"
            job = f"network 3072-512-10, batch {batch}, {name}, {precision}"
            ours, peer = way % ("xpnet", ""), way % ("PyTorch", ", CUDA graph")
            network = "bench-network"
            yield Goal(network, job, ours, limit, "PyTorch, CUDA graph", peer, unit="µs a step")
    job = "patch features of 32 x 32 pixels"
    yield Goal("bench-features", job, "on the GPU", 20.0, "two cores", "on two cores", unit="images/s")
    for name in ("send", "stream"):
        yield Goal("bench-streaming", f"host to device, `{name}`", f"{name},.*", 30.0, unit="GB/s")
    scoring, many = "bench-scoring", "only decoding, workers: 16"
    for limit, peer, theirs, times in (
        (0.85, "16 times one worker", "only decoding, workers: 1", 16),
        (0.95, "16 separate processes", "separate processes that only decode: 16", 1),
    ):
        yield Goal(
            scoring, "decoding by 16 workers", many, limit, peer, theirs, times=times, unit="images/s"
        )  # fmt: skip
    for place in ("GPU", "CPU"):
        job = f"`xpnet predict` on the {place}"
        yield Goal(
            scoring, job, f"(xpnet )?predict on the {place}.*", 0.95, "decoding alone",
            "only decoding.*|decoding alone", unit="images/s",
        )  # fmt: skip


GOALS = tuple(_goals())
"""All goals, in the order of the parts."""


def results(parts: dict[str, dict[str, Any]], names: set[str] | None = None) -> list[dict[str, Any]]:
    """Return the rows of the goals, or of those of some parts."""
    return [goal.result(parts) for goal in GOALS if names is None or goal.part in names]


def markdown(known: dict[str, Any]) -> str:
    """Return the results of a run as the text of the documentation."""
    machine = known["machine"]
    rows = results(known["parts"])
    where = f"{machine['gpu']}, {machine['cores']} processor cores, Python {machine['python']}"
    peers = f"CuPy {machine['cupy']}, PyTorch {machine['torch'] or '(not installed)'}"
    lines = [
        f"{where}, {peers}; {machine['date']}, commit {machine['commit'][:7]}:",
        "",
        "| " + " | ".join(rows[0]) + " |",
        "|" + "---|" * len(rows[0]),
        *("| " + " | ".join(row.values()) + " |" for row in rows),
    ]
    failed = [
        f"{name} ({part['error'] or '; '.join(str(row.get('test', row.get('check'))) for row in bad)})"
        for name, part in known["parts"].items()
        if (bad := [row for row in part["rows"] if not row.get("ok", True)]) or part["error"]
    ]
    ran = f"Parts that ran: {', '.join(known['parts'])}. Parts that failed: {', '.join(failed) or 'none'}."
    lines += ["", *textwrap.wrap(ran, 118, break_on_hyphens=False)]
    return "\n".join(lines)


if __name__ == "__main__":
    print(markdown(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
