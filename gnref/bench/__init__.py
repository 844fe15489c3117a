"""The benchmark: gnref's kernels beside every peer that is installed, and beside a copy of memory.

`grid` says what is timed, `peers` who is timed, `timing` how; `runner` puts them together. `costs` measures
what a call costs besides its time on a large array. On a GPU `events` says how, and `device` puts together.
"""
