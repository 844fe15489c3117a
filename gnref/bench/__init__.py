"""The benchmark: gnref's CPU kernels beside every peer that is installed, and beside a copy of memory.

`grid` says what is timed, `peers` who is timed, `timing` how; `runner` puts them together. `costs` measures
what a call costs besides its time on a large array.
"""
