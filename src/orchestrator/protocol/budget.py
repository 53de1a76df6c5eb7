"""A token bucket: what one socket may send, how many may come; the caller brings the clock."""


class Budget:
    """`rate` a second, `burst` at once; what goes far beyond is an attack rather than haste."""

    __slots__ = ("_at", "_burst", "_left", "_rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._at = now

    def spend(self, now: float) -> bool:
        """Whether one more is within the budget; refused ones count as well, so that a flood is seen."""
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        self._left = max(self._left - 1, -self._burst - 1)
        return self._left >= 0

    def take(self, now: float) -> bool:
        """The same, where a refused one counts for nothing: whoever comes too often must not keep the others out."""
        if not self.spend(now):
            self._left += 1
            return False
        return True

    @property
    def exhausted(self) -> bool:
        """Whether a whole burst was refused on top."""
        return self._left < -self._burst

    @property
    def wait_seconds(self) -> float:
        """Seconds until one more is within the budget."""
        return max(0.0, (1 - self._left) / self._rate)
