r"""KernelBench problems and solutions: files with ``Model`` or ``ModelNew``, a `torch.nn.Module` each.

KernelBench asks language models for faster kernels. Its own check draws a few inputs from ``torch.rand`` at
one shape, with the weight 1 and the bias 0 that a layer starts with, and accepts a float32 result that is off
by an absolute 1e-2 and a relative 1e-2 more (up to version 0.1; 1e-4 since). Here the same module is checked
for what it computes.

- **Which class.** ``ModelNew`` if the file has one, else ``Model``.
- **Which norm.** The one that the file's name speaks of (33_BatchNorm, 34_InstanceNorm, 35_GroupNorm\_,
  36_RMSNorm\_, 40_LayerNorm) or, failing that, its text. If it speaks of several, the norm has to be given.
- **Constructor arguments** are chosen anew for each problem, by the names of the parameters: num_features,
  num_channels, channels, features or dim; num_groups or groups; normalized_shape; eps or epsilon. Others have
  the values of ``get_init_inputs()``, or their defaults.
- **weight and bias** are written into the module's parameters whose names end so (or in gamma, scale; beta,
  shift). The y of a module without them is multiplied and shifted here, in float64.
- **eps.** Where the constructor has none, the attributes ``eps`` of the module and its parts are set, if that
  changes what it computes. If it does not, PyTorch's 1e-5 is built in, and only problems with it are asked.
- **Domain.** What KernelBench feeds: contiguous float32 arrays, with as many axes as ``get_inputs()`` returns
  (4 where that cannot be found out without the memory for it). Layer norm gets x as (N, C, H, W) and
  normalizes (C, H, W), whatever axes the problem has. KernelBench's RMS norm normalizes C of (N, C, H, W): it
  gets the problem's normalized axes there.
- **Mode.** As the class starts: in training mode, so that batch norm takes the batch's own statistics. Only
  the forward pass is asked, as by KernelBench, on the CUDA device if there is one.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from functools import lru_cache
from importlib.util import module_from_spec, spec_from_file_location
from math import prod
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from gnref.errors import BackendError
from gnref.testing.problems import Problem

Array = np.ndarray[Any, Any]
Module = Any  # torch.nn.Module

NAMES = {
    "batch": r"batch[ _]?norm",
    "instance": r"instance[ _]?norm",
    "group": r"group[ _]?norm",
    "layer": r"layer[ _]?norm",
    "rms": r"rms[ _]?norm",
}
ROLES = {
    "channels": ("num_features", "num_channels", "channels", "features", "n_features", "dim", "C"),
    "num_groups": ("num_groups", "groups", "n_groups", "G"),
    "normalized_shape": ("normalized_shape", "norm_shape", "shape"),
    "eps": ("eps", "epsilon"),
}
PARAMETERS = {"weight": ("weight", "gamma", "scale"), "bias": ("bias", "beta", "shift")}
EPS = 1e-5  # PyTorch's, and what KernelBench's problems have


def load(path: str) -> File:
    """Run a file, and find its class.

    Raises
    ------
    ValueError
        There is no such file, it raises, or it has neither class.
    BackendError
        PyTorch, or another package that it imports, is not installed.
    """
    target = f"kernelbench:{path}"
    if not Path(path).is_file():
        raise ValueError(f"target is {target!r}; expected a file that exists")
    module = _run(path, target)
    made = getattr(module, "ModelNew", None) or getattr(module, "Model", None)
    if not inspect.isclass(made) or not callable(getattr(made, "named_parameters", None)):
        raise ValueError(f"target is {target!r}; expected a file with a torch.nn.Module ModelNew or Model")
    file = File(path, module, made)
    if file.unknown:
        known = ", ".join(name for names in ROLES.values() for name in names)
        raise ValueError(
            f"target is {target!r}, whose {made.__name__} takes {file.unknown[0]!r}; expected parameters"
            f" among {known}, or a get_init_inputs() with a value for it"
        )
    return file


def _run(path: str, target: str) -> ModuleType:
    """Import the file: Triton, for one, wants the source of its functions in a real module."""
    spec = spec_from_file_location("kernelbench_" + re.sub(r"\W", "_", Path(path).stem), path)
    if spec is None or spec.loader is None:
        raise ValueError(f"target is {target!r}; expected a file of Python, whose name ends in .py")
    module = sys.modules[spec.name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        raise BackendError(
            f"target is {target!r}, which imports {error.name}, which is not installed"
        ) from error
    except Exception as error:
        told = str(error).strip().partition("\n")[0]
        raise ValueError(f"target is {target!r}, which raises {type(error).__name__}: {told}") from error
    return module


class File:
    """A file that was run.

    Parameters
    ----------
    path : str
        Where it is.
    module : module
        What running it made.
    made : type
        The class to check.
    """

    def __init__(self, path: str, module: ModuleType, made: type) -> None:
        self.path, self.module, self.made = path, module, made
        several = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        taken = [p for p in inspect.signature(made).parameters.values() if p.kind not in several]
        self.roles = {p.name: role for p in taken if (role := _role(p.name)) is not None}
        given = dict(zip([p.name for p in taken], self.init_inputs(), strict=False))
        self.given = {name: value for name, value in given.items() if name not in self.roles}
        self.unknown = [p.name for p in taken if p.default is p.empty and p.name not in self.roles | given]
        self.build = lru_cache(maxsize=64)(self._build)

    @property
    def norms(self) -> tuple[str, ...]:
        """The norm that the file speaks of; empty if it cannot be told."""
        for text in (Path(self.path).stem, Path(self.path).read_text(encoding="utf-8")):
            found = [norm for norm, name in NAMES.items() if re.search(name, text, re.IGNORECASE)]
            if len(found) == 1:
                return (found[0],)
        return ()

    def arguments(self, norm: str) -> dict[str, Any]:
        """The keyword arguments of `gnref.testing.check`."""
        limits: dict[str, Any] = {"dtypes": ("float32",), "contiguous": True}
        limits |= {"where": divides, "eps": None if self.takes_eps(norm) else (EPS,)}
        if norm in ("batch", "instance", "group"):
            limits["ranks"] = (self.rank(),)
        return {"forward": self.forward(norm), "dtypes": ("float32",), "supports": limits}

    def forward(self, norm: str) -> Callable[..., Array]:
        """A function with gnref's signature."""
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"

        def forward(x: Array, *arguments: Any, eps: float) -> Array:
            G = arguments[0] if norm == "group" else None
            shape = arguments[0] if norm in ("layer", "rms") else (x.shape[1],)
            weight, bias = (*(arguments[1:] if norm in ("group", "layer", "rms") else arguments), None)[:2]
            there, back = _places(norm, x.shape, shape)
            model = self.build(_three(shape) if norm == "layer" else shape, G, eps, device)
            after = _write(model, {"weight": weight, "bias": bias})
            with torch.no_grad():
                found = model(torch.from_numpy(there(x)).to(device)).cpu().numpy()
            return _affine(back(found), after, norm)

        forward.__qualname__ = f"{Path(self.path).name}:{self.made.__name__}"
        return forward

    def _build(self, shape: tuple[int, ...], num_groups: int | None, eps: float, device: str) -> Module:
        """The module for some sizes."""
        values = {"channels": prod(shape), "num_groups": num_groups, "normalized_shape": shape, "eps": eps}
        words = {name: values[role] for name, role in self.roles.items()}
        model: Module = self.made(**words, **self.given)
        model = model.to(device)
        for part in model.modules():
            if isinstance(getattr(part, "eps", None), float):
                part.eps = eps
        return model

    def init_inputs(self) -> list[Any]:
        """What the file makes the module with, or nothing."""
        made = getattr(self.module, "get_init_inputs", None)
        return list(made()) if callable(made) else []

    def rank(self) -> int:
        """How many axes x has in this file, found out without the memory for it."""
        import torch

        try:
            with torch.device("meta"):
                return int(self.module.get_inputs()[0].ndim)
        except Exception:  # it needs another device, or there is no such function
            return 4

    def takes_eps(self, norm: str) -> bool:
        """Whether the module computes with the eps that it is given."""
        if "eps" in self.roles.values():
            return True
        forward = self.forward(norm)
        x = np.arange(2 ** self.rank(), dtype=np.float32).reshape((2,) * self.rank())
        some: dict[str, tuple[Any, ...]] = {"group": (1,), "layer": (x.shape[1:],), "rms": (x.shape[-1:],)}
        try:
            one, other = (forward(x, *some.get(norm, ()), None, None, eps=eps) for eps in (EPS, 0.5))
        except Exception:  # what is wrong will be seen
            return False
        return not np.array_equal(one, other)


def divides(problem: Problem) -> bool:
    """Whether G divides C: what a file does with others, KernelBench does not say."""
    return problem.num_groups is None or (problem.channels or 0) % problem.num_groups == 0


def _role(name: str) -> str | None:
    """What a constructor's parameter means."""
    return next((role for role, names in ROLES.items() if name in names), None)


def _three(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A normalized shape as (C, H, W)."""
    C, H, *rest = (1, 1, *shape)[-max(3, len(shape)) :]
    return C, H, prod(rest)


def _places(
    norm: str, full: tuple[int, ...], shape: tuple[int, ...]
) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """How x comes into the form that the module takes, and y back."""
    if norm == "layer":
        return lambda x: x.reshape(-1, *_three(shape)), lambda y: y.reshape(full)
    if norm == "rms":  # rows over (N, H, W), and what is normalized to axis 1
        rows = (1, 1, 1, *full[: len(full) - len(shape)])
        rows = (prod(rows[:-2]), *rows[-2:])
        return (
            lambda x: np.ascontiguousarray(np.moveaxis(x.reshape(*rows, prod(shape)), -1, 1)),
            lambda y: np.moveaxis(y, 1, -1).reshape(full),
        )
    return lambda x: x, lambda y: y


def _write(model: Module, given: dict[str, Array | None]) -> dict[str, Array]:
    """Write weight and bias into the module; return those that it has no place for."""
    import torch

    left = {}
    for name, value in given.items():
        endings = PARAMETERS[name]
        found = [p for key, p in model.named_parameters() if key.rpartition(".")[2] in endings]
        for p in found:
            with torch.no_grad():
                if value is None:
                    p.fill_(1.0 if name == "weight" else 0.0)
                else:
                    p.copy_(torch.from_numpy(value).reshape(p.shape))
        if not found and value is not None:
            left[name] = value
    return left


def _affine(y: Array, given: dict[str, Array], norm: str) -> Array:
    """Put on what the module has no place for."""
    if not given:
        return y
    wide = y.astype(np.float64)
    axes = () if norm in ("layer", "rms") else (1,) * (y.ndim - 2)
    if "weight" in given:
        wide = wide * given["weight"].reshape(*given["weight"].shape, *axes)
    if "bias" in given:
        wide = wide + given["bias"].reshape(*given["bias"].shape, *axes)
    return wide.astype(y.dtype)
