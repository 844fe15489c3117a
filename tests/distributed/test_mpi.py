"""The real thing: programs on one to four ranks of MPI, each with a limit on its time."""

import re

import pytest


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_shards_give_what_the_whole_batch_gives(mpiexec, ranks):
    code, said = mpiexec(ranks, "whole_batch.py")
    assert code == 0
    assert sorted(re.findall(rf"rank \d of {ranks}: 112 cases", said)) == [
        f"rank {rank} of {ranks}: 112 cases" for rank in range(ranks)
    ]


SAME = "expected the same on every rank"
# What all ranks are told, where one is odd.
DISAGREE = {
    "C": "{odd} has C = 8 and {other} has C = 16",
    "dtype of x": "{odd} has x in float32 and {other} has x in float64",
    "eps": "{odd} has eps = 0.001 and {other} has eps = 1e-05",
    "no weight": "{odd} has no weight and {other} has a weight of float64",
    "dtype of bias": "{odd} has a bias of float32 and {other} has a bias of float64",
    "other call": "{odd} is in sync_batch_norm_backward and {other} is in sync_batch_norm_forward",
    "other forward": "{odd} goes back through call 1 and {other} goes back through call 2",
}
# What the odd rank is told, and the others with it.
REFUSE = {
    "integers": "TypeError: x has dtype int64; expected one of float16, bfloat16, float32, float64",
    "a list": "TypeError: x is a builtins.list; expected an array of",
    "one dimension": "ShapeError: x has shape (16,); batch norm expects at least two dimensions",
    "channel_axis": "ShapeError: channel_axis is 0; expected an axis of x, shape (3, 16, 4), other than N",
    "eps not finite": "ValueError: eps is nan; expected a finite number >= 0",
    "weight of 8": "ShapeError: weight has shape (8,); expected (16,), one number per channel",
    "timeout": "ValueError: timeout is -1; expected a number of seconds > 0",
    "dy": "ShapeError: dy has shape (1, 16, 4); expected that of x, (3, 16, 4)",
    "layer": "ShapeError: x has shape (3, 8, 4), so C = 8; expected C = 16, as this SyncBatchNorm was made",
    "layer, integers": "TypeError: x has dtype int64; expected one of",
}


def told(said):
    """By case, what every rank was told, in order."""
    found = {}
    for name, rank, text in re.findall(r"^(.*) \| (\d) \| (.*)$", said, re.MULTILINE):
        found.setdefault(name, {})[int(rank)] = text
    return {name: [texts[rank] for rank in sorted(texts)] for name, texts in found.items()}


@pytest.mark.parametrize("odd", [0, 2])
def test_every_rank_hears_of_one_that_differs_or_refuses(mpiexec, odd):
    code, said = mpiexec(3, "refusals.py", str(odd), GNREF_BACKEND="reference")
    found = told(said)
    assert code == 0
    assert found.pop("after all") == ["nothing"] * 3
    (text,) = set(found.pop("one element"))
    assert text.startswith("ShapeError: x has one element per channel on one rank and none on the others")
    for name, pattern in DISAGREE.items():
        # Ranks are compared with rank 0; if that is the odd one, rank 1 is the first that differs from it.
        clauses = pattern.format(odd=f"rank {odd}", other=f"rank {0 if odd else 1}").split(" and ")
        sentence = " and ".join(clauses if odd else reversed(clauses))
        assert found.pop(name) == [f"RankError: {sentence}; {SAME}"] * 3
    for name, start in REFUSE.items():
        texts = found.pop(name)
        assert texts[odd].startswith(start)
        others = [text for rank, text in enumerate(texts) if rank != odd]
        assert others == [f"RankError: rank {odd} refused its arguments: {texts[odd]}"] * 2
    assert found == {}


# How Python is started, and what rank 2 does. After an error `-m mpi4py` ends all ranks; without it each rank
# ends by itself, and MPI waits for those that are still there: so these two are only tried with it.
MODES = [
    ("plain", "raises"),
    ("plain", "ends"),
    ("plain", "is late"),
    ("mpi4py", "ends"),
    ("mpi4py", "sleeps"),
    ("mpi4py", "is stopped"),
]


@pytest.mark.parametrize(("python", "mode"), MODES)
def test_a_silent_rank_is_named_by_all_that_are_left(mpiexec, python, mode):
    options = ("-m", "mpi4py") if python == "mpi4py" else ()
    code, said = mpiexec(3, "silence.py", mode, python=options, limit=120, GNREF_BACKEND="reference")
    assert code == 7
    silence = r"no answer from rank 2 within 3 s \(ended, failed, or doing something else\)\. Nothing more"
    for rank in (0, 1):
        assert re.search(rf"rank {rank}, first: {silence}", said)
        assert f"rank {rank}, again: an earlier exchange on this communicator was given up" in said
    assert "changed" not in said
    assert ("an error of its own" in said) == (mode == "raises")
    if mode == "is late":
        assert "rank 2, first: no answer from ranks 0, 1 within 3 s" in said


@pytest.mark.parametrize("python", ["plain", "mpi4py"])
def test_where_a_rank_is_killed_the_launcher_ends_the_others(mpiexec, python):
    options = ("-m", "mpi4py") if python == "mpi4py" else ()
    code, said = mpiexec(3, "silence.py", "is killed", python=options, limit=120, GNREF_BACKEND="reference")
    assert code == 9
    assert "Killed (signal 9)" in said


def test_an_uncaught_error_ends_all_at_once_under_mpi4py(mpiexec):
    options = {"python": ("-m", "mpi4py"), "limit": 120, "GNREF_BACKEND": "reference"}
    code, said = mpiexec(3, "silence.py", "raises", **options)
    assert code == 1
    assert "ValueError: an error of its own" in said
