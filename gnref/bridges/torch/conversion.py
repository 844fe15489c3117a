"""From the norms of `torch.nn` to gnref's, in place, and back."""

from __future__ import annotations

from typing import TypeVar

from torch import nn

from gnref.bridges.torch import layers

Model = TypeVar("Model", bound=nn.Module)
TO_GNREF = {
    getattr(nn, name): own
    for name, own in vars(layers).items()
    if isinstance(own, type) and hasattr(nn, name) and issubclass(own, layers.Promise)
}
TO_TORCH = {own: native for native, own in TO_GNREF.items()}


def convert(model: Model, to: str = "gnref") -> Model:
    """Make every norm of a model one of gnref's, or one of `torch.nn` again.

    Parameters
    ----------
    model : torch.nn.Module
        Changed in place: its norms take another class and stay the objects that they are. So parameters and
        buffers stay, and hooks, and optimizers that refer to them.
    to : str
        "gnref", or "torch" for the way back.

    Returns
    -------
    model : torch.nn.Module
        The same object.

    Raises
    ------
    TypeError, ValueError
        The model is no module, or ``to`` is something else.

    Notes
    -----
    Converted are the nine layers that this package has. Left alone are classes of your own that derive from
    torch.nn's, which may compute something else, parametrized layers, calls of `torch.nn.functional`, and
    lazy layers that have seen no input.

    Examples
    --------
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.ReLU())
    >>> type(convert(model)[1])
    <class 'gnref.bridges.torch.layers.GroupNorm'>
    >>> type(convert(model, to="torch")[1])
    <class 'torch.nn.modules.normalization.GroupNorm'>
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is a {type(model).__name__}; expected a torch.nn.Module")
    if to not in ("gnref", "torch"):
        raise ValueError(f"to is {to!r}; expected 'gnref' or 'torch'")
    classes = TO_GNREF if to == "gnref" else TO_TORCH
    for module in model.modules():
        module.__class__ = classes.get(type(module), type(module))
    return model
