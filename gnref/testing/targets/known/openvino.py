"""OpenVINO on the CPU: the same models of ONNX's operators, forward only.

Its CPU plugin computes float64 in float32, so only float32 and float16 are asked. Unless told otherwise, it
computes float32 models in bfloat16 where the processor can; here it is told.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

import openvino

from gnref.testing.targets.known.onnx import Array, Key, forward_of, limits, model

DTYPES = ("float32", "float16")


def arguments(norm: str) -> dict[str, Any]:
    """The keyword arguments of `gnref.testing.check`."""
    return {"forward": forward_of(norm, run), "dtypes": DTYPES, "supports": limits(norm, DTYPES)}


def run(key: Key, feeds: dict[str, Array]) -> Array:
    """Run a model."""
    y: Array = compiled(key)(list(feeds.values()))[0]
    return y


@cache
def core() -> Any:
    """OpenVINO itself."""
    return openvino.Core()


@lru_cache(maxsize=1000)
def compiled(key: Key) -> Any:
    """A model that is ready to run, in one thread."""
    settings = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    return core().compile_model(core().read_model(model(key), b""), "CPU", settings)
