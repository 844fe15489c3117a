"""Real bugs of normalization layers, as public issue trackers tell them: what was read, and how well.

F is said where a fix or a maintainer's confirmation was read, D where the report was, C where the code was.
An entry says what its source says, in other words; which mechanism it is shown with is this museum's choice.
A specimen is a model of a report, and no project's code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

STATUSES = {
    "F": "fixed or confirmed",
    "D": "reported",
    "C": "seen in the code",
    "F/D": "fixed or confirmed, or reported",
}

# number | where it was read, and how well | what is said to go wrong | mechanisms, or "- " why there is none
LIST = """\
A. Variance and precision
1 | flax #1491 (D) | E[x^2] - E[x]^2 falls below 0, and the result is NaN. | cancelling variance
2 | jax #30426, PR #37358 (F) | jax.nn.standardize gives NaN; an eager and a compiled call differ. |
    cancelling variance
3 | pytorch #40302 (F); pytorch #51102 (D) | 0.01 * randn + 100 is found to have the variance 0. |
    cancelling variance
4 | mlx #2238 (D) | NaN on the GPU at x = 1449 +- 1, and none on the CPU. | cancelling variance
5 | onnxruntime #21935, #28463 (D) | NaN for an array that is 1234 everywhere. | cancelling variance
6 | pytorch #190491, #190492 (F) | A variance below 1e-6 is taken for 0: with eps = 1e-12, -990 where -1 is
    right. | small variance taken for 0
7 | burn #5607 (D) | An error of 1.03 at a mean of 100. | cancelling variance
8 | tt-metal #45968 (D) | NaN at a mean of 5 and a spread of 0.1 in bfloat16. | cancelling variance
9 | openvino #28339, #36587 (D) | A variance that is 30 % faster, and results of -6.13 at a mean of 1e4. |
    cancelling variance
10 | Paddle #16654 (D) | A variance below 0 for 1 x 32 x 513 x 1025 ones. | cancelling variance
11 | pytorch #162489, PR #178123 (D) | At 1e30 zeros on the CPU, NaN on the GPU. | squares overflow in
    float32
12 | pytorch #77507 (D) | The moments of bfloat16 numbers are kept in bfloat16. | sums kept in 16 bits
13 | executorch #16727 (F) | The number of elements is cast to float16. | count in float16
14 | keras #22586, PR #22666 (D) | In float16 inputs overflow, and eps becomes 0. | squares in float16; eps
    rounded to 16 bits
15 | DeepSpeed #581 (F) | var + 1e-12 is 0 in float16. | eps rounded to 16 bits
16 | pytorch #188375, #5410, #94288 (D) | A set of one element has a dweight that is not 0. | y folded into
    x*a + b
17 | pytorch #57796 (D) | dweight is less accurate where rstd is multiplied after the sum, not before. | -
    Both orders are within a few roundings of the right sum, so no property accuses one of them; the kit
    bounds dweight of sets of up to 140,002 elements.
18 | pytorch #181696, #183120 (F) | A constant input, normalized and then put through log(clamp(y)), which
    makes much of a rounding. | y folded into x*a + b

B. Backward and higher order
19 | oneDNN #3543, PRs #3584, #3615 (F) | Layer norm's formula is used for group norm's dx, and the
    reference of the tests is wrong likewise. | weight after the sums
20 | pytorch #41332, #41595 (F) | With create_graph, layer norm's gradient is off by 1e18. | - It is in the
    second of two backward passes, the one that can be differentiated again; a plain backward function is
    one pass. What PyTorch or JAX differentiates is asked "second derivatives equal autograd".
21 | pytorch #175754, #186256 (F) | Third derivatives are wrong, and nothing says so. | - It is about
    derivatives of the backward pass, and two plain functions have a first derivative only.
22 | pytorch #196700 (D) | A JVP of second order has the wrong sign. | - It is about derivatives of the
    backward pass, and two plain functions have a first derivative only. What PyTorch or JAX differentiates is
    asked "forward mode equals autograd": the JVP of the forward pass, and no JVP of that.
23 | pytorch #79705 (D) | With weight=None and a bias it fails. | a bias takes a weight along
24 | functorch #534, pytorch #176432 (D) | Rules for batching are wrong. | - It is about vmap, a
    transformation of functions that plain ones do not take part in.
25 | mamba #522, PR #547 (F) | The backward pass of a grouped norm takes its sums over the whole dimension.
    | backward over all groups
26 | FlagGems #5392 (D) | The backward pass takes x for two-dimensional. | two dimensions in backward
27 | Liger-Kernel #1375, PR #1376 (C) | Group norm's backward pass leaves the arrays' bounds from rank 4 on.
    | divisor from the last axis
28 | pytorch PR #192016 (D) | Above 65,536 rows dweight has the wrong shape. | flat dweight of many rows
29 | oneflow #6149 (F) | dweight and dbias are swapped. | dweight and dbias swapped
30 | Paddle #54244, oneflow #10045 (F); pytorch #183825 (D) | Wrong where only some of the inputs need a
    gradient. | - A plain backward function is not told which gradients are needed. PyTorch's and JAX's are,
    and gnref's own: they are asked "some gradients alone equal all".
31 | candle #3011, #3613 (D); aprender #2200 (F) | A fused norm cuts the graph, and what comes before it
    gets no gradient. | no gradient by x
32 | mxnet #18499 (D) | Gradients that are to be added to earlier ones are wrong. | gradients add up between
    calls
33 | tensorflow #20407 (D) | No gradient flows through the mean and the variance that are returned. | - The
    kit's backward functions are given the gradient by y alone.

C. Train, eval, running statistics
34 | pytorch #586, tensorflow #10857, NNlib.jl #757 (F) | The gradient of training is used in evaluation or
    with frozen statistics. | - `gnref.testing.check` asks for the norms of training; gnref's frozen norm
    has the property "frozen: dx = dy weight rstd".
35 | Flux #1992, #2716, torch/nn #1271 (F) | With n = 1, n/(n - 1) makes the running variance NaN. | - It is
    about running statistics, and two plain functions keep none.
36 | tensorflow #55545 (D); keras #8982, #9028, tinygrad #807 (F) | The running variance is biased or
    unbiased, and not as it is said to be. | - It is about running statistics, and two plain functions keep
    none.
37 | Paddle #51120, d2l-en #2213 (F) | The two weights of the momentum are swapped. | - It is about running
    statistics, and two plain functions keep none.
38 | FlagGems #4885 (D) | The running variance is (var + 2 eps) N/(N - 1). | - It is about running
    statistics, and two plain functions keep none.
39 | pytorch #45687 (D) | (1, 3, 1, 1) raises, and (2, 3, 1, 1) does not. | one element per channel refused
40 | pytorch #1604, #4348 (F) | What instance norm does in evaluation is not what was expected. | - It is
    about the modes of a layer, and two plain functions have none.
41 | hipDNN rocm-libraries #2459 (F) | The inverse variance is taken for the variance, and the tests pass. |
    the variance in place of rstd
42 | pytorch #12013 (D) | An empty batch makes the running mean NaN. | - It is about running statistics, and
    two plain functions keep none. The property "an empty array gives empty results" asks for the rest.

D. Axes, shapes, parameters
43 | onnx #5466, #5808, mxnet #18199, oneflow #4848 (F) | A weight for each group, where each channel has
    one. | weight per group
44 | tensorflow addons #751, #611 (F/D) | N H W C is reshaped without a transpose. | channels last without a
    transpose
45 | keras #17402 (D) | A positive axis=3 raises. | a positive axis refused
46 | brainpy #765 (D) | The reduction includes the axis of the groups, the reporter says. | means over all
    groups
47 | onnx-mlir #3030, coremltools #1607 (F) | Rank 4 is hard-coded. | rank 4 alone
48 | mlx PR #3653 (F) | A G that does not divide C mixes channels and pixels. | G that does not divide C
49 | openvino #31257 (D) | y has the wrong shape. | y in the kernel's shape
50 | pytorch #75862, poolformer #9 (F) | Layer norm and group norm with G = 1 are taken for each other. |
    means over channels alone

E. Memory layout
51 | pytorch #63224 (F) | Evaluation permutes the data of a view. | strides of x ignored
52 | pytorch #64039, #64100 (F) | x is read as channels last because dy is. | x read with dy's strides
53 | pytorch #175189, #133520 (D) | dweight is wrong for channels-last arrays and for slices. | strides of x
    ignored
54 | TransformerEngine #1017 (F); DirectML #588 (D) | Wrong for input that is not contiguous. | strides of x
    ignored
55 | pytorch #115940 (D) | The backward pass raises on the ambiguous strides of H = W = 1. | strides of
    single elements
56 | pytorch PR #186414 (D) | Out of bounds for parameters that are not contiguous. | strides of the weight
    ignored
57 | onnxruntime #20623 (D) | The input is overwritten. | input overwritten

F. Tiling and indexing
58 | Liger-Kernel #518, #582 (C); unsloth #1867 (F) | Padded lanes add mean^2 to the variance. | padded
    lanes count
59 | FlagGems #4984 (D) | Wrong where C/G is no power of two. | mask up to the array's end
60 | apex #1768 (D) | Wrong for C = 65 and a large H*W. | the last tile left out
61 | apex #411 (D) | Wrong from 65,536 rows on. | rows counted in 16 bits
62 | pytorch #181555, #181600 (F) | Offsets overflow at 2^31. | - A float32 array of 2^31 elements takes 8
    GB; the specimen of entry 61 shows the like with 16 bits.

G. Distributed
63 | pytorch #22192, apex #387 (D) | Counts that are not equal give a wrong running variance. | unequal
    pieces, equal votes
64 | pytorch #36382, #36688 (F) | The same for dx of a synchronized batch norm. | unequal pieces, equal
    votes

H. Formula slips in teaching and porting
65 | BERT-pytorch #30, annotated-transformer PR #119 (D) | std + eps, or the unbiased std. | eps outside the
    root; unbiased variance
66 | TPlinker #37 (F) | (var + eps)^2. | square for root
67 | LeetCUDA #309, #317 (F) | rsqrt(var / (K + eps)). | eps added to the count
68 | keras-hub #642, mlx-examples #1434 (D) | A port has another default eps. | another eps

I. Later additions
69 | vLLM #48271, PRs #48391, #49603 (D) | An RMSNorm kernel chose its block size by the number of tokens,
    so that a sequence's output changed with its batch-mates; a test compared batch invariance with itself.
    | block size by the batch
70 | ChainerMN (C) | Batch norm over several nodes takes E[x^2] - E[x]^2 across processes. | cancelling
    variance
"""


@dataclass(frozen=True)
class Entry:
    """A real bug, or a few that are alike.

    Attributes
    ----------
    number : int
        Its number.
    group : str
        Of `GROUPS`.
    sources : tuple of (str, str)
        Where it was read, and with what status, of `STATUSES`.
    what : str
        What is said to go wrong.
    mechanisms : tuple of str
        The names of the mechanisms that show it, or
    why_not : str
        why there is none.
    """

    number: int
    group: str
    sources: tuple[tuple[str, str], ...]
    what: str
    mechanisms: tuple[str, ...] = ()
    why_not: str = ""

    @property
    def reference(self) -> str:
        """Where it was read, in one line."""
        return "; ".join(where for where, _ in self.sources)

    @property
    def status(self) -> str:
        """The letters of its sources."""
        letters = "/".join(status for _, status in self.sources).split("/")
        return "/".join(dict.fromkeys(letters))


def read(text: str) -> Iterator[Entry]:
    r"""The entries of a list; a line that begins with blanks goes on with the one before.

    Examples
    --------
    >>> (entry,) = read("X. Other\n71 | here #1 (F) | It is\n    wrong. | - It is secret.")
    >>> entry.group, entry.sources, entry.what, entry.why_not
    ('X', (('here #1', 'F'),), 'It is wrong.', 'It is secret.')
    """
    group = ""
    for line in re.sub(r"\n +", " ", text).splitlines():
        if re.match(r"[A-Z]\. ", line):
            group = line[0]
        elif line:
            number, where, what, last = line.split(" | ")
            sources = tuple((part[0], part[1]) for part in re.findall(r"(?:^|; )(.+?) \(([FDC/]+)\)", where))
            names = () if last.startswith("- ") else tuple(last.split("; "))
            yield Entry(int(number), group, sources, what, names, "" if names else last[2:])


ENTRIES: dict[int, Entry] = {entry.number: entry for entry in read(LIST)}
GROUPS: dict[str, str] = dict(re.findall(r"^([A-Z])\. (.+)$", LIST, flags=re.MULTILINE))


def entry_of(number: int) -> Entry:
    """Return the entry of a number.

    Examples
    --------
    >>> entry_of(43).mechanisms
    ('weight per group',)
    >>> entry_of(71)
    Traceback (most recent call last):
    ...
    ValueError: number is 71; expected one of the museum's entries, 1 to 70
    """
    if number not in ENTRIES:
        raise ValueError(f"number is {number!r}; expected one of the museum's entries, 1 to {max(ENTRIES)}")
    return ENTRIES[number]


def entries_of(mechanism: str) -> list[Entry]:
    """The entries that a mechanism shows."""
    return [entry for entry in ENTRIES.values() if mechanism in entry.mechanisms]
