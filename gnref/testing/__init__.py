"""The conformance kit: point it at any normalization layer, and learn what is wrong with it.

`check` is the one call for authors of kernels; `Report` is what it returns. Below it are the properties, the
problems that Hypothesis draws for them, oracles and tolerances; `gnref.testing.mutants` has planted mistakes
that test the kit itself, and `gnref.testing.museum` the real ones that it was made from.

It needs Hypothesis (``pip install 'gnref[testing]'``) and works where numba is missing. The oracles
import nothing from gnref's kernels: an oracle that shares code with what it checks shares its bugs.
"""

from gnref.testing.check import check
from gnref.testing.domain import Domain
from gnref.testing.grades import Grade
from gnref.testing.memory import LAYOUTS
from gnref.testing.problems import Problem
from gnref.testing.properties import PROPERTIES, Property
from gnref.testing.report import ConformanceError, Report
from gnref.testing.runner import Result, check_property
from gnref.testing.targets import Functions, Gnref, Target
from gnref.testing.tolerances import tolerance

__all__ = [
    "LAYOUTS",
    "PROPERTIES",
    "ConformanceError",
    "Domain",
    "Functions",
    "Gnref",
    "Grade",
    "Problem",
    "Property",
    "Report",
    "Result",
    "Target",
    "check",
    "check_property",
    "tolerance",
]
