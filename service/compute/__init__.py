"""Pure and synchronous: requests in, results out, on one device."""

from service.compute.batch import compute
from service.compute.transfer import Device, open_device

__all__ = ["Device", "compute", "open_device"]
