import numpy as np
import pytest

from gnref.axes import NORMS, view
from gnref.errors import ShapeError

N, C, H, W, T, D, G, K, g = 4, 6, 3, 5, 7, 8, 2, 3, 2

# The table of the design, row by row: norm, shape, options, the five slots, the shape of the statistics.
TABLE = [
    ("batch", (N, C, H, W), {}, (1, N, C, 1, H * W), (C,)),
    ("batch", (N, H, W, C), {"channel_axis": -1}, (1, N * H * W, C, 1, 1), (C,)),
    ("instance", (N, C, H, W), {}, (N, 1, C, 1, H * W), (N, C)),
    ("instance", (N, H, W, C), {"channel_axis": 3}, (N, H * W, C, 1, 1), (N, C)),
    ("group", (N, C, H, W), {"num_groups": G}, (N, 1, G, K, H * W), (N, G)),
    ("group", (N, H, W, C), {"num_groups": G, "channel_axis": -1}, (N, H * W, G, K, 1), (N, G)),
    ("layer", (N, C, H, W), {"normalized_shape": (C, H, W)}, (N, 1, 1, C * H * W, 1), (N,)),
    ("layer", (N, T, D), {"normalized_shape": D}, (N * T, 1, 1, D, 1), (N, T)),
    ("rms", (N, T, D), {"normalized_shape": [D]}, (N * T, 1, 1, D, 1), (N, T)),
    ("batch", (N, C, H, W), {"virtual_batch_size": g}, (N // g, g, C, 1, H * W), (N // g, C)),
    ("group", (N, C, T, H, W), {"num_groups": G}, (N, 1, G, K, T * H * W), (N, G)),
    ("batch", (N, C), {}, (1, N, C, 1, 1), (C,)),
    ("layer", (D,), {"normalized_shape": (D,)}, (1, 1, 1, D, 1), ()),
]


@pytest.mark.parametrize(("norm", "shape", "options", "slots", "stats"), TABLE)
def test_the_table(norm, shape, options, slots, stats):
    v = view(norm, shape, **options)
    assert v.x.slots == slots
    assert v.stats.shape == stats
    assert v.stats.slots == (slots[0], slots[2])
    assert v.params.slots == (slots[2], slots[3])
    assert v.set_size == slots[1] * slots[3] * slots[4]
    assert v.center == (norm != "rms")


@pytest.mark.parametrize("norm", NORMS)
def test_fold_and_unfold_are_inverse_and_copy_nothing(norm):
    x = np.arange(N * C * H * W).reshape(N, C, H, W)
    v = view(norm, x.shape, x.strides, num_groups=G, normalized_shape=(H, W))
    assert np.shares_memory(v.x.fold(np, x), x)
    assert np.array_equal(v.x.unfold(np, v.x.fold(np, x)), x)


@pytest.mark.parametrize("norm", ["batch", "instance", "group", "layer"])
def test_channels_last_memory_is_seen_through_any_names(norm):
    memory = np.arange(N * H * W * C).reshape(N, H, W, C)
    for x, axis in ((memory, 3), (np.moveaxis(memory, -1, 1), 1), (np.moveaxis(memory, -1, 2), 2)):
        v = view(norm, x.shape, x.strides, num_groups=G, channel_axis=axis, normalized_shape=x.shape[1:])
        folded = v.x.fold(np, x)
        assert np.shares_memory(folded, memory)
        assert np.array_equal(folded.ravel(), memory.ravel())
        assert np.array_equal(v.x.unfold(np, folded), x)


def test_channels_first_memory_under_a_channels_last_name():
    x = np.moveaxis(np.arange(N * C * H * W).reshape(N, C, H, W), 1, -1)
    assert view("group", x.shape, x.strides, num_groups=G, channel_axis=-1).x.slots == (N, 1, G, K, H * W)


def test_a_set_keeps_its_order_however_many_there_are():
    x = np.asfortranarray(np.arange(N * C * H * W).reshape(N, C, H, W))
    many = view("group", x.shape, x.strides, num_groups=G)
    one = view("group", x[:1].shape, x[:1].strides, num_groups=G)
    assert np.array_equal(many.x.fold(np, x)[:1].ravel(), one.x.fold(np, x[:1]).ravel())


def test_layer_weight_follows_the_memory_order_of_x():
    x = np.asfortranarray(np.arange(12.0).reshape(1, 3, 4))
    v = view("layer", x.shape, x.strides, normalized_shape=(3, 4))
    assert np.array_equal(v.params.fold(np, x[0]).ravel(), v.x.fold(np, x).ravel())
    assert np.array_equal(v.params.unfold(np, v.params.fold(np, x[0])), x[0])


def test_unit_axes_with_absurd_strides_change_nothing():
    assert view("group", (2, 4, 1, 1), (32, 8, 1, 999), num_groups=2).x.slots == (2, 1, 2, 2, 1)
    assert view("batch", (1, 4, 3), (1, 24, 8)).x.slots == (1, 1, 4, 1, 3)


def test_only_batch_norm_has_virtual_batches():
    plain = view("group", (N, C, H, W), num_groups=G)
    assert view("group", (N, C, H, W), num_groups=G, virtual_batch_size=3) == plain


@pytest.mark.parametrize(
    ("norm", "shape", "options", "message"),
    [
        (
            "group",
            (2, 6, 3),
            {"num_groups": 4},
            "num_groups is 4, which does not divide C = 6; .* 1, 2, 3, 6",
        ),
        ("group", (2, 6, 3), {"num_groups": 0}, "num_groups is 0; expected a positive integer"),
        ("group", (2, 6, 3), {"num_groups": -2}, "num_groups is -2; expected a positive integer"),
        ("group", (2, 6, 3), {"num_groups": 2.0}, "num_groups is 2.0; expected a positive integer"),
        ("group", (2, 6, 3), {"num_groups": True}, "num_groups is True; expected a positive integer"),
        ("group", (2, 6, 3), {}, "num_groups is None; expected a positive integer"),
        ("batch", (6,), {}, r"x has shape \(6,\); batch norm expects at least two dimensions"),
        ("instance", (), {}, r"x has shape \(\); instance norm expects at least two"),
        ("batch", (2, 6), {"channel_axis": 0}, "channel_axis is 0; expected an axis of x.* other than N"),
        ("batch", (2, 6), {"channel_axis": -2}, "channel_axis is -2; expected an axis of x"),
        ("batch", (2, 6), {"channel_axis": 2}, "channel_axis is 2; expected an axis of x"),
        ("batch", (2, 6), {"channel_axis": "last"}, "channel_axis is 'last'; expected an axis of x"),
        ("batch", (4, 6), {"virtual_batch_size": 3}, "virtual_batch_size is 3; expected .* divides N = 4"),
        ("batch", (4, 6), {"virtual_batch_size": 0}, "virtual_batch_size is 0; expected"),
        ("layer", (4, 6), {"normalized_shape": ()}, r"normalized_shape is \(\); expected the trailing"),
        ("layer", (4, 6), {"normalized_shape": 4}, "normalized_shape is 4; expected the trailing"),
        ("layer", (4, 6), {"normalized_shape": (1, 4, 6)}, r"normalized_shape is \(1, 4, 6\); expected"),
        ("layer", (4, 6), {"normalized_shape": 6.0}, "normalized_shape is 6.0; expected the trailing"),
        ("layer", (4, 6), {"normalized_shape": "6"}, "normalized_shape is '6'; expected the trailing"),
        ("rms", (4, 6), {"normalized_shape": None}, "normalized_shape is None; expected the trailing"),
        ("layer", (), {"normalized_shape": 1}, r"normalized_shape is 1; expected .* x, shape \(\)"),
    ],
)
def test_what_does_not_fit_is_said(norm, shape, options, message):
    with pytest.raises(ShapeError, match=message):
        view(norm, shape, **options)
