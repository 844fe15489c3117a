"""What is put to the test: something that runs the forward and the backward pass of a problem."""

from gnref.testing.targets.functions import Functions
from gnref.testing.targets.own import Gnref
from gnref.testing.targets.target import (
    Directions,
    Finding,
    Forward,
    Gradients,
    NotOffered,
    Refused,
    Second,
    Stopped,
    Target,
    Unsupported,
    gradients,
)

__all__ = [
    "Directions",
    "Finding",
    "Forward",
    "Functions",
    "Gnref",
    "Gradients",
    "NotOffered",
    "Refused",
    "Second",
    "Stopped",
    "Target",
    "Unsupported",
    "gradients",
]
