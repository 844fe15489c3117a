"""What was found as tables, for a file and for the terminal; made of the record alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Found = dict[str, Any]

SHARE = {"forward": 0.85, "backward": 0.80}  # of the copy of the same run, for sets that fit a tier
RATIO = 1.5  # times PyTorch's group norm
LEVEL = 0.95  # times PyTorch, everywhere
NEEDED = ("correctness", "determinism", "promises")  # steps without which nothing is passed
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
        "\n".join([table(["step", "", "seconds", "error"], step_rows(steps)), *broken_lines(steps)]),
        *section("Correct", correctness_lines(steps.get("correctness", {}))),
        *section("The same bits", determinism_lines(steps.get("determinism", {}))),
        *section("Promises", promise_lines(steps.get("promises", {}))),
        *section("compute-sanitizer", sanitizer_lines(steps.get("sanitizer", {}))),
        *section("Figures to reach", [f"- {line}" for line in target_lines(steps.get("timing", {}))]),
        *section("Times", timing_lines(steps.get("timing", {}))),
        *section("Kernels", kernel_lines(steps.get("compile", {}))),
    ]
    return "\n\n".join(parts) + "\n"


def terminal(found: Found) -> str:
    """The short of it."""
    return "\n".join([*target_lines(found["steps"].get("timing", {})), verdict(found)])


def passed(steps: Found) -> bool:
    """Whether all that says right or wrong ran to its end, nothing was wrong, and nothing hung."""
    done = all(steps.get(name, {}).get("status") == "done" for name in NEEDED)
    return done and not wrong(steps) and not any(short(name, steps) for name in steps)


def wrong(steps: Found) -> list[str]:
    """The steps that found something wrong; a kernel that hangs or loses the device is, too."""
    return [
        name
        for name, step in steps.items()
        if step.get("passed") is False or (name in NEEDED and step.get("broken"))
    ]


def short(name: str, steps: Found) -> str:
    """What of a step was left out although it should have been done; nothing if nothing."""
    step = steps.get(name, {"status": "not begun"})
    said = [] if step["status"] in ("done", "failed") else [step["status"]]
    if name in NEEDED and step["status"] == "failed":
        said.append("failed")
    if step.get("not_met"):
        said.append(f"no problem took {', '.join(step['not_met'])}")
    if step.get("broken"):
        said.append("; ".join(f"{case['status']} at {case['case']}" for case in step["broken"]))
    judges = name in NEEDED or step.get("broken") or step["status"] in ("hung", "lost")
    return ", ".join(said) if judges else ""


def verdict(found: Found) -> str:
    """What came of it, in a few sentences."""
    if found.get("reason"):
        return f"Nothing was checked: {found['reason']}"
    steps = found["steps"]
    said = []
    if found["passed"]:
        said.append("All results are right, and all bits the same.")
    elif wrong(steps):
        said.append(f"WRONG: {', '.join(wrong(steps))}.")
    left = {name: short(name, steps) for name in dict.fromkeys((*NEEDED, *steps))}
    said += [f"Not done: {name} ({why})." for name, why in left.items() if why]
    said += [f"Failed: {name}: {first(step)}." for name, step in steps.items() if step["status"] == "failed"]
    return " ".join([*said, *neutral(steps)]) or "Not passed."


def neutral(steps: Found) -> list[str]:
    """What was not checked and is nobody's fault."""
    said = [f"Not checked: {what}: {why}." for what, why in skipped(steps).items()]
    said += [f"compute-sanitizer: {line.removeprefix('- ')}." for line in untold(steps.get("sanitizer", {}))]
    return said


def skipped(steps: Found) -> dict[str, str]:
    """The dtypes and the promises that could not be checked here, and why."""
    found: dict[str, str] = dict(steps.get("correctness", {}).get("skipped", {}))
    for name, told in steps.get("promises", {}).get("checks", {}).items():
        if told["passed"] is None:
            found[name] = told["said"]
    return found


def untold(step: Found) -> list[str]:
    """The tools of the sanitizer that did not say how many errors there are."""
    if "said" in step or step.get("status") == "out of time":
        return [step.get("said") or step["error"]]
    return [
        f"{name} {tool['said']}" for name, tool in step.get("tools", {}).items() if tool["errors"] is None
    ]


def first(step: Found) -> str:
    """The first line of an error, without its full stop."""
    return str(step.get("error", "")).partition("\n")[0][:160].rstrip(".")


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
        commit = versions.get("commit")
        source = f"gnref at {commit}" if commit else "gnref without a commit"
        kernels = str(versions.get("kernels"))[:16]
        lines.append(f"Python {versions['python']}, {packages}; {source}, SHA-256 of its kernels {kernels}.")
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
        yield [name, status, f"{step.get('seconds', 0):.1f}", first(step)]


def broken_lines(steps: Found) -> Iterator[str]:
    """The cases that hung, or killed the process they ran in."""
    for name, step in steps.items():
        for case in step.get("broken", []):
            yield f"\n{name}: {case['status']} at {case['case']}: {case['said']}"


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
        f"{step.get('cases')} problems, {step['comparisons']} comparisons, {step['failed']} wrong; "
        f"seed {step['seed']}. The worst errors, where 1 is what is allowed:",
        "",
        table(["result", *names], rows),
    ]
    if step.get("not_met"):
        lines += ["", f"Ways that no problem took: {', '.join(step['not_met'])}."]
    if step.get("left_out"):
        lines.append(f"\nLeft out, as there was no time: {len(step['left_out'])} problems.")
    lines += [f"\nNot checked: {name}: {reason}." for name, reason in step.get("skipped", {}).items()]
    failures = [f"- {f['result']} of {f['case']}, {f['way']}: {f['said']}" for f in step["failures"]]
    return [*lines, *(["", *failures] if failures else [])]


def determinism_lines(step: Found) -> list[str]:
    """Each law, and where it was broken."""
    lines = []
    for law, told in step.get("laws", {}).items():
        lines.append(f"- {law}: {told['cases']} problems compared, {len(told['differing'])} with other bits")
        lines += [f"  - {d['case']}: {', '.join(d['results'])}" for d in told["differing"][:10]]
    return lines + [f"- failed: {f['case']}: {f['said']}" for f in step.get("failures", [])]


def promise_lines(step: Found) -> list[str]:
    """Each promise, and whether it was kept."""
    words = {True: "kept", False: "BROKEN", None: "not checked"}
    return [
        f"- {name}: {words[told['passed']]}{': ' * bool(told['said'])}{told['said']}"
        for name, told in step.get("checks", {}).items()
    ]


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
    bad = [row for row in rows if row["peers"].get("torch", {}).get("status") in ("wrong", "failed")]
    if bad:
        lines.append(f"PyTorch is wrong or failed in {len(bad)} rows, such as {bad[0]['name']}")
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
        "us: gnref by the device's clock, into a new array; host us: until such a call returns. GB/s, where "
        "a share of a copy is beside it, and that share: with out=. Under a name: how many times as long as "
        "us it takes.",
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
    using = sorted((k for k in kernels if k["local_bytes"]), key=lambda k: -int(k["local_bytes"]))
    lines = [f"{len(kernels)} kernels; at most {most['registers']} registers ({most['kernel']})."]
    said = f"{len(using)} use local memory, for a stack frame or for what is spilled from registers:"
    lines += [said] if using else ["None uses local memory."]
    lines += [f"- {k['kernel']}: {k['local_bytes']} bytes, {k['registers']} registers" for k in using[:20]]
    return lines + [f"- does not compile: {f['kernel']}" for f in step.get("failed", [])]
