"""The norms as functions of JAX arrays, computed by gnref's kernels on the CPU.

They have gnref's own signatures and return y. JAX may compile, batch and differentiate them: jit, vmap, grad,
jvp, hessian and any nesting of these, to any order. The forward pass, the backward pass and forward mode are
gnref's kernels, each called once, by XLA and on its own memory; what lies beyond are JAX's derivatives of a
formula. Arrays on another device than the CPU travel through the host's memory, there and back.
"""

from gnref.bridges.jax.functional import (
    batch_norm,
    batch_norm_frozen,
    group_norm,
    instance_norm,
    layer_norm,
    rms_norm,
)

__all__ = [
    "batch_norm",
    "batch_norm_frozen",
    "group_norm",
    "instance_norm",
    "layer_norm",
    "rms_norm",
]

arrays = "jax"  # what gnref's test kit looks at
