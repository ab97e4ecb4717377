"""The peers, as data: how each service is started, and in which bytes it is asked.

Each framework has two: one as its documentation has it, and a bare one, which goes around all that the framework does
between the socket and the code.
"""

import secrets

from benchmarks.http.servers import ROOT, Server
from benchmarks.peers.dialects import at
from benchmarks.peers.environments import program

BARE = ", bare"

# Each finds `benchmarks` in this checkout and computes in one torch thread; none reports its use to its makers, and all
# listen on loopback only.
CHECKOUT = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
QUIET_BENTOML = {"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": "{scratch}"}
QUIET_RAY = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),  # it would write one into the home folder
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # told that there is no cluster, its own servers listen on loopback
    "RAY_raylet_start_wait_time_s": "120",
}
# The replica answers HTTP itself: direct ingress, a part of the throughput mode, 2 to 17 times as fast as Ray Serve's
# proxy. (HAProxy, which that mode can put before several replicas, would listen on every interface.)
QUICK_RAY = {
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_USE_GRPC_BY_DEFAULT": "0",
    "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": "{port}",
    "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": "65535",
}
# Computed in the server's own process: one process, like Gradwire.
ONE_MLSERVER = {
    "MLSERVER_HOST": "127.0.0.1",
    "MLSERVER_HTTP_PORT": "{port}",
    "MLSERVER_GRPC_PORT": "0",
    "MLSERVER_METRICS_ENDPOINT": "",
    "MLSERVER_PARALLEL_WORKERS": "0",
    "MLSERVER_DEBUG": "false",
    "MLSERVER_GZIP_ENABLED": "false",
}


def _litserve(module: str) -> tuple[str, ...]:
    return (program("litserve", "python"), "-m", f"benchmarks.peers.litserve.{module}", "{port}")


def _bentoml(module: str) -> tuple[str, ...]:
    serve = (program("bentoml", "bentoml"), "serve", f"benchmarks.peers.bentoml.{module}:Loss", "--quiet")
    return (*serve, "--host", "127.0.0.1", "--port", "{port}")


def _ray(module: str, *port: str) -> tuple[str, ...]:
    return (program("ray", "python"), "-m", f"benchmarks.peers.ray.{module}", "{scratch}", *port)


def _mlserver(models: str) -> tuple[str, ...]:
    return (program("mlserver", "mlserver"), "start", str(ROOT / "benchmarks/peers/mlserver/models" / models))


PEERS = (
    Server(
        "LitServe",
        "peer",
        _litserve("documented"),
        "/health",
        {"json": at("/json", "json"), "binary": at("/file", "form file")},
        CHECKOUT,
    ),
    Server(
        f"LitServe{BARE}",
        "bare peer",
        _litserve("bare"),
        "/health",
        {"json": at("/json", "json as bytes"), "binary": at("/raw", "raw")},
        CHECKOUT,
    ),
    Server(
        "BentoML",
        "peer",
        _bentoml("documented"),
        "/readyz",
        {"json": at("/json", "json"), "binary": at("/file", "form file")},
        CHECKOUT | QUIET_BENTOML,
    ),
    Server(
        f"BentoML{BARE}",
        "bare peer",
        _bentoml("bare"),
        "/readyz",
        {"json": at("/loss/json", "json"), "binary": at("/loss/raw", "raw")},
        CHECKOUT | QUIET_BENTOML,
    ),
    Server(
        "Ray Serve",
        "peer",
        _ray("documented", "{port}"),
        "/ready",
        {"json": at("/json", "json"), "binary": at("/raw", "raw")},
        CHECKOUT | QUIET_RAY,
    ),
    Server(
        f"Ray Serve{BARE}",
        "bare peer",
        _ray("bare"),
        "/ready",
        {"json": at("/json", "json"), "binary": at("/raw", "raw")},
        CHECKOUT | QUIET_RAY | QUICK_RAY,
    ),
    Server(
        "MLServer",
        "peer",
        _mlserver("documented"),
        "/v2/health/ready",
        {
            "json": at("/v2/models/lists/infer", "oip lists"),
            "binary": at("/v2/models/packed/infer", "oip packed"),
        },
        CHECKOUT | ONE_MLSERVER,
    ),
    Server(
        f"MLServer{BARE}",
        "bare peer",
        _mlserver("bare"),
        "/v2/models/loss/ready",
        {"json": at("/json", "json"), "binary": at("/raw", "raw")},
        CHECKOUT | ONE_MLSERVER,
    ),
)
_FOLDERS = {"LitServe": "litserve", "BentoML": "bentoml", "Ray Serve": "ray", "MLServer": "mlserver"}
FOLDERS = {name + suffix: folder for name, folder in _FOLDERS.items() for suffix in ("", BARE)}
