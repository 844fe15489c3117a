import json
from pathlib import Path

import kernels
import pytest

from gnref.testing import Report, check
from gnref.testing.report import ConformanceError


@pytest.fixture(scope="module")
def wrong():
    return check(kernels.cancelling, norm="group", dtypes=("float32",), max_examples=20)


@pytest.fixture(scope="module")
def right():
    return check(kernels.right, kernels.backward, norm="group", dtypes=("float32",), max_examples=2)


def test_the_verdict_is_the_first_line(wrong, right):
    assert wrong.summary().startswith("cancelling, group norm: ")
    assert f"{len(wrong.failed)} fail" in wrong.summary()
    assert "fail" not in right.summary()
    assert str(right).startswith(f"## {right.summary()}")


def test_every_failure_is_explained(wrong):
    for result in wrong.results:
        if result.status == "failed":
            assert result.reason
            assert "problem = Problem(" in result.snippet
            assert result.counterexample.x.dtype == "float32"
    grows = next(r for r in wrong.results if r.property == "error grows like the offset at most")
    assert "expected" in grows.diagnosis
    assert any("E[x^2] - E[x]^2" in line for line in grows.museum)


def test_raise_if_failed(wrong, right):
    right.raise_if_failed()
    with pytest.raises(ConformanceError, match="The smallest counterexample has"):
        wrong.raise_if_failed()


def test_nothing_checked_is_not_ok():
    with pytest.raises(ConformanceError, match="too little was exercised"):
        Report("mine", "group").raise_if_failed()


def test_json_reads_back(wrong):
    found = json.loads(wrong.to_json())
    assert found["ok"] is False
    assert found["failed"] == wrong.failed
    assert found["grades"]["float32"] == {"accuracy": "F", "range": found["grades"]["float32"]["range"]}
    statuses = {row["property"]: row["status"] for row in found["results"]}
    assert statuses["error grows like the offset at most"] == "failed"
    assert "Infinity" not in wrong.to_json()


def test_the_page_has_every_key_of_the_json(right):
    page = (Path(__file__).parents[2] / "docs" / "conformance" / "ci.md").read_text(encoding="utf-8")
    assert all(f"`{key}`" in page for key in right.as_dict())


def test_markdown_has_every_property(wrong):
    text = wrong.to_markdown()
    assert all(f"| {result.property} |" in text for result in wrong.results)
    assert "| float32 | F |" in text
    assert text.count("```") == 2
