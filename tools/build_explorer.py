"""Make gnref/teaching/explorer/explorer.min.js, the module as shipped, from explorer.js and js/ beside it.

    python tools/build_explorer.py           # needs npm: esbuild goes into a temporary folder
    python tools/build_explorer.py --check   # is it made from these sources? needs nothing

One module without imports, small enough to stand in every notebook. Its first line names the SHA-256 of its
sources, so that a test finds sources that were edited and not built.
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "gnref" / "teaching" / "explorer"
ENTRY, SHIPPED = FOLDER / "explorer.js", FOLDER / "explorer.min.js"
ESBUILD = "esbuild@0.28.2"  # pinned: the same sources give the same bytes
OPTIONS = ["--bundle", "--minify", "--format=esm", "--target=es2022", "--charset=utf8"]
LIMIT = 30_000


def first_line():
    """The first line of a module that is made from the sources as they are now."""
    sources = [ENTRY, *sorted(FOLDER.glob("js/*.js"))]
    # Git may give a file the line ends of the system.
    text = b"".join(path.read_bytes().replace(b"\r\n", b"\n") for path in sources)
    digest = hashlib.sha256(text).hexdigest()
    return f"/* gnref's axis explorer: made by tools/build_explorer.py, read explorer.js. SHA-256 {digest} */"


def minified():
    """The sources as one module, without comments and with short names."""
    npm = shutil.which("npm")
    if npm is None:
        sys.exit("npm was not found; expected Node.js with npm, from which this gets esbuild")
    with tempfile.TemporaryDirectory() as folder:
        quiet = ["--silent", "--no-audit", "--no-fund", "--no-save"]
        subprocess.run([npm, "install", *quiet, "--prefix", folder, ESBUILD], check=True)
        (esbuild,) = Path(folder, "node_modules", ".bin").glob("esbuild")
        done = subprocess.run([esbuild, ENTRY, *OPTIONS], check=True, capture_output=True)
    return done.stdout.decode("utf-8").strip()


def stale():
    """Whether the module as shipped was made from other sources."""
    return not SHIPPED.exists() or SHIPPED.read_text(encoding="utf-8").split("\n")[0] != first_line()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="only say whether it is made from these sources")
    if parser.parse_args().check:
        sys.exit(f"{SHIPPED.name} is older than its sources: run {Path(__file__).name}" if stale() else 0)
    SHIPPED.write_text(f"{first_line()}\n{minified()}\n", encoding="utf-8", newline="\n")
    size = SHIPPED.stat().st_size
    print(f"{SHIPPED.name}: {size:,} bytes")
    sys.exit(f"that is above {LIMIT:,} bytes" if size > LIMIT else 0)


if __name__ == "__main__":
    main()
