"""The tutorials as notebooks: where they are, and a copy of them to work in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import gnref
from gnref.errors import MissingExtraError

HERE = Path(__file__).parent
HOMES = (HERE / "tutorials", HERE.parents[1] / "tutorials")  # in an installed package, in a checkout


class Copied(NamedTuple):
    """What became of one notebook."""

    path: Path  # the reader's
    new: bool  # False if a file was there, which stays as it is
    beside: Path | None = None  # the present edition, if the reader's is another one


def notebooks() -> list[Path]:
    """Return the notebooks that come with gnref, in order.

    Raises
    ------
    FileNotFoundError
        There are none, as in a checkout where `make notebooks` never ran.
    """
    for home in HOMES:
        found = sorted(home.glob("[0-9][0-9]_*.ipynb"))
        if found:
            return found
    raise FileNotFoundError("gnref came without its notebooks; install it anew, or run make notebooks")


def copy_notebooks(folder: Path) -> list[Copied]:
    """Copy the notebooks into a folder, where no file is ever overwritten.

    A notebook that is there already stays as it is. If it was copied from another edition of the
    tutorial, the present one is put beside it, with gnref's version in its name.

    Parameters
    ----------
    folder : Path
        It need not exist.

    Returns
    -------
    copied : list of Copied
        One for each notebook, in order.

    Raises
    ------
    ValueError
        The folder is a file, or is where the originals are.
    """
    sources = notebooks()
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"the folder is {str(folder)!r}, which is a file; expected a folder")
    if folder.resolve() == sources[0].parent.resolve():
        raise ValueError(f"the folder is {str(folder)!r}, where the originals are; expected another one")
    folder.mkdir(parents=True, exist_ok=True)
    return [_copy(source, folder / source.name) for source in sources]


def open_lab(notebook: Path, browser: bool = True) -> None:
    """Run JupyterLab in the folder of a notebook, with that notebook open, until it is stopped."""
    try:
        from jupyterlab.labapp import main
    except ImportError as error:
        raise MissingExtraError("the tutorials need jupyterlab: pip install 'gnref[tutorials]'") from error
    main([str(notebook.absolute()), *([] if browser else ["--no-browser"])])


def story(copied: Sequence[Copied], folder: Path) -> list[str]:
    """Return lines that tell what was copied, and what was left alone.

    Examples
    --------
    >>> story([Copied(Path("t/01.ipynb"), True), Copied(Path("t/02.ipynb"), False)], Path("t"))
    ['1 notebook copied to t; 1 was there and stays as it is']
    """
    new = sum(one.new for one in copied)
    old = len(copied) - new
    kept = f"; {old} {'was there and stays as it is' if old == 1 else 'were there and stay as they are'}"
    lines = [f"{new} notebook{'' if new == 1 else 's'} copied to {folder}{kept if old else ''}"]
    for path, _, beside in copied:
        if beside is not None:
            lines.append(f"{path.name} is of another edition; the present one is beside it, {beside.name}")
    return lines


def _copy(source: Path, target: Path) -> Copied:
    """Copy one notebook, unless it is there; beside it, if what is there is of another edition."""
    if not target.exists():
        _write(source, target)
        return Copied(target, new=True)
    edition = _edition(source)
    if _edition(target) == edition:
        return Copied(target, new=False)
    beside = target.with_name(f"{target.stem}-{gnref.__version__}.ipynb")
    if beside.exists() and _edition(beside) != edition:  # two editions of one version, or a file of theirs
        beside = target.with_name(f"{target.stem}-{edition}.ipynb")
    if not beside.exists():
        _write(source, beside)
    return Copied(target, new=False, beside=beside)


def _write(source: Path, target: Path) -> None:
    """Copy the text alone: what is installed may be read-only, a reader's copy is not."""
    with target.open("xb") as file:  # x: fails if it exists
        file.write(source.read_bytes())


def _edition(path: Path) -> str | None:
    """The edition that build_notebooks.py wrote into a notebook, which Jupyter keeps when it saves."""
    try:
        edition = json.loads(path.read_text(encoding="utf-8"))["metadata"]["gnref"]["edition"]
    except (ValueError, KeyError, TypeError):
        return None  # not a notebook of ours any more: the reader's own
    return str(edition)
