"""Edits of the way from arrays to rows and back: slots, layouts, blocks with a mask, parameters."""

from __future__ import annotations

from gnref.testing.mutants.edit import (
    AXIS,
    BOTH,
    CENTERED,
    CHANNELS,
    CONSTANT,
    COUNT,
    DTYPE,
    ELEMENTS,
    INDEX,
    MASK,
    TERM,
    Edit,
)

LAYER = "return prod(shape[: len(shape) - len(argument)]), 1, 1, D, 1"
GROUP = "return N, 1, G, K, S"
MOVED = "a = np.moveaxis(a, channel_axis, 1)"
WORK = "work = np.float64 if a.dtype == np.float64 else np.float32"
SLOTS = "return a.astype(work).reshape(five_slots(norm, a.shape, argument))"
BACK = "return np.moveaxis(a5.reshape(first.shape), 1, channel_axis).astype(like.dtype)"
MASKED = "mask = lanes < m"
ZEROS = "loaded = np.zeros((*rows.shape[:-1], len(lanes)), rows.dtype)"
FILLED = "loaded[..., :m] = rows"
FULL = "full = np.full(A * B, absent) if p is None else p"
SHAPED = "return full.astype(a5.dtype).reshape(1, 1, A, B, 1)"

SHAPES = (
    Edit(
        "layer: statistics over all rows",
        AXIS,
        LAYER,
        "return 1, prod(shape) // D, 1, D, 1",
        ("layer", "rms"),
    ),
    Edit(
        "layer: statistics over the last axis alone",
        AXIS,
        LAYER,
        "return prod(shape) // D, 1, D // argument[-1], argument[-1], 1",
        ("layer", "rms"),
    ),
    Edit("batch: statistics per example", AXIS, "return 1, N, C, 1, S", "return N, 1, C, 1, S", ("batch",)),
    Edit("instance: over the batch", AXIS, "return N, 1, C, 1, S", "return 1, N, C, 1, S", ("instance",)),
    Edit("group: over all channels", AXIS, GROUP, "return N, 1, 1, C, S", ("group",)),
    Edit("group: per channel", AXIS, GROUP, "return N, 1, C, 1, S", ("group",)),
    Edit("G and K swapped", INDEX, "K = C // G", "G, K = C // G, G", ("group",)),
    Edit(
        "a wrong G becomes a divisor of C",
        COUNT,
        "G = argument",
        "G = max(g for g in range(1, C + 1) if C % g == 0 and g <= argument)",
        ("group",),
        require={"validation": "raises"},
    ),
    Edit(
        "rows cut before P and A trade places",
        INDEX,
        "return a5.transpose(0, 2, 1, 3, 4).reshape(O, A, P * B * S)",
        "return a5.reshape(O, A, P * B * S)",
        ("batch",),
    ),
    Edit(
        "pixels before channels on the way back",
        INDEX,
        "return rows.reshape(O, A, P, B, S).transpose(0, 2, 1, 3, 4)",
        "return rows.reshape(O, A, P, S, B).transpose(0, 2, 1, 4, 3)",
        ("group",),
    ),
)
LAYOUTS = (
    Edit("channel axis ignored", INDEX, MOVED, "pass", CHANNELS, BOTH),
    Edit(
        "channel axis swapped, not moved", INDEX, MOVED, "a = np.swapaxes(a, channel_axis, 1)", CHANNELS, BOTH
    ),
    Edit(
        "channel axis -1 read as 1", INDEX, MOVED, "a = np.moveaxis(a, abs(channel_axis), 1)", CHANNELS, BOTH
    ),
    Edit(
        "results not moved back",
        INDEX,
        BACK,
        "return a5.reshape(like.shape).astype(like.dtype)",
        CHANNELS,
        BOTH,
    ),
    Edit("H and W swapped", INDEX, MOVED, MOVED + ".swapaxes(min(2, a.ndim - 1), -1)", CHANNELS),
    Edit("strides ignored", INDEX, SLOTS, SLOTS.replace("a.astype", 'a.ravel(order="K").astype')),
    Edit("float64 in float32", DTYPE, WORK, "work = np.float32"),
    Edit("16 bits in 16 bits", DTYPE, WORK, "work = a.dtype"),
    Edit("results in float64", DTYPE, BACK, BACK.replace("like.dtype", "np.float64"), CHANNELS),
    Edit(
        "rows' results in float64",
        DTYPE,
        "return a5.reshape(like.shape).astype(like.dtype)",
        "return a5.reshape(like.shape).astype(np.float64)",
        ("layer", "rms"),
    ),
    Edit(
        "results by way of float16",
        DTYPE,
        BACK,
        BACK.replace(".astype(", ".astype(np.float16).astype("),
        CHANNELS,
    ),
)
BLOCKS = (
    Edit("mask one lane too long", MASK, MASKED, "mask = lanes <= m", CENTERED),
    Edit("mask one lane too short", MASK, MASKED, "mask = lanes < m - 1"),
    Edit("mask always true", MASK, MASKED, "mask = lanes >= 0", CENTERED),
    Edit(
        "zeros taken for padding",
        MASK,
        MASKED,
        "mask = (lanes < m) & (rows[..., np.minimum(lanes, m - 1)] != 0)",
        CENTERED,
    ),
    Edit("filled up with 1", MASK, ZEROS, ZEROS.replace("zeros", "ones"), CENTERED),
    Edit(
        "filled up from the row's start", MASK, FILLED, "loaded[...] = rows[..., lanes % max(m, 1)]", CENTERED
    ),
    Edit("first lane not loaded", MASK, FILLED, "loaded[..., 1:m] = rows[..., 1:]"),
    Edit("NaN taken for 0", MASK, FILLED, "loaded[..., :m] = np.where(np.isnan(rows), 0, rows)"),
    Edit("NaN in every set", MASK, FILLED, "loaded[..., :m] = rows if np.isfinite(rows).all() else np.nan"),
)
PARAMETERS = (
    Edit("absent weight taken for 0", CONSTANT, FULL, FULL.replace("absent)", "0.0)")),
    Edit("weight per group", INDEX, SHAPED, SHAPED + "[:, :, :, :1]", ELEMENTS),
    Edit("weight of the first group", INDEX, SHAPED, SHAPED + "[:, :, :1]", CHANNELS),
    Edit("weight one channel off", INDEX, SHAPED, SHAPED.replace("full", "np.roll(full, 1)")),
    # Fewer channels than the index counts do not show it.
    Edit(
        "weight's index in 6 bits",
        INDEX,
        SHAPED,
        SHAPED.replace("full", "full.ravel()[np.arange(A * B) % 64]"),
        large=True,
    ),
    Edit(
        "weight as K by G", INDEX, SHAPED, SHAPED.replace("A, B, 1)", "B, A, 1).swapaxes(2, 3)"), ("group",)
    ),
    Edit(
        "negative strides of weight ignored",
        INDEX,
        FULL,
        FULL.replace("else p", "else p if p.strides[-1] > 0 else np.flip(p)"),
    ),
    Edit("weight in float32", DTYPE, SHAPED, SHAPED.replace(".astype", ".astype(np.float32).astype")),
    Edit("|weight|", TERM, SHAPED, SHAPED.replace("full", "np.abs(full)")),
)
EDITS = (*SHAPES, *LAYOUTS, *BLOCKS, *PARAMETERS)
