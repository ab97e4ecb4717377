"""What takes long for its size counts as much, and what a text could multiply is bounded."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.losses import LOSSES
from schemas.operations import OPERATIONS
from service.compute.stack import stack
from service.http.compute import Computing
from service.losses import FORMULAS
from service.wire import batch
from tests.asgi import InProcess
from tests.http.batch_calls import PATH, call, results


def test_a_term_names_no_more_tensors_than_there_can_be(client: InProcess) -> None:
    tensors = {f"a_rather_long_name_of_a_tensor_{at}": 1.0 for at in range(64)}
    names = {f"k{at}": f"a_rather_long_name_of_another_{at}" for at in range(4000)}
    term = {"loss": "expression", "expression": "abs(k0)", "tensors": names}
    faults = client.faults("composite", tensors=tensors, terms=[term])
    assert list(faults) == ["/terms/0"]
    assert "at most 64" in faults["/terms/0"]


def test_like_names_are_looked_up_for_a_few_terms(client: InProcess) -> None:
    term = {"loss": "mse_loss", "input": "inpt", "target": "targt"}
    faults = client.faults("composite", tensors={"input": [1.0], "target": [1.0]}, terms=[term] * 16)
    assert len(faults) == 32
    assert sum("did you mean" in detail for detail in faults.values()) == 8
    unknown = client.faults("composite", tensors={"x": [1.0]}, terms=[{"loss": "cros_entropy", "input": "x"}])
    assert "did you mean cross_entropy?" in unknown["/terms/0/loss"]


def counted(name: str, **members: Any) -> int:
    return LOSSES[name].model_validate(members).checked.layout.elements


def test_many_small_backward_passes_count_as_work() -> None:
    formula = "+".join(f"lgamma(x * {at})" for at in range(1, 50))
    own = counted("expression", expression=formula, tensors={"x": 0.5})
    many = counted("expression", expression=formula, tensors={"x": 0.5}, cotangents=[1.0] * 256)
    assert many > 256 * 49 * 128 > own
    assert counted("mse_loss", input=[1.0], target=[0.0], cotangents=[1.0] * 256) >= 256 * 2048


@pytest.mark.parametrize("loss", ["rank_net_loss", "lambda_rank_loss"])
def test_a_list_of_an_odd_length_is_not_padded_to_many(loss: str) -> None:
    members = {"input": [[at / 701 for at in range(701)]], "target": [[at % 3 for at in range(701)]]}
    request = LOSSES[loss].model_validate(members)
    assert stack([request], pads=FORMULAS[type(request)].pads).arrays["input"].shape == (1, 701)


def test_a_factor_beyond_the_type_is_refused(client: InProcess) -> None:
    term = {"loss": "mse_loss", "input": "x", "target": "y", "factor": 1e30}
    faults = client.faults("composite", tensors={"x": [1.0], "y": [0.0]}, terms=[term], dtype="float16")
    assert list(faults) == ["/terms/0/factor"]


def test_what_is_masked_may_be_no_number(client: InProcess) -> None:
    found = client.answer("z_loss", input=[["NaN", "Infinity"], [0.0, 1.0]], mask=[0, 1])
    kept = client.answer("z_loss", input=[[0.0, 1.0]])
    assert found["loss"] == kept["loss"]
    assert found["gradients"]["input"] == [[0.0, 0.0], kept["gradients"]["input"][0]]


def test_central_differences_of_a_long_formula_are_of_some_coordinates(client: InProcess) -> None:
    formula = "+".join(f"sin(x * {at})" for at in range(1, 40))
    request = {"loss": "expression", "expression": f"sum({formula})", "tensors": {"x": [0.5] * 2048}}
    body = {"request": request, "finite_differences": True}
    found = client.request("POST", "/v1/check", json=body).json()["finite_differences"]
    assert found["of"] == 2048
    assert 1 <= found["coordinates"] < 2048
    assert found["tensors"][0]["reference"]["value"] < 1e-3


def sums(at: int, terms: int, characters: int) -> dict[str, Any]:
    """A composite with so many expressions of that length, which no other has."""
    texts = [f"x * {at}.{term}" for term in range(terms)]
    made = [{"loss": "expression", "expression": f"{text}{' ' * (characters - len(text))}"} for text in texts]
    return {"loss": "composite", "tensors": {"x": 0.5}, "terms": made}


def test_the_expressions_of_a_batch_call_are_bounded_together(
    client: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "MAX_CALL_TEXT", 330)
    single = {"loss": "expression", "expression": "x".ljust(30), "tensors": {"x": 0.5}}
    requests = [sums(1, 5, 20), sums(2, 12, 20), sums(3, 10, 20), {"loss": "mse_loss", "input": [1.0], "target": [0.0]}]
    found = results(client, [*requests, single, single])
    assert [one.get("status") for one in found] == [None, 413, None, None, None, 413]
    assert "expressions of 240 characters, and those before it in this call of 100" in found[1]["detail"]
    assert found == results(client, [*requests, single, single])  # whatever is remembered of the first call


def test_a_call_with_much_to_parse_is_read_beside_the_event_loop(
    client: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    aside: list[int] = []
    real = Computing.read_aside

    async def counting(computing: Computing, scope: Any, size: int, *more: Any) -> Any:
        aside.append(size)
        return await real(computing, scope, size, *more)

    monkeypatch.setattr(Computing, "read_aside", counting)
    pairs = [{"loss": "mse_loss", "input": [1.0] * 700, "target": [0.0] * 700}]
    for requests in (pairs, [sums(0, 2, 100)]):
        assert call(client, requests).status_code == 200
    assert aside == []
    long = call(client, [sums(0, 16, 300)])
    assert "error" not in long.json()["results"][0]
    assert len(aside) == 1
    escaped = long.request.content.replace(b"expression", b"\\u0065xpression")
    assert client.post(escaped, PATH).json() == long.json()
    assert len(aside) == 2


def test_the_limits_tell_which_operation_takes_more_tensors(client: InProcess) -> None:
    told = client.get("/openapi.json").json()["components"]["schemas"]["Limits"]["properties"]["tensors"]["description"]
    more = {cls.path: cls.max_tensors for cls in OPERATIONS.values() if cls.max_tensors > 64}
    assert more == {"/v1/optimizer/step": 4096}
    assert all(f"POST {path} takes {count:,}" in told for path, count in more.items())
