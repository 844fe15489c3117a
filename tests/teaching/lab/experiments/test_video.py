"""Longer clips or more: the settings, one run, and what is made of many."""

from functools import partial

import numpy as np
import pytest

pytest.importorskip("skimage")

from gnref.teaching import paper
from gnref.teaching.lab.data.clips import clip_data
from gnref.teaching.lab.experiment import Record, key, load
from gnref.teaching.lab.experiments import video
from gnref.teaching.lab.experiments.video import (
    MEMORY,
    TWINS,
    draw,
    errors,
    paper_errors,
    run,
    settings,
    tables,
)
from gnref.teaching.lab.trainer.video_net import video_net

SHORT = {"contrast": "as it is", "norm": "batch", "T": 2, "N": 16, "epochs": 1, "seed": 0}


@pytest.fixture
def few_clips(monkeypatch):
    """60 clips to learn from, 20 to test on."""
    monkeypatch.setattr(video, "clip_data", partial(clip_data, per_photo=6, tests_per_photo=2))


def made_up(settings):
    """Records that nobody had to wait for: more frames and more clips are better, GN is at 10 * T."""
    found = []
    for s in settings:
        error = 10 * s["T"] if s["norm"] == "group" else 100 - s["N"] - s["T"]
        result = {"error": float(error + s["seed"]), "train": [], "loss": []}
        found.append(Record(s, result, 1.0, {}, ""))
    return found


def cells(table):
    return {row[0]: dict(zip(table.header[1:], row[1:], strict=True)) for row in table.rows}


def test_it_is_an_experiment():
    assert load("video") is video
    assert video.NAME == "video"


def test_batch_norm_fills_every_memory_with_short_and_with_long_clips():
    own = [s for s in settings(1) if s["norm"] == "batch" and s["contrast"] == "as it is"]
    assert [(s["T"], s["N"] * s["T"]) for s in own] == [(T, frames) for T in (4, 8) for frames in MEMORY]


def test_no_setting_comes_twice_and_every_one_has_all_seeds():
    keys = [key(s) for s in settings(3)]
    assert len(set(keys)) == len(keys) == 3 * len(settings(1))
    assert {s["seed"] for s in settings(3)} == {0, 1, 2}


def test_quick_is_few_and_short_and_of_one_memory():
    quick = settings(1, quick=True)
    assert len(quick) == 4
    assert {s["epochs"] for s in quick} == {1}
    assert {s["N"] * s["T"] for s in quick if s["norm"] == "batch"} == {32}


@pytest.mark.parametrize(("norm", "moved"), [("batch", True), ("group", False), ("instance", False)])
def test_n_moves_batch_norm_and_no_bit_of_the_others(few_clips, norm, moved):
    results = [run(SHORT | {"norm": norm, "N": N})["loss"] for N in (16, 4, 1)]
    assert (results[0] != results[1]) == (results[1] != results[2]) == moved


def test_a_run_is_the_same_again_and_another_one_with_other_settings(few_clips):
    first = run(SHORT)
    assert first == run(SHORT)
    others = ({"seed": 1}, {"T": 4}, {"contrast": "equal"}, {"norm": "group"}, {"epochs": 2})
    assert all(run(SHORT | other)["loss"] != first["loss"] for other in others)


def test_the_error_is_over_all_test_clips(few_clips, monkeypatch):
    tested = []
    monkeypatch.setattr(video, "error", lambda net, x, labels: (tested.append(len(x)), 12.5)[1])
    result = run(SHORT | {"epochs": 2})
    assert tested == [20]
    assert result["error"] == 12.5
    assert len(result["train"]) == len(result["loss"]) == 2


def test_a_seed_draws_the_weights_and_the_norm_does_not(few_clips, monkeypatch):
    drawn = []

    def noted(*arguments, **options):
        net = video_net(*arguments, **options)
        drawn.append(net.parts[0].weight.copy())
        return net

    monkeypatch.setattr(video, "video_net", noted)
    for other in ({}, {"norm": "group"}, {"seed": 1}):
        run(SHORT | other)
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"norm": "bach"}, "norm is 'bach'; expected one of batch, layer, instance, group"),
        ({"contrast": "low"}, "contrast is 'low'; expected 'as it is' or 'equal'"),
        ({"N": 3}, "N is 3; expected a divisor of the batch, 16"),
        ({"N": 32}, "N is 32; expected a divisor of the batch, 16"),
        ({"N": 0}, "N is 0; expected a divisor of the batch, 16"),
        ({"T": 9}, "T is 9; expected 1 to 8 frames"),
    ],
)
def test_what_cannot_be_run_gets_a_sentence(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        run(SHORT | wrong)


def test_one_run_of_group_norm_stands_at_every_n():
    records = made_up(settings(2))
    assert errors(records, "group", 8) == {N: [80, 81] for N in (8, 4, 2, 1)}
    assert errors(records, "batch", 4)[2] == [94, 95]
    assert errors(records, "batch", 4, "equal") == {16: [80, 81], 2: [94, 95]}
    assert errors([], "group", 4) == {}


def test_the_first_table_is_by_memory():
    by_memory = cells(tables(made_up(settings(1)))[0])
    assert list(by_memory) == ["BN, T = 4", "BN, T = 8", "GN, T = 4", "GN, T = 8"]
    assert by_memory["BN, T = 8"] == {"64": "84.0", "32": "88.0", "16": "90.0", "8": "91.0"}
    assert by_memory["GN, T = 4"] == dict.fromkeys(("64", "32", "16", "8"), "40.0")


def test_the_second_table_stands_beside_the_papers():
    made = cells(tables(made_up(settings(1)))[1])
    assert list(made["BN, measured"].values()) == ["88.0", "92.0", "88.0"]
    assert list(made["BN, the paper"].values()) == ["26.7", "27.9", "26.7"]
    assert list(made["GN, the paper"].values()) == ["27.0", "27.2", "25.5"]


def test_ours_and_the_papers_columns_have_the_same_n_and_the_same_ratio_of_lengths():
    assert list(TWINS) == list(paper.VIDEO.columns)
    assert {theirs[0] / ours[0] for theirs, ours in TWINS.items()} == {8}
    assert all(theirs[1] == ours[1] for theirs, ours in TWINS.items())
    assert paper_errors("batch")[32, 8] == pytest.approx(100 - paper.VIDEO["batch", (32, 8)])


def test_the_third_table_is_by_contrast():
    made = cells(tables(made_up(settings(1)))[2])
    assert made["equal"] == {"BN, N = 16": "80.0", "BN, N = 2": "94.0", "GN": "40.0"}


@pytest.mark.parametrize("count", [1, 5, 20])
def test_tables_and_figure_of_what_there_is(count):
    records = made_up(settings(2))
    for some in (records[:count], records[-count:]):
        assert all(table.rows for table in tables(some))
        assert draw(some).axes
    assert "-" in cells(tables(records[:1])[0])["BN, T = 4"].values()
    assert tables([]) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_figure_has_a_line_for_each_norm_and_length(theme):
    left, right = draw(made_up(settings(1)), theme).axes
    lines = {line.get_label(): line for line in left.lines if not line.get_label().startswith("_")}
    assert list(lines) == ["BN, T = 4", "BN, T = 8", "GN, T = 4", "GN, T = 8"]
    assert lines["BN, T = 8"].get_xdata().tolist() == list(MEMORY)
    assert lines["BN, T = 8"].get_ydata().tolist() == [84, 88, 90, 91]
    reported = {line.get_label(): line.get_ydata().tolist() for line in right.lines}
    assert reported["BN, T = 32"] == pytest.approx([26.7, 27.9])
    assert reported["GN, T = 64"][0] == pytest.approx(25.5)
