"""A rest for an endpoint that is out: asked again and again, it would only cost time.

After so many outages in a row nothing is asked for a while; then one call is let through as a
probe. If it fails, too, the rest is twice as long; if it succeeds all is as before.
(Nygard 2007, Release It!, chapter 5: circuit breaker.)
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable


class Breaker:
    """Counts outages in a row; safe to use from several threads."""

    def __init__(
        self,
        outages: int = 3,
        rest: float = 5.0,
        longest: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.outages = outages
        self.rest = rest
        self.longest = longest
        self._clock = clock
        self._lock = threading.Lock()
        self._row = 0
        self._rests = 0
        self._until = -math.inf
        self._probing = False

    @property
    def row(self) -> int:
        """How many outages there have been since the last answer."""
        return self._row

    def enter(self) -> float | None:
        """None: go ahead, and say with `leave` how it went. Else the seconds of rest that remain.

        >>> breaker = Breaker(outages=1, rest=60.0)
        >>> breaker.enter()
        >>> breaker.leave(outage=True)
        >>> round(breaker.enter())
        60
        """
        with self._lock:
            if self._row < self.outages:
                return None
            left = self._until - self._clock()
            if left > 0 or self._probing:
                return max(left, 0.0)
            self._probing = True
            return None

    def leave(self, outage: bool) -> None:
        """A call has ended."""
        with self._lock:
            self._probing = False
            if not outage:
                self._row, self._rests, self._until = 0, 0, -math.inf
                return
            self._row += 1
            # calls that were under way when the rest began say nothing new
            if self._row >= self.outages and self._clock() >= self._until:
                rest = min(self.rest * 2.0 ** min(self._rests, 30), self.longest)
                self._until = self._clock() + rest
                self._rests += 1
