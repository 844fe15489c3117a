"""What the tests of the JAX bridge share."""

import pytest


def switch(on):
    """A context with or without float64, which JAX leaves out by default."""
    import jax

    try:
        return jax.enable_x64(on)
    except (AttributeError, TypeError):  # before JAX 0.8
        from jax.experimental import enable_x64

        return enable_x64(on)


@pytest.fixture(scope="session")
def enable_x64():
    return switch


@pytest.fixture
def float64():
    with switch(True):
        yield
