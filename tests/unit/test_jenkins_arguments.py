"""A job's name and parameters as Jenkins would take them, and nothing that leads elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from bot.tools.jenkins_arguments import KEY, Trigger
from bot.tools.jenkins_client import item_id, job_path
from bot.tools.rest import Reply
from bot.tools.spec import validate
from domain.errors import ArgumentsRefused


@pytest.mark.parametrize("name", ["build", "shop/cart", "shop/checkout/feature%2Ftaxes", "Équipe A/Build und Test"])
def test_a_jobs_full_name_is_taken_as_it_is(name: str) -> None:
    assert validate("t", Trigger, {"job": name})["job"] == name


@pytest.mark.parametrize(
    "name",
    ["", "/", "shop/", "/shop", "shop//cart", "..", "shop/../x", "shop/.", " shop", "shop/ cart", "a?b", "a#b", "a\\b", "a%b",
     "a%2", "a@b", "a:b", "a;b", "a\nb", 'a"b', "a<b", "http://x/job/y", "x" * 501],
)  # fmt: skip
def test_a_name_that_no_job_has_is_refused(name: str) -> None:
    with pytest.raises(ArgumentsRefused, match="job"):
        validate("t", Trigger, {"job": name})


@pytest.mark.parametrize(
    ("given_parameters", "sentence"),
    [
        ({KEY: "x"}, "is set by the agent itself"),
        ({"a b": "x"}, "is not the name of a parameter"),
        ({"1A": "x"}, "is not the name of a parameter"),
        ({"A": "x" * 4001}, "A is longer than 4000 characters"),
        ({f"A{n}": "" for n in range(51)}, "at most 50"),
        ({"A": 1}, "valid string"),
    ],
)
def test_a_parameter_that_cannot_be_one_is_refused(given_parameters: Any, sentence: str) -> None:
    with pytest.raises(ArgumentsRefused, match=sentence):
        validate("t", Trigger, {"job": "a", "parameters": given_parameters})


def test_a_name_becomes_one_path_below_jenkins() -> None:
    assert job_path("shop/checkout/feature%2Ftaxes") == "/job/shop/job/checkout/job/feature%252Ftaxes"
    assert job_path("Équipe A/x") == "/job/%C3%89quipe%20A/job/x"


@given(st.text(max_size=40))
def test_whatever_a_name_is_it_stays_below_its_folders_or_is_refused(name: str) -> None:
    try:
        job = validate("t", Trigger, {"job": name})["job"]
    except ArgumentsRefused:
        return
    path = job_path(job)
    assert path.count("/job/") == job.count("/") + 1
    assert not set("?#") & set(path)
    assert "/../" not in f"{path}/"


@pytest.mark.parametrize(
    ("location", "number"),
    [
        ("http://ci/jenkins/queue/item/17/", 17),
        ("/queue/item/17", 17),
        ("http://ci/job/x/", 0),
        ("", 0),
        ("http://ci/queue/item/17/?x=/queue/item/18/", 17),
    ],
)
def test_the_queue_item_is_read_out_of_the_answers_location(location: str, number: int) -> None:
    assert item_id(Reply(201, b"", {"location": location})) == number
