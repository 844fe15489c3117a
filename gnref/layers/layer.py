"""What all layers share: parameters, gradients, modes and state dicts."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Self

import numpy as np

from gnref import functional
from gnref.arrays import DTYPES, check_array, library
from gnref.checks import check_channel_axis, check_eps
from gnref.errors import ShapeError
from gnref.passes import Saved, quiet

Array = np.ndarray[Any, Any]


class Layer:
    """What all layers share: parameters, modes, the backward pass, state dicts.

    Attributes
    ----------
    weight, bias : ndarray or None
        Parameters, of ``dtype``; change them between a backward pass and the next forward pass.
    grads : dict of str to ndarray
        "weight" and "bias" of the last backward pass (not accumulated); empty when frozen.
    mode : str
        "train", "eval" or "frozen".
    """

    norm: str
    weight: Array | None = None
    bias: Array | None = None

    def __init__(self, shape: tuple[int, ...], *, eps: float, weight: bool, bias: bool, dtype: Any) -> None:
        self.eps = check_eps(eps)
        self.dtype = parameter_dtype(dtype)
        self.weight = np.ones(shape, self.dtype) if weight else None
        self.bias = np.zeros(shape, self.dtype) if bias else None
        self.grads: dict[str, Array] = {}
        self.mode = "train"
        self._saved: Any = None  # of the last forward pass, for the backward pass
        self._frozen = False  # in the last forward pass

    def forward(self, x: Any) -> Any:
        """Return y, and keep what `backward` needs.

        Parameters
        ----------
        x : ndarray
            float16, bfloat16, float32 or float64, as the layer's function takes it.

        Returns
        -------
        y : ndarray
            Of x's shape, dtype and memory layout.

        Raises
        ------
        ShapeError, TypeError
            x does not fit the layer, or is no NumPy array.
        """
        check_array(x, "x")
        if library(x) != "numpy":
            raise TypeError(
                f"x is a {library(x)} array; expected a numpy array, as the layer's parameters are"
            )
        self._saved = None  # a forward pass that fails leaves nothing to differentiate
        y, self._saved = self._forward(x)
        self._frozen = self.mode == "frozen"
        return y

    __call__ = forward

    def _forward(self, x: Any) -> tuple[Any, Saved]:
        raise NotImplementedError

    def backward(self, dy: Any) -> Any:
        """Return dx for the last `forward`, and leave the parameters' gradients in ``grads``.

        Parameters
        ----------
        dy : ndarray
            Of x's shape and dtype.

        Returns
        -------
        dx : ndarray
            Of x's shape, dtype and memory layout.

        Raises
        ------
        RuntimeError
            `forward` was not called before.
        ShapeError, TypeError
            dy is not of x's shape or dtype.
        """
        if self._saved is None:
            raise RuntimeError(f"{type(self).__name__}.backward was called before forward")
        needs = ("x",) if self._frozen else ("x", "weight", "bias")
        dx, dweight, dbias = self._backward(dy, needs)
        found = {"weight": dweight, "bias": dbias}
        self.grads = {name: grad for name, grad in found.items() if grad is not None}
        return dx

    def _backward(self, dy: Any, needs: tuple[str, ...]) -> tuple[Any, Any, Any]:
        return functional.backward(dy, self._saved, needs=needs)

    def train(self) -> Self:
        """Normalize as in training; running statistics, if any, move with every batch."""
        return self._enter("train")

    def eval(self) -> Self:
        """Normalize as in evaluation: with the running statistics, if there are any."""
        return self._enter("eval")

    def freeze(self) -> Self:
        """Hold statistics and parameters fixed (the paper's BN*): dx still flows, ``grads`` is empty."""
        return self._enter("frozen")

    def _enter(self, mode: str) -> Self:
        self.mode = mode
        return self

    def _state(self) -> dict[str, Array]:
        """The arrays that the layer owns, under PyTorch's names."""
        named = {"weight": self.weight, "bias": self.bias}
        return {name: a for name, a in named.items() if a is not None}

    def state_dict(self) -> dict[str, Array]:
        """Return copies of the parameters and running statistics, under torch.nn's names."""
        return {name: a.copy() for name, a in self._state().items()}

    def load_state_dict(self, state: Any) -> None:
        """Take over a state dict of NumPy arrays: copies, in this layer's dtypes.

        Parameters
        ----------
        state : mapping of str to ndarray
            As from `state_dict`, or from a torch.nn module: ``{k: v.numpy() for k, v in
            module.state_dict().items()}``.

        Raises
        ------
        ValueError, TypeError
            Names, shapes or dtypes do not fit this layer; then nothing is changed.
        """
        own = self._state()
        if not isinstance(state, Mapping) or set(state) != set(own):
            found = sorted(map(str, state)) if isinstance(state, Mapping) else repr(state)
            raise ValueError(f"state has the names {found}; expected {sorted(own)}")
        taken = {name: check_state(name, state[name], a) for name, a in own.items()}
        for name, a in taken.items():
            setattr(self, name, a)

    def __repr__(self) -> str:
        shapes = {name: a.shape for name, a in self._state().items()}
        return f"<{type(self).__name__} in {self.mode} mode: {shapes}>"


def check_state(name: str, value: Any, own: Array) -> Array:
    """Return a value of a state dict as a copy in the dtype of the layer's own, or raise."""
    if isinstance(value, np.generic):
        value = np.asarray(value)
    if type(value) not in (np.ndarray, np.memmap):
        raise TypeError(f"state[{name!r}] is a {type(value).__name__}; expected a numpy array")
    if value.shape != own.shape:
        raise ShapeError(f"state[{name!r}] has shape {value.shape}; expected {own.shape}")
    integer = own.dtype.kind == "i"
    if not (value.dtype.kind in "iu" if integer else value.dtype.name in DTYPES):
        expected = "an integer dtype" if integer else f"one of {', '.join(DTYPES)}"
        raise TypeError(f"state[{name!r}] has dtype {value.dtype.name}; expected {expected}")
    with quiet():
        taken = np.array(value, dtype=own.dtype)
    if name in ("num_batches_tracked", "running_var") and (taken < 0).any():
        raise ValueError(f"state[{name!r}] is {value}; expected numbers >= 0")
    return taken


def parameter_dtype(dtype: Any) -> np.dtype[Any]:
    """Return the dtype of a layer's parameters, or raise."""
    found: np.dtype[Any] | None = None
    if dtype is not None:  # which NumPy would take for float64
        with suppress(TypeError):
            found = np.dtype(dtype)
    if found is None or found.name not in DTYPES:
        hint = " (bfloat16 needs the package ml_dtypes, imported)" if dtype == "bfloat16" else ""
        raise TypeError(f"dtype is {dtype!r}; expected one of {', '.join(DTYPES)}{hint}")
    return found


def check_channels(x: Any, C: int, channel_axis: int, layer: Layer) -> None:
    """Raise unless x has the number of channels that the layer was made for."""
    axis = check_channel_axis(channel_axis, tuple(x.shape), layer.norm)
    if x.shape[axis] != C:
        raise ShapeError(
            f"x has shape {tuple(x.shape)}, so C = {x.shape[axis]}; expected C = {C}, "
            f"as this {type(layer).__name__} was made"
        )
