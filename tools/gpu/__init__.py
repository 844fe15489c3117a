"""What `gpu_check.py` does on the day a GPU is there.

absent        the one package that gnref imports and such a machine may not have
session       the steps, one after the other, each guarded; record: what they leave behind
facts         device and versions; ceiling: how fast a copy is
instances     every kernel compiled
cases         the problems, and oracle: their exact results
correctness   each function of the kernel contract, by every way, against the oracle
determinism   equal bits: twice, by every way, on another stream, alone and among others
timing        gnref beside PyTorch and others
sanitizer     NVIDIA's compute-sanitizer on `small`, a few launches in a process of its own
report        tables
"""
