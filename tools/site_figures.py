"""What the code draws for the site: the colours as CSS, the blocks of the front page, sheets to print."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from gnref.teaching.oblique import block_of, faces
from gnref.teaching.palette import HUES, NAMES, THEMES, fill
from gnref.teaching.plots import draw_blocks, save
from gnref.teaching.sets import FOUR, describe, set_numbers

SHAPE, GROUPS = (3, 6, 2, 2), 2
SHORT = {"batch": "bn", "layer": "ln", "instance": "in", "group": "gn"}
OVER = {
    "batch": "N, H, W",
    "layer": "C, H, W",
    "instance": "H, W",
    "group": "H, W and the channels of a group",
}
SHEETS: dict[str, tuple[str, dict[str, Any]]] = {  # to print: what it is, and the arguments of draw_blocks
    "four-norms": ("All four norms", {"shape": (4, 6, 3, 3), "num_groups": 2}),
    "four-small": ("All four, of a block small enough to count", {"shape": (2, 4, 2, 2), "num_groups": 2}),
    "batch": ("BatchNorm", {"shape": (4, 6, 3, 3), "norms": ("batch",)}),
    "layer": ("LayerNorm", {"shape": (4, 6, 3, 3), "norms": ("layer",)}),
    "instance": ("InstanceNorm", {"shape": (4, 6, 3, 3), "norms": ("instance",)}),
    "group": ("GroupNorm", {"shape": (4, 6, 3, 3), "norms": ("group",), "num_groups": 2}),
    "group-1": ("G = 1: LayerNorm's sets", {"shape": (4, 6, 3, 3), "norms": ("group",), "num_groups": 1}),
    "group-3": ("G = 3", {"shape": (4, 6, 3, 3), "norms": ("group",), "num_groups": 3}),
    "group-6": ("G = C: InstanceNorm's sets", {"shape": (4, 6, 3, 3), "norms": ("group",), "num_groups": 6}),
}
BLANK = "For pencils: colour the cells of the first set, and fill in the blanks"


def draw_all(docs: Path) -> None:
    """Write everything below a folder of pages."""
    figures, generated = docs / "_static" / "figures", docs / "_generated"
    for folder in (figures, generated):
        folder.mkdir(parents=True, exist_ok=True)
    (docs / "_static" / "palette.css").write_text(palette_css(), encoding="utf-8")
    (generated / "four-blocks.html").write_text(four_blocks(), encoding="utf-8")
    (figures / "block.svg").write_text(standalone("group"), encoding="utf-8")
    for name, (_, arguments) in SHEETS.items():
        write(draw_blocks(**arguments), figures / name)
    write(blank_sheet(), figures / "blank")
    (generated / "sheets.html").write_text(sheets(), encoding="utf-8")


def write(figure: Any, path: Path) -> None:
    """As SVG for pages and as PDF for paper."""
    save(figure, path.with_suffix(".svg"), overwrite=True)
    figure.savefig(
        path.with_suffix(".pdf"), metadata={"CreationDate": None, "Creator": None, "Producer": None}
    )


def palette_css() -> str:
    """The colours of `gnref.teaching.palette` as variables, for light pages and dark ones."""
    dark = variables("dark")
    return (
        "/* Written from gnref/teaching/palette.py. */\n"
        f"body {{{variables('light')}}}\n"
        f'@media not print {{\nbody[data-theme="dark"] {{{dark}}}\n'
        f'@media (prefers-color-scheme: dark) {{ body:not([data-theme="light"]) {{{dark}}} }}\n}}\n'
    )


def variables(theme: str) -> str:
    """One theme's: --batch, its two tints --batch-0 and --batch-1, and so on."""
    page = THEMES[theme]
    named = {"paper": page.background, "ink": page.ink, "muted": page.muted}
    for norm in FOUR:
        named[norm] = HUES[theme][norm]
        named |= {f"{norm}-{tint}": fill(norm, tint, theme) for tint in (0, 1)}
    return " ".join(f"--{name}: {colour};" for name, colour in named.items())


def four_blocks() -> str:
    """The four norms as links to the explorer, each with its block."""
    cards = []
    for norm in FOUR:
        sets = describe(norm, SHAPE, GROUPS)
        N, C, H, W = SHAPE
        query = urlencode({"norm": SHORT[norm], "n": N, "c": C, "h": H, "w": W, "g": GROUPS})
        cards.append(
            f'<a class="block-card {norm}" href="explorer.html?{escape(query)}">\n{drawn(norm)}\n'
            f'<span class="name">{NAMES[norm]}</span>\n'
            f'<span class="over">mean over {OVER[norm]}</span>\n'
            f'<span class="tally">{sets.tally}</span>\n</a>'
        )
    return '<div class="four-blocks">\n' + "\n".join(cards) + "\n</div>\n"


def drawn(norm: str) -> str:
    """A block as SVG; the page's style colours it, by the classes of its faces."""
    block = block_of(SHAPE)
    width, height = block.extent
    numbers = set_numbers(norm, SHAPE, GROUPS).reshape(*SHAPE[:2], -1)
    sets = describe(norm, SHAPE, GROUPS)
    shapes = []
    for face in faces(block):
        number = int(numbers[face.cell])
        tone = "own" if number == 0 else f"tint{sets.tint(number)}"
        points = " ".join(f"{x:.2f},{height - y:.2f}" for x, y in face.corners)
        shapes.append(f'<polygon class="{tone} {face.side}" points="{points}"/>')
    label = f"{NAMES[norm]}: the cells of the first set in full colour"
    box = f"-0.05 -0.05 {width + 0.1:.2f} {height + 0.1:.2f}"
    return f'<svg viewBox="{box}" role="img" aria-label="{label}">{"".join(shapes)}</svg>'


def standalone(norm: str) -> str:
    """A block that needs no page around it, on light and dark alike: what stands where scripts are off."""
    style = (
        f".own{{fill:{HUES['light'][norm]}}}.tint0{{fill:{fill(norm, 0)}}}.tint1{{fill:{fill(norm, 1)}}}"
        "polygon{stroke:#fff;stroke-width:.03}"
    )
    svg = drawn(norm).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" width="640" height="400" ', 1)
    return svg.replace("><polygon", f"><style>{style}</style><polygon", 1)


def sheets() -> str:
    """All sheets, each with its two files."""
    cards = []
    for name, what in [("blank", BLANK), *((name, what) for name, (what, _) in SHEETS.items())]:
        path = f"../_static/figures/{name}"
        wide = " wide" if name in ("blank", "four-norms", "four-small") else ""
        cards.append(
            f'<figure class="sheet{wide}"><img src="{path}.svg" alt="{what}" loading="lazy">\n'
            f'<figcaption>{what} <span><a href="{path}.svg">SVG</a> <a href="{path}.pdf">PDF</a></span>'
            "</figcaption></figure>"
        )
    return '<div class="sheets">\n' + "\n".join(cards) + "\n</div>\n"


def blank_sheet() -> Any:
    """Four blocks without colours: for pencils."""
    from matplotlib.collections import PolyCollection
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 8.0), facecolor="white")
    block = block_of((3, 6, 2, 2))
    width, height = block.extent
    for place, norm in enumerate(FOUR):
        ax = figure.add_axes((0.03 + 0.49 * (place % 2), 0.53 - 0.49 * (place // 2), 0.45, 0.40))
        cells = [face.corners for face in faces(block)]
        ax.add_collection(PolyCollection(cells, facecolors="white", edgecolors="#59636E", linewidths=0.9))
        ax.set(xlim=(-1.5, width + 1.0), ylim=(-0.9, height + 0.2), aspect="equal")
        ax.set_axis_off()
        title = NAMES[norm] + (", G = 2" if norm == "group" else "")
        ax.set_title(f"{title}:  _____ means of _____ elements", fontsize=12, pad=12)
        for (x, y), text in zip(names_at(block), ("C = 6", "H·W = 4", "N = 3"), strict=True):
            ax.text(x, y, text, ha="center", va="center", fontsize=10, color="#59636E")
    return figure


def names_at(block: Any) -> list[tuple[float, float]]:
    """Where the names of the three axes stand, beside the block."""
    right, up, _ = block.edges
    return [(right / 2, -0.4), (-0.85, up / 2), (right + 1.5, 0.25)]
