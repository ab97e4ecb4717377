"""Zstandard: the standard library's module since Python 3.14, its backport before."""

import sys

# Not the package zstandard: its streams can't be fed piece by piece and bounded in what one piece makes of itself.
if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["zstd"]
