"""The generated Python client, against a real server."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from http import HTTPStatus
from typing import Any

import pytest

from tests.clients.generating import Client
from tests.serving import RunningServer


@pytest.fixture
def module(client_in: Callable[[str], Future[Client]], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    """Import a module of the client."""
    folder = client_in("python").result().folder
    monkeypatch.syspath_prepend(folder.parent)
    return lambda name: importlib.import_module(f"{folder.name}.{name}")


@pytest.fixture
def http(module: Callable[[str], Any], server: RunningServer) -> Iterator[Any]:
    """The client's connection."""
    with module("client").Client(base_url=server.url) as opened:
        yield opened


def test_every_module_imports(module: Callable[[str], Any]) -> None:
    names = []
    for package in (module("api"), module("models")):
        names += [name for _, name, _ in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")]
    assert {f"{module('api').__name__}.any_loss.loss", f"{module('models').__name__}.huber"} <= set(names)
    for name in names:
        assert importlib.import_module(name).__name__ == name


def test_any_loss_takes_each_request_class(module: Callable[[str], Any], http: Any) -> None:
    models = module("models")
    answer = module("api.any_loss.loss").sync(client=http, body=models.MSE(input_=[1.0, 2.0], target=[1.0, 4.0]))
    assert isinstance(answer, models.LossAnswer)
    assert answer.loss == 2.0
    assert answer.gradients["input"] == [0.0, -2.0]


def test_a_loss_has_a_method_and_a_request_class(module: Callable[[str], Any], http: Any) -> None:
    models = module("models")
    body = models.Huber(
        input_=[0.0, 3.0],
        target=[1.0, 0.0],
        delta=2.0,
        reduction=models.HuberReduction.SUM,
        dtype=models.HuberDtype.FLOAT64,
        gradients=["input", "target"],
    )
    answer = module("api.regression.huber_loss").sync(client=http, body=body)
    assert answer.loss == 4.5
    assert answer.gradients.to_dict() == {"input": [-1.0, 2.0], "target": [1.0, -2.0]}
    assert (answer.divisor, answer.count, answer.ignored) == (2.0, 2, 0)
    assert answer.dtype == models.LossAnswerDtype.FLOAT64


def test_a_typed_tensor_is_taken_and_answered(module: Callable[[str], Any], http: Any) -> None:
    models = module("models")
    tensor = {"dtype": "float32", "shape": [2], "data": "AACAPwAAAEA="}  # 1, 2
    body = models.MSE(input_=tensor, target=[1.0, 4.0], encoding=models.MSEEncoding.BASE64)
    answer = module("api.regression.mse_loss").sync(client=http, body=body)
    assert answer.gradients["input"] == {"dtype": "float32", "shape": [2], "data": "AAAAAAAAAMA="}  # 0, -2


def test_a_bad_request_is_a_typed_problem(module: Callable[[str], Any], http: Any) -> None:
    models = module("models")
    body = models.CrossEntropy(input_=[[0.1, 0.2, 0.3]], target=[7])
    answer = module("api.classification.cross_entropy").sync_detailed(client=http, body=body)
    assert answer.status_code == HTTPStatus.UNPROCESSABLE_ENTITY
    assert isinstance(answer.parsed, models.Problem)
    assert answer.parsed.status == 422
    assert [(one.pointer, one.detail) for one in answer.parsed.errors] == [
        ("/target/0", "class index 7 is outside [0, 3)")
    ]


def test_an_operation_has_a_method_and_a_request_class(module: Callable[[str], Any], http: Any) -> None:
    models = module("models")
    body = models.OptimizerStep.from_dict(
        {"optimizer": "sgd", "lr": 0.5, "parameters": {"w": [1.0, 2.0]}, "gradients": {"w": [2.0, 0.0]}}
    )
    answer = module("api.optimizers.optimizer_step").sync(client=http, body=body)
    assert isinstance(answer, models.OptimizerStepAnswer)
    assert answer.parameters["w"] == [0.0, 2.0]
    assert answer.state.to_dict() == {}
    order = module("api.sampling.balanced_order").sync(client=http, body=models.BalancedOrder(labels=[0, 0, 1]))
    assert order.order == [0, 2, 1, 2]
