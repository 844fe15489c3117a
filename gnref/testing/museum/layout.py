"""Slips about memory: strides that are not looked at, and arrays that are written to."""

from __future__ import annotations

from gnref.testing.museum.gradients import SLOTS
from gnref.testing.museum.mechanism import Change, Mechanism

CHANNELS = ("batch", "instance", "group")
PLACE = "return a.astype(work).reshape(five_slots(norm, a.shape, argument))"
PARAMETER = "full = np.full(A * B, absent) if p is None else p"

MECHANISMS = (
    Mechanism(
        name="strides of x ignored",
        slip="x[i] read at the address of x + i",
        explanation="A slice or a transpose is a view: its elements lie in another order, or apart. Read one "
        "after the other they are other numbers.",
        norm="group",
        property="f(view) = f(copy)",
        changes=(Change(PLACE, PLACE.replace("a.astype", "in_memory_order(a).astype")),),
    ),
    Mechanism(
        name="x read with dy's strides",
        slip="x[i] found with the strides of dy",
        explanation="The layout is decided by one array and used for both. It goes wrong where dy lies "
        "channels last and x does not, which a test with equal layouts never has.",
        norm="batch",
        property="f(any layout) = f(plain layout)",
        changes=(Change(SLOTS, SLOTS.replace("in (x, dy)", "in (with_strides_of(x, dy), dy)")),),
    ),
    Mechanism(
        name="strides of single elements",
        slip="strides compared on axes of size 1",
        explanation="The stride of an axis with one element is never used and may be anything: with H = W = "
        "1 an array is contiguous whatever it says. A comparison of all strides raises.",
        norm="batch",
        property="every call returns",
        changes=(
            Change(
                SLOTS,
                "if x.flags.c_contiguous and x.strides != row_major(x):\n"
                '    raise ValueError("x is contiguous, and its strides are not")\n' + SLOTS,
            ),
        ),
        asking={"max_examples": 100},
    ),
    Mechanism(
        name="strides of the weight ignored",
        slip="weight[c] read at the address of weight + c",
        explanation="x is made contiguous first, the parameters are taken as they come. A weight that is a "
        "slice of something larger is read across its end.",
        norm="group",
        property="reads and writes in bounds",
        changes=(Change(PARAMETER, PARAMETER.replace("else p", "else in_memory_order(p)")),),
        asking={"options": {"affine": True}, "max_examples": 100},
    ),
    Mechanism(
        name="input overwritten",
        slip="x[...] = y",
        explanation="The result is put where x was, which saves an array. Whoever needs x later, such as the "
        "backward pass or a residual branch, has y instead.",
        norm="layer",
        property="inputs are unchanged",
        changes=(
            Change(
                "return a5.reshape(like.shape).astype(like.dtype)",
                "like[...] = a5.reshape(like.shape)\nreturn like",
            ),
        ),
        norms=("layer", "rms"),
    ),
)
