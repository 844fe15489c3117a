"""OpenVINO on the CPU: a model of one norm, forward only, compiled for each row.

Its own names for a norm are MVN (mean and variance normalization over any axes, the weights after it) and
GroupNormalization. Batch norm in training is MVN over N, H and W, tried also with the channels moved in
front, where MVN has its fastest loops.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import openvino
from openvino import opset13 as ops

from gnref.bench.case import EPS, Array, Case, copied, dtype_of, formula
from gnref.bench.grid import Row
from gnref.bench.peers import Refusal, Way

Node = Any
Build = Callable[[Node, Node, Node], Node]
TYPES = {
    "float16": openvino.Type.f16,
    "float32": openvino.Type.f32,
}


class Peer:
    """OpenVINO's CPU plugin."""

    def __init__(self, threads: int) -> None:
        self.threads, self.core = threads, openvino.Core()

    def ways(self, case: Case) -> dict[str, Way]:
        """Each model, compiled, with its inputs in place and a new array for the output."""
        row = case.row
        if row.direction == "backward":
            raise Refusal("OpenVINO has no backward pass")
        if row.dtype not in TYPES:
            raise Refusal(f"OpenVINO's CPU plugin takes no {row.dtype} arrays of NumPy, or rounds them")
        _, *inputs, _ = copied(case)
        return {
            name: Way(self.request(row, build, inputs), lambda y: (y,)) for name, build in models(row).items()
        }

    def request(self, row: Row, build: Build, inputs: list[Array]) -> Callable[[], Array]:
        """A call of a compiled model."""
        params = [TYPES["float32"]] * 2
        parameters = [
            ops.parameter(a.shape, kind) for a, kind in zip(inputs, [TYPES[row.dtype], *params], strict=True)
        ]
        model = openvino.Model([build(*parameters)], parameters)
        settings = {
            "INFERENCE_NUM_THREADS": self.threads,
            "PERFORMANCE_HINT": "LATENCY",
            # Unless told, it computes float32 models in bfloat16 where the CPU can.
            "INFERENCE_PRECISION_HINT": "f32",
        }
        request = self.core.compile_model(model, "CPU", settings).create_infer_request()
        dtype, held = dtype_of(row.dtype), [openvino.Tensor(a, shared_memory=True) for a in inputs]
        for i, a in enumerate(held):
            request.set_input_tensor(i, a)

        def run() -> Array:
            assert held  # the request itself does not keep the inputs alive
            y: Array = np.empty(row.shape, dtype)
            request.set_output_tensor(0, openvino.Tensor(y, shared_memory=True))
            request.infer()
            return y

        return run


def models(row: Row) -> dict[str, Build]:
    """The models of a norm."""
    found: dict[str, Build] = {"MVN": _mvn(row)}
    if row.norm in ("group", "instance") and row.channel_axis == 1:
        G = row.num_groups or row.shape[1]
        found["GroupNormalization"] = lambda x, w, b: ops.group_normalization(
            x, _as(w, row), _as(b, row), G, EPS
        )
    if row.norm == "batch" and row.channel_axis == 1:
        found["MVN, channels in front"] = _channels_in_front(row)
    return found


def _mvn(row: Row) -> Build:
    """Mean and variance normalization over the axes of a norm, and the weights."""
    f = formula(row)

    def build(x: Node, weight: Node, bias: Node) -> Node:
        grouped = _shaped(x, f.shape) if f.shape != row.shape else x
        xhat = ops.mvn(grouped, _integers(f.axes), True, EPS, "inside_sqrt")
        return _affine(row, _shaped(xhat, row.shape) if f.shape != row.shape else xhat, weight, bias)

    return build


def _channels_in_front(row: Row) -> Build:
    """Batch norm as MVN over all but the first axis of (C, N, H, W)."""
    swapped = (1, 0, *range(2, len(row.shape)))

    def build(x: Node, weight: Node, bias: Node) -> Node:
        turned = ops.transpose(x, _integers(swapped))
        axes = _integers(range(1, len(row.shape)))
        xhat = ops.transpose(ops.mvn(turned, axes, True, EPS, "inside_sqrt"), _integers(swapped))
        return _affine(row, xhat, weight, bias)

    return build


def _affine(row: Row, xhat: Node, weight: Node, bias: Node) -> Node:
    """xhat * weight + bias."""
    weight, bias = (_shaped(_as(p, row), formula(row).param_shape) for p in (weight, bias))
    return ops.add(ops.multiply(xhat, weight), bias)


def _as(param: Node, row: Row) -> Node:
    """A parameter in x's dtype, which OpenVINO asks for."""
    return param if row.dtype == "float32" else ops.convert(param, TYPES[row.dtype].get_type_name())


def _shaped(a: Node, shape: tuple[int, ...]) -> Node:
    return ops.reshape(a, _integers(shape), False)


def _integers(numbers: Any) -> Node:
    return ops.constant(np.array(tuple(numbers), np.int64))
