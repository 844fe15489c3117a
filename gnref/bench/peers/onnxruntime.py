"""ONNX Runtime: a model of one norm, forward only, built for each row.

Group norm is also tried as an instance norm of G channels with the weights after it, which is what
PyTorch's exporter writes. Batch norm is BatchNormalization in training mode, running statistics and all. The
operators take the channels first, and weights of x's dtype; NumPy hands over no bfloat16.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from gnref.bench.case import EPS, Array, Case, copied
from gnref.bench.grid import Row
from gnref.bench.peers import Refusal, Way

OPSET, IR_VERSION = 21, 10  # of ONNX 1.16, the first with a GroupNormalization of one weight per channel
DTYPES = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}
CHANNELS_FIRST = "ONNX's norms take the channels first"


class Peer:
    """ONNX Runtime's CPU provider."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def ways(self, case: Case) -> dict[str, Way]:
        """Each model, run plainly and with everything bound to its place before."""
        row = case.row
        if row.direction == "backward":
            raise Refusal("ONNX Runtime has no backward pass without its training build")
        if row.channel_axis != 1:
            raise Refusal(CHANNELS_FIRST)
        if row.dtype not in DTYPES:
            raise Refusal("ONNX's norms have no 16-bit x with float32 weights")
        _, x, weight, bias, _ = copied(case)
        feeds = {"x": x, "weight": weight, "bias": bias}
        if row.norm == "batch":
            feeds |= {"mean": np.zeros_like(weight), "var": np.ones_like(weight)}
        ways = {}
        for name, (nodes, constants) in models(row).items():
            session = self.session(row, nodes, constants, feeds)
            ways[f"{name}, run"] = Way(_plain(session, feeds), lambda y: (y,))
            ways[f"{name}, bound"] = Way(_bound(session, feeds), lambda y: (y.numpy(),))
        return ways

    def session(
        self, row: Row, nodes: Sequence[Any], constants: Sequence[Any], feeds: dict[str, Array]
    ) -> Any:
        """A model that is ready to run."""
        kind = DTYPES[row.dtype]
        ins = [helper.make_tensor_value_info(name, kind, a.shape) for name, a in feeds.items()]
        out = helper.make_tensor_value_info("y", kind, row.shape)
        graph = helper.make_graph(nodes, row.norm, ins, [out], constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = IR_VERSION
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.log_severity_level = 3  # no warnings of initializers that it does not need
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )


def models(row: Row) -> dict[str, tuple[list[Any], list[Any]]]:
    """The nodes and the constants of each model of a norm."""
    node, given = helper.make_node, ["x", "weight", "bias"]
    if row.norm == "batch":
        more = {"epsilon": EPS, "training_mode": 1}
        made = node("BatchNormalization", [*given, "mean", "var"], ["y", "new_mean", "new_var"], **more)
        return {"BatchNormalization": ([made], [])}
    if row.norm == "instance":
        return {"InstanceNormalization": ([node("InstanceNormalization", given, ["y"], epsilon=EPS)], [])}
    if row.norm == "layer":
        axis = -len(row.normalized_shape or ())
        return {
            "LayerNormalization": ([node("LayerNormalization", given, ["y"], axis=axis, epsilon=EPS)], [])
        }
    more = {"epsilon": EPS, "stash_type": DTYPES[row.dtype]}  # else it computes float64 in float32
    own = node("GroupNormalization", given, ["y"], num_groups=row.num_groups, **more)
    found: dict[str, tuple[list[Any], list[Any]]] = {"GroupNormalization": ([own], [])}
    if row.dtype == "float32":  # ONNX Runtime has no instance norm of float64
        found["InstanceNormalization"] = _group_as_instance(row)
    return found


def _group_as_instance(row: Row) -> tuple[list[Any], list[Any]]:
    """Group norm as an instance norm of (N, G, ...), and the weights."""
    node, (N, C, *spatial), G = helper.make_node, row.shape, row.num_groups
    assert G is not None
    nodes = [
        node("Reshape", ["x", "groups"], ["x_groups"]),
        node("InstanceNormalization", ["x_groups", "one", "zero"], ["xhat_groups"], epsilon=EPS),
        node("Reshape", ["xhat_groups", "full"], ["xhat"]),
        node("Reshape", ["weight", "params"], ["weight_there"]),
        node("Reshape", ["bias", "params"], ["bias_there"]),
        node("Mul", ["xhat", "weight_there"], ["scaled"]),
        node("Add", ["scaled", "bias_there"], ["y"]),
    ]
    shapes = {"groups": (N, G, -1), "full": row.shape, "params": (1, C, *(1 for _ in spatial))}
    constants = {name: np.array(shape, np.int64) for name, shape in shapes.items()}
    constants |= {"one": np.ones(G, row.dtype), "zero": np.zeros(G, row.dtype)}
    return nodes, [numpy_helper.from_array(a, name) for name, a in constants.items()]


def _plain(session: Any, feeds: dict[str, Array]) -> Any:
    """A call with NumPy arrays in and out."""
    return lambda: session.run(["y"], feeds)[0]


def _bound(session: Any, feeds: dict[str, Array]) -> Any:
    """A call whose inputs are in place; ONNX Runtime makes the output."""
    binding = session.io_binding()
    for name, a in feeds.items():
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(a))

    def run() -> Any:
        binding.bind_output("y")  # a new one in each call, as everybody has
        session.run_with_iobinding(binding)
        return binding.get_outputs()[0]

    return run
