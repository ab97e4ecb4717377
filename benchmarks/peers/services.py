"""The peers, as data: how each is started, and in which bytes it is asked."""

import secrets

from benchmarks.http.servers import ROOT, Server
from benchmarks.peers.dialects import at
from benchmarks.peers.environments import program

# Each finds `benchmarks` in this checkout; none reports its use to its makers, and all listen on loopback only.
CHECKOUT = {"PYTHONPATH": str(ROOT)}
QUIET_BENTOML = {"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": "{scratch}"}
# The replica answers HTTP itself: direct ingress, a part of the throughput mode, 2 to 17 times as fast as Ray Serve's
# proxy. (HAProxy, which that mode can put before several replicas, would listen on every interface.) Told that there is
# no cluster, Ray's other servers listen on loopback.
QUICK_RAY = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),  # it would write one into the home folder
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
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

PEERS = (
    Server(
        "LitServe",
        "peer",
        (program("litserve", "python"), "-m", "benchmarks.peers.litserve.service", "{port}"),
        "/health",
        {"json": at("/json", "json as bytes"), "binary": at("/raw", "raw")},
        CHECKOUT,
    ),
    Server(
        "BentoML",
        "peer",
        (
            *(program("bentoml", "bentoml"), "serve", "benchmarks.peers.bentoml.service:Loss", "--quiet"),
            *("--host", "127.0.0.1", "--port", "{port}"),
        ),
        "/readyz",
        {"json": at("/loss/json", "json"), "binary": at("/loss/raw", "raw")},
        CHECKOUT | QUIET_BENTOML,
    ),
    Server(
        "Ray Serve",
        "peer",
        (program("ray", "python"), "-m", "benchmarks.peers.ray.service", "{scratch}"),
        "/ready",
        {"json": at("/json", "json"), "binary": at("/raw", "raw")},
        CHECKOUT | QUICK_RAY,
    ),
    Server(
        "MLServer",
        "peer",
        (program("mlserver", "mlserver"), "start", str(ROOT / "benchmarks/peers/mlserver")),
        "/v2/models/loss/ready",
        {"json": at("/json", "json"), "binary": at("/raw", "raw")},
        CHECKOUT | ONE_MLSERVER,
    ),
)
FOLDERS = {"LitServe": "litserve", "BentoML": "bentoml", "Ray Serve": "ray", "MLServer": "mlserver"}
