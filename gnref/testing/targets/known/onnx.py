"""Models of one node: each norm as its operator in ONNX, which the runtimes take.

The operators want the channels first, and weight and bias in x's dtype. Batch norm is BatchNormalization in
training mode. ``stash_type``, the dtype of the statistics, is float32 as it comes, and float64 for float64 x.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from onnx import TensorProto, helper

from gnref.testing.problems import Problem

Array = np.ndarray[Any, Any]

OPSET, IR_VERSION = 23, 11  # of ONNX 1.18, the first with an RMSNormalization
TYPES = {
    "float16": TensorProto.FLOAT16,
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
}
OPERATORS = {
    "batch": "BatchNormalization",
    "instance": "InstanceNormalization",
    "group": "GroupNormalization",
    "layer": "LayerNormalization",
    "rms": "RMSNormalization",
}


class Key(NamedTuple):
    """All that a model is made of; hashable, so that it is made once.

    Attributes
    ----------
    norm, dtype : str
        What it computes, and in which dtype.
    shapes : tuple of (str, tuple of int)
        The name and the shape of each input.
    eps : float
        The number added to the variance.
    num_groups : int or None
        G of group norm.
    """

    norm: str
    dtype: str
    shapes: tuple[tuple[str, tuple[int, ...]], ...]
    eps: float
    num_groups: int | None = None


Run = Callable[[Key, dict[str, Array]], Array]


def model(key: Key) -> bytes:
    """The model, serialized."""
    kind = TYPES[key.dtype]
    options: dict[str, Any] = {"epsilon": key.eps}
    outputs = ["y"]
    if key.norm == "batch":
        options["training_mode"] = 1
        outputs += ["new_mean", "new_var"]
    if key.norm == "group":
        options["num_groups"] = key.num_groups
    if key.norm in ("layer", "rms"):
        options["axis"] = -len(dict(key.shapes)["weight"])
    if key.norm in ("group", "layer", "rms") and key.dtype == "float64":
        options["stash_type"] = kind
    node = helper.make_node(OPERATORS[key.norm], [name for name, _ in key.shapes], outputs, **options)
    ins = [helper.make_tensor_value_info(name, kind, shape) for name, shape in key.shapes]
    y = helper.make_tensor_value_info("y", kind, key.shapes[0][1])
    graph = helper.make_graph([node], key.norm, ins, [y])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    made.ir_version = IR_VERSION
    serialized: bytes = made.SerializeToString()
    return serialized


def forward_of(norm: str, run: Run) -> Callable[..., Array]:
    """A function with gnref's signature, which runs the model of a norm."""

    def forward(x: Array, *arguments: Any, eps: float) -> Array:
        num_groups = arguments[0] if norm == "group" else None
        params = arguments if norm in ("batch", "instance") else arguments[1:]
        feeds = {"x": x} | dict(zip(("weight", "bias"), params, strict=False))
        if norm == "batch":
            feeds |= {"mean": np.zeros_like(params[0]), "var": np.ones_like(params[0])}
        shapes = tuple((name, a.shape) for name, a in feeds.items())
        return run(Key(norm, x.dtype.name, shapes, eps, num_groups), feeds)

    forward.__qualname__ = OPERATORS[norm]
    return forward


def limits(norm: str, dtypes: tuple[str, ...]) -> dict[str, Any]:
    """What the operators take: all parameters, and an eps of 32 bits, as their attribute has.

    InstanceNormalization is defined for N x C x D1 x ..., so at least one axis after the channels.
    """
    ranks = (3, 4, 5, 6) if norm == "instance" else None
    return {"ranks": ranks, "dtypes": dtypes, "affine_required": True, "where": has_eps}


def has_eps(problem: Problem) -> bool:
    """Whether ONNX can say a problem's eps to the digits that its dtype asks for."""
    return problem.dtype != "float64" or float(np.float32(problem.eps)) == problem.eps
