"""Pure and synchronous: requests in, results out, on one device."""

from service.compute.transfer import Device, open_device
from service.compute.work import Result, Work, compute

__all__ = ["Device", "Result", "Work", "compute", "open_device"]
