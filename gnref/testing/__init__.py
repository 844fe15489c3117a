"""The conformance kit: strategies, oracles, tolerances and properties for normalization layers.

It needs Hypothesis (``pip install 'gnref[testing]'``) and works where numba is missing. The oracles
import nothing from gnref's kernels: an oracle that shares code with what it checks shares its bugs.
"""

from gnref.testing.memory import LAYOUTS
from gnref.testing.problems import Problem
from gnref.testing.properties import PROPERTIES, Property
from gnref.testing.runner import Result, check, check_property
from gnref.testing.targets import Gnref, Target
from gnref.testing.tolerances import tolerance

__all__ = [
    "LAYOUTS",
    "PROPERTIES",
    "Gnref",
    "Problem",
    "Property",
    "Result",
    "Target",
    "check",
    "check_property",
    "tolerance",
]
