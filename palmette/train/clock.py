"""Where the seconds of a trial go."""

from __future__ import annotations

import time


class Clock:
    """Sums wall time by phase: `lap(phase)` books the time since the last lap."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._cpu_began = time.process_time()
        self._began = self._last = time.perf_counter()

    def lap(self, phase: str) -> None:
        """Books the time since the last lap under `phase`."""
        now = time.perf_counter()
        self._seconds[phase] = self._seconds.get(phase, 0.0) + now - self._last
        self._last = now

    def wall_seconds(self) -> float:
        """Seconds since the clock was made."""
        return time.perf_counter() - self._began

    def cpu_seconds(self) -> float:
        """Processor seconds of this process since the clock was made."""
        return time.process_time() - self._cpu_began

    def phases(self) -> dict[str, float]:
        """Seconds by phase; `other` is what no lap has booked."""
        rest = self.wall_seconds() - sum(self._seconds.values())
        return {**self._seconds, "other": rest}
