"""Targets that do what no exception tells: imported by name in another process."""

import ctypes
import faulthandler
import os
import time

from gnref.testing.mutants import textbook

right, right_backward = textbook.functions("layer")


def good(x, *args, **words):
    return right(x, *args, **words)


def aborts(x, *args, **words):
    if x.ndim > 2:
        os.abort()
    return right(x, *args, **words)


def aborts_in_four_dimensions(x, *args, **words):
    faulthandler.disable()  # a fork has that of pytest, which would print
    return (aborts if x.ndim > 3 else right)(x, *args, **words)


def segfaults(x, *args, **words):
    if x.ndim > 2:
        ctypes.string_at(0)
    return right(x, *args, **words)


def exits(x, *args, **words):
    if x.ndim > 2:
        os._exit(3)
    return right(x, *args, **words)


def sleeps(x, *args, **words):
    if x.ndim > 2:
        time.sleep(1000)
    return right(x, *args, **words)


def spins(x, *args, **words):
    while x.ndim > 2:
        pass
    return right(x, *args, **words)


def compiles(x, *args, **words):
    """Busy for a while."""
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    return right(x, *args, **words)


def prints(x, *args, **words):
    print("hello")
    return right(x, *args, **words)


def writes_past_the_end(x, *args, **words):
    y = right(x, *args, **words)
    ctypes.memset(x.ctypes.data + x.nbytes, 0, x.itemsize)
    return y


def raises(x, *args, **words):
    raise KeyError("x")
