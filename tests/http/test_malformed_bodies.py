"""400: bodies that are no JSON object."""

from __future__ import annotations

import pytest

from tests.asgi import InProcess, problem_of

BODIES = {
    "nothing": b"",
    "white space": b" \n",
    "text": b"hello",
    "cut short": b'{"loss": "mse_loss", "input": [1.0',
    "a trailing comma": b'{"loss": "mse_loss",}',
    "single quotes": b"{'loss': 'mse_loss'}",
    "two documents": b"{} {}",
    "invalid UTF-8": b'{"loss": "mse_loss\xff"}',
    "UTF-16": '{"loss": "mse_loss"}'.encode("utf-16"),
    "a lone surrogate": b'{"loss": "\\ud800"}',
    "a list": b"[1, 2]",
    "a number": b"1",
    "a string": b'"mse_loss"',
    "null": b"null",
    "a number of hexadecimal digits": b'{"loss": 0x10}',
}


@pytest.mark.parametrize("path", ["/v1/loss", "/v1/losses/mse_loss"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_body_that_is_no_json_object_is_malformed(client: InProcess, path: str, body: bytes) -> None:
    problem = problem_of(client.post(body, path), 400)
    assert "errors" not in problem
    assert "the body is" in problem["detail"]


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity"])
def test_a_bare_nan_is_malformed_and_the_right_way_is_told(client: InProcess, number: bytes) -> None:
    body = b'{"loss": "mse_loss", "input": [%s], "target": [1.0]}' % number
    assert '"NaN"' in problem_of(client.post(body), 400)["detail"]


def test_where_the_json_breaks_is_told(client: InProcess) -> None:
    problem = problem_of(client.post(b'{"loss":\n oops}'), 400)
    assert "line 2" in problem["detail"]


NESTED = {
    "33 lists in a tensor": b'{"loss": "mse_loss", "target": [1], "input": ' + b"[" * 33 + b"1" + b"]" * 33 + b"}",
    "200 lists in a tensor": b'{"loss": "mse_loss", "target": [1], "input": ' + b"[" * 200 + b"]" * 200 + b"}",
    "100 objects in an option": b'{"loss": "mse_loss", "reduction": ' + b'{"a": ' * 100 + b"1" + b"}" * 101,
    "100 lists in an unknown member": b'{"loss": "mse_loss", "x": ' + b"[" * 100 + b"]" * 100 + b"}",
    "100 lists in the loss": b'{"loss": ' + b"[" * 100 + b"]" * 100 + b"}",
    "100,000 lists": b"[" * 100_000,
    "100,000 lists, closed": b'{"loss": "mse_loss", "input": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "100,000 objects": b'{"a":' * 100_000,
}


@pytest.mark.parametrize("body", NESTED.values(), ids=NESTED)
def test_a_body_nested_too_deep_is_malformed(client: InProcess, body: bytes) -> None:
    problem_of(client.post(body), 400)


def test_more_dims_than_a_tensor_may_have_are_invalid_and_no_more(client: InProcess) -> None:
    nine: object = 1.0
    for _ in range(9):
        nine = [nine]
    faults = client.faults("mse_loss", input=nine, target=[1.0])
    assert "8 dims" in faults["/input"]
