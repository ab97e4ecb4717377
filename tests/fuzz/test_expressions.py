"""Ten thousand expressions, made by the grammar, mutated and hostile: each is answered or refused, and none escapes."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings

from schemas.expression.functions import COMPARISONS, FUNCTIONS
from schemas.losses.expression import Expression
from schemas.problem import InvalidRequest
from schemas.tensor import Reading
from service.compute import compute, open_device

CPU = open_device("cpu")
LIMIT = 1 << 12
HANGS = 5
"""Seconds after which an expression is held to hang: no more than a guard."""
KNOWN = {*FUNCTIONS, *COMPARISONS, "add", "sub", "mul", "div", "neg", "and", "or", "not", "value", "truth", "scalar"}
KNOWN |= {"same", "tensor", "number", "constant"}
PHASES = (Phase.explicit, Phase.generate, Phase.shrink)
"""Not that which explains a failure: it looks into what runs, which is heard."""
MANY = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck), phases=PHASES)
TENSORS = {"x": np.array([[0.5, -1.0, 3.0], [2.0, 0.0, -0.5]]), "y": np.array([0.1, 0.5, 0.9]), "z": np.array(2.0)}
HOSTILE = (
    "().__class__.__bases__[0].__subclasses__()", "__import__('os').system('id')", "x.__init__.__globals__",
    "__builtins__", "__import__", "eval(x)", "exec(x)", "compile(x)", "open(x)", "getattr(x, y)", "globals()",
    "(lambda: x)()", "lambda x: x", "[a for a in x]", "{a for a in x}", "(a for a in x)", "x if y else z",
    "(a := 1)", "f'{x}'", 'f"{x.__class__}"', "'a' * 9**9", "b'x'", "x()", "x(y)(z)", "mean(x)(y)", "mean.x",
    "9**9**9**9", "9" * 2000, "1e" + "9" * 500, "0x" + "f" * 500, "2**x**x**x", "x" + "**x" * 500, "-" * 2000 + "x",
    "not " * 400 + "x", "(" * 1000 + "x" + ")" * 1000, "abs(" * 60 + "x" + ")" * 60, "+".join(["x"] * 900),
    "x<" * 500 + "x", " and ".join(["x>0"] * 250), "mean(x, **y)", "mean(*x)", "mean(x=x, x=x)", "await x", "yield x",
    "x[0]", "x[...]", "...", "None", "True", "x @ y", "x; y", "x\n\ny", "x # y", "x\0y", "\u0445", "x\u00b2", "x\ud800",
    "print(x)", "torch.load(x)", "np.load(x)", "os", "self", "cls", "sum(x, dim=10**400)", "sum(x, dim=-10**400)",
    "sum(x,dim=(" + "0," * 500 + "))", "norm(x, p=1e308*10)", "\\x41", "x\\", "`x`", "x?y:z", "x$y", "%s % x",
    "class", "import os", "from os import *", "assert x", "del x", "x = 1", "x += 1", "x, y", "(x,)", "(x, *y)",
)  # fmt: skip
NUMBERS = st.sampled_from(("0", "1", "2", "0.5", "1e-3", "3.", ".5", "1e30", "1e308", "pi", "inf", "d"))
LEAVES = st.sampled_from(("x", "y", "z", "x", "y")) | NUMBERS
DIMS = st.sampled_from(("", ", dim=0", ", dim=-1", ", -1", ", dim=(0, 1)", ", dim=3", ", keepdim=True", ", 1, True"))


def _calls(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def written(parts: tuple[str, str, str, str, str]) -> str:
        name, a, b, c, dims = parts
        function = FUNCTIONS[name]
        if function.rule in ("reduction", "along"):
            return f"{name}({a}{dims})"
        values = (a, b, c)[: len(function.parameters)]
        return f"{name}({', '.join(values)})"

    called = st.tuples(st.sampled_from(sorted(FUNCTIONS)), inner, inner, inner, DIMS).map(written)
    operators = ("+", "-", "*", "/", "**", "<", "<=", ">", ">=", "==", "!=", " and ", " or ")
    joined = st.tuples(inner, st.sampled_from(operators), inner).map(lambda t: f"({t[0]}{t[1]}{t[2]})")
    return called | joined | inner.map(lambda one: f"-{one}") | inner.map(lambda one: f"(not {one})")


GRAMMAR = st.recursive(LEAVES, _calls, max_leaves=12)
SCRAPS = st.sampled_from(
    ("(", ")", ",", ".", "**", "*", "[", "]", "{", "}", ":", ":=", "=", "'", '"', "\\", "\n", "\0", "lambda ", " for ",
     " in ", " if ", " is ", "__class__", "__import__", "import ", "9" * 400, "1e", "_", "@", "%", "~", "#", "x", "d(")
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A text of the grammar, or a hostile one, with scraps put in and parts taken out."""
    text = draw(GRAMMAR | st.sampled_from(HOSTILE))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(SCRAPS | st.just("")) + text[min(at + draw(st.integers(0, 3)), len(text)) :]
    return text


heard: list[str] = []
listening = False


def _hear(event: str, _args: Any) -> None:
    if listening and event != "compile":  # which is what parsing to a tree is called
        heard.append(event)


sys.addaudithook(_hear)


@contextmanager
def nothing_but_parsing() -> Iterator[None]:
    """Of all that Python tells its auditors - imports, files, code that is run - nothing may happen."""
    global listening  # noqa: PLW0603 - a hook cannot be taken away again
    heard.clear()
    listening = True
    try:
        yield
    finally:
        listening = False
    assert heard == []


def tried(text: str) -> str:
    """What became of an expression."""
    members = {"loss": "expression", "expression": text, "tensors": TENSORS, "constants": {"d": 0.5}}
    began = time.perf_counter()
    refused: InvalidRequest | None = None
    try:
        with nothing_but_parsing():
            request = Expression.model_validate(members, context=Reading(max_elements=LIMIT))
    except InvalidRequest as error:
        refused = error
    if refused is not None:
        assert refused.status in (413, 422)
        assert all(fault.pointer in ("", "/expression") for fault in refused.faults)
        return "refused"
    assert {node.op for node in request.program.nodes} <= KNOWN
    assert request.checked.layout.elements <= LIMIT
    [result] = compute([request], CPU)
    assert result.loss.shape == ()
    assert {name: gradient.shape for name, gradient in result.gradients.items()} == {
        name: array.shape for name, array in TENSORS.items()
    }
    assert time.perf_counter() - began < HANGS
    return "answered"


@settings(MANY, max_examples=5000)
@given(text=GRAMMAR)
def test_what_the_grammar_makes_is_answered_or_refused(text: str) -> None:
    tried(text)


@settings(MANY, max_examples=4000)
@given(text=mutated())
def test_mutated_texts_are_answered_or_refused(text: str) -> None:
    tried(text)


@settings(MANY, max_examples=1000)
@given(text=st.text(max_size=60) | st.text("xyd()*+-./,<>= 0129eE_", max_size=60))
@example(text="")
def test_any_text_is_answered_or_refused(text: str) -> None:
    tried(text)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_refused_or_mere_formulas(text: str) -> None:
    formulas = ("2**x**x**x", "9**9**9**9")
    if tried(text) == "answered":
        assert text in formulas or set(text) <= set("xabsnotd()+-<> 0")


def test_most_of_what_the_grammar_makes_is_a_formula() -> None:
    found: list[str] = []

    @settings(MANY, max_examples=300)
    @given(text=GRAMMAR)
    def gather(text: str) -> None:
        found.append(tried(text))

    gather()
    assert found.count("answered") > len(found) // 4
