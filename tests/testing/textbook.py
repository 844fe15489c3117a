"""Group norm as a textbook has it, in float64, with room for one mistake at a time."""

import numpy as np

from gnref.testing.targets import Forward, Gradients


class Textbook:
    """A correct kernel (mistake=None), or one with a single planted mistake, for channels first."""

    def __init__(self, mistake=None):
        self.mistake = mistake
        self.last = None
        self.name = f"textbook with {mistake}"

    def made(self, mistake):
        return self.mistake == mistake

    def fold(self, problem, a):
        """To (N, G, K, HW)."""
        N, C = a.shape[:2]
        G = problem.num_groups
        if self.made("layer for group"):
            G = 1
        if self.made("instance for group"):
            G = C
        if self.made("G and K swapped"):
            G = C // G
        if self.made("a stride of 0 read as 0") and 0 in a.strides and a.size > 1:
            a = 0 * a
        a = a.astype(np.float64)
        if self.made("strided groups"):
            return a.reshape(N, C // G, G, -1).swapaxes(1, 2)
        return a.reshape(N, G, C // G, -1)

    def unfold(self, a, like):
        return (a.swapaxes(1, 2) if self.made("strided groups") else a).reshape(like.shape)

    def param(self, problem, p, absent):
        C = problem.shape[1]
        if self.made("strided weight read as 1") and p is not None and p.strides[0] != p.itemsize:
            p = np.ones_like(p)
        p = np.full(C, absent) if p is None else p.astype(np.float64)
        if self.made("weight per group"):
            p = np.repeat(p[: problem.num_groups], C // problem.num_groups)
        like = np.broadcast_to(p.reshape(1, C, *[1] * (len(problem.shape) - 2)), problem.shape)
        return self.fold(problem, like)

    def statistics(self, problem):
        x = self.fold(problem, problem.x)
        if self.made("reads one element less"):
            x = x[..., :-1] if x.shape[-1] > 1 else x
        own = {"axis": (2, 3), "keepdims": True}
        mean, var = x.mean(**own), x.var(**own)
        if self.made("cancelling variance"):
            x = x.astype(np.float32)
            var = (np.mean(x * x, **own) - np.mean(x, **own) ** 2).astype(np.float64)
        if self.made("unbiased variance"):
            m = x.shape[2] * x.shape[3]
            var = var * m / max(m - 1, 1)
        if self.made("batch pooled"):
            mean, var = mean.mean(axis=0, keepdims=True) + 0 * mean, var
        if self.made("no mean"):
            mean = 0 * mean
        if self.made("long sums are 0") and x.shape[2] * x.shape[3] > 256:
            mean, var = 0 * mean, 0 * var
        with np.errstate(all="ignore"):
            rstd = 1 / np.sqrt(var + problem.eps)
            if self.made("eps outside the root"):
                rstd = 1 / (np.sqrt(var) + problem.eps)
        return mean, var, np.where(var + problem.eps > 0, rstd, 0.0)

    def forward(self, problem, out=None):
        mean, var, rstd = self.statistics(problem)
        x = self.fold(problem, problem.x)
        if self.made("first group only"):
            mean, rstd = mean[:, :1] + 0 * mean, rstd[:, :1] + 0 * rstd
        y = (x - mean) * rstd * self.param(problem, problem.weight, 1.0)
        if not self.made("bias forgotten"):
            y = y + self.param(problem, problem.bias, 0.0)
        if self.made("NaN to 0"):
            y = np.nan_to_num(y)
        y = self.unfold(y, problem.x).astype(np.float32 if self.made("y in float32") else problem.x.dtype)
        laid = np.empty_like(problem.x, dtype=y.dtype) if out is None else out
        laid[...] = y
        if self.made("x overwritten") and problem.x.flags.writeable:
            problem.x[...] = laid
        stats = [np.squeeze(t, axis=(2, 3)) for t in (mean, var, rstd)]
        if self.made("saved mean is off"):
            stats[0] = stats[0] + 0.5 * np.sqrt(stats[1])
        if self.made("saved statistics are flat"):
            stats = [t.ravel() for t in stats]
        self.last = (problem, mean, rstd)
        return Forward(laid, *stats, self.last)

    def backward(self, dy, forward, needs=("x", "weight", "bias"), out=None):
        problem, mean, rstd = self.last if self.made("statistics of the last forward") else forward.saved
        own = {"axis": (2, 3), "keepdims": True}
        xhat = self.fold(problem, problem.x) - mean
        xhat = (xhat - xhat.mean(**own)) * rstd if not self.made("no mean") else xhat * rstd
        dy4, weight = self.fold(problem, dy), self.param(problem, problem.weight, 1.0)
        g = dy4 if self.made("weight ignored in dx") or self.made("weight after the sums") else dy4 * weight
        via_mean, via_var = g.mean(**own), (g * xhat).mean(**own)
        if self.made("mean term forgotten"):
            via_mean = 0.0
        if self.made("variance term forgotten"):
            via_var = 0.0
        dx = rstd * (g - via_mean - xhat * via_var)
        if self.made("weight after the sums"):
            dx = dx * weight
        if self.made("rstd forgotten"):
            dx = dx / np.where(rstd > 0, rstd, 1.0)
        if self.made("dx is 0"):
            dx = 0 * dx
        dx = self.unfold(dx, problem.x)
        sums = [
            np.moveaxis(self.unfold(t, problem.x), 1, 0).reshape(dy.shape[1], -1).sum(1)
            for t in (dy4 * xhat, dy4)
        ]
        if self.made("dweight and dbias swapped"):
            sums.reverse()
        if self.made("dbias times weight"):
            sums[1] = sums[1] * (1.0 if problem.weight is None else problem.weight.astype(np.float64))
        laid = np.empty_like(problem.x) if out is None else out
        laid[...] = dx.astype(problem.x.dtype)
        params = [
            None if p is None or name not in needs else s.astype(p.dtype)
            for name, p, s in zip(("weight", "bias"), (problem.weight, problem.bias), sums, strict=True)
        ]
        return Gradients(laid if "x" in needs else None, *params)


MISTAKES = (
    "layer for group",
    "instance for group",
    "G and K swapped",
    "strided groups",
    "weight per group",
    "reads one element less",
    "cancelling variance",
    "unbiased variance",
    "batch pooled",
    "no mean",
    "eps outside the root",
    "first group only",
    "bias forgotten",
    "NaN to 0",
    "y in float32",
    "x overwritten",
    "weight ignored in dx",
    "weight after the sums",
    "mean term forgotten",
    "variance term forgotten",
    "rstd forgotten",
    "dx is 0",
    "dweight and dbias swapped",
    "dbias times weight",
    "statistics of the last forward",
    "saved mean is off",
    "saved statistics are flat",
)

# Seen only where arrays lie oddly in memory, or sets are long.
MISTAKES_OF_MEMORY = ("a stride of 0 read as 0", "strided weight read as 1", "long sums are 0")
