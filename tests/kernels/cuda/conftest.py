"""The stand-in for CuPy as a fixture, and the orders in which threads take turns."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import standin


@pytest.fixture
def cupy():
    """The stand-in as `cupy`; threads take turns forward."""
    if standin.compiler() is None:
        pytest.skip("needs g++ on Linux")
    with standin.installed() as module:
        yield module


@pytest.fixture(params=standin.ORDERS, ids=["forward", "reverse", "shuffled"])
def order(request, cupy):
    """Run a test in each order; before it makes arrays, since the order also says where they lie."""
    standin.order = request.param
    return request.param
