"""LayerNorm and RMSNorm, over the trailing dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gnref import functional
from gnref.checks import check_sizes
from gnref.layers.layer import Layer
from gnref.passes import Saved


class LayerNorm(Layer):
    """Layer norm, as torch.nn.LayerNorm: a weight for each element of ``normalized_shape``.

    Examples
    --------
    >>> import numpy as np
    >>> gnref.LayerNorm(2, eps=0.0).forward(np.array([[1.0, 3.0], [10.0, 30.0]]))
    array([[-1.,  1.],
           [-1.,  1.]])
    """

    norm = "layer"

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        *,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        dtype: Any = "float32",
    ) -> None:
        self.normalized_shape = check_sizes(normalized_shape, "normalized_shape")
        affine = elementwise_affine
        super().__init__(self.normalized_shape, eps=eps, weight=affine, bias=affine and bias, dtype=dtype)

    def _forward(self, x: Any) -> tuple[Any, Saved]:
        return functional.layer_norm_forward(x, self.normalized_shape, self.weight, self.bias, eps=self.eps)


class RMSNorm(Layer):
    """RMS norm, as torch.nn.RMSNorm: a weight for each element of ``normalized_shape``, no bias.

    Examples
    --------
    >>> import numpy as np
    >>> gnref.RMSNorm(2, eps=0.0).forward(np.array([[2.0, -2.0]]))
    array([[ 1., -1.]])
    """

    norm = "rms"

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        *,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        dtype: Any = "float32",
    ) -> None:
        self.normalized_shape = check_sizes(normalized_shape, "normalized_shape")
        super().__init__(self.normalized_shape, eps=eps, weight=elementwise_affine, bias=False, dtype=dtype)

    def _forward(self, x: Any) -> tuple[Any, Saved]:
        return functional.rms_norm_forward(x, self.normalized_shape, self.weight, eps=self.eps)
