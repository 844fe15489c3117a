"""What a mutant is: one edit of the textbook."""

from __future__ import annotations

from dataclasses import dataclass, field

AXIS, TERM, CONSTANT, INDEX = "reduction axis", "term", "constant", "index"
DTYPE, MASK, COUNT = "dtype", "mask", "count"
KINDS = (AXIS, TERM, CONSTANT, INDEX, DTYPE, MASK, COUNT)

ALL = ("group", "batch", "instance", "layer", "rms")
CENTERED = ("group", "batch", "instance", "layer")  # a mean is subtracted; these have a bias, too
CHANNELS = ("group", "batch", "instance")
EXAMPLES = ("group", "instance", "layer", "rms")  # a set lies inside one example
ELEMENTS = ("group", "layer", "rms")  # a set has several weights
BOTH = ("channels_first", "channels_last")


@dataclass(frozen=True)
class Edit:
    """One place of the textbook, and what stands there instead.

    Attributes
    ----------
    name : str
        How reports call it.
    kind : str
        Of `KINDS`.
    old, new : str
        The text that is there, exactly once, and the text in its place.
    norms : tuple of str
        The norms that it makes wrong; the self-test takes the first.
    layouts : tuple of str
        Where the channels stand in what is checked: both, if the edit is about ``channel_axis``.
    large : bool
        Whether no counterexample of 64 elements or fewer exists.
    require : dict
        As `gnref.testing.check` takes it, for an edit that only matters where that is required.
    proof : str
        Of an edit that changes nothing: why.
    """

    name: str
    kind: str
    old: str
    new: str
    norms: tuple[str, ...] = ALL
    layouts: tuple[str, ...] = ("channels_first",)
    large: bool = False
    require: dict[str, str] = field(default_factory=dict, hash=False)
    proof: str = ""
