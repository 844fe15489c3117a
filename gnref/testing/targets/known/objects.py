"""What ``package.module:object`` names: functions or layers of your own.

The object, or an attribute of one in the module (``package.module:a.b``), is one of these:

a function
    The forward pass, called as `gnref.testing.check` describes. Its attributes are looked at, all optional:
    ``norm`` ("group": without it the norm has to be given), ``backward``, ``arrays``, ``device``,
    ``layouts``, ``supports``, ``dtypes`` and ``require``, with the meaning that they have there. A function
    of PyTorch's, JAX's or CuPy's own takes their arrays unless told otherwise.
a pair
    (forward, backward). The options are attributes of forward.
a class of `torch.nn.Module`
    A layer with the constructor of `torch.nn`'s: see `gnref.testing.targets.known.modules`.
a namespace of several norms
    A mapping with the keys, or a module, class or instance with the attributes, "batch", "instance", "group",
    "layer" or "rms", or these with "_norm" ("group_norm"). Each is a function, a pair or a layer, as above;
    the backward pass may also stand beside it, as "group_norm_backward" or "group_backward". Layers may also
    have their names in `torch.nn` ("GroupNorm", "BatchNorm2d"): BatchNorm1d, 2d and 3d then are one target,
    each for its own ranks. ``arrays``, ``device``, ``layouts``, ``supports``, ``dtypes`` and ``require``
    beside them are those of every norm that has none of its own. A callable with an attribute ``norm`` is a
    function, whatever else it has.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

from gnref.errors import BackendError
from gnref.testing.targets.known import NORMS, modules
from gnref.testing.targets.libraries import LIBRARIES

OPTIONS = ("arrays", "device", "layouts", "supports", "dtypes", "require")


class Found(NamedTuple):
    """What an object offers.

    Attributes
    ----------
    norms : tuple of str
        Empty if it is one function that does not say which.
    each : dict of str to dict
        The keyword arguments of `gnref.testing.check` by norm; "" if it does not say which.
    """

    norms: tuple[str, ...]
    each: dict[str, dict[str, Any]]

    def arguments(self, norm: str) -> dict[str, Any]:
        """The keyword arguments of `gnref.testing.check`."""
        return dict(self.each.get(norm) or self.each[""])


def find(module: str, path: str) -> Found | modules.Found:
    """Import a module and look at an object in it.

    Raises
    ------
    ValueError
        There is no such module or object.
    TypeError
        The object is no function, and has none.
    BackendError
        The module imports what is not installed.
    """
    target = f"{module}:{path}"
    value = imported(module, target)
    for name in path.split("."):
        value = attribute(value, name, target)
    return look(value, target)


def imported(module: str, target: str) -> Any:
    """The module."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or module
        if f"{module}.".startswith(f"{missing}."):
            raise ValueError(
                f"target is {target!r}; expected a module that can be imported: there is no {missing}"
            ) from error
        raise BackendError(
            f"target is {target!r}, and {module} imports {missing}, which is not installed"
        ) from error
    except (Exception, SystemExit) as error:  # an exit there would end the check, with a code of its own
        raise ValueError(
            f"target is {target!r}, and importing {module} raises {type(error).__name__}: {error}"
        ) from error


def attribute(value: Any, name: str, target: str) -> Any:
    """An attribute, or a module of a package that nobody has imported so far."""
    try:
        return getattr(value, name)
    except AttributeError as error:
        of = getattr(value, "__name__", type(value).__name__)
        if inspect.ismodule(value) and hasattr(value, "__path__") and find_spec(f"{of}.{name}"):
            return imported(f"{of}.{name}", target)
        near = " or ".join(get_close_matches(name, dir(value))) or "an object that exists"
        raise ValueError(f"target is {target!r}, and {of} has no {name}; expected {near}") from error


def look(value: Any, target: str) -> Found | modules.Found:
    """Find the functions or layers in an object."""
    if modules.is_layer(value):
        return modules.find(value, target)
    if modules.is_instance(value):
        raise TypeError(
            f"target is {target!r}, which is a {type(value).__name__} that was built; expected the class, of"
            " which a layer is built for each problem, or a function"
        )
    one = _one(value, {}, target)
    norm = getattr(value, "norm", None) if callable(value) else None
    if one is not None and norm is not None:
        if norm not in NORMS:
            raise ValueError(f"target is {target!r}, whose norm is {norm!r}; expected {', '.join(NORMS)}")
        return Found((norm,), {norm: one})
    several = _several(value, target)
    if several:
        return Found(tuple(several), several)
    if one is None:
        raise TypeError(
            f"target is {target!r}, which is {_brief(value)}; expected a function, a pair (forward,"
            f" backward), a class of torch.nn.Module, or a mapping, module or class that has some of"
            f" {', '.join(NORMS)}"
        )
    return Found((), {"": one})


def _one(value: Any, shared: dict[str, Any], target: str, norm: str | None = None) -> dict[str, Any] | None:
    """The arguments of a function, a pair or the layer of a norm; None for what is none of them."""
    if norm is not None and modules.is_layer(value):
        return modules.arguments((value,), norm, target, shared)
    forward, backward = value, getattr(value, "backward", None)
    if isinstance(value, tuple | list):
        if len(value) != 2 or not callable(value[0]):
            return None
        forward, backward = value
    if not callable(forward) or inspect.isclass(forward):
        return None
    if backward is not None and not callable(backward):
        raise TypeError(f"target is {target!r}, whose backward is {backward!r}; expected a function")
    own = {name: getattr(forward, name) for name in OPTIONS if hasattr(forward, name)}
    library = str(getattr(forward, "__module__", "")).partition(".")[0]
    arrays = {"arrays": library} if library in LIBRARIES else {}
    return {"forward": forward, "backward": backward} | arrays | shared | own


def _several(value: Any, target: str) -> dict[str, dict[str, Any]]:
    """The arguments of every norm that a namespace has; nothing where it is none."""
    if isinstance(value, tuple | list) or inspect.isroutine(value):
        return {}
    names = dict(value) if isinstance(value, Mapping) else _Attributes(value)
    shared = {name: names[name] for name in OPTIONS if name in names}
    found = {}
    for norm in NORMS:
        for name in (norm, f"{norm}_norm"):
            one = _one(names[name], shared, target, norm) if name in names else None
            if one is not None:
                beside = f"{name}_backward"
                if one["backward"] is None and beside in names:
                    one["backward"] = names[beside]
                found[norm] = one
        layers = tuple(names[name] for name in modules.CLASSES[norm] if name in names)
        if norm not in found and layers and all(map(modules.is_layer, layers)):
            found[norm] = modules.arguments(layers, norm, target, shared)
    return found


class _Attributes:
    """Attributes, read as a mapping's keys."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __contains__(self, name: str) -> bool:
        return hasattr(self.value, name)

    def __getitem__(self, name: str) -> Any:
        return getattr(self.value, name)


def _brief(value: Any) -> str:
    """What an object is, in a few words."""
    return f"the class {value.__name__}" if inspect.isclass(value) else f"a {type(value).__name__}"
