"""Check the frameworks, and put the tables into docs/conformance/frameworks.md.

python tools/conformance_table.py            checks all that RUNS names, in about an hour
python tools/conformance_table.py FILE ...   takes what `gnref check TARGET... --json FILE` wrote
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "conformance" / "frameworks.md"
BEGIN, END = "<!-- tables of gnref check -->", "<!-- end of the tables -->"
CELLS = {
    "not asked": "",
    "unsupported": "outside",
    "refused": "refused",
    "not run": "not run",
    "skipped": "skipped",
    "empty": "",
}
NORMS = ("batch", "instance", "group", "layer", "rms")
NARROW = {"float16", "bfloat16"}
RUNS = {  # by the file's name; what compiles for every shape gets fewer examples
    "quick": ("torch", "onnxruntime", "openvino"),
    "compiled": ("torch.compile", "jax", "flax", "--max-examples", "12"),
}


def checked() -> list[Path]:
    """Run the checks; return the files that they wrote."""
    files = []
    for name, arguments in RUNS.items():
        files.append(ROOT / "build" / f"{name}.json")
        files[-1].parent.mkdir(exist_ok=True)
        command = [
            str(Path(sys.executable).with_name("gnref")),
            "check",
            *arguments,
            "--json",
            str(files[-1]),
        ]
        if (code := subprocess.run(command, check=False).returncode) > 1:  # 1: something failed, as it may
            raise SystemExit(code)
    return files


def tables(reports: list[dict[str, Any]]) -> str:
    """The versions, then a table for each norm: properties down, frameworks across."""
    lines = [f"gnref {reports[0]['gnref']}; {', '.join(versions(reports))}.", ""]
    for norm in NORMS:
        own = [report for report in reports if report["norm"] == norm]
        if own:
            lines += [f"### {norm} norm", "", *table(own), ""]
    return "\n".join(lines).rstrip()


def versions(reports: list[dict[str, Any]]) -> list[str]:
    """The frameworks, each with the targets that are it and how many examples they got."""
    found: dict[str, dict[str, int]] = {}
    for report in reports:
        settings = report["settings"]
        found.setdefault(settings["version"], {})[report["target"]] = settings["max_examples"]
    told = []
    for version, counts in found.items():
        several = [f"{target} {count}" if len(counts) > 1 else str(count) for target, count in counts.items()]
        told.append(f"{version} ({', '.join(several)} examples)")
    return told


def table(reports: list[dict[str, Any]]) -> list[str]:
    """One norm: what holds, and the grades."""
    by_name = [{row["property"]: row for row in report["results"]} for report in reports]
    names = dict.fromkeys(name for rows in by_name for name in rows)
    lines = [
        f"| property | {' | '.join(report['target'] for report in reports)} |",
        f"|---|{'---|' * len(reports)}",
    ]
    told = {name: [cell(rows.get(name)) for rows in by_name] for name in names}
    lines += [f"| {name} | {' | '.join(cells)} |" for name, cells in told.items() if any(cells)]
    dtypes = dict.fromkeys(dtype for report in reports for dtype in report["grades"])
    for what, heading in (("accuracy", "accuracy"), ("range", "scales up to")):
        for dtype in dtypes:
            cells = [grade(report["grades"].get(dtype, {}).get(what, "")) for report in reports]
            lines.append(f"| *{heading}, {dtype}* | {' | '.join(cells)} |")
    shares = [share(report["excluded"]) if report["excluded"] else "" for report in reports]
    return [*lines, f"| *problems outside its domain* | {' | '.join(shares)} |"]


def cell(row: dict[str, Any] | None) -> str:
    """One property of one framework."""
    if row is None:
        return ""
    if row["status"] == "failed":
        seen = set(row["fails_in"])
        return "**fails** in 16 bits" if seen and seen <= NARROW else "**fails**"
    return CELLS.get(row["status"], "holds")


def grade(value: str | float) -> str:
    """A letter, or a scale as a power of ten."""
    return value if isinstance(value, str) else f"{value:.0e}" if value else "none"


def share(part: float) -> str:
    """A share in percent."""
    return ">99%" if part > 0.99 else f"{part:.0%}"


def main() -> None:
    """Replace what stands between the marks."""
    files = [Path(name) for name in sys.argv[1:]] or checked()
    reports = [r for file in files for r in json.loads(file.read_text(encoding="utf-8"))["reports"]]
    text = PAGE.read_text(encoding="utf-8")
    found = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    PAGE.write_text(found.sub(lambda _: f"{BEGIN}\n{tables(reports)}\n{END}", text), encoding="utf-8")


if __name__ == "__main__":
    main()
