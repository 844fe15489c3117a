"""What bad input raises. Each message names the argument, its value and what was expected."""


class ShapeError(ValueError):
    """An array or a number that does not fit the axes N, C, H, W or the groups G."""


class BackendError(RuntimeError):
    """A backend that is not known, not installed, or that cannot take these arrays."""


class MissingExtraError(ImportError):
    """A command or function whose optional packages are not installed."""
