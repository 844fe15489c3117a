import os

import pytest

from gnref.bench.process import output_of


def test_what_it_prints():
    environment = {**os.environ, "GNREF_WORD": "seen"}
    assert output_of(["-c", "import os; print(os.environ['GNREF_WORD'])"], environment) == "seen\n"


def test_a_failure_is_its_last_line():
    with pytest.raises(RuntimeError, match="a process failed: ZeroDivisionError: division by zero"):
        output_of(["-c", "1 / 0"])
