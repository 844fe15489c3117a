"""The command line: ``gnref check``, ``museum``, ``bench``, ``axes``, ``lab`` and ``tutorials``."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import gnref
from gnref.axes import NORMS
from gnref.bench.grid import NORMS as BENCH_NORMS
from gnref.bench.peers import PEERS
from gnref.dispatch import BACKENDS
from gnref.errors import BackendError, MissingExtraError
from gnref.teaching.lab.experiment import EXPERIMENTS

CHECK_NORMS = (*NORMS, "batch_frozen")
FIGURES = (".png", ".svg")
AXES_NORMS = ("batch", "layer", "instance", "group")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; return 0, 1 if a check failed, or 2 if it could not run."""
    arguments = parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except (ValueError, TypeError, OSError, BackendError, MissingExtraError) as error:
        print(f"gnref: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("gnref: interrupted", file=sys.stderr)
        return 130


class Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one sentence, as gnref does, and not the usage before it."""

    def error(self, message: str) -> NoReturn:
        """Print the sentence and exit with 2."""
        self.exit(2, f"{self.prog}: {sentence(message)}\n")


def sentence(message: str) -> str:
    """Argparse's message in the words of gnref's own: argument, value, what was expected.

    Examples
    --------
    >>> sentence("argument --norm: invalid choice: 'grp' (choose from 'batch', 'group')")
    "--norm is 'grp'; expected one of batch, group"
    >>> sentence("argument --seed: invalid int value: 'x'")
    "--seed is 'x'; expected an int"
    """
    found = re.fullmatch(r"argument ([^:]+): (.*)", message, re.DOTALL)
    if found is None:
        return " ".join(message.split())
    name, rest = found.groups()
    choice = re.fullmatch(r"invalid choice: (.*) \(choose from (.*)\)", rest)
    value = re.fullmatch(r"invalid (\w+) value: (.*)", rest)
    if choice:
        return f"{name} is {choice[1]}; expected one of {choice[2].replace(chr(39), '')}"
    if value:
        return f"{name} is {value[2]}; expected a{'n' if value[1] == 'int' else ''} {value[1]}"
    return f"{name} is {rest}" if "; expected " in rest else f"{name}: {rest}"


def parser() -> argparse.ArgumentParser:
    """Describe the commands."""
    top = Parser(prog="gnref", description="The normalization layers: check them, and see their axes.")
    top.add_argument("--version", action="version", version=f"gnref {gnref.__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    _add_check(commands)
    _add_bench(commands)

    museum = commands.add_parser("museum", help="real bugs of normalization layers, and what catches them")
    museum.add_argument("number", nargs="?", type=positive, help="of an entry, to see it fail")
    museum.set_defaults(run=run_museum)

    axes = commands.add_parser("axes", help="show which cells of an N x C x H x W block share a mean")
    for size in "NCHW":
        axes.add_argument(size, type=positive)
    axes.add_argument("--groups", "-G", type=positive, metavar="G", help="groups of group norm")
    axes.add_argument("--norm", action="append", choices=AXES_NORMS, help="only this norm (repeatable)")
    axes.add_argument("--save", type=Path, metavar="FILE", help="draw the paper's Fig. 2 into a .png or .svg")
    axes.add_argument("--overwrite", action="store_true", help="let --save replace a file")
    axes.set_defaults(run=run_axes)

    _add_lab(commands)
    _add_tutorials(commands)
    return top


def _add_check(commands: Any) -> None:
    """Describe ``gnref check``."""
    check = commands.add_parser(
        "check",
        help="property-test a normalization, forward and backward",
        description="Without a target: gnref's own backends, with all that they promise. With targets: what "
        "every normalization owes, in a process of its own; several make a table side by side.",
    )
    check.add_argument(
        "targets",
        nargs="*",
        metavar="TARGET",
        help="torch, torch.compile, jax, flax, onnxruntime, openvino, gnref:cpu, package.module:object (a "
        "function, or a class of torch.nn.Module), or kernelbench:FILE",
    )
    check.add_argument("--norm", action="append", choices=CHECK_NORMS, help="only this norm (repeatable)")
    check.add_argument(
        "--backend",
        action="append",
        choices=list(BACKENDS),
        help="without a target: only this one of gnref's (cuda: on CuPy arrays)",
    )
    check.add_argument("--max-examples", type=positive, help="per property and norm (40; gnref's own 30)")
    check.add_argument("--seed", type=int, default=0, help="equal seeds draw equal problems (0)")
    check.add_argument(
        "--require",
        action="append",
        metavar="KEY=VALUE",
        help="make a grade a condition: accuracy=A, range=1e18, batch_invariance=bits, validation=raises, "
        "second_order=exact",
    )
    check.add_argument("--json", type=Path, metavar="FILE", help="write the results there, too")
    check.add_argument(
        "--markdown", type=Path, metavar="FILE", help="write the reports on targets there, too"
    )
    check.add_argument(
        "--no-isolate",
        dest="isolate",
        action="store_false",
        help="run targets in this process: no crash is caught",
    )
    check.add_argument(
        "--self-test", action="store_true", help="how many planted mistakes the kit finds, and usual tests do"
    )
    check.set_defaults(run=run_check)


def _add_bench(commands: Any) -> None:
    """Describe ``gnref bench``."""
    bench = commands.add_parser(
        "bench", help="time the CPU or the CUDA kernels beside every peer library installed here"
    )
    bench.add_argument(
        "--backend", choices=("cpu", "cuda"), default="cpu", help="whose kernels: cpu, or cuda on a GPU"
    )
    bench.add_argument("--quick", action="store_true", help="a few rows and rounds: under a minute")
    bench.add_argument("--norm", action="append", choices=BENCH_NORMS, help="only this norm (repeatable)")
    bench.add_argument(
        "--rows", default="", metavar="TEXT", help="only rows with these words: 'forward last', '8x256x56x56'"
    )
    bench.add_argument("--peer", action="append", choices=list(PEERS), help="only this peer (repeatable)")
    bench.add_argument("--threads", type=positive, help="for everybody (as many as there are cores)")
    bench.add_argument("--rounds", type=positive, help="times that each is timed (15; with --quick 7)")
    bench.add_argument(
        "--costs", action="store_true", help="also memory, first calls, one small call, growth"
    )
    bench.add_argument(
        "--torch-model",
        action="store_true",
        help="instead: training steps in PyTorch, with torch.nn's layers and with gnref's",
    )
    bench.add_argument("--json", type=Path, metavar="FILE", help="write every time there, too")
    bench.add_argument("--plot", type=Path, metavar="FILE", help="draw the rows into a .png or .svg")
    bench.add_argument("--overwrite", action="store_true", help="let --json and --plot replace a file")
    bench.set_defaults(run=run_bench)


def _add_lab(commands: Any) -> None:
    """Describe ``gnref lab``."""
    lab = commands.add_parser(
        "lab",
        help="run one of the paper's experiments, small enough for a laptop",
        description="Trains small networks on photographs, prints what was measured beside the paper's "
        "figures. Each finished run is kept: interrupted, the same command goes on from there.",
    )
    lab.add_argument(
        "experiment", choices=list(EXPERIMENTS), metavar="EXPERIMENT", help=", ".join(EXPERIMENTS)
    )
    lab.add_argument(
        "--seeds", type=positive, default=3, help="runs of each setting, which differ by chance (3)"
    )
    lab.add_argument("--quick", action="store_true", help="few and short runs, to see that all works")
    lab.add_argument(
        "--processes", type=positive, metavar="P", help="runs at a time (as many as there are cores)"
    )
    lab.add_argument(
        "--folder",
        type=Path,
        default=Path("gnref-lab"),
        metavar="FOLDER",
        help="where finished runs are kept, in EXPERIMENT.json (./gnref-lab); delete it to make all anew",
    )
    lab.add_argument("--save", type=Path, metavar="FIGURE", help="draw the finding into a .png or .svg")
    lab.add_argument("--json", type=Path, metavar="FILE", help="write these runs there, too")
    lab.add_argument("--overwrite", action="store_true", help="let --save and --json replace a file")
    lab.set_defaults(run=run_lab)


def _add_tutorials(commands: Any) -> None:
    """Describe ``gnref tutorials``."""
    tutorials = commands.add_parser(
        "tutorials",
        help="open the tutorials in JupyterLab, on a copy that is yours",
        description="Copies the notebooks into a folder, overwriting nothing, and opens JupyterLab there.",
    )
    tutorials.add_argument(
        "folder",
        nargs="?",
        type=Path,
        default=Path("gnref-tutorials"),
        metavar="FOLDER",
        help="./gnref-tutorials",
    )
    tutorials.add_argument("--no-browser", action="store_true", help="start JupyterLab, print its address")
    tutorials.add_argument("--copy-only", action="store_true", help="do not start JupyterLab")
    tutorials.set_defaults(run=run_tutorials)


def positive(text: str) -> int:
    """Parse a positive integer."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r}; expected a positive integer")
    return number


def require(command: str, extra: str, *packages: str) -> None:
    """Raise one sentence that says which extra a command lacks."""
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise MissingExtraError(f"{command} needs {', '.join(missing)}: pip install 'gnref[{extra}]'")


def run_check(arguments: argparse.Namespace) -> int:
    """``gnref check``."""
    require("gnref check", "testing", "hypothesis", "rich", "ml_dtypes", "autograd")
    from gnref.testing import command

    return command.run(arguments)


def run_museum(arguments: argparse.Namespace) -> int:
    """``gnref museum``."""
    require("gnref museum", "testing", "hypothesis", "rich", "ml_dtypes")
    from rich.console import Console

    from gnref.testing.museum import display

    if arguments.number is None:
        Console().print(display.listing())
    else:
        display.show_exhibit(Console(), arguments.number)
    return 0


def run_bench(arguments: argparse.Namespace) -> int:
    """``gnref bench``."""
    require("gnref bench", "bench", "rich", "ml_dtypes")
    if arguments.plot is not None:
        require("gnref bench --plot", "bench", "matplotlib")
    _check_files(arguments, json=(), plot=FIGURES)
    if arguments.torch_model:
        return _run_torch_model(arguments)
    from gnref.bench.session import Options, run

    names = ("quick", "norm", "rows", "peer", "threads", "rounds", "costs", "backend")
    session = run(Options(**{name: getattr(arguments, name) for name in names}))
    if arguments.json is not None:
        arguments.json.write_text(session.to_json() + "\n", encoding="utf-8")
    if arguments.plot is not None and session.results:
        from gnref.bench.plot import draw
        from gnref.teaching.plots import save

        save(draw(session.machine, session.results), arguments.plot, overwrite=arguments.overwrite)
    return 130 if session.interrupted else 0


def _run_torch_model(arguments: argparse.Namespace) -> int:
    """``gnref bench --torch-model``."""
    for name in ("norm", "rows", "peer", "costs", "plot"):
        if value := getattr(arguments, name):
            raise ValueError(f"--{name} is {value} with --torch-model; expected it without")
    if arguments.backend != "cpu":
        raise ValueError(f"--backend is {arguments.backend!r} with --torch-model; expected 'cpu'")
    require("gnref bench --torch-model", "torch", "torch", "ml_dtypes")
    from gnref.bench.torch_session import run

    session = run(arguments.threads, arguments.rounds or (3 if arguments.quick else 15))
    if arguments.json is not None:
        arguments.json.write_text(session.to_json() + "\n", encoding="utf-8")
    return 130 if session.interrupted else 0


def _check_files(arguments: argparse.Namespace, **endings: tuple[str, ...]) -> None:
    """Raise before the long work if its results cannot be written; ``endings`` of each argument's file."""
    for name, suffixes in endings.items():
        path = getattr(arguments, name)
        if path is None:
            continue
        shown = f"--{name} is {str(path)!r}"
        if not path.absolute().parent.is_dir():
            raise ValueError(f"{shown}; expected a file in a folder that exists")
        if suffixes and path.suffix.lower() not in suffixes:
            raise ValueError(f"{shown}; expected one that ends in {' or '.join(suffixes)}")
        if path.is_dir():
            raise IsADirectoryError(f"{shown}, which is a folder; expected a file")
        if path.exists() and not arguments.overwrite:
            raise FileExistsError(f"{shown}, which exists already; expected --overwrite, too")
        if not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
            raise PermissionError(f"{shown}, which cannot be written; expected one that can")


def run_lab(arguments: argparse.Namespace) -> int:
    """``gnref lab``."""
    require("gnref lab", "lab", "joblib", "rich", "skimage", "sklearn")
    if arguments.save is not None:
        require("gnref lab --save", "lab", "matplotlib")
    _check_files(arguments, save=FIGURES, json=())
    from gnref.teaching.lab import command

    return command.run(arguments)


def run_axes(arguments: argparse.Namespace) -> int:
    """``gnref axes``."""
    require("gnref axes", "testing", "rich")
    from rich.console import Console

    from gnref.teaching.blocks import print_blocks

    shape = (arguments.N, arguments.C, arguments.H, arguments.W)
    norms = tuple(arguments.norm or AXES_NORMS)
    if arguments.save is not None:
        require("gnref axes --save", "plots", "matplotlib")
        from gnref.teaching.plots import draw_blocks, save

        save(draw_blocks(shape, arguments.groups, norms), arguments.save, overwrite=arguments.overwrite)
    print_blocks(Console(), shape, arguments.groups, norms)
    return 0


def run_tutorials(arguments: argparse.Namespace) -> int:
    """``gnref tutorials``."""
    if not arguments.copy_only:
        packages = ["jupyterlab", "anywidget", "matplotlib", "hypothesis", "rich", "ml_dtypes", "autograd"]
        packages += ["joblib", "skimage", "sklearn"]  # tutorials 6 to 9
        require("gnref tutorials", "tutorials", *packages)
    from gnref.teaching.notebooks import copy_notebooks, open_lab, story

    copied = copy_notebooks(arguments.folder)
    print("\n".join(story(copied, arguments.folder)))
    if not arguments.copy_only:
        open_lab(copied[0].path, browser=not arguments.no_browser)
    return 0


if __name__ == "__main__":
    sys.exit(main())
