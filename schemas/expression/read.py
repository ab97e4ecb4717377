"""A text to a program: Python's own parser makes the tree, and every node of it is looked up in a list of allowed ones.

The tree is never compiled, and nothing in it is ever looked up as Python would: a name is a tensor, a constant or a
function of the language, or a fault.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from schemas.expression import arguments, lexicon
from schemas.expression.fault import ExpressionFault, column_of, listed, unknown
from schemas.expression.functions import FUNCTIONS, NUMBERS, SAME, Function, Parameter
from schemas.expression.program import ARITHMETIC, Dims, Kind, Node, Program, numbers_of

MAX_NODES: Final = 256
"""Steps of an expression, equal ones counted once."""
MAX_DEPTH: Final = 100
"""Levels of an expression's tree."""
OPERATORS: Final[dict[type, str]] = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.Pow: "pow"}
COMPARISONS: Final[dict[type, str]] = {
    ast.Lt: "lt",
    ast.LtE: "le",
    ast.Gt: "gt",
    ast.GtE: "ge",
    ast.Eq: "eq",
    ast.NotEq: "ne",
}
REFUSED: Final[dict[type, str]] = {
    ast.IfExp: "a choice is written where(condition, x, y)",
    ast.Tuple: "a comma stands between arguments alone",
    ast.GeneratorExp: "there are no loops",
    ast.Starred: "a star stands between two factors",
    ast.Lambda: "there are no functions but the listed ones",
}


@lru_cache(maxsize=256)
def read(text: str, tensors: tuple[str, ...], constants: tuple[str, ...]) -> Program:
    """The program of an expression over tensors and constants of these names. Raises `ExpressionFault`."""
    lexicon.check(text)
    # Within brackets a text may be broken into lines; they balance already.
    source = "(" + "".join([" " if character in "\t\r\n" else character for character in text]) + ")"
    try:
        tree = ast.parse(source, mode="eval")
    except SyntaxError as error:
        column = max(min((error.offset or 2) - 1, len(text)), 1)
        raise ExpressionFault(column, f"no formula: {(error.msg or 'invalid syntax').partition('.')[0]}") from None
    except (RecursionError, MemoryError, ValueError):
        raise ExpressionFault(1, "nested too deep") from None
    return _Reader(frozenset(tensors), frozenset(constants)).program(tree.body)


class _Reader:
    """One expression being read."""

    def __init__(self, tensors: frozenset[str], constants: frozenset[str]) -> None:
        self.tensors = tensors
        self.constants = constants
        self.nodes: list[Node] = []
        self.known: dict[tuple[object, ...], int] = {}

    def program(self, tree: ast.expr) -> Program:
        """The whole of it."""
        root = self.value(self.node(tree, 0), column_of(tree))
        used = frozenset([str(node.value) for node in self.nodes if node.op == "tensor"])
        if not used:
            raise ExpressionFault(1, f"there is no tensor in it; the tensors are {listed(self.tensors)}")
        if root != len(self.nodes) - 1:  # the last is no part of it only where the same step was made before
            self.nodes.append(self.nodes[root]._replace(op="same", args=(root,)))
        nodes = tuple(self.nodes)
        constants = frozenset([str(node.value) for node in nodes if node.op == "constant"])
        return Program(nodes, used, constants, None if constants else numbers_of(nodes, {}))

    # Nodes of the tree.

    def node(self, tree: ast.expr, depth: int) -> int:
        """The position of what this part of the tree stands for."""
        if depth > MAX_DEPTH:
            raise ExpressionFault(column_of(tree), f"nested deeper than {MAX_DEPTH} levels")
        kind = type(tree)
        if kind is ast.Constant:
            return self.literal(tree)  # type: ignore[arg-type] # mypy does not follow `type(tree)`
        if kind is ast.Name:
            return self.name(tree)  # type: ignore[arg-type]
        if kind is ast.BinOp:
            return self.binary(tree, depth)  # type: ignore[arg-type]
        if kind is ast.UnaryOp:
            return self.unary(tree, depth)  # type: ignore[arg-type]
        if kind is ast.Compare:
            return self.comparison(tree, depth)  # type: ignore[arg-type]
        if kind is ast.BoolOp:
            return self.junction(tree, depth)  # type: ignore[arg-type]
        if kind is ast.Call:
            return self.call(tree, depth)  # type: ignore[arg-type]
        raise _refused(tree)

    def literal(self, tree: ast.Constant) -> int:
        """A number."""
        return self.add("number", (), "number", column_of(tree), value=arguments.number(tree))

    def name(self, tree: ast.Name) -> int:
        """A tensor, a constant, or a number that has a name."""
        name, column = tree.id, column_of(tree)
        if name in self.tensors:
            return self.add("tensor", (), "value", column, value=name)
        if name in self.constants:
            return self.add("constant", (), "number", column, value=name)
        if name in NUMBERS:
            return self.add("number", (), "number", column, value=NUMBERS[name])
        if name in FUNCTIONS:
            raise ExpressionFault(column, f"{name} is a function: {FUNCTIONS[name].signature()}")
        raise unknown(column, "name", name, (*sorted(self.tensors), *sorted(self.constants)), ("pi", "inf"))

    def binary(self, tree: ast.BinOp, depth: int) -> int:
        """X + y, x - y, x * y, x / y or x ** y; a long chain of them is no deep tree."""
        chain: list[ast.BinOp] = []
        left: ast.expr = tree
        while type(left) is ast.BinOp:
            chain.append(left)
            left = left.left
        found = self.node(left, depth + 1)
        for step in reversed(chain):
            op = OPERATORS.get(type(step.op))
            if op is None:
                raise ExpressionFault(column_of(step), "an operator is one of + - * / **")
            found = self.arithmetic(op, (found, self.node(step.right, depth + 1)), column_of(step))
        return found

    def unary(self, tree: ast.UnaryOp, depth: int) -> int:
        """-x, +x or not x."""
        inner = self.node(tree.operand, depth + 1)
        column = column_of(tree)
        if type(tree.op) is ast.Not:
            return self.add("not", (self.truth(inner, column),), "truth", column)
        if type(tree.op) is ast.UAdd:
            return self.value(inner, column)
        if type(tree.op) is ast.USub:
            return self.arithmetic("neg", (inner,), column)
        raise ExpressionFault(column, "an operator before a value is one of - + not")

    def comparison(self, tree: ast.Compare, depth: int) -> int:
        """X < y, or x < y < z, which is x < y and y < z."""
        left = self.node(tree.left, depth + 1)
        found: int | None = None
        for operator, part in zip(tree.ops, tree.comparators, strict=True):
            op, column = COMPARISONS.get(type(operator)), column_of(tree)
            if op is None:
                raise ExpressionFault(column, "a comparison is one of < <= > >= == !=")
            right = self.node(part, depth + 1)
            pair = self.lifted((self.value(left, column), self.value(right, column)), column)
            one = self.add(op, pair, "truth", column)
            found = one if found is None else self.add("and", (found, one), "truth", column)
            left = right
        assert found is not None  # noqa: S101 - the parser's own promise
        return found

    def junction(self, tree: ast.BoolOp, depth: int) -> int:
        """Truths joined by `and` or `or`."""
        op, column = "and" if type(tree.op) is ast.And else "or", column_of(tree)
        first, *rest = [self.truth(self.node(part, depth + 1), column) for part in tree.values]
        for one in rest:
            first = self.add(op, (first, one), "truth", column)
        return first

    def call(self, tree: ast.Call, depth: int) -> int:
        """A function of the list."""
        column = column_of(tree)
        if type(tree.func) is not ast.Name:
            raise ExpressionFault(column, "a function is called by its name")
        name = tree.func.id
        function = self.function(name, column)
        given = arguments.bound(function, tree)
        args: list[int | None] = []
        dim: Dims = None
        keepdim = False
        order: float | None = 2.0 if name == "norm" else None
        for parameter in function.parameters:
            part = given.get(parameter.name)
            if parameter.takes in ("value", "truth"):
                args.append(None if part is None else self.argument(parameter, part, depth))
            elif part is None:
                continue
            elif parameter.takes == "flag":
                keepdim = arguments.flag(part)
            elif parameter.takes == "order":
                order = arguments.order(part)
            else:
                dim = arguments.dims(part, several=parameter.takes == "dims")
        if name == "clamp" and args[1] is None and args[2] is None:
            raise ExpressionFault(column, "clamp needs min or max")
        op = SAME.get(name, name)
        if op == "pow":
            return self.arithmetic("pow", [at for at in args if at is not None], column)
        kind: Kind = "truth" if function.rule == "test" else "value"
        return self.add(op, self.fitted(op, args, column), kind, column, value=order, dim=dim, keepdim=keepdim)

    def function(self, name: str, column: int) -> Function:
        """The function of that name."""
        if name in FUNCTIONS:
            return FUNCTIONS[name]
        if name in self.tensors or name in self.constants:
            raise ExpressionFault(column, f"{name} is no function; a product is written {name} * (...)")
        raise unknown(column, "function", name, tuple(sorted(FUNCTIONS)), ())

    def argument(self, parameter: Parameter, tree: ast.expr, depth: int) -> int:
        """A value or truths, as the parameter takes them."""
        found = self.node(tree, depth + 1)
        return (self.truth if parameter.takes == "truth" else self.value)(found, column_of(tree))

    # Steps.

    def arithmetic(self, op: str, args: Sequence[int], column: int) -> int:
        """A step of arithmetic: a number where all is number."""
        values = tuple([self.value(at, column) for at in args])
        kinds = [self.nodes[at].kind for at in values]
        if set(kinds) == {"number"} and op in ARITHMETIC:
            return self.add(op, values, "number", column)
        if op == "div" and kinds[0] == "number":
            values = (self.tensor(values[0], column), values[1])
        return self.add(op, values, "value", column)

    def fitted(self, op: str, args: list[int | None], column: int) -> tuple[int | None, ...]:
        """Arguments as the function takes them: numbers only where it knows what to do with one."""
        if op == "where":
            return (args[0], *self.lifted((args[1], args[2]), column))
        if op == "clamp":
            first = self.tensor(args[0], column)
            bounds = [at for at in args[1:] if at is not None]
            if len({self.nodes[at].kind for at in bounds}) > 1:  # both are numbers, or both are tensors
                return (first, self.tensor(args[1], column), self.tensor(args[2], column))
            return (first, args[1], args[2])
        return tuple([self.tensor(at, column) for at in args])

    def lifted(self, pair: tuple[int | None, int | None], column: int) -> tuple[int, int]:
        """Two values of which at least one is a tensor."""
        left, right = pair
        assert left is not None  # noqa: S101 - neither of the two is ever left out
        assert right is not None  # noqa: S101
        if self.nodes[left].kind == self.nodes[right].kind == "number":
            left = self.tensor(left, column)
        return left, right

    def tensor(self, at: int | None, column: int) -> int:
        """A tensor; of a number, a 0-d one."""
        assert at is not None  # noqa: S101 - what may be left out is never lifted
        if self.nodes[at].kind != "number":
            return at
        return self.add("scalar", (at,), "value", column)

    def value(self, at: int, column: int) -> int:
        """A number or a tensor of numbers: truths count as 1 and 0."""
        return self.add("value", (at,), "value", column) if self.nodes[at].kind == "truth" else at

    def truth(self, at: int, column: int) -> int:
        """Truths: a number holds where it is not 0."""
        if self.nodes[at].kind == "truth":
            return at
        return self.add("truth", (self.tensor(at, column),), "truth", column)

    def add(
        self,
        op: str,
        args: tuple[int | None, ...],
        kind: Kind,
        column: int,
        *,
        value: float | str | None = None,
        dim: Dims = None,
        keepdim: bool = False,
    ) -> int:
        """The position of this step, which is made but once."""
        key = (op, args, value, dim, keepdim)
        at = self.known.get(key)
        if at is None:
            if len(self.nodes) >= MAX_NODES:
                raise ExpressionFault(column, f"more than {MAX_NODES} steps")
            at = self.known[key] = len(self.nodes)
            self.nodes.append(Node(op, args, kind, value, dim, keepdim, column))
        return at


def _refused(tree: ast.expr) -> ExpressionFault:
    return ExpressionFault(column_of(tree), REFUSED.get(type(tree), "this is no part of a formula"))
