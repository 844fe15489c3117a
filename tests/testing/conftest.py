import pytest
from oracle_problems import PROBLEMS


@pytest.fixture(params=PROBLEMS.values(), ids=PROBLEMS.keys())
def problem(request):
    return request.param
