"""What a benchmark finds out: times of a row, and what follows from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median, quantiles

from gnref.bench.grid import Row

PASSES = {"forward": 1.0, "backward": 1.5}  # reads and writes of whole arrays, over the two of a copy
MARK = 0.95  # a peer that takes less than this share of gnref's time is pointed out


@dataclass(frozen=True, slots=True)
class Timing:
    """The time of one call in every round, in seconds."""

    seconds: tuple[float, ...]
    calls: int = 1  # calls in a round, whose mean is taken

    @property
    def median(self) -> float:
        """The middle one."""
        return median(self.seconds)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The first and the third quartile."""
        if len(self.seconds) < 2:
            return self.seconds[0], self.seconds[0]
        low, _, high = quantiles(self.seconds, n=4, method="inclusive")
        return low, high

    @property
    def spread(self) -> float:
        """Half the distance of the quartiles, over the median."""
        low, high = self.quartiles
        return (high - low) / 2 / self.median


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one peer did on a row.

    Attributes
    ----------
    status : str
        "timed"; "wrong", its result is not gnref's; "none", it has no such function; or "failed".
    way : str
        Which of its functions it was, where a peer has several: the fastest one.
    reason : str
        Why it was not timed.
    error : float or None
        Largest difference to gnref's results, over the largest number in them.
    timing : Timing or None
        Where it was timed.
    """

    status: str
    way: str = ""
    reason: str = ""
    error: float | None = None
    timing: Timing | None = None


@dataclass(frozen=True)
class Result:
    """One row, measured."""

    row: Row
    own: Timing  # gnref as it is called: the output is a new array
    own_out: Timing | None = None  # gnref with out=, for large rows
    peers: Mapping[str, Outcome] = field(default_factory=dict)
    copies: Mapping[str, Timing] = field(default_factory=dict)
    hosts: Mapping[str, float] = field(default_factory=dict)  # on a GPU: seconds until a call returns

    def ratio(self, peer: str) -> float | None:
        """How many times as long as gnref a peer takes; None if it was not timed."""
        outcome = self.peers.get(peer)
        return None if outcome is None or outcome.timing is None else outcome.timing.median / self.own.median

    @property
    def fastest(self) -> str | None:
        """The peer that takes least time."""
        ratios = {name: ratio for name in self.peers if (ratio := self.ratio(name)) is not None}
        return min(ratios, key=ratios.__getitem__, default=None)

    @property
    def best_ratio(self) -> float | None:
        """How many times as long as gnref the fastest peer takes."""
        return None if self.fastest is None else self.ratio(self.fastest)

    @property
    def marked(self) -> bool:
        """Whether a peer is faster, by more than the noise of a measurement."""
        return self.best_ratio is not None and self.best_ratio < MARK

    @property
    def limit(self) -> float | None:
        """The time that reading and writing the arrays takes, from the fastest copy of x."""
        if not self.copies:
            return None
        return PASSES[self.row.direction] * min(copy.median for copy in self.copies.values())

    @property
    def share(self) -> float | None:
        """Limit over gnref's time with out=; None for rows that are not large."""
        return None if self.own_out is None else self.share_of(self.own_out)

    @property
    def rate(self) -> float:
        """Bytes a second of gnref: those that must be moved at least, over the time with out=, if taken."""
        moved = 2 * PASSES[self.row.direction] * self.row.nbytes
        return moved / (self.own if self.own_out is None else self.own_out).median

    def share_of(self, timing: Timing) -> float | None:
        """Limit over a time."""
        return None if self.limit is None else self.limit / timing.median
