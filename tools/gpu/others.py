"""Who is timed beside the public functions: the kernels below them, PyTorch, and norms in Triton and CuTe."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from gnref.bench.case import EPS, Case
from gnref.bench.own import options
from gnref.bench.peers import Peer, Refusal, Way, load
from gpu.session import first_line


def peers() -> tuple[dict[str, Peer], dict[str, str]]:
    """Those who work here, and why the others do not; torch.compile comes later."""
    found, absent = load(["torch"], 1, "cuda")
    for name, module, kind in (("liger", "liger_kernel", Liger), ("quack", "quack", Quack)):
        if "torch" not in found or find_spec(module) is None:
            absent[name] = f"{module} is not installed"
            continue
        try:
            found[name] = kind()
        except Exception as error:
            absent[name] = first_line(f"{type(error).__name__}: {error}")
    return {"kernels": Kernels(), **found}, absent


class Kernels:
    """The kernel contract on arrays in slots: what is left without checks and views."""

    def ways(self, case: Case) -> dict[str, Way]:
        """One, forward or backward."""
        import cupy

        from gnref.axes import view
        from gnref.kernels.cuda import contract

        x, weight, bias, dy = map(cupy.asarray, case[1:])
        axes = {name: value for name, value in options(case.row).items() if name != "eps"}
        v = view(case.row.norm, x.shape, **axes)
        x5, out = v.x.fold(cupy, x), cupy.empty(v.x.slots, x.dtype)
        w, b = (v.params.fold(cupy, a) for a in (weight, bias))
        if case.row.direction == "forward":
            run = lambda: contract.forward(x5, w, b, EPS, True, out)  # noqa: E731
            return {"forward": Way(run, lambda found: (cupy.asnumpy(v.x.unfold(cupy, found[0])),))}
        dy5 = v.x.fold(cupy, dy)
        _, mean, _, rstd = contract.forward(x5, w, b, EPS, True)

        def arrays(found: Any) -> tuple[Any, ...]:
            dx, *params = found
            return tuple(
                cupy.asnumpy(a) for a in (v.x.unfold(cupy, dx), *(v.params.unfold(cupy, p) for p in params))
            )

        return {"backward": Way(lambda: contract.backward(dy5, x5, mean, rstd, w, True, out), arrays)}


class OfTorch:
    """A function of PyTorch tensors, with autograd's way back."""

    def function(self, case: Case) -> Callable[..., Any]:
        """y of x, weight and bias, or `Refusal`."""
        raise NotImplementedError

    def ways(self, case: Case) -> dict[str, Way]:
        """One, forward or backward."""
        from gnref.bench.peers.torch import bound, reader, recorded, tensors

        function, inputs = self.function(case), tensors(case, "cuda")
        if case.row.direction == "forward":
            return {"forward": Way(bound(function, inputs[:3]), reader(case.row))}
        return {"autograd": Way(bound(*recorded(function, inputs)), reader(case.row))}


class Liger(OfTorch):
    """Liger's layer norm over the last axis and group norm, in Triton."""

    def __init__(self) -> None:
        self.layer = import_module("liger_kernel.ops.layer_norm").LigerLayerNormFunction.apply
        self.group = import_module("liger_kernel.ops.group_norm").LigerGroupNormFunction.apply

    def function(self, case: Case) -> Callable[..., Any]:
        """y of x, weight and bias, or `Refusal`."""
        row = case.row
        if row.norm == "layer" and len(row.normalized_shape or ()) == 1:
            return lambda x, w, b: self.layer(x, w, b, EPS)
        if row.norm == "group" and row.channel_axis == 1:
            return lambda x, w, b: self.group(x, w, b, row.shape[1], row.num_groups, EPS)
        raise Refusal("no such norm")


class Quack(OfTorch):
    """QuACK's layer norm over the last axis, in CuTe; forward."""

    def __init__(self) -> None:
        homes = (
            import_module(f"quack.{name}") for name in ("rmsnorm", "layernorm") if find_spec(f"quack.{name}")
        )
        found = [home.layernorm_fwd for home in homes if hasattr(home, "layernorm_fwd")]
        if not found:
            raise ImportError("this version of quack has no layernorm_fwd")
        self.layer = found[0]

    def function(self, case: Case) -> Callable[..., Any]:
        """y of x, weight and bias, or `Refusal`."""
        row = case.row
        if row.norm == "layer" and len(row.normalized_shape or ()) == 1 and row.direction == "forward":
            return lambda x, w, b: self.layer(x, w.float(), b.float(), eps=EPS)
        raise Refusal("no such norm")
