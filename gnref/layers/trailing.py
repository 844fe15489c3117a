"""LayerNorm and RMSNorm, over the trailing dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gnref import functional
from gnref.checks import check_bool, check_sizes
from gnref.layers.layer import Layer
from gnref.passes import Saved


class LayerNorm(Layer):
    """Layer norm, as torch.nn.LayerNorm.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        The trailing dimensions of x.
    eps : float
        Added to the variance, inside the square root.
    elementwise_affine : bool
        Whether there is a weight (1) for each element of ``normalized_shape``.
    bias : bool
        Whether there is a bias (0) beside it.
    dtype : str or dtype
        Of the parameters.

    Raises
    ------
    ShapeError
        normalized_shape has no positive sizes, or x has other trailing dimensions.
    ValueError, TypeError
        For an eps or a dtype that is none.

    Notes
    -----
    The formula is that of `gnref.layer_norm`: Ba, Kiros & Hinton 2016, eq. 3. It is the same in
    training and evaluation.

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
        affine = check_bool(elementwise_affine, "elementwise_affine")
        bias = affine and check_bool(bias, "bias")
        super().__init__(self.normalized_shape, eps=eps, weight=affine, bias=bias, dtype=dtype)

    def _forward(self, x: Any) -> tuple[Any, Saved]:
        return functional.layer_norm_forward(x, self.normalized_shape, self.weight, self.bias, eps=self.eps)


class RMSNorm(Layer):
    """RMS norm, as torch.nn.RMSNorm, whose eps is by default that of the dtype and here 1e-5.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        The trailing dimensions of x.
    eps : float
        Added to the mean square, inside the square root.
    elementwise_affine : bool
        Whether there is a weight (1) for each element of ``normalized_shape``.
    dtype : str or dtype
        Of the parameters.

    Raises
    ------
    ShapeError
        normalized_shape has no positive sizes, or x has other trailing dimensions.
    ValueError, TypeError
        For an eps or a dtype that is none.

    Notes
    -----
    The formula is that of `gnref.rms_norm`: Zhang & Sennrich 2019, eq. 4. It is the same in training
    and evaluation.

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
        affine = check_bool(elementwise_affine, "elementwise_affine")
        super().__init__(self.normalized_shape, eps=eps, weight=affine, bias=False, dtype=dtype)

    def _forward(self, x: Any) -> tuple[Any, Saved]:
        return functional.rms_norm_forward(x, self.normalized_shape, self.weight, eps=self.eps)
