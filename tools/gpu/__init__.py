"""What `gpu_check.py` does on the day a GPU is there.

session       one step: its time, its cases; record: what the steps leave behind
children      a process for each step, which is ended when it hangs; child: what runs there; processes
absent        the one package that gnref imports and such a machine may not have
facts         device and versions; ceiling: how fast a copy is
instances     every kernel compiled
cases         the problems, and oracle: their exact results
correctness   each function of the kernel contract, by every way, against the oracle
determinism   equal bits: twice, by every way, on another stream, alone and among others
promises      arrays of more than 2^31 numbers, no hidden wait, the right stream
timing        gnref beside PyTorch and others
sanitizer     NVIDIA's compute-sanitizer on `small`, a few launches in a process of its own
report        tables
"""
