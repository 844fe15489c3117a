"""ONNX Runtime on the CPU: ONNX's operators, forward only."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import onnxruntime

from gnref.testing.targets.known.onnx import Array, Key, forward_of, limits, model

FLOATS = ("float32", "float64", "float16")
DTYPES = {  # those that it has kernels for
    "instance": ("float32", "float16"),
}


def arguments(norm: str) -> dict[str, Any]:
    """The keyword arguments of `gnref.testing.check`."""
    dtypes = DTYPES.get(norm, FLOATS)
    return {"forward": forward_of(norm, run), "dtypes": dtypes, "supports": limits(norm, dtypes)}


def run(key: Key, feeds: dict[str, Array]) -> Array:
    """Run a model."""
    y: Array = session(key).run(["y"], feeds)[0]
    return y


@lru_cache(maxsize=1000)
def session(key: Key) -> Any:
    """A model that is ready to run, in one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model(key), options, providers=["CPUExecutionProvider"])
