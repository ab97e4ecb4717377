"""The words of the language, looked at before Python's parser sees a text: it is to meet nothing but formulas."""

from __future__ import annotations

import re
from typing import Final

from schemas.expression.fault import ExpressionFault

MAX_TEXT: Final = 2048
"""Characters of an expression."""
MAX_WORDS: Final = 1024
"""Names, numbers and signs of an expression: Python's parser goes a few levels deeper for each at most."""
MAX_BRACKETS: Final = 64
"""Brackets that may be open at once."""
WORD: Final = re.compile(
    r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?![A-Za-z0-9_.])"
    r"|(?P<sign>\*\*|<=|>=|==|!=|[-+*/()<>,=])"
    r"|(?P<space>[ \t\r\n]+)",
    re.ASCII,
)
HINTS: Final = {
    "&": "write and",
    "|": "write or",
    "~": "write not",
    "^": "a power is written **",
    "!": "write not",
    ".": "there are no members; functions stand alone, such as abs(x)",
    "@": "there are no matrix products",
    "[": "there is no indexing",
    "%": "there is no remainder",
}


def check(text: str) -> None:
    """Refuse what is no word of the language, and texts that are too long or open too many brackets.

    Raises `ExpressionFault`.
    """
    if len(text) > MAX_TEXT:
        raise ExpressionFault(MAX_TEXT + 1, f"the text has {len(text)} characters; the limit is {MAX_TEXT}")
    at = words = 0
    opened: list[int] = []
    while at < len(text):
        found = WORD.match(text, at)
        if found is None:
            raise ExpressionFault(at + 1, _unknown(text, at))
        words += found.lastgroup != "space"
        if words > MAX_WORDS:
            raise ExpressionFault(at + 1, f"more than {MAX_WORDS} names, numbers and signs")
        if found[0] in "()":
            _bracket(found[0], at, opened)
        at = found.end()
    if opened:
        raise ExpressionFault(opened[-1] + 1, "this bracket is never closed")
    if not words:
        raise ExpressionFault(1, "the expression is empty")


def _bracket(sign: str, at: int, opened: list[int]) -> None:
    """Keep the places of open brackets."""
    if sign == "(":
        opened.append(at)
        if len(opened) > MAX_BRACKETS:
            raise ExpressionFault(at + 1, f"more than {MAX_BRACKETS} brackets are open")
    elif opened:
        opened.pop()
    else:
        raise ExpressionFault(at + 1, "this bracket was never opened")


def _unknown(text: str, at: int) -> str:
    if text[at].isdigit() and text[at].isascii():
        return "no number that is written like this is known: digits, a point, an exponent such as e-3"
    sign = text[at]
    hint = HINTS.get(sign)
    return f"{sign!a} has no meaning here" + (f": {hint}" if hint else "")
