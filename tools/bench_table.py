"""Put the table of `gnref bench --json FILE` into the README: python tools/bench_table.py FILE."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- table of gnref bench -->", "<!-- end of the table -->"
NAMES = {
    "numpy": "NumPy",
    "torch": "PyTorch",
    "compile": "torch.compile",
    "jax": "JAX",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
}
MARK = 0.95  # as in `gnref.bench.results`


def table(record: dict[str, Any]) -> str:
    """The machine, what all rows say together, and every row, in Markdown."""
    rows = record["rows"]
    pairs = [(f, b) for f in rows for b in rows if is_pair(f, b)]
    head = "| norm | x | forward, ms | fastest other | limit | backward, ms | fastest other | limit |"
    lines = [
        machine(record),
        "",
        *overall(record["summary"]),
        "",
        "<details><summary>Every row</summary>",
        "",
    ]
    lines += [head, "|---|---|--:|--:|--:|--:|--:|--:|"]
    lines += [f"| {f['norm']} | {name(f)} | {numbers(f)} | {numbers(b)} |" for f, b in pairs]
    return "\n".join([*lines, "", "</details>"])


def is_pair(forward: dict[str, Any], backward: dict[str, Any]) -> bool:
    """Whether two rows are the two directions of one problem."""
    same = ("norm", "shape", "dtype", "channel_axis", "num_groups", "normalized_shape")
    directions = forward["direction"], backward["direction"]
    return directions == ("forward", "backward") and all(forward[key] == backward[key] for key in same)


def machine(record: dict[str, Any]) -> str:
    """What it was measured on, and with what."""
    m = record["machine"]
    versions = ", ".join(f"{NAMES.get(library, library)} {v}" for library, v in m["versions"].items())
    return f"{m['processor']}, {m['cores']} cores, {m['threads']} threads ({m['threading']}); {versions}."


def overall(summary: dict[str, Any]) -> list[str]:
    """Geometric means, the worst, and how many rows fall behind."""
    lines = [
        "| | rows | PyTorch | fastest other | least | behind | limit | least |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for part, found in summary.items():
        torch, fastest, share = (found[key] or {} for key in ("torch", "fastest", "share"))
        cells = [part, fastest.get("rows"), torch.get("mean"), fastest.get("mean"), fastest.get("worst")]
        cells += [found["marked"], percent(share.get("mean")), percent(share.get("worst"))]
        lines.append("| " + " | ".join(map(cell, cells)) + " |")
    return lines


def cell(value: Any) -> str:
    """What stands in a table."""
    return "" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)


def percent(share: float | None) -> str | None:
    """A share, for people."""
    return None if share is None else f"{share:.0%}"


def name(row: dict[str, Any]) -> str:
    """Shape, dtype and layout."""
    words = ["x".join(map(str, row["shape"])).replace("x", " x ")]
    words += [row["dtype"]] if row["dtype"] != "float32" else []
    return " ".join(words + ["channels last"] * (row["channel_axis"] == -1))


def numbers(row: dict[str, Any]) -> str:
    """gnref's time, the fastest other's over it, and the share of the limit."""
    ratio = row["ratios"].get(row["fastest"]) if row["fastest"] else None
    other = "" if ratio is None else f"{ratio:.2f} {NAMES.get(row['fastest'], row['fastest'])}"
    other = f"**{other}**" if ratio is not None and ratio < MARK else other
    return f"{1e3 * row['gnref']['median']:.3g} | {other} | {percent(row['share_of_limit']) or ''}"


def main() -> None:
    """Replace the table in the README."""
    record = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    text = README.read_text(encoding="utf-8")
    pattern = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    if not pattern.search(text):
        raise SystemExit(f"README.md has no {BEGIN} ... {END} to replace")
    new = f"{BEGIN}\n{table(record)}\n{END}"
    README.write_text(pattern.sub(lambda _: new, text), encoding="utf-8")


if __name__ == "__main__":
    main()
