"""Coverage-guided fuzzing of a decoder with Atheris, for as long as one likes; not part of the tests.

    python -m pip install atheris
    PYTHONPATH=. python tests/fuzz/atheris_decoders.py safetensors CORPUS -max_total_time=300
    PYTHONPATH=. python tests/fuzz/atheris_decoders.py header CORPUS -max_total_time=300
    PYTHONPATH=. python tests/fuzz/atheris_decoders.py json CORPUS -max_total_time=300 -max_len=20000

`header` is safetensors too: the bytes before the first line feed are its header, whose length is always right.
CORPUS is a folder that is filled with sound bodies first, and then with what reaches new code. A body that is neither
read nor refused with faults ends the run, and is written beside it; the options are libFuzzer's.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import atheris

with atheris.instrument_imports(include=["schemas", "service"]):
    from schemas.problem import InvalidRequest
    from schemas.request import LossRequest
    from service.http.problems import render
    from service.wire import json, safetensors

from tests.binary import forge
from tests.fuzz.mutations import Sample
from tests.fuzz.wires import FUZZED


def whole(sample: Sample) -> bytes:
    """A sample in one piece, without lengths."""
    return sample.text + b"\n" + sample.data


def with_length(body: bytes) -> bytes:
    """The body that such a piece stands for."""
    header, _, data = body.partition(b"\n")
    return forge(header, data)


def as_it_is(body: bytes) -> bytes:
    """The body itself."""
    return body


DECODERS: Final[dict[str, tuple[Callable[..., LossRequest], Callable[[bytes], bytes]]]] = {
    "json": (json.decode, as_it_is),
    "safetensors": (safetensors.decode, as_it_is),
    "header": (safetensors.decode, with_length),
}
SAMPLES: Final = {"json": ("JSON", "large JSON"), "safetensors": ("safetensors",), "header": ("safetensors",)}


def main() -> None:
    """Run libFuzzer on the decoder that the first argument names."""
    name, corpus = sys.argv.pop(1), Path(sys.argv[1])
    decode, made = DECODERS[name]
    corpus.mkdir(parents=True, exist_ok=True)
    for wire in FUZZED:
        if wire.name in SAMPLES[name]:
            for at, sample in enumerate(wire.samples()):
                body = whole(sample) if name == "header" else wire.join(sample)
                (corpus / f"{wire.name.replace(' ', '-')}-{at}").write_bytes(body)

    def one(body: bytes) -> None:
        try:
            decode(made(body), None, max_elements=1 << 16)
        except InvalidRequest as error:
            render(error, "/v1/loss")

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
