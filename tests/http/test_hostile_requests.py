"""Small requests that would take much: refused for what they need, whatever their size in bytes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from tests.asgi import InProcess, pointers, problem_of, strict


def empty(*shape: int) -> dict[str, Any]:
    return {"dtype": "float32", "shape": list(shape), "data": ""}


@pytest.mark.parametrize("shape", [(30_000_000, 0), (65_537, 0), (300, 300, 0), (2, 65_536, 0, 3)])
def test_many_empty_rows_are_too_large(client: InProcess, shape: tuple[int, ...]) -> None:
    client.refusal(413, "mse_loss", input=empty(*shape), target=empty(*shape))


def test_a_shape_whose_sizes_multiply_beyond_every_limit_is_told_at_the_shape(client: InProcess) -> None:
    problem = client.refusal(413, "mse_loss", input=empty(0, 2**31 - 1, 2**31 - 1), target=[1.0])
    assert pointers(problem)["/input/shape"] == "the shape is beyond every limit"


def test_a_few_empty_rows_are_answered(client: InProcess) -> None:
    answer = client.answer("mse_loss", input=[[]] * 3000, target=[[]] * 3000)
    assert answer["loss"] == "NaN"
    assert answer["gradients"]["input"] == [[]] * 3000


@pytest.mark.parametrize("odd", [[[1.5, 2.5]], [1.5, [1.5]], [[], [1.5, 2.5]]], ids=["pair", "one", "none and pair"])
def test_lists_among_the_numbers_of_a_large_body_are_ragged(client: InProcess, odd: list[Any]) -> None:
    numbers = 4096
    count = sum(len(item) if isinstance(item, list) else 1 for item in odd)
    row = [1.5] * (numbers - count) + odd
    faults = client.faults("mse_loss", input=row, target=[1.5] * numbers)
    assert any(pointer.startswith("/input/") for pointer in faults), faults


def test_rows_within_rows_of_a_large_body_are_ragged(client: InProcess) -> None:
    rows: list[Any] = [[1.0, 2.0]] * 4095 + [[1.0, [2.0]]]
    assert "/input/4095/1" in client.faults("mse_loss", input=rows, target=[[1.0, 2.0]] * 4096)


def test_a_hundred_thousand_gradient_names_are_one_fault(client: InProcess) -> None:
    faults = client.faults("mse_loss", input=[1.0], target=[2.0], gradients=["input"] * 100_000)
    assert list(faults) == ["/gradients"]


def test_of_many_unknown_members_256_are_listed_and_all_are_counted(client: InProcess) -> None:
    members = {f"member{at}": 1 for at in range(1000)}
    problem = client.refusal(422, "mse_loss", input=[1.0], target=[2.0], **members)
    assert len(problem["errors"]) == 256
    assert "999 more" in problem["detail"]


def test_members_beyond_all_measure_are_one_fault(client: InProcess) -> None:
    members = {f"member{at}": 1 for at in range(20_000)}
    faults = client.faults("mse_loss", input=[1.0], target=[2.0], **members)
    assert faults == {"": "the request has 20003 members; no loss has more than 1024"}


def test_a_tail_has_at_most_sixteen_clusters(client: InProcess) -> None:
    cluster = {"projection": [[1.0]], "output": [[1.0]]}
    faults = client.faults(
        "adaptive_log_softmax_with_loss",
        input=[[1.0]], target=[0], head_weight=[[1.0]] * 18, tail=[cluster] * 17, cutoffs=list(range(1, 17)),
    )  # fmt: skip
    assert list(faults) == ["/tail"]


def test_a_chunk_size_makes_at_most_1024_chunks(client: InProcess) -> None:
    members = {"input": [[1.0]] * 1025, "linear_weight": [[1.0], [0.5]], "target": [0] * 1025}
    faults = client.faults("linear_cross_entropy", **members, chunk_size=1)
    assert faults == {"/chunk_size": "makes more than 1024 chunks; at least 2 is needed"}
    whole, chunked = (client.answer("linear_cross_entropy", **members, **more) for more in ({}, {"chunk_size": 2}))
    assert chunked["loss"] == pytest.approx(whole["loss"], rel=1e-6)


def test_chunks_need_a_class(client: InProcess) -> None:
    faults = client.faults(
        "linear_cross_entropy",
        input=[[1.0], [1.0]], linear_weight=empty(0, 1), target=[-100, -100], chunk_size=1,
    )  # fmt: skip
    assert faults == {"/chunk_size": "goes with at least one class"}


BEYOND = [
    ("hinge_embedding_loss", {"input": [0.5], "target": [-1], "margin": 1e39}, "/margin"),
    ("hinge_embedding_loss", {"input": [0.5], "target": [-1], "margin": 7e4, "dtype": "float16"}, "/margin"),
    ("multi_margin_loss", {"input": [0.5, 1.0], "target": 0, "margin": -1e39, "dtype": "bfloat16"}, "/margin"),
    ("gaussian_nll_loss", {"input": [0.5], "target": [1.0], "var": [1.0], "eps": 1e300}, "/eps"),
    (
        "triplet_margin_loss",
        {"anchor": [1.0], "positive": [2.0], "negative": [3.0], "p": 1e5, "dtype": "float16"},
        "/p",
    ),
]


@pytest.mark.parametrize(("loss", "members", "where"), BEYOND)
def test_an_option_beyond_the_range_of_the_type_is_refused(
    client: InProcess, loss: str, members: dict[str, Any], where: str
) -> None:
    assert "beyond the range" in client.faults(loss, **members)[where]


def test_an_option_that_fits_a_wider_type_is_taken_there(client: InProcess) -> None:
    answer = client.answer("hinge_embedding_loss", input=[0.5], target=[-1], margin=1e39, dtype="float64")
    assert answer["loss"] == 1e39


@pytest.mark.parametrize("value", [5e-324, 1e-300, 1e200, 1e308])
def test_a_div_value_that_makes_no_sizes_is_refused(client: InProcess, value: float) -> None:
    cluster = {"projection": [[1.0]], "output": [[1.0]]}
    faults = client.faults(
        "adaptive_log_softmax_with_loss",
        input=[[1.0]], target=[0], head_weight=[[1.0]] * 3, tail=[cluster, cluster], cutoffs=[1, 2], div_value=value,
    )  # fmt: skip
    assert list(faults) == ["/div_value"]


@pytest.mark.parametrize("power", [True, 1.0, 3, 0])
def test_the_power_of_a_margin_is_the_whole_number_1_or_2(client: InProcess, power: Any) -> None:
    assert list(client.faults("multi_margin_loss", input=[0.5, 1.0], target=0, p=power)) == ["/p"]


def test_concatenated_targets_need_what_their_longest_needs(small: InProcess, client: InProcess) -> None:
    frames, batch, length = 500, 32, 100
    log_probs = np.full((frames, batch, 2), -0.7).tolist()
    members = {
        "log_probs": log_probs, "targets": [1] * (batch * length),
        "input_lengths": [frames] * batch, "target_lengths": [length] * batch, "gradients": [],
    }  # fmt: skip
    assert client.answer("ctc_loss", **members)["count"] == batch
    lengths = [10, 0, 0, 0, 0]
    problem = small.refusal(
        413, "ctc_loss",
        log_probs=np.full((1, 5, 2), -0.7).tolist(), targets=[1] * 10,
        input_lengths=[1] * 5, target_lengths=lengths, gradients=[],
    )  # fmt: skip
    assert "105 states" in problem["detail"]


def test_repeated_accept_headers_are_one_list(client: InProcess) -> None:
    body = json.dumps({"loss": "mse_loss", "input": [3.0], "target": [1.0]}).encode()
    headers = [("content-type", "application/json"), ("accept", "application/json"), ("accept", "text/html")]
    response = client.request("POST", "/v1/loss", content=body, headers=headers)
    assert response.status_code == 200
    assert strict(response.content)["loss"] == 4.0


def test_a_data_of_the_wrong_length_is_invalid_not_too_large(client: InProcess) -> None:
    short = {"dtype": "float32", "shape": [5000, 5000], "data": ""}
    assert "/input/data" in client.faults("mse_loss", input=short, target=[1.0])


# As deep as JSON is read: Python writes nothing of this depth into a message.
DEEP = "[" * 1015 + "]" * 1015
NESTED = [
    f'{{"loss": {DEEP}}}',
    f'{{"loss": "mse_loss", "target": 1, "input": {{"dtype": {DEEP}, "shape": [1], "data": [1.0]}}}}',
    f'{{"loss": "mse_loss", "target": 1, "input": {{"dtype": "float32", "shape": {DEEP}, "data": [1.0]}}}}',
]


@pytest.mark.parametrize("nested", NESTED, ids=["loss", "dtype", "shape"])
def test_nesting_as_deep_as_json_is_read_is_malformed(client: InProcess, nested: str) -> None:
    assert problem_of(client.post(nested.encode()), 400)["detail"] == "nested deeper than 32 levels"
    sound = '{"loss": "mse_loss", "input": [3.0], "target": [1.0]}'
    response = client.post(f'{{"requests": [{", ".join([sound, *[nested] * 5, sound])}]}}'.encode(), "/v1/loss/batch")
    first, *faulty, last = strict(response.content)["results"]
    assert first["loss"] == last["loss"] == 4.0
    assert [one["status"] for one in faulty] == [400] * 5
