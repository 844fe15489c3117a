"""What is put to the test: something that runs the forward and the backward pass of a problem."""

from gnref.testing.targets.functions import Functions
from gnref.testing.targets.own import Gnref
from gnref.testing.targets.target import (
    Finding,
    Forward,
    Gradients,
    Refused,
    Stopped,
    Target,
    Unsupported,
    gradients,
)

__all__ = [
    "Finding",
    "Forward",
    "Functions",
    "Gnref",
    "Gradients",
    "Refused",
    "Stopped",
    "Target",
    "Unsupported",
    "gradients",
]
