"""What ends an evaluation, each in a sentence for whoever called the command.

Exception
├── Misused             the command, or the files and columns that it names, cannot be as they are
└── Failed              the evaluation did not come to its end
    └── BadRows         since rows of a file cannot be evaluated
        └── BadRow      one row
"""

from __future__ import annotations


class Misused(Exception):
    """The command asks for what cannot be: a column that is not there, a file of no known kind."""


class Failed(Exception):
    """The evaluation could not be completed."""


class BadRows(Failed):
    """Rows of a file cannot be evaluated: it must be mended, and has other contents then."""


class BadRow(BadRows):
    """A row of a file cannot be evaluated; rows are counted from 0, as in pandas, NumPy and Arrow."""

    def __init__(self, file: str, row: int, column: str, detail: str) -> None:
        super().__init__(f"{file}, row {row}: {column} {detail}")
