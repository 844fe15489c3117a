"""Right kernels, written in the ways that right kernels are written, are never accused."""

import pytest
from innocents import KINDS, NORMS, innocent

from gnref.testing import check

CASES = [(norm, kind) for norm in NORMS for kind in KINDS]


@pytest.mark.parametrize(("norm", "kind"), CASES, ids=[f"{norm}-{kind}" for norm, kind in CASES])
def test_an_innocent_is_not_accused(norm, kind):
    number = CASES.index((norm, kind))
    forward, backward = innocent(norm, kind)
    report = check(forward, backward, norm=norm, seed=number, max_examples=10)
    assert report.failed == [], report.to_markdown()
    assert set(report.dtypes) == {"float32", "float64", "float16", "bfloat16"}
