"""Error by batch size: the settings, one run, and what is made of many."""

import json
from functools import partial

import pytest

pytest.importorskip("skimage")
pytest.importorskip("sklearn")

from gnref.teaching import paper
from gnref.teaching.lab.data.patches import photo_data
from gnref.teaching.lab.experiment import Record, key
from gnref.teaching.lab.experiments import batch_size
from gnref.teaching.lab.experiments.batch_size import draw, errors, run, tables
from gnref.teaching.lab.experiments.batch_size_settings import PARTS, SIZES, settings
from gnref.teaching.lab.trainer.training import Epoch

SHORT = {"data": "photos", "lighting": 0.7, "net": "residual", "norm": "batch", "batch": 32, "N": 32}
SHORT |= {"schedule": "cosine", "epochs": 1, "seed": 0}
RENORM = ("batch", "renorm")
CHANGES = (("seed", 0), ("net", "plain"), ("schedule", "stepped"))


@pytest.fixture(autouse=True)
def few_photos(monkeypatch):
    """80 patches to learn from, 20 to test on."""
    monkeypatch.setattr(batch_size, "photo_data", partial(photo_data, per_photo=8, tests_per_photo=2))


def short(**more):
    return run(SHORT | more)


def made_up(settings, error=lambda s: 50 + 20 * (s["norm"] == "batch" and s["N"] == 2) + s["seed"]):
    """Records that nobody had to wait for."""
    results = ({"error": error(s), "train": [], "tested": [], "test": [], "weights": 0} for s in settings)
    return [Record(s, result, 1.0, {}, "") for s, result in zip(settings, results, strict=True)]


def cells(table):
    return {row[0]: dict(zip(table.header[1:], row[1:], strict=True)) for row in table.rows}


def test_no_setting_comes_twice():
    keys = [key(s) for s in settings(3)]
    assert len(set(keys)) == len(keys)
    assert len(keys) == sum(len(settings(3, parts=[part])) for part in PARTS)
    assert json.loads(keys[0]) == settings(1)[0]
    assert {s["seed"] for s in settings(3)} == {0, 1, 2}


def test_ghost_batches_leave_the_batch_of_sgd_alone_and_the_protocol_does_not():
    ghost, protocol = (settings(1, parts=[part]) for part in ("ghost", "protocol"))
    assert {s["batch"] for s in ghost} == {32}
    assert [s["N"] for s in ghost if s["norm"] == "batch"] == list(SIZES)
    assert all(s["batch"] == s["N"] and s["schedule"] == "stepped" for s in protocol)


def test_quick_is_few_and_short():
    assert len(settings(2, quick=True)) == 6
    assert {s["epochs"] for s in settings(2, quick=True)} == {3}


@pytest.mark.parametrize("norm", ["batch", "renorm", "group", "layer", "instance", "constant"])
def test_n_is_given_to_two_norms_alone(norm):
    weights = {short(norm=norm, N=N)["weights"] for N in (32, 8, 2)}
    assert len(weights) == (3 if norm in RENORM else 1)


def test_a_run_is_the_same_again_and_another_one_with_another_seed():
    assert short() == short()
    assert short()["weights"] != short(seed=1)["weights"]


def told(monkeypatch, *errors):
    """Let no network learn; the tests' errors are given by epoch, the training draws one number."""
    drawn, by_epoch = [], [None]

    def train(net, data, plan, *, rng, change):
        drawn.append(rng.random())
        for error in errors:
            by_epoch[0] = error
            yield Epoch(0.0, 0.0)

    monkeypatch.setattr(batch_size, "train", train)
    monkeypatch.setattr(batch_size, "error", lambda net, x, labels: by_epoch[0])
    return drawn


def test_the_error_is_the_median_of_the_last_five_epochs(monkeypatch):
    told(monkeypatch, 99.0, 70.0, 88.0, 60.0, 10.0, 50.0, 40.0, 20.0)
    result = short(epochs=8)
    assert result["error"] == 40
    assert result["tested"] == [1, 3, 4, 5, 6, 7, 8]
    assert result["test"] == [99, 88, 60, 10, 50, 40, 20]


def test_the_order_of_the_examples_follows_the_seed(monkeypatch):
    drawn = told(monkeypatch, 1.0)
    for seed, norm in ((0, "batch"), (0, "group"), (1, "batch")):
        short(seed=seed, norm=norm)
    assert drawn[0] == drawn[1] != drawn[2]


def test_digits_are_neither_mirrored_nor_relit_where_the_setting_says_so(monkeypatch):
    monkeypatch.setattr(batch_size, "mirror", None)
    dark, lit = (short(data="digits", lighting=light) for light in (0.0, 1.4))
    assert dark["weights"] != lit["weights"]


def test_the_light_reaches_the_training_too(monkeypatch):
    seen = []
    monkeypatch.setattr(batch_size, "relight", lambda rng, x, light: (seen.append(light), x)[1])
    short(lighting=0.3)
    assert seen == [0.3, 0.3]  # two batches


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"norm": "bach"}, "norm is 'bach'; expected one of batch, layer, "),
        ({"data": "cifar"}, "data is 'cifar'; expected one of photos, digits"),
        ({"net": "deep"}, "net is 'deep'; expected one of residual, plain"),
        ({"schedule": "none"}, "schedule is 'none'; expected one of cosine, stepped"),
        ({"N": 12}, "N is 12; expected a divisor of the batch, 32"),
        ({"N": 0}, "N is 0; expected a divisor of the batch, 32"),
        ({"batch": 96, "N": 96}, "batch is 96; expected at most the 80 training examples"),
    ],
)
def test_what_cannot_be_run_gets_a_sentence(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        short(**wrong)


def test_errors_by_size_and_those_of_unmoved_norms_at_every_size():
    records = made_up(settings(2))
    assert errors(records, "batch") == {32: [50, 51], 16: [50, 51], 8: [50, 51], 4: [50, 51], 2: [70, 71]}
    assert errors(records, "group") == {N: [50, 51] for N in SIZES}
    assert errors(records, "group", lighting=0.0) == {N: [50, 51] for N in SIZES}
    assert errors(records, "weight") == {}


def test_the_light_and_the_data_are_kept_apart():
    records = made_up(settings(1), lambda s: {"photos": 0, "digits": 10}[s["data"]] + s["lighting"])
    assert errors(records, "batch")[2] == [0.7]
    assert errors(records, "batch", "digits") == {32: [11.4], 2: [11.4]}
    assert errors(records, "batch", "digits", lighting=0.0)[2] == [10.0]


def test_the_nets_are_kept_apart():
    records = made_up(settings(1), lambda s: len(s["net"]))
    assert errors(records, "batch")[2] == [8.0]
    assert errors(records, "batch", net="plain") == {32: [5.0], 2: [5.0]}
    assert {row[0]: row[1] for row in tables(records)[3].rows} == {
        "two residual blocks": "8.0",
        "three convolutions in a row": "5.0",
    }


def test_net_and_schedule_reach_the_training():
    found = {short(**{key: value})["weights"] for key, value in CHANGES}
    assert len(found) == len(CHANGES)


def test_tables_stand_beside_the_papers():
    by_size, by_norm, by_light, by_net, by_protocol = tables(made_up(settings(2)))
    assert cells(by_size)["BN, measured"]["2"] == "70.5 (70.0 to 71.0)"
    assert cells(by_size)["BN, the paper"]["2"] == paper.BATCH_SIZE.cell("batch", 2)
    assert cells(by_size)["Batch Renorm, the paper"] == {
        "32": "-",
        "16": "-",
        "8": "-",
        "4": "26.3",
        "2": "-",
    }
    assert cells(by_norm)["IN"] == {"measured": "50.5 (50.0 to 51.0)", "the paper": "28.4"}
    assert cells(by_light)["digits, relit"]["BN, N = 2"] == "70.5 (70.0 to 71.0)"
    assert cells(by_net)["three convolutions in a row"]["BN, N = 2"] == "70.5 (70.0 to 71.0)"
    assert cells(by_protocol)["GN, measured"]["2"] == "50.5 (50.0 to 51.0)"


def test_the_protocols_table_has_no_ghost_batches():
    records = made_up(settings(1), lambda s: s["batch"])
    assert list(cells(tables(records)[4])["BN, measured"].values()) == ["32.0", "8.0", "2.0"]
    assert set(cells(tables(records)[0])["BN, measured"].values()) == {"32.0"}


@pytest.mark.parametrize("part", PARTS)
def test_tables_of_one_run_and_of_some_parts(part):
    some = made_up(settings(1, parts=[part]))
    assert tables(some)
    for record in some:
        assert tables([record])
        draw([record])


def test_light_net_and_protocol_have_no_table_where_only_ghost_batches_were_run():
    titles = {table.title for table in tables(made_up(settings(1, parts=["ghost"])))}
    assert titles == {"Error by N", "Error by norm, N = 32"}
    assert tables([]) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_figure_shows_bn_and_gn_here_and_in_the_paper(theme):
    left, right = draw(made_up(settings(2, parts=["ghost"])), theme).axes
    assert left.lines[0].get_xydata().tolist() == [[32, 50.5], [16, 50.5], [8, 50.5], [4, 50.5], [2, 70.5]]
    assert right.lines[0].get_ydata().tolist() == [23.6, 23.7, 24.8, 27.3, 34.7]
    assert {text.get_text() for text in left.texts} == {"BN", "GN"}
