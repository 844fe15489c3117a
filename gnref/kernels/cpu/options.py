"""How the kernels are compiled.

No fastmath flag is set. The vector operations say what is fused and in what order numbers are added, and
every flag would take something from them: reassoc turns (x - hi) - lo into x - (hi + lo), which loses the
four digits that lo was kept for; nnan and ninf let a NaN out of its set; contract, arcp and afn let
results differ from one machine to the next.
"""

from __future__ import annotations

import numpy as np
from numba import njit

# nogil: threads of Python's own may run kernels side by side. error_model: 1 / 0 is infinity, as in NumPy.
function = njit(nogil=True, error_model="numpy")
inline = njit(nogil=True, error_model="numpy", forceinline=True)
parallel = njit(nogil=True, error_model="numpy", parallel=True)

# Arguments of compiled calls: a literal would be compiled for by itself.
NONE, START, ONE = np.int64(-1), np.int64(0), np.int64(1)
