"""Build the site into build/site: python tools/build_site.py (GNREF_DOCS_EXECUTE=0: tutorials unexecuted).

The pages are collected in build/source: docs/, the tutorials, the README, and what the code draws. MathJax
comes from npm once, into build/mathjax, and is served from the site itself like all else. Arguments go
to Sphinx.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import site_figures
from build_notebooks import write_homework

from gnref.teaching.explorer import save_explorer_page

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build"
SOURCE = BUILD / "source"  # laid out like the repository, so that relative paths hold
DOCS = SOURCE / "docs"
SITE = BUILD / "site"
MATHJAX = "mathjax@3.2.2"
MATHJAX_FILES = (
    "tex-chtml.js",
    "input/tex/extensions",
    "output/chtml/fonts/woff-v2",
    "ui",
    "a11y/assistive-mml.js",
)
LINK = re.compile(r"\[([^\]]+)\]\((?:\.\./)?(?:tutorials/)?(\d\d_\w+)\)")  # to a tutorial
ELSEWHERE = re.compile(r"\[([^\]]+)\]\(\.\./\.\./[^)]+\)")  # to a file of the repository that is no page


def main() -> int:
    """Return Sphinx's exit code."""
    mathjax = fetch_mathjax()
    collect(mathjax)
    shutil.rmtree(SITE, ignore_errors=True)
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", "--fresh-env"]
    command += ["--builder", "html", "--doctree-dir", str(BUILD / "doctrees"), *sys.argv[1:]]
    command += [str(DOCS), str(SITE)]
    code = subprocess.run(command, check=False).returncode
    if code == 0:
        print(f"The site is in {SITE.relative_to(ROOT)}: open index.html there")
    return code


def fetch_mathjax() -> Path:
    """Return the folder of MathJax, fetched by npm if it is not there."""
    folder = BUILD / "mathjax" / "package" / "es5"
    if folder.exists():
        return folder
    if shutil.which("npm") is None:
        raise SystemExit("npm was not found; expected Node.js with npm, from which the site gets MathJax")
    folder.parents[1].mkdir(parents=True, exist_ok=True)
    packed = subprocess.run(
        [shutil.which("npm") or "npm", "pack", MATHJAX, "--json", "--loglevel=error"],
        cwd=folder.parents[1],
        check=True,
        capture_output=True,
        text=True,
    )
    shutil.unpack_archive(folder.parents[1] / json.loads(packed.stdout)[0]["filename"], folder.parents[1])
    return folder


def collect(mathjax: Path) -> None:
    """Lay out build/source: what Sphinx reads."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    shutil.copytree(ROOT / "docs", DOCS, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "README.md", SOURCE)
    for path in MATHJAX_FILES:
        copy = shutil.copytree if (mathjax / path).is_dir() else shutil.copy
        (DOCS / "_static/mathjax" / path).parent.mkdir(parents=True, exist_ok=True)
        copy(mathjax / path, DOCS / "_static/mathjax" / path)
    shutil.copy(mathjax.parent / "LICENSE", DOCS / "_static/mathjax")
    collect_tutorials(DOCS / "tutorials", DOCS / "_extra" / "notebooks")
    collect_explorer(DOCS / "_static", DOCS / "_extra")
    collect_homework(DOCS / "_extra" / "download")
    site_figures.draw_all(DOCS)
    mend_links(DOCS)


def collect_tutorials(pages: Path, notebooks: Path) -> None:
    """The sources as pages, the notebooks beside them to be downloaded."""
    notebooks.mkdir(parents=True)
    for path in sorted((ROOT / "tutorials").glob("[0-9]*.py")):
        shutil.copy(path, pages)
        if path.with_suffix(".ipynb").exists():
            shutil.copy(path.with_suffix(".ipynb"), notebooks)


def collect_homework(downloads: Path) -> None:
    """The notebooks without their solutions, for teachers."""
    with TemporaryDirectory() as folder:
        write_homework(ROOT / "tutorials", Path(folder))
        shutil.copy(ROOT / "tutorials" / "LICENSE.md", folder)
        shutil.make_archive(str(downloads / "gnref-homework"), "zip", folder)


def mend_links(docs: Path) -> None:
    """Leave the words of a link where its target has no page: files of the repository, tutorials to come."""
    there = {path.stem for path in (docs / "tutorials").glob("[0-9]*.py")}
    for path in [*docs.rglob("*.md"), *(docs / "tutorials").glob("*.py")]:
        old = path.read_text(encoding="utf-8")
        new = LINK.sub(lambda link: link[0] if link[2] in there else link[1], old)
        new = ELSEWHERE.sub(r"\1", new)
        if new != old:
            path.write_text(new, encoding="utf-8")


def collect_explorer(static: Path, extra: Path) -> None:
    """The module, what mounts it, and the page that needs nothing beside it."""
    for name in ("explorer.min.js", "host.js"):
        shutil.copy(ROOT / "gnref" / "teaching" / "explorer" / name, static)
    (extra / "download").mkdir(parents=True)
    save_explorer_page(extra / "download" / "gnref-explorer.html")


if __name__ == "__main__":
    sys.exit(main())
