"""The kernel contract on CuPy arrays, in CUDA C++; see `gnref.kernels`.

    contract    the functions of the contract
    plan        which way a view takes, by the size of its sets and by what the device can do
    steps       the kernels that a pass launches, one after the other
    launch      from the .cu files to a compiled kernel, and its start
    device      whether there is a device that will do, and its limits
    exchange    PyTorch's tensors as CuPy arrays, and back
    nothing     arrays without elements

    numbers.cu  16 bits as float; strips, which are moved in one word
    teams.cu    threads that work on one set
    items.cu    how a set is cut
    moments.cu  statistics; careful.cu: those of sets that leave the range of their type
    sums.cu     what gradients hang on
    forward.cu, backward.cu, trailing.cu, columns.cu   the kernels

All runs on CuPy's current stream (for tensors: PyTorch's), and nothing waits for it. Nothing as large as x
is allocated but results (and copies of arrays that are not in one piece; and, where sets have a few rows of
channels last, sums of their columns), and no number is added atomically: the same call gives the same bits.

Nothing is imported here, so that `plan` can be read and drawn where there is no CuPy.
"""
