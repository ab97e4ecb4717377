"""One replica of a service under Ray Serve, on this machine alone, until it is told to stop."""

import signal

import ray
from ray import serve
from ray.serve._private import replica


class OnLoopback:
    """A deployment whose replica listens on loopback only.

    Its server for other replicas, of which there are none, would listen on every interface.
    """

    def __init__(self) -> None:
        replica.add_port_to_grpc_server = lambda server, _: server.add_insecure_port("127.0.0.1:0")


def run(deployment: type[OnLoopback], folder: str, port: int) -> None:
    """Ray's own files go into `folder`; its proxy listens on `port`."""
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=200_000_000,
        _temp_dir=folder,
    )
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    deployed = serve.deployment(num_replicas=1, max_ongoing_requests=64, ray_actor_options={"num_cpus": 1})(deployment)
    serve.run(deployed.bind(), route_prefix="/")
    signal.pause()
