"""`/metrics` and `/v1/stats`: what is counted, under which labels, in which form."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Iterator

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from schemas.losses import LOSSES
from service.http.metrics.families import FAMILIES
from service.settings import Settings
from tests.asgi import InProcess, problem_of

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def fresh() -> Iterator[InProcess]:
    """An application that has counted nothing yet."""
    with InProcess() as made:
        yield made


def samples(text: str) -> Samples:
    """Every sample of an exposition, by name and labels."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scraped(client: InProcess) -> Samples:
    """What `/metrics` tells now."""
    response = client.get("/metrics")
    assert response.status_code == 200
    return samples(response.text)


def value(found: Samples, name: str, **labels: str) -> float:
    """One sample; 0 where there is none."""
    return found.get((name, frozenset(labels.items())), 0.0)


def requests(found: Samples, route: str, method: str, status: int, loss: str = "none") -> float:
    """How many requests of a kind were counted."""
    return value(found, "gradwire_requests_total", route=route, method=method, status=str(status), loss=loss)


def test_requests_are_counted_by_route_method_status_and_loss(fresh: InProcess) -> None:
    for _ in range(3):
        fresh.answer("mse_loss", input=[1.0], target=[2.0])
    fresh.refusal(422, "mse_loss", input=[1.0, 2.0], target=[1.0])
    fresh.refusal(422, "no_such_loss", input=[1.0])
    fresh.refusal(422, None, "/v1/losses/HuberLoss", input=[1.0], target=[2.0], delta=-1.0)
    fresh.get("/v1/losses/huber_loss")
    fresh.request("HEAD", "/v1/limits")
    found = scraped(fresh)
    assert requests(found, "/v1/loss", "POST", 200, "mse_loss") == 3
    assert requests(found, "/v1/loss", "POST", 422, "mse_loss") == 1
    assert requests(found, "/v1/loss", "POST", 422) == 1
    assert requests(found, "/v1/losses/{name}", "POST", 422, "huber_loss") == 1
    assert requests(found, "/v1/losses/{name}", "GET", 200) == 1
    assert requests(found, "/v1/limits", "HEAD", 200) == 1
    assert value(found, "gradwire_losses_total", loss="mse_loss", outcome="answered") == 3
    assert value(found, "gradwire_losses_total", loss="mse_loss", outcome="failed") == 1
    assert value(found, "gradwire_losses_total", loss="huber_loss", outcome="failed") == 1
    assert value(found, "gradwire_request_duration_seconds_count", route="/v1/loss") == 5
    for step in ("decode", "queue", "compute", "encode"):
        assert value(found, "gradwire_step_duration_seconds_count", step=step, loss="mse_loss") == 3


def test_each_member_of_a_batch_call_is_counted(fresh: InProcess) -> None:
    good = {"loss": "l1_loss", "input": [1.0], "target": [2.0]}
    other = {"loss": "huber_loss", "input": [1.0, 3.0], "target": [2.0, 2.0]}
    body = {"requests": [good, good, good, other, {**good, "input": [1.0, 2.0]}, {"loss": "nope"}]}
    assert fresh.post(json.dumps(body).encode(), "/v1/loss/batch").status_code == 200
    found = scraped(fresh)
    assert requests(found, "/v1/loss/batch", "POST", 200, "batch") == 1
    assert value(found, "gradwire_losses_total", loss="l1_loss", outcome="answered") == 3
    assert value(found, "gradwire_losses_total", loss="huber_loss", outcome="answered") == 1
    assert value(found, "gradwire_losses_total", loss="l1_loss", outcome="failed") == 1
    assert value(found, "gradwire_step_duration_seconds_count", step="decode", loss="l1_loss") == 3


def test_a_batch_call_that_fails_whole_counts_each_member_as_failed(fresh: InProcess) -> None:
    loss = {"loss": "l1_loss", "input": [1.0], "target": [2.0]}
    huber = {"loss": "huber_loss", "input": [1.0, 3.0], "target": [2.0, 2.0]}
    body = {"requests": [loss, loss, loss, huber, {**loss, "input": [1.0, 2.0]}]}
    fresh.run(fresh.app.state.engine.stop())
    assert fresh.post(json.dumps(body).encode(), "/v1/loss/batch").status_code == 503
    found = scraped(fresh)
    assert requests(found, "/v1/loss/batch", "POST", 503, "batch") == 1
    assert value(found, "gradwire_losses_total", loss="l1_loss", outcome="failed") == 4
    assert value(found, "gradwire_losses_total", loss="huber_loss", outcome="failed") == 1


def test_callers_cannot_make_series(fresh: InProcess) -> None:
    before = {name for name, _ in scraped(fresh)}
    for at in range(20):
        fresh.get(f"/nothing/{at}")
        fresh.get(f"/v1/losses/nothing{at}")
        fresh.get(f"/v2/models/nothing{at}/versions/{at}/ready")
        fresh.request(f"BREW{at}", "/v1/loss")
        fresh.post(b"{}", f"/v1/losses/nothing{at}")
        fresh.post(b"{}", f"/v2/models/nothing{at}/infer")
        fresh.refusal(422, f"nothing{at}", input=[1.0])
    found = scraped(fresh)
    assert before <= {name for name, _ in found}
    kept = {labels for name, labels in found if name == "gradwire_requests_total"}
    assert len(kept) <= 10, kept
    assert not any("nothing" in text or "BREW" in text for labels in kept for _, text in labels)
    assert requests(found, "other", "GET", 404) == 20
    assert requests(found, "/v1/loss", "other", 405) == 20


def test_bytes_are_counted_as_they_were_sent(fresh: InProcess) -> None:
    body = json.dumps({"loss": "mse_loss", "input": [1.0], "target": [2.0]}).encode()
    response = fresh.post(body)
    found = scraped(fresh)
    assert value(found, "gradwire_received_bytes_total") == len(body)
    assert value(found, "gradwire_sent_bytes_total") == len(response.content)


def test_the_bytes_of_a_compressed_body_are_those_that_came(fresh: InProcess) -> None:
    body = gzip.compress(json.dumps({"loss": "mse_loss", "input": [1.0] * 500, "target": [2.0] * 500}).encode())

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), 10):
            yield body[at : at + 10]

    response = fresh.request("POST", "/v1/loss", content=pieces(), headers={"content-encoding": "gzip"})
    assert response.status_code == 200
    assert value(scraped(fresh), "gradwire_received_bytes_total") == len(body)


def test_buckets_are_cumulative_and_sum_up(fresh: InProcess) -> None:
    fresh.answer("mse_loss", input=[1.0], target=[2.0])
    response = fresh.get("/metrics")
    for family in text_string_to_metric_families(response.text):
        if family.type != "histogram":
            continue
        last: dict[frozenset[tuple[str, str]], float] = {}
        for sample in family.samples:
            if sample.name.endswith("_bucket"):
                key = frozenset(item for item in sample.labels.items() if item[0] != "le")
                assert sample.value >= last.get(key, 0.0)
                last[key] = sample.value
        for sample in family.samples:
            if sample.name.endswith("_count"):
                assert last[frozenset(sample.labels.items())] == sample.value


def test_every_declared_metric_is_exported_with_its_help_and_no_other_is(fresh: InProcess) -> None:
    families = {family.name: family for family in text_string_to_metric_families(fresh.get("/metrics").text)}
    named = {name.removesuffix("_total"): family for name, family in FAMILIES.items()}
    assert families.keys() == named.keys()
    for name, family in named.items():
        assert (families[name].type, families[name].documentation) == (family.kind, family.help)
        for sample in families[name].samples:
            assert set(sample.labels) - {"le"} == set(family.labels)


def test_openmetrics_is_answered_where_it_is_asked_for(fresh: InProcess) -> None:
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    response = fresh.get("/metrics", headers={"accept": accept})
    assert response.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert response.text.endswith("# EOF\n")
    assert {family.name for family in read_openmetrics(response.text)} >= {"gradwire_requests", "gradwire_ready"}  # type: ignore[no-untyped-call] # the library leaves it untyped
    plain = fresh.get("/metrics")
    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.parametrize("path", ["/metrics", "/v1/stats"])
def test_it_can_be_switched_off(path: str) -> None:
    with InProcess(Settings(device="cpu", access_log=False, log_level="error", metrics=False)) as off:
        problem_of(off.get(path), 404)


def test_the_statistics_tell_the_same_as_json(fresh: InProcess) -> None:
    for _ in range(4):
        fresh.answer("mse_loss", input=[1.0], target=[2.0])
    fresh.refusal(422, "mse_loss", input=[1.0, 2.0], target=[1.0])
    found = fresh.get("/v1/stats").json()
    assert found["by_loss"] == {"mse_loss": {"answered": 4, "failed": 1}}
    assert (found["requests"], found["by_status"]) == (5, {"200": 4, "422": 1})
    assert found["by_route"] == {"/v1/loss": 5}
    for step in ("decode", "queue", "compute", "encode"):
        spread = found["seconds"][step]
        assert spread["count"] == 4
        assert 0 < spread["p50"] <= spread["p90"] <= spread["p99"]
    assert found["last_minute"]["losses"] > 0
    assert found["limits"] == fresh.get("/v1/limits").json()
    (process,) = found["processes"]
    assert process["resident_bytes"] > 1 << 20
    assert process["uptime_seconds"] > 0


def test_failures_by_any_path_are_in_a_models_statistics(fresh: InProcess) -> None:
    fresh.refusal(422, "mse_loss", input=[1.0, 2.0], target=[1.0])
    fresh.refusal(422, None, "/v1/losses/mse_loss", input=[1.0, 2.0], target=[1.0])
    assert fresh.post(b'{"inputs": []}', "/v2/models/mse_loss/infer").status_code == 422
    (model,) = fresh.get("/v2/models/mse_loss/stats").json()["model_stats"]
    assert model["inference_stats"]["fail"]["count"] == 3
    assert model["inference_stats"]["fail"]["ns"] > 0
    assert model["inference_stats"]["success"]["count"] == 0


def test_every_loss_may_be_a_label() -> None:
    assert all(name.isidentifier() for name in LOSSES)
