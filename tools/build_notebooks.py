"""Write tutorials/NN_name.ipynb from tutorials/NN_name.py: no outputs, and the same bytes on every run.

python tools/build_notebooks.py                  write all of them
python tools/build_notebooks.py --check          only say which are not what their sources say
python tools/build_notebooks.py --homework DIR   write them into DIR without the folded solutions
"""

import argparse
import re
import sys
from collections import Counter
from hashlib import sha256
from pathlib import Path

import jupytext
import nbformat

TUTORIALS = Path(__file__).parents[1] / "tutorials"
LINK = re.compile(r"\]\((\d\d_\w+)(#[\w-]+)?\)")  # [tutorial 3](03_one_reshape)
SOLUTION = re.compile(r"<details>\s*<summary>Solution</summary>.*?</details>", re.DOTALL)
KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def main(argv: list[str] | None = None) -> int:
    """Return 0, or 1 if a notebook is stale (--check) or was left alone (--homework)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--check", action="store_true", help="say which are stale, write nothing")
    group.add_argument("--homework", type=Path, metavar="DIR", help="no solutions; overwrites nothing")
    arguments = parser.parse_args(argv)
    try:
        if arguments.homework:
            return write_homework(TUTORIALS, arguments.homework)
        return check(TUTORIALS) if arguments.check else write(TUTORIALS)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1


def write(folder: Path) -> int:
    """Write the notebook of every source in a folder."""
    for source in sources(folder):
        save(notebook(source), source.with_suffix(".ipynb"))
    return 0


def check(folder: Path) -> int:
    """Say which notebooks are not what would be written; return 1 if there are any."""
    wanted = {source.with_suffix(".ipynb"): text_of(notebook(source)) for source in sources(folder)}
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_bytes() != text]
    for path in stale:
        print(f"tutorials/{path.name} is not what {path.stem}.py says: run make notebooks", file=sys.stderr)
    orphans = sorted(set(folder.glob("*.ipynb")) - set(wanted))
    for path in orphans:
        print(f"tutorials/{path.name} has no {path.stem}.py: delete it", file=sys.stderr)
    return 1 if stale or orphans else 0


def write_homework(folder: Path, to: Path) -> int:
    """Write notebooks without solutions; return 1 if one was there already, and stays as it is."""
    if to.exists() and not to.is_dir():
        raise ValueError(f"--homework is {str(to)!r}, a file; expected a folder")
    to.mkdir(parents=True, exist_ok=True)
    paths = {source: to / f"{source.stem}.ipynb" for source in sources(folder)}
    kept = [path for path in paths.values() if path.exists()]
    for source, path in paths.items():
        if path not in kept:
            save(notebook(source, solutions=False), path)
    for path in kept:
        print(f"{path} exists already and stays as it is", file=sys.stderr)
    return 1 if kept else 0


def sources(folder: Path) -> list[Path]:
    """The hand-written sources, in order."""
    return sorted(folder.glob("[0-9][0-9]_*.py"))


def notebook(source: Path, solutions: bool = True) -> nbformat.NotebookNode:
    """The notebook of one source."""
    read = jupytext.reads(source.read_text(encoding="utf-8"), fmt="py:percent")
    names = {path.stem for path in sources(source.parent)}
    cells, seen = [], Counter()
    for old in read.cells:
        text = link(old.source, names, source.name) if old.cell_type == "markdown" else old.source
        text = text if solutions else SOLUTION.sub("", text).strip("\n")
        if not text:
            continue
        key = f"{source.stem}\n{old.cell_type}\n{text}"
        seen[key] += 1
        cells.append(cell(old, text, sha256(f"{key}\n{seen[key]}".encode()).hexdigest()[:8]))
    # By its edition `gnref tutorials` tells a reader's copy of this notebook from one of an older one.
    edition = sha256("".join(cell.id for cell in cells).encode()).hexdigest()[:8]
    metadata = {"gnref": {"edition": edition}, "kernelspec": KERNEL, "language_info": {"name": "python"}}
    made = nbformat.v4.new_notebook(cells=cells, metadata=metadata)
    made.nbformat_minor = 5  # the first with cell ids
    return made


def cell(old: nbformat.NotebookNode, text: str, name: str) -> nbformat.NotebookNode:
    """A cell with its tags, and an id that changes only with its own text."""
    make = {"code": nbformat.v4.new_code_cell, "markdown": nbformat.v4.new_markdown_cell}[old.cell_type]
    tags = old.metadata.get("tags")
    metadata = {"tags": tags} if tags else {}
    if "hide-input" in (tags or ()):  # the site's tag; this is JupyterLab's word for it
        metadata["jupyter"] = {"source_hidden": True}
    return make(text, id=name, metadata=metadata)


def link(text: str, names: set[str], where: str) -> str:
    """Links to tutorials, which the site resolves by name, as links to notebooks."""
    unknown = [name for name, _ in LINK.findall(text) if name not in names]
    if unknown:
        known = ", ".join(sorted(names))
        raise ValueError(f"tutorials/{where} links to {unknown[0]!r}; expected one of {known}")
    return LINK.sub(r"](\1.ipynb\2)", text)


def save(made: nbformat.NotebookNode, path: Path) -> None:
    """Write the file, with the same line ends on every system."""
    path.write_bytes(text_of(made))


def text_of(made: nbformat.NotebookNode) -> bytes:
    """The bytes of the file."""
    nbformat.validate(made)
    return f"{nbformat.writes(made)}\n".encode()


if __name__ == "__main__":
    sys.exit(main())
