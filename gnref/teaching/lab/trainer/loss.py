"""Softmax cross-entropy, for one class per image (N, K) or one per pixel (N, K, H, W)."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def cross_entropy(scores: Array, labels: Array) -> tuple[float, Array]:
    r"""Return the mean loss, and its gradient with respect to the scores.

    Parameters
    ----------
    scores : ndarray
        (N, K) or (N, K, \*S): how much speaks for each of the K classes.
    labels : ndarray of int
        (N,) or (N, \*S): the right class.

    Returns
    -------
    loss : float
        The mean over all labels of -log(p[label]), with p = softmax(scores) over the axis K.
    dscores : ndarray
        (p - one_hot(label)) / number of labels, of the shape of the scores.

    Raises
    ------
    ValueError
        The labels are not one for each row of scores, or not all of 0 to K - 1.

    Examples
    --------
    >>> loss, dscores = cross_entropy(np.zeros((1, 2)), np.array([1]))
    >>> round(loss, 4), dscores
    (0.6931, array([[ 0.5, -0.5]]))
    """
    K = scores.shape[1]
    if labels.shape != (len(scores), *scores.shape[2:]):
        raise ValueError(
            f"labels have shape {labels.shape}; expected {(len(scores), *scores.shape[2:])}, for scores of "
            f"shape {scores.shape}"
        )
    if not labels.size:
        raise ValueError(f"scores have shape {scores.shape}; expected at least one")
    if labels.min() < 0 or labels.max() >= K:
        raise ValueError(f"labels run from {labels.min()} to {labels.max()}; expected 0 to {K - 1}")
    shifted = scores - scores.max(axis=1, keepdims=True)  # exp stays in range; p is the same
    p = np.exp(shifted)
    total = p.sum(axis=1, keepdims=True)
    at = np.expand_dims(labels, 1)
    log_p = np.take_along_axis(shifted, at, axis=1) - np.log(total)
    p /= total
    np.put_along_axis(p, at, np.take_along_axis(p, at, axis=1) - 1, axis=1)
    p /= labels.size
    return -float(log_p.mean(dtype=np.float64)), p
