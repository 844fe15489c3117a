"""Classes of `torch.nn.Module` as targets: layers with the constructors of `torch.nn`.

- **Which norm.** What the attribute ``norm`` of the class says; else the layer of `torch.nn` that it is a
  subclass of; else its name (GroupNorm, MyGroupNorm2d, group_norm). If none tells, the norm has to be given.
- **The constructor** is that of `torch.nn`: ``GroupNorm(num_groups, num_channels, eps=, affine=)``,
  ``BatchNorm2d(num_features, eps=, affine=)`` and InstanceNorm alike,
  ``LayerNorm(normalized_shape, eps=, elementwise_affine=)`` and RMSNorm alike. Further parameters have their
  defaults. A layer is built for every size and eps that is asked, and kept for the next problem with it.
- **weight and bias** are the layer's parameters of these names. The problem's take their place for the call
  (`torch.func.functional_call`), so that PyTorch differentiates by them; the buffers are copies, so that no
  call leaves anything behind. The layer is in training mode, as it was built.
- **Absent parameters** are those that the constructor can leave out: both, by ``affine=False``; in layer norm
  the bias alone, if there is ``bias=``. The other combinations are outside the domain.
- **Ranks.** A name or base that ends in 1d, 2d or 3d limits them: BatchNorm1d takes (N, C) and (N, C, L),
  InstanceNorm1d (N, C, L), 2d (N, C, H, W) and 3d (N, C, D, H, W). In a namespace the three are one target.
- **Options** are attributes of the class: ``device``, ``supports``, ``dtypes`` and ``require``, as
  `gnref.testing.check` takes them.

Importing this module imports no PyTorch.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from gnref.testing.domain import domain
from gnref.testing.problems import Problem
from gnref.testing.targets.known import NORMS

Tensor = Any  # torch.Tensor
Layer = Any  # torch.nn.Module

OPTIONS = ("device", "supports", "dtypes", "require")
CLASSES = {
    "batch": ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d"),
    "instance": ("InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d"),
    "group": ("GroupNorm",),
    "layer": ("LayerNorm",),
    "rms": ("RMSNorm",),
}
RANKS: dict[str, dict[int, tuple[int, ...]]] = {
    "batch": {1: (2, 3), 2: (4,), 3: (5,)},
    "instance": {1: (3,), 2: (4,), 3: (5,)},
}
SIGNATURES = {
    "batch": "(num_features, eps=, affine=)",
    "instance": "(num_features, eps=, affine=)",
    "group": "(num_groups, num_channels, eps=, affine=)",
    "layer": "(normalized_shape, eps=, elementwise_affine=)",
    "rms": "(normalized_shape, eps=, elementwise_affine=)",
}
SMALLEST: dict[str, tuple[Any, ...]] = {"group": (1, 2), "layer": ((2,),), "rms": ((2,),)}


def is_layer(value: Any) -> bool:
    """Whether an object is a class of `torch.nn.Module`; there is none before PyTorch was imported."""
    module = _module()
    return module is not None and inspect.isclass(value) and issubclass(value, module)


def is_instance(value: Any) -> bool:
    """Whether an object is a layer that was built."""
    module = _module()
    return module is not None and isinstance(value, module)


def _module() -> Any:
    """`torch.nn.Module`, if PyTorch is there."""
    return getattr(sys.modules.get("torch.nn"), "Module", None)


def norm_of(made: type, target: str) -> str | None:
    """Which norm a class is; None if nothing tells.

    Raises
    ------
    ValueError
        Its attribute ``norm`` is none of them.
    """
    told = getattr(made, "norm", None)
    if isinstance(told, str):
        if told not in NORMS:
            raise ValueError(f"target is {target!r}, whose norm is {told!r}; expected {', '.join(NORMS)}")
        return told
    for norm, names in CLASSES.items():
        if any(issubclass(made, base) for base in map(_torchs, names) if base is not None):
            return norm
    found = [norm for norm in NORMS if re.search(rf"{norm}_?norm", made.__name__, re.IGNORECASE)]
    return found[0] if len(found) == 1 else None


def _torchs(name: str) -> Any:
    """A class of `torch.nn`, if this release has it."""
    return getattr(sys.modules["torch.nn"], name, None)


class Found(NamedTuple):
    """A class, as `gnref.testing.targets.known.objects` finds it.

    Attributes
    ----------
    norms : tuple of str
        The norm that it is; empty if nothing tells.
    made : type
        The class.
    target : str
        The text that names it.
    """

    norms: tuple[str, ...]
    made: type
    target: str

    def arguments(self, norm: str) -> dict[str, Any]:
        """The keyword arguments of `gnref.testing.check`."""
        return arguments((self.made,), norm, self.target)


def find(made: type, target: str) -> Found:
    """Look at a class; raise TypeError for one of PyTorch's own that is no norm."""
    norm = norm_of(made, target)
    if norm is None and made.__module__.startswith("torch."):
        names = ", ".join(name for some in CLASSES.values() for name in some)
        raise TypeError(
            f"target is {target!r}, which is {made.__name__} and no norm; expected one of {names}"
        )
    return Found(() if norm is None else (norm,), made, target)


def arguments(
    classes: tuple[type, ...], norm: str, target: str, shared: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The keyword arguments of `gnref.testing.check` for a class, or for several that share the ranks.

    ``shared`` are options of which the class has none.

    Raises
    ------
    TypeError
        A class has another constructor, or other parameters.
    """
    for made in classes:
        require_constructor(made, norm, target)
    own = {name: value for name, value in (shared or {}).items() if name in OPTIONS}
    own |= {name: getattr(classes[0], name) for name in OPTIONS if hasattr(classes[0], name)}
    layers = Layers(classes, norm)
    return (
        {"forward": layers, "backward": None, "arrays": "torch"}
        | own
        | {"supports": layers.limits(own.get("supports"))}
    )


def require_constructor(made: type, norm: str, target: str) -> None:
    """Raise unless a class can be built as that of `torch.nn`, with parameters of the same names."""
    like = f"torch.nn.{CLASSES[norm][-1]}{SIGNATURES[norm]}"
    try:
        layer = built(made, norm, SMALLEST.get(norm, (2,)), 1e-5, norm != "rms", True)
    except (Exception, SystemExit) as error:
        told = str(error).strip().partition("\n")[0]
        raise TypeError(
            f"target is {target!r}, whose constructor raises {type(error).__name__}: {told};"
            f" expected that of {like}"
        ) from error
    names, expected = (
        [name for name, _ in layer.named_parameters()],
        ["weight", "bias"][: 1 + (norm != "rms")],
    )
    if sorted(names) != sorted(expected):
        raise TypeError(
            f"target is {target!r}, whose parameters are {', '.join(names) or 'none'};"
            f" expected {' and '.join(expected)}, as of {like}"
        )


def built(made: type, norm: str, sizes: tuple[Any, ...], eps: float, with_bias: bool, affine: bool) -> Layer:
    """A new layer."""
    options: dict[str, Any] = {"elementwise_affine" if norm in ("layer", "rms") else "affine": affine}
    if norm == "layer" and affine and not with_bias:
        options["bias"] = False
    return made(*sizes, eps=eps, **options)


class Layers:
    """The layers of a class, called like a function of `torch.nn.functional`.

    Parameters
    ----------
    classes : tuple of type
        One, or several of which each takes ranks of its own.
    norm : str
        What they compute.
    """

    def __init__(self, classes: tuple[type, ...], norm: str) -> None:
        self.classes, self.norm = classes, norm
        self.__name__ = self.__qualname__ = classes[0].__name__
        self.built = lru_cache(maxsize=256)(self.build)

    def __call__(self, x: Tensor, *arguments: Any, eps: float) -> Tensor:
        """Normalize, with the weight and the bias that are given."""
        from torch.func import functional_call

        sizes, (weight, *rest) = self.sizes(x, arguments)
        given = {"weight": weight, "bias": rest[0] if rest else None}
        there = {name: a for name, a in given.items() if a is not None}
        dtype = x.dtype if weight is None else weight.dtype
        layer = self.built(self.of_rank(x.ndim), sizes, eps, tuple(there), dtype, x.device)
        buffers = {name: a.clone() for name, a in layer.named_buffers()}
        return functional_call(layer, buffers | there, (x,))

    def sizes(self, x: Tensor, arguments: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """The constructor's positional arguments, and the parameters."""
        if self.norm in ("layer", "rms"):
            return (tuple(arguments[0]),), arguments[1:]
        if self.norm == "group":
            return (arguments[0], x.shape[1]), arguments[1:]
        return (x.shape[1],), arguments

    def build(
        self,
        made: type,
        sizes: tuple[Any, ...],
        eps: float,
        there: tuple[str, ...],
        dtype: Any,
        device: Any,
    ) -> Layer:
        """A layer whose parameters and buffers have a dtype, on a device."""
        layer = built(made, self.norm, sizes, eps, "bias" in there, "weight" in there)
        return layer.to(device=device, dtype=dtype)

    def of_rank(self, rank: int) -> type:
        """The class that takes so many dimensions."""
        fits = (made for made in self.classes if rank in (ranks(made, self.norm) or (rank,)))
        return next(fits, self.classes[0])

    def limits(self, own: Any) -> dict[str, Any]:
        """The domain: the ranks, the parameters that may be absent, and what the class itself declares."""
        found: dict[str, Any] = {"where": self.where(domain(own).where)}
        each = [ranks(made, self.norm) for made in self.classes]
        if all(each):
            found["ranks"] = tuple(sorted({rank for some in each for rank in some}))
        declared = own if isinstance(own, Mapping) else {}
        return found | {name: value for name, value in declared.items() if name != "where"}

    def where(self, own: Callable[[Problem], bool] | None) -> Callable[[Problem], bool]:
        """Whether the constructor can leave out what a problem leaves out, and the class takes it."""
        without_bias = self.norm == "rms" or (self.norm == "layer" and all(map(takes_bias, self.classes)))

        def inside(problem: Problem) -> bool:
            weight, bias = problem.weight is not None, problem.bias is not None
            return (weight == bias or (weight and without_bias)) and (own is None or bool(own(problem)))

        return inside


def ranks(made: type, norm: str) -> tuple[int, ...]:
    """The numbers of dimensions that a class takes; empty if it has no limit."""
    for dims, found in RANKS.get(norm, {}).items():
        base = _torchs(CLASSES[norm][dims - 1])
        if issubclass(made, base) or made.__name__.lower().endswith(f"{dims}d"):
            return found
    return ()


def takes_bias(made: type) -> bool:
    """Whether the constructor has a parameter ``bias``."""
    return "bias" in inspect.signature(made).parameters
