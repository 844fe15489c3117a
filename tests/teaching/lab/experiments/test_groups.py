"""The experiment on groups: the nets that it trains, its two ends, and what it shows of its results."""

from functools import partial

import numpy as np
import pytest

import gnref
from gnref.teaching.lab.data.patches import photo_data
from gnref.teaching.lab.experiment import Record, key
from gnref.teaching.lab.experiments import groups
from gnref.teaching.lab.experiments.groups import SIZES, WIDTHS, errors, judge, norm_of, settings
from gnref.teaching.lab.trainer.nets import residual_net
from gnref.teaching.lab.trainer.training import train
from gnref.teaching.palette import THEMES

PROBLEMS = [((2, 16, 4, 4), "float32"), ((3, 6, 5, 7), "float64")]


def records(chosen):
    """What is easily told apart: the error is 40 + 10 * seed + G, or less K, and 100 more if not relit."""
    found = []
    for s in chosen:
        error = 40.0 + 10 * s["seed"] + s.get("G", -s.get("K", 0)) + 100 * (s["lighting"] == 0)
        found.append(Record(s, {"error": error, "train": []}, 1.0, {}, ""))
    return found


def problem(shape, dtype):
    rng = np.random.default_rng(0)
    x, dy = rng.normal(1.0, 2.0, (2, *shape)).astype(dtype)
    weight, bias = rng.standard_normal((2, shape[1])).astype(dtype)
    return x, dy, weight, bias


@pytest.mark.parametrize(("shape", "dtype"), PROBLEMS)
def test_one_channel_per_group_is_instance_norm_bit_for_bit(shape, dtype):
    x, dy, weight, bias = problem(shape, dtype)
    found = []
    for norm in (gnref.GroupNorm(shape[1], shape[1], dtype=dtype), gnref.InstanceNorm(shape[1], dtype=dtype)):
        norm.weight, norm.bias = weight, bias
        found.append((norm.forward(x), norm.backward(dy), norm.grads["weight"], norm.grads["bias"]))
    assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize(("shape", "dtype"), PROBLEMS)
def test_one_group_is_the_papers_layer_norm(shape, dtype):
    from gnref.testing import oracles
    from gnref.testing.problems import Problem

    x, dy, weight, bias = (a.astype("float64") for a in problem(shape, dtype))
    each = [np.broadcast_to(a[:, None, None], shape[1:]).copy() for a in (weight, bias)]
    wanted = Problem("layer", x, dy, *each, normalized_shape=shape[1:])  # a weight per element, all alike
    y, saved = gnref.group_norm_forward(x, 1, weight, bias)
    dx, dweight, dbias = gnref.backward(dy, saved)
    fsum = oracles.load("fsum")
    right_dx, right_dweight, right_dbias = fsum.gradients(wanted)
    np.testing.assert_allclose(y, fsum.y(wanted), rtol=0, atol=1e-13)
    np.testing.assert_allclose(dx, right_dx, rtol=0, atol=1e-13)
    np.testing.assert_allclose(dweight, right_dweight.sum((1, 2)), rtol=0, atol=1e-12)
    np.testing.assert_allclose(dbias, right_dbias.sum((1, 2)), rtol=0, atol=1e-12)


@pytest.mark.parametrize("way", SIZES)
def test_every_size_divides_every_width(way):
    for size in SIZES[way]:
        made = [norm_of({way: size})(C) for C in WIDTHS]
        channels = [norm.num_channels // norm.num_groups for norm in made]
        assert {"G": [norm.num_groups for norm in made], "K": channels}[way] == [size] * 3


@pytest.mark.parametrize(("way", "size"), [("G", 3), ("K", 32), ("G", 0), ("K", 2.0)])
def test_a_size_that_does_not_divide_is_told(way, size):
    setting = settings(1)[0] | {way: size}
    if way == "K":
        del setting["G"]
    with pytest.raises(ValueError, match=f"{way} is {size}; expected a divisor of the channels, 16 and 32"):
        groups.run(setting)


def test_settings_are_all_different_and_begin_with_a_whole_seed():
    chosen = settings(3)
    assert len({key(setting) for setting in chosen}) == len(chosen)
    assert [setting["seed"] for setting in chosen] == sorted(setting["seed"] for setting in chosen)
    assert all(setting["epochs"] == 3 for setting in settings(2, quick=True))


@pytest.fixture
def short(monkeypatch):
    """A run of one epoch on a few patches, by setting."""
    pytest.importorskip("skimage")
    monkeypatch.setattr(groups, "photo_data", partial(photo_data, per_photo=10, tests_per_photo=10))
    base = {"first": 0, "lighting": 0.7, "epochs": 1, "seed": 0}
    return lambda **setting: groups.run(base | setting)


def test_a_run_says_what_it_found(short):
    found = short(G=4)
    assert set(found) == {"error", "train"}
    assert len(found["train"]) == 1
    assert 0 < found["error"] < 100
    assert found == short(G=4)
    assert found != short(G=4, seed=1)


@pytest.mark.parametrize("seed", [0, 1])
def test_data_net_and_training_follow_from_the_seed(seed, short, monkeypatch):
    asked = []

    def photos(seed, strength):
        asked.append(("data", seed, strength))
        return photo_data(0, 4, 4, strength)

    def net(*args, rng, **options):
        asked.append(("net", rng.random()))
        return residual_net(*args, rng=rng, **options)

    def trained(*args, rng, **options):
        asked.append(("training", rng.random()))
        return train(*args, rng=rng, **options)

    monkeypatch.setattr(groups, "photo_data", photos)
    monkeypatch.setattr(groups, "residual_net", net)
    monkeypatch.setattr(groups, "train", trained)
    short(G=4, seed=seed, lighting=0.3)
    first = {name: np.random.default_rng([seed, i]).random() for i, name in ((4, "net"), (5, "training"))}
    assert sorted(asked) == [("data", seed, 0.3), *first.items()]


def test_every_training_batch_is_mirrored_and_relit(short, monkeypatch):
    asked = []
    monkeypatch.setattr(groups, "mirror", lambda rng, x: asked.append("mirror") or x)
    monkeypatch.setattr(groups, "relight", lambda rng, x, strength: asked.append(strength) or x)
    short(G=4, lighting=0.3)
    assert asked == ["mirror", 0.3] * 3  # batches of 32 in 100 patches


def test_with_instance_norm_first_the_rest_are_groups(short):
    assert short(G=16, first=1) == short(G=16)  # 16 groups of 16 channels: it was so before
    assert short(G=1, first=1) != short(G=1)
    assert short(K=1, first=1) == short(K=1)
    assert short(G=1, lighting=0.0) != short(G=1)


def test_errors_are_of_the_nets_that_were_asked_for():
    found = records(settings(2))
    assert errors(found, "G") == {G: [40.0 + G, 50.0 + G] for G in SIZES["G"]}
    assert errors(found, "K") == {K: [40.0 - K, 50.0 - K] for K in SIZES["K"]}
    assert errors(found, "G", first=1) == {1: [41.0, 51.0]}
    assert list(errors(found, "G", lighting=0.0)) == [1, 16]


def test_tables_are_by_g_by_k_and_by_net():
    by_groups, by_channels, by_net = groups.tables(records(settings(2)))
    assert by_groups.rows[0][3:] == tuple(f"{45 + G}.0 ({40 + G}.0 to {50 + G}.0)" for G in (16, 8, 4, 2, 1))
    assert by_channels.rows[1][0] == "GN, the paper"
    assert by_channels.rows[1][-1] == "28.4"
    assert by_net.rows[1] == (
        "the first is IN",
        "46.0 (41.0 to 51.0)",
        "61.0 (56.0 to 66.0)",
        "44.0 (39.0 to 49.0)",
    )
    assert by_net.rows[2][1:] == (
        "146.0 (141.0 to 151.0)",
        "161.0 (156.0 to 166.0)",
        "144.0 (139.0 to 149.0)",
    )
    assert by_net.rows[-1] == ("the paper, all alike", "25.3", "24.1", "28.4")


@pytest.mark.parametrize("count", range(0, 13, 3))
def test_what_is_missing_is_left_out(count):
    pytest.importorskip("matplotlib")
    found = records(settings(1)[:count])
    assert all(table.rows for table in groups.tables(found))
    assert len(groups.draw(found).axes) == 2
    assert groups.tables([]) == []


@pytest.mark.parametrize("theme", THEMES)
def test_a_guess_is_drawn_in_quiet_ink(theme):
    pytest.importorskip("matplotlib")
    figure = groups.draw(records(settings(1)), theme, {"G": {16: 50, 1: 60, 2: None}, "K": {1: None}})
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    guessed = lines["your guess, by G"]
    assert guessed.get_xydata().tolist() == [[1, 60], [16, 50]]
    assert guessed.get_color() == THEMES[theme].muted
    assert lines["number of groups, G"].get_ydata().tolist() == [41, 42, 44, 48, 56]


def test_a_guess_is_judged_by_the_mean():
    found = records(settings(2))
    rows = judge(found, {"G": {1: 40, 2: None, 3: 50}, "K": {8: 40.25}}).rows
    assert rows == (
        ("G = 1", "40.0", "46.0 (41.0 to 51.0)", "-6.0"),
        ("K = 8", "40.2", "37.0 (32.0 to 42.0)", "+3.2"),
    )
    assert "None yet" in judge(found, {"G": {1: None}}).notes[0]


def test_a_guess_that_is_no_number_is_told():
    with pytest.raises(ValueError, match="the guess for G = 4 is '58 %'; expected a number, in %, or None"):
        judge(records(settings(1)), {"G": {4: "58 %"}})
