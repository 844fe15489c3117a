"""Draw the README's figures into docs/images; with --check, only say whether they are up to date."""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from gnref.teaching.plots import draw_blocks, save

IMAGES = Path(__file__).parents[1] / "docs" / "images"
THEMES = {"axes-light.svg": "light", "axes-dark.svg": "dark"}


def main() -> int:
    """Return 1 if --check finds a difference, else 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="fail if a figure differs from what would be drawn"
    )
    if parser.parse_args().check:
        with TemporaryDirectory() as folder:
            draw(Path(folder))
            old = [name for name in THEMES if not same(IMAGES / name, Path(folder) / name)]
        for name in old:
            print(
                f"docs/images/{name} is not what the code draws: run tools/make_figures.py", file=sys.stderr
            )
        return 1 if old else 0
    IMAGES.mkdir(parents=True, exist_ok=True)
    draw(IMAGES)
    return 0


def draw(folder: Path) -> None:
    """Write all figures into a folder."""
    for name, theme in THEMES.items():
        save(draw_blocks((4, 6, 3, 3), num_groups=2, theme=theme), folder / name, overwrite=True)


def same(a: Path, b: Path) -> bool:
    """Whether two files hold the same text; a missing one never does."""
    return a.exists() and a.read_text(encoding="utf-8") == b.read_text(encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
