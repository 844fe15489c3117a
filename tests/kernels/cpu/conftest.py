"""Ways to launch, whatever the size of a problem and the number of cores."""

import pytest

WAYS = "one thread", "prange", "thread pool"


@pytest.fixture
def launched(monkeypatch):
    """A function that sends every later launch one of the WAYS, in three pieces or more."""
    from gnref.kernels.cpu import launch

    def launched(way):
        assert way in WAYS
        monkeypatch.setattr(launch, "SMALL", 1 << 60 if way == "one thread" else 1)
        monkeypatch.setattr(launch, "_prange", way == "prange")
        monkeypatch.setattr(launch, "count_threads", lambda: 3)

    return launched
