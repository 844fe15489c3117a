"""Put the tables of `gnref check TARGET... --json FILE` into docs/conformance/frameworks.md.

gnref check torch jax flax onnxruntime openvino --json FILE
python tools/conformance_table.py FILE
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "docs" / "conformance" / "frameworks.md"
BEGIN, END = "<!-- tables of gnref check -->", "<!-- end of the tables -->"
CELLS = {"not asked": "", "unsupported": "outside", "not run": "not run", "skipped": "skipped", "empty": ""}
NORMS = ("batch", "instance", "group", "layer", "rms")


def tables(reports: list[dict[str, Any]]) -> str:
    """The versions, then a table for each norm: properties down, frameworks across."""
    versions = dict.fromkeys(report["settings"]["version"] for report in reports)
    lines = [f"gnref {reports[0]['gnref']}; {', '.join(version for version in versions if version)}.", ""]
    for norm in NORMS:
        own = [report for report in reports if report["norm"] == norm]
        if own:
            lines += [f"### {norm} norm", "", *table(own), ""]
    return "\n".join(lines).rstrip()


def table(reports: list[dict[str, Any]]) -> list[str]:
    """One norm: what holds, and the grades."""
    by_name = [{row["property"]: row for row in report["results"]} for report in reports]
    names = dict.fromkeys(name for rows in by_name for name in rows)
    lines = [
        f"| property | {' | '.join(report['target'] for report in reports)} |",
        f"|---|{'---|' * len(reports)}",
    ]
    lines += [f"| {name} | {' | '.join(cell(rows.get(name)) for rows in by_name)} |" for name in names]
    dtypes = dict.fromkeys(dtype for report in reports for dtype in report["grades"])
    for what in ("accuracy", "range"):
        for dtype in dtypes:
            told = [report["grades"].get(dtype, {}).get(what, "") for report in reports]
            shown = [f"{t:.0e}" if isinstance(t, float) else t for t in told]
            lines.append(
                f"| *{'accuracy' if what == 'accuracy' else 'scales up to'}, {dtype}* | {' | '.join(shown)} |"
            )
    shares = [f"{report['excluded']:.0%}" if report["excluded"] else "" for report in reports]
    return [*lines, f"| *problems outside its domain* | {' | '.join(shares)} |"]


def cell(row: dict[str, Any] | None) -> str:
    """One property of one framework."""
    if row is None:
        return ""
    if row["status"] == "failed":
        return "**fails**"
    return CELLS.get(row["status"], "holds")


def main() -> None:
    """Replace what stands between the marks."""
    reports = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["reports"]
    text = PAGE.read_text(encoding="utf-8")
    found = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    PAGE.write_text(found.sub(lambda _: f"{BEGIN}\n{tables(reports)}\n{END}", text), encoding="utf-8")


if __name__ == "__main__":
    main()
