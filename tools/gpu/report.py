"""What was found as tables, for a file and for the terminal; made of the record alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Found = dict[str, Any]

SHARE = {"forward": 0.85, "backward": 0.80}  # of the copy of the same run, for sets that fit a tier
RATIO = 1.5  # times PyTorch's group norm
LEVEL = 0.95  # times PyTorch, everywhere
TIERS = ("registers", "cluster", "shared")
LARGE = 95e6  # bytes


def markdown(found: Found) -> str:
    """Everything."""
    steps = found["steps"]
    parts = [
        "# gpu_check",
        verdict(found),
        head(steps),
        "## Steps",
        table(["step", "", "seconds", "error"], step_rows(steps)),
        *section("Correct", correctness_lines(steps.get("correctness", {}))),
        *section("The same bits", determinism_lines(steps.get("determinism", {}))),
        *section("compute-sanitizer", sanitizer_lines(steps.get("sanitizer", {}))),
        *section("Figures to reach", [f"- {line}" for line in target_lines(steps.get("timing", {}))]),
        *section("Times", timing_lines(steps.get("timing", {}))),
        *section("Kernels", kernel_lines(steps.get("compile", {}))),
    ]
    return "\n\n".join(parts) + "\n"


def terminal(found: Found) -> str:
    """The short of it."""
    steps = found["steps"]
    lines = target_lines(steps.get("timing", {}))
    failed = [f"{name}: {step['error']}" for name, step in steps.items() if "error" in step]
    return "\n".join([*lines, *(line.partition("\n")[0] for line in failed), verdict(found)])


def verdict(found: Found) -> str:
    """One sentence."""
    if found.get("reason"):
        return f"Nothing was checked: {found['reason']}"
    if found["passed"]:
        return "All results are right, and all bits the same."
    steps = found["steps"]
    wrong = [name for name in ("correctness", "determinism") if steps.get(name, {}).get("passed") is False]
    short = [
        name
        for name in ("correctness", "determinism")
        if name not in wrong and steps.get(name, {}).get("status") != "done"
    ]
    said = [f"WRONG: {', '.join(wrong)}."] * bool(wrong) + [f"Not done: {', '.join(short)}."] * bool(short)
    return " ".join(said) or "Not passed."


def head(steps: Found) -> str:
    """Where it ran, and with what."""
    device, versions, copy = (steps.get(name, {}) for name in ("device", "versions", "copy"))
    lines = []
    if "device" in device:
        lines.append(
            f"{device['device']}, compute capability {device['capability']}, {device['multiprocessors']} "
            f"multiprocessors, {device['memory'] / 1e9:.0f} GB, {device['cache'] / 1e6:.0f} MB of cache; "
            f"driver for CUDA {device['driver']}, runtime {device['runtime']}, NVRTC {device.get('nvrtc')}."
        )
    if "python" in versions:
        packages = ", ".join(f"{name} {number}" for name, number in versions["packages"].items())
        lines.append(f"Python {versions['python']}, {packages}; gnref at {versions.get('commit')}.")
    if "bytes_per_second" in copy:
        lines.append(f"Fastest copy: {copy['bytes_per_second'] / 1e9:.0f} GB/s, read and written.")
    return "\n".join(lines)


def section(title: str, lines: list[str]) -> list[str]:
    """A heading and what is under it, unless that is nothing."""
    return [f"## {title}", "\n".join(lines)] if lines else []


def table(heading: list[str], rows: Iterator[list[str]] | list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def step_rows(steps: Found) -> Iterator[list[str]]:
    """How each step went."""
    for name, step in steps.items():
        status = step["status"] if step.get("passed") is not False else "WRONG"
        error = str(step.get("error", "")).partition("\n")[0][:160]
        yield [name, status, f"{step.get('seconds', 0):.1f}", error]


def correctness_lines(step: Found) -> list[str]:
    """The worst error by result and dtype, in units of the bar, and what failed."""
    if "table" not in step:
        return []
    names = list(dict.fromkeys(row["dtype"] for row in step["table"]))
    worst: dict[str, dict[str, float]] = {}
    for row in step["table"]:
        found = worst.setdefault(row["result"], {})
        found[row["dtype"]] = max(found.get(row["dtype"], 0.0), float(row["worst"]))
    rows = [[result, *(f"{of.get(n, 0):.2f}" for n in names)] for result, of in worst.items()]
    lines = [
        f"{step['cases']} problems, {step['comparisons']} comparisons, {step['failed']} wrong; "
        f"seed {step['seed']}. The worst errors, where 1 is what is allowed:",
        "",
        table(["result", *names], rows),
    ]
    if step.get("not_met"):
        lines += ["", f"Ways that no problem took: {', '.join(step['not_met'])}."]
    lines += (
        [f"\nLeft out, as there was no time: {len(step['left_out'])} problems."] if step["left_out"] else []
    )
    lines += [f"\nNot checked: {name}: {reason}." for name, reason in step.get("skipped", {}).items()]
    failures = [f"- {f['result']} of {f['case']}, {f['way']}: {f['said']}" for f in step["failures"]]
    return [*lines, *(["", *failures] if failures else [])]


def determinism_lines(step: Found) -> list[str]:
    """Each law, and where it was broken."""
    lines = []
    for law, told in step.get("laws", {}).items():
        lines.append(f"- {law}: {told['cases']} problems, {len(told['differing'])} with other bits")
        lines += [f"  - {d['case']}: {', '.join(d['results'])}" for d in told["differing"][:10]]
    return lines


def sanitizer_lines(step: Found) -> list[str]:
    """What each of its tools said."""
    if "said" in step:
        return [f"{step['said']}."]
    return [f"- {name}: {tool['said']}" for name, tool in step.get("tools", {}).items()]


def target_lines(step: Found) -> list[str]:
    """The figures to reach, and whether they are reached."""
    if "rows" not in step:
        return []
    rows = [row for row in step["rows"] if "error" not in row]
    big = [row for row in rows if row["nbytes"] >= LARGE and row["dtype"] in ("float32", "float16")]
    tiers = [row for row in big if row["way"] in TIERS and row["share_of_limit"]]
    lines = []
    for direction, least in SHARE.items():
        these = [row for row in tiers if row["direction"] == direction]
        lines += judged(f"{direction} at least {least:.2f} of a copy", these, "share_of_limit", least)
    groups = [{**row, "ratio": row["ratios"].get("torch")} for row in big if row["norm"] == "group"]
    groups = [row for row in groups if row["channel_axis"] == 1 and row["ratio"]]
    lines += judged(f"group norm at least {RATIO} times PyTorch", groups, "ratio", RATIO)
    both = [{**row, "ratio": row["ratios"].get("compile")} for row in rows]
    lines += judged("not behind torch.compile", [r for r in both if r["ratio"]], "ratio", LEVEL)
    everything = [{**row, "ratio": row["ratios"].get("torch")} for row in rows]
    lines += judged("no row behind PyTorch", [row for row in everything if row["ratio"]], "ratio", LEVEL)
    if step.get("left_out"):
        lines.append(f"not timed, as there was no time: {len(step['left_out'])} problems")
    return lines


def judged(what: str, rows: list[Found], key: str, least: float) -> list[str]:
    """One figure: met by how many rows, and the least of them."""
    if not rows:
        return [f"{what}: not measured"]
    met = [row for row in rows if row[key] >= least]
    worst = min(rows, key=lambda row: float(row[key]))
    said = "met" if len(met) == len(rows) else "MISSED"
    return [f"{what}: {said}, by {len(met)} of {len(rows)} rows; least {worst[key]:.2f}, {worst['name']}"]


def timing_lines(step: Found) -> list[str]:
    """Every row that was timed, and the calls on a small array."""
    if not step.get("rows"):
        return []
    names = list(dict.fromkeys(name for row in step["rows"] for name in row.get("ratios", {})))
    heading = ["row", "way", "us", "host us", "GB/s", "of a copy", *names]
    lines = [table(heading, [timing_row(row, names) for row in step["rows"]])]
    lines += [
        "",
        "us: gnref by the device's clock, into a new array. Under a name: how many times as long it takes.",
    ]
    calls = ", ".join(f"{name} {1e6 * taken:.1f}" for name, taken in step.get("calls", {}).items())
    return [*lines, "", f"One call after the other on 2x64x16x16, us: {calls}."]


def timing_row(row: Found, names: list[str]) -> list[str]:
    """One line."""
    if "error" in row:
        return [
            row["name"],
            row["way"],
            row["error"].partition("\n")[0][:80],
            "",
            "",
            "",
            *([""] * len(names)),
        ]
    share, peers = row["share_of_limit"], row["peers"]
    ratios = [
        f"{row['ratios'][name]:.2f}" if row["ratios"].get(name) else peers.get(name, {}).get("status", "")
        for name in names
    ]
    return [
        *(
            row["name"],
            row["way"],
            f"{1e6 * row['gnref']['median']:.1f}",
            f"{1e6 * row['hosts']['gnref']:.0f}",
        ),
        *(f"{row['bytes_per_second'] / 1e9:.0f}", "" if share is None else f"{share:.2f}", *ratios),
    ]


def kernel_lines(step: Found) -> list[str]:
    """Those that use local memory, and the most registers."""
    kernels = step.get("kernels", [])
    if not kernels:
        return []
    most = max(kernels, key=lambda k: int(k["registers"]))
    spilling = sorted((k for k in kernels if k["spilled"]), key=lambda k: -int(k["spilled"]))
    lines = [f"{len(kernels)} kernels; at most {most['registers']} registers ({most['kernel']})."]
    lines += [f"{len(spilling)} use local memory:"] if spilling else ["None uses local memory."]
    lines += [f"- {k['kernel']}: {k['spilled']} bytes, {k['registers']} registers" for k in spilling[:20]]
    return lines + [f"- does not compile: {f['kernel']}" for f in step.get("failed", [])]
