"""Fine-tuning: the settings, short runs, and what is made of many."""

import json
from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("skimage")

from gnref.teaching.lab.experiment import Record, key
from gnref.teaching.lab.experiments import finetune
from gnref.teaching.lab.experiments.finetune_settings import LIGHTS, SIZES
from gnref.teaching.lab.trainer.stored import remeasure, stored
from gnref.teaching.lab.trainer.training import Epoch, norms


def setting(**changes):
    """A short run's."""
    (first, *_) = finetune.settings(1, quick=True)
    return first | {"epochs": 1, "pretraining": 1} | changes


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(finetune, "PIECES", 16)
    monkeypatch.setattr(finetune, "MOSAICS", 8)
    finetune.pretrained.cache_clear()
    yield
    finetune.pretrained.cache_clear()


def test_settings_are_of_json_and_differ():
    made = finetune.settings(2)
    assert len({key(one) for one in made}) == len(made)
    assert json.loads(json.dumps(made)) == made
    assert {one["seed"] for one in made} == {0, 1}
    main = finetune.settings(1, parts=["main"])
    assert {(one["norm"], one["light"], one["N"]) for one in main} == {
        (norm, light, N) for norm in ("batch", "frozen", "group") for light in ("clear", "fog") for N in SIZES
    }


def test_runs_that_share_a_pretrained_net_stand_together():
    shared = [
        (one["seed"], one["start"], one["norm"] == "group")
        for one in finetune.settings(2)
        if one["start"] == "pretrained"
    ]
    changes = sum(a != b for a, b in pairwise(shared))
    assert changes == len(set(shared)) - 1


@pytest.mark.parametrize("norm", ["batch", "frozen", "group"])
def test_a_run_tells_what_it_says_and_twice_the_same(norm):
    result = finetune.run(setting(norm=norm))
    wanted = {"error", "train_error", "mean_iou", "masks", "fog"}
    more = {"batch": {"fog_new"}, "frozen": {"fog_new", "swapped"}, "group": set()}[norm]
    assert set(result) == wanted | more
    assert json.loads(json.dumps(result)) == result
    assert 0 < result["error"] < 100
    assert len(result["masks"][0]) == 32 * 32
    finetune.pretrained.cache_clear()
    assert finetune.run(setting(norm=norm)) == result


def test_the_masks_are_the_first_predictions(monkeypatch):
    labels = finetune.mosaic_data(0).labels_test
    monkeypatch.setattr(finetune, "predict", lambda net, x: labels)
    result = finetune.run(setting(norm="group"))
    assert (result["error"], result["mean_iou"]) == (0, 100)
    masks = np.array([list(mask) for mask in result["masks"]], int).reshape(-1, 32, 32)
    assert np.array_equal(masks, labels[: finetune.SHOWN])


def test_the_training_error_is_the_last_epochs(monkeypatch):
    epochs = [Epoch(1.0, 20.0), Epoch(1.0, 10.0)]
    monkeypatch.setattr(finetune, "train", lambda *arguments, **options: iter(epochs))
    assert finetune.run(setting(norm="group"))["train_error"] == 10


def test_pretraining_trains():
    before, after = (finetune.pretrained("batch", 0, epochs) for epochs in (1, 2))
    for net in (before, after):
        assert abs(stored(net)[0][0]).max() > 0
    assert not np.array_equal(before.parts[0].weight, after.parts[0].weight)


@pytest.mark.parametrize("statistics", ["old", "new"])
def test_what_is_put_in_after_training_is_the_other_kind(statistics, monkeypatch):
    given = []
    monkeypatch.setattr(finetune, "swapped", lambda net, data, statistics=None: given.append(statistics) or 0)
    finetune.run(setting(norm="frozen", light="fog", statistics=statistics))
    (put,) = given
    assert (put is None) == (statistics == "old")
    if put is not None:
        assert np.array_equal(put[-1], stored(finetune.pretrained("batch", 0, 1))[-1])


def test_frozen_norms_stay_as_the_pretraining_left_them(monkeypatch):
    seen = []
    monkeypatch.setattr(finetune, "in_fog", lambda net, seed: seen.append(net) or {})
    for norm in ("frozen", "batch"):
        finetune.run(setting(norm=norm))
    for net, moved in zip(seen, (False, True), strict=True):
        before = norms(finetune.pretrained("batch", 0, 1))
        after = norms(net)
        for name in ("running_mean", "running_var", "weight", "bias"):
            pairs = [(getattr(a, name), getattr(b, name)) for a, b in zip(before, after, strict=True)]
            assert any(not np.array_equal(a, b) for a, b in pairs) == moved


def test_a_run_leaves_the_pretrained_net_alone():
    before = stored(finetune.pretrained("batch", 0, 1))
    finetune.run(setting(norm="frozen", statistics="new", light="fog"))
    after = stored(finetune.pretrained("batch", 0, 1))
    assert all(
        np.array_equal(a, b)
        for one, other in zip(before, after, strict=True)
        for a, b in zip(one, other, strict=True)
    )


def test_swapping_is_undone_and_matters():
    data = finetune.mosaic_data(0, "fog")
    net = finetune.start(setting(norm="batch"))
    before = stored(net)
    new = finetune.swapped(net, data)
    assert np.array_equal(stored(net)[0], before[0])
    remeasure(net, data.x_train)
    assert finetune.swapped(net, data, stored(net)) == new


@pytest.mark.parametrize("light", ["fog", "bright fog"])
def test_only_the_light_differs(light):
    clear, other = finetune.mosaic_data(1), finetune.mosaic_data(1, light)
    assert np.array_equal(clear.labels_test, other.labels_test)
    assert other.x_test.std() < 0.3 * clear.x_test.std()
    assert other.x_test.mean() == pytest.approx(LIGHTS[light][2], abs=0.03)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"norm": "weight"}, "norm is 'weight'; expected one of batch, frozen, group"),
        ({"light": "night"}, "light is 'night'; expected one of clear, fog, bright fog"),
        ({"statistics": "new"}, "statistics is 'new'; expected 'old' with norm 'batch', which freezes none"),
        (
            {"norm": "frozen", "start": "scratch"},
            "start is 'scratch'; expected 'pretrained', since a frozen norm needs statistics",
        ),
        ({"N": 9}, "N is 9; expected 1 to 8, the number of training mosaics"),
        ({"N": 0}, "N is 0; expected 1 to 8, the number of training mosaics"),
    ],
)
def test_a_bad_setting_is_told_in_a_sentence(changes, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        finetune.run(setting(**changes))


def record(one, **values):
    result = {"error": 10.0, "fog": 70.0, "fog_new": 20.0, "swapped": 60.0, "mean_iou": 80.0} | values
    return Record(one, result, 1.0, {}, "")


def test_tables_and_figure_of_all_runs():
    far = {"scratch": 50, "new": 30, "pretrained": 0, "old": 0}
    records = [
        record(one, error=10.0 + one["N"] + one["seed"] + far[one["start"]] + far[one["statistics"]])
        for one in finetune.settings(2)
    ]
    titles = [table.title for table in finetune.tables(records)]
    by_size = finetune.tables(records)[0]
    assert titles[:2] == ["Wrong pixels after fine-tuning", "Frozen, in fog, N = 2, by the statistics"]
    assert len(titles) == 10
    values = ("11.5 (11.0 to 12.0)", "12.5 (12.0 to 13.0)", "14.5 (14.0 to 15.0)")
    assert by_size.rows[:2] == (("BN, clear", *values), ("BN*, clear", *values))
    figure = finetune.draw(records, "dark")
    assert [ax.get_title() for ax in figure.axes][:2] == ["measured here, clear", "measured here, in fog"]
    assert figure.axes[0].lines[0].get_ydata().tolist() == [14.5, 12.5, 11.5]


@pytest.mark.parametrize("kept", [1, 3])
def test_tables_and_figure_of_few_runs(kept):
    records = [record(one) for one in finetune.settings(1, quick=True)][:kept]
    tables = finetune.tables(records)
    assert all(table.rows for table in tables)
    assert len(tables) > 5
    finetune.draw(records)
