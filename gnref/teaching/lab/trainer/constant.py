"""BatchNorm with constant statistics: those of its first batch."""

from __future__ import annotations

from typing import Any

import gnref


class ConstantNorm(gnref.BatchNorm):
    """BatchNorm that takes the statistics of its first batch, and keeps them.

    Its weight and bias learn. From the second batch on there is no noise in it, and training and
    evaluation are one function; but nor does it follow when the layers before it change.

    Examples
    --------
    >>> import numpy as np
    >>> layer = ConstantNorm(1, eps=0.0, dtype="float64")
    >>> layer.forward(np.array([[1.0], [3.0]])).ravel()
    array([-1.,  1.])
    >>> layer.forward(np.array([[4.0], [5.0]])).ravel()  # less 2, by the unbiased sigma, sqrt(2)
    array([1.41421356, 2.12132034])
    """

    def __init__(self, num_features: int, **options: Any) -> None:
        super().__init__(num_features, momentum=1.0, **options)

    def forward(self, x: Any) -> Any:
        """Return y; after the first batch, in the mode "eval" whatever the trainer asks for."""
        if self.mode == "train" and self.num_batches_tracked:
            self.eval()
        return super().forward(x)
