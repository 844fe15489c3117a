"""The explorer as a notebook's widget. Importing this module needs anywidget, and nothing else here does."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from gnref.errors import MissingExtraError
from gnref.teaching.explorer.numbers import alternative
from gnref.teaching.explorer.page import division, module
from gnref.teaching.explorer.picture import png
from gnref.teaching.explorer.state import (
    LIMITS,
    State,
    check_cell,
    check_choice,
    check_groups,
    check_size,
    inside,
    nearest_groups,
    state_of,
)

try:
    import anywidget
    import traitlets
except ImportError as error:
    raise MissingExtraError("the explorer needs anywidget: pip install 'gnref[tutorials]'") from error

FIELDS = tuple(State.__dataclass_fields__)


class AxisExplorer(anywidget.AnyWidget):  # type: ignore[misc]  # it has no types of its own
    """The block of Wu & He 2018, Fig. 2, to turn, to pick cells from, and to be asked about.

    Every parameter is an attribute as well: read it to see what the reader does, assign to it to change what
    is shown. Where no widget can be shown, the notebook has a picture of it.

    Parameters
    ----------
    norm : str
        "bn", "ln", "in", "gn" or, with a weight for each element, "ln-pytorch".
    n, c, h, w : int
        The block; up to 6, 12, 4 and 4.
    g : int, optional
        G of the group norm; absent, the divisor of c that is nearest to 3. If c changes, it follows.
    cell : sequence of int
        The picked cell, (n, c, h, w).
    view : str
        "block" or "slices", one for each example.
    show : str
        What is in colour: the cells that share the picked one's "mean" or its "weight", or those that its
        dy reaches, "dx".
    task : str
        "" to explore, or an exercise: "mark" the set, "count" the means.
    theme : str
        "light", "dark" or "auto", the page's.

    Raises
    ------
    traitlets.TraitError
        A field is none of these, now or later; it keeps its value then.

    Examples
    --------
    >>> explorer = AxisExplorer("bn", c=4, cell=(1, 2, 0, 0))
    >>> explorer.address
    '?norm=bn&n=2&c=4&h=2&w=2&g=4&cell=1,2,0,0'
    >>> explorer.norm = "layer"
    Traceback (most recent call last):
        ...
    traitlets.traitlets.TraitError: norm is 'layer'; expected 'bn', 'ln', 'in', 'gn' or 'ln-pytorch'
    """

    _esm = module()
    norm, n, c, h, w, g, cell, view, show, task, theme = (
        traitlets.TraitType().tag(sync=True) for _ in FIELDS
    )

    def __init__(
        self,
        norm: str = "gn",
        n: int = 2,
        c: int = 6,
        h: int = 2,
        w: int = 2,
        g: int | None = None,
        cell: Sequence[int] = (0, 0, 0, 0),
        view: str = "block",
        show: str = "mean",
        task: str = "",
        theme: str = "auto",
    ) -> None:
        try:
            state = state_of(norm, n, c, h, w, g, cell, view, show, task, theme)
        except ValueError as error:
            raise traitlets.TraitError(str(error)) from None
        super().__init__(**state.fields())

    @property
    def state(self) -> State:
        """All fields as they are now."""
        return State(**{name: getattr(self, name) for name in FIELDS})

    @property
    def address(self) -> str:
        """What follows the name of the explorer's page in an address that shows the same."""
        return self.state.address

    @traitlets.validate(*FIELDS)  # type: ignore[untyped-decorator]
    def _check(self, proposal: Any) -> Any:
        """The value as it is kept, or one sentence."""
        name, value = proposal["trait"].name, proposal["value"]
        try:
            if name in LIMITS:
                return check_size(name, value)
            if name == "g":
                return check_groups(value, self.c)
            return check_cell(value, self._shape) if name == "cell" else check_choice(name, value)
        except ValueError as error:
            raise traitlets.TraitError(str(error)) from None

    @traitlets.observe(*LIMITS)  # type: ignore[untyped-decorator]
    def _follow(self, _: Any) -> None:
        """Another block: keep G a divisor, and the cell inside."""
        self.g = nearest_groups(self.g, self.c)
        self.cell = inside(self.cell, self._shape)

    @property
    def _shape(self) -> tuple[int, ...]:
        return tuple(getattr(self, axis) for axis in LIMITS)

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The widget, and for places that show none: HTML that a page can bring to life, a picture, words."""
        data, metadata = super()._repr_mimebundle_(**kwargs)
        data |= {"text/plain": alternative(self.state), "text/html": division(self.state)}
        with suppress(MissingExtraError):
            data["image/png"] = png(self.state)
        return data, metadata
