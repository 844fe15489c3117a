"""An experiment that trains nothing, for the tests of what runs experiments."""

import os
import signal
import time

from gnref.teaching.lab.tables import Table, gather, spread

NAME = "toy"
TITLE = "Error by batch size, invented"


def settings(seeds, quick=False):
    sizes = (32,) if quick else (32, 2)
    return [{"N": N, "seed": seed} for N in sizes for seed in range(seeds)]


def run(setting):
    """What the settings ask for: to wait until a file is there, to die, to be refused."""
    for name in setting.get("wait", []):
        while not os.path.exists(name):
            time.sleep(0.01)
    time.sleep(setting.get("sleep", 0))
    if setting.get("dies"):
        os._exit(1)
    if setting["N"] > 40:
        raise ValueError(f"batch is {setting['N']}; expected at most the 40 training examples")
    ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    blocked = os.name != "posix" or signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    threads = [os.environ.get(f"{name}_NUM_THREADS") for name in ("OPENBLAS", "OMP", "NUMBA")]
    error = 50 + 10 / setting["N"] + setting["seed"]
    return {"error": error, "threads": threads, "deaf": (ignored, blocked)}


def tables(records):
    rows = tuple((str(N), spread(errors)) for N, errors in gather(records, "N").items())
    title = "Invented error, %, of networks that were never trained on anything at all"
    return [Table(title, ("N", "measured"), rows, ("Numbers in [brackets] stay.",))]


def draw(records, theme="light"):
    from matplotlib.figure import Figure

    figure = Figure()
    figure.add_subplot().plot([record.result["error"] for record in records])
    return figure
