"""GroupNorm."""

from __future__ import annotations

from typing import Any

from gnref import functional
from gnref.checks import check_bool, check_layer_axis, check_num_groups, check_positive
from gnref.layers.layer import Layer, check_channels
from gnref.passes import Saved


class GroupNorm(Layer):
    """Group norm, as torch.nn.GroupNorm.

    Parameters
    ----------
    num_groups : int
        G, which divides C.
    num_channels : int
        C.
    eps : float
        Added to the variance, inside the square root.
    affine : bool
        Whether there are a weight (1) and a bias (0) for each of the C channels.
    channel_axis : int
        Which axis of x is C; -1 is channels last.
    dtype : str or dtype
        Of the parameters.

    Raises
    ------
    ShapeError
        num_groups does not divide num_channels, or x has another number of channels.
    ValueError, TypeError
        For an eps or a dtype that is none.

    Notes
    -----
    The formula is that of `gnref.group_norm`: Wu & He 2018, eq. 1, 2, 6 and 7. It is the same in
    training and evaluation.

    Examples
    --------
    >>> import numpy as np
    >>> gnref.GroupNorm(2, 4, eps=0.0).forward(np.array([[1.0, 3.0, 10.0, 30.0]]))
    array([[-1.,  1., -1.,  1.]])
    """

    norm = "group"

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        *,
        eps: float = 1e-5,
        affine: bool = True,
        channel_axis: int = 1,
        dtype: Any = "float32",
    ) -> None:
        self.num_channels = check_positive(num_channels, "num_channels")
        self.num_groups = check_num_groups(num_groups, (self.num_channels,), 0)
        self.channel_axis = check_layer_axis(channel_axis)
        affine = check_bool(affine, "affine")
        super().__init__((self.num_channels,), eps=eps, weight=affine, bias=affine, dtype=dtype)

    def _forward(self, x: Any) -> tuple[Any, Saved]:
        check_channels(x, self.num_channels, self.channel_axis, self)
        options: dict[str, Any] = {"eps": self.eps, "channel_axis": self.channel_axis}
        return functional.group_norm_forward(x, self.num_groups, self.weight, self.bias, **options)
