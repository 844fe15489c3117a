import json

from gnref.bench.costs import Cost
from gnref.bench.record import to_json


def test_everything_is_there(machine, results):
    costs = [Cost("one call", "12.0 us", values={"gnref": 1.2e-5})]
    found = json.loads(to_json(machine, {"rounds": 5}, results, {"jax": "broken"}, costs))
    assert found["machine"] == machine
    assert found["settings"] == {"rounds": 5}
    assert found["absent"] == {"jax": "broken"}
    assert found["costs"] == [{"what": "one call", "gnref": 1.2e-5}]
    row = found["rows"][0]
    assert (row["norm"], row["direction"], row["shape"]) == ("group", "forward", [8, 256, 56, 56])
    assert row["gnref"]["seconds"] == [0.012, 0.010, 0.011, 0.009, 0.008]
    assert row["gnref"]["median"] == 0.010
    assert row["gnref"]["quartiles"] == [0.009, 0.011]
    assert row["gnref_out"]["seconds"] == [0.010]
    assert row["peers"]["torch"]["way"] == "a way"
    assert row["peers"]["torch"]["seconds"] == [0.020]
    assert row["ratios"]["torch"] == 2
    assert row["fastest"] == "torch"
    assert row["share_of_limit"] == found["summary"]["forward"]["share"]["mean"] == 0.8
    assert found["rows"][1]["peers"]["jax"] == {
        "status": "wrong",
        "way": "",
        "reason": "off by 3e-01",
        "error": 0.3,
    }
    assert found["summary"]["both"]["marked"] == 1


def test_a_nan_is_null(machine, results):
    from dataclasses import replace

    peers = {"jax": replace(results[1].peers["jax"], error=float("nan"))}
    shown = to_json(machine, {}, [replace(results[1], peers=peers)], {})
    assert "NaN" not in shown
    assert json.loads(shown)["rows"][0]["peers"]["jax"]["error"] is None
