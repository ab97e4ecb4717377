"""What is written between a function's parentheses: its arguments by parameter, and those that are no values."""

from __future__ import annotations

import ast
import math

from schemas.expression.fault import ExpressionFault, column_of
from schemas.expression.functions import NUMBERS, SAME, Function
from schemas.expression.program import Dims


def bound(function: Function, tree: ast.Call) -> dict[str, ast.expr]:
    """The arguments of a call by parameter. Raises `ExpressionFault`, as all here do."""
    parameters = function.parameters
    if len(tree.args) > len(parameters):
        column = column_of(tree.args[len(parameters)])
        raise ExpressionFault(column, f"too many arguments: {function.signature()}")
    given = {parameter.name: part for parameter, part in zip(parameters, tree.args, strict=False)}
    names = [parameter.name for parameter in parameters]
    for keyword in tree.keywords:
        if keyword.arg is None or keyword.arg not in names:
            raise ExpressionFault(column_of(keyword), f"no such argument: {function.signature()}")
        if keyword.arg in given:
            raise ExpressionFault(column_of(keyword), f"{keyword.arg} is given twice: {function.signature()}")
        given[keyword.arg] = keyword.value
    for parameter in parameters:
        if parameter.required and parameter.name not in given:
            raise ExpressionFault(column_of(tree), f"{parameter.name} is missing: {function.signature()}")
    if function.name in SAME and len(tree.args) > 1:  # max(x, 0) is Python's for something else than dim 0
        told = f"of two values, write {function.name}imum(x, y); of a dim, {function.name}(x, dim=0)"
        raise ExpressionFault(column_of(tree.args[1]), told)
    return given


def number(tree: ast.expr) -> float:
    """A number as it is written."""
    if type(tree) is not ast.Constant or type(tree.value) not in (int, float):
        raise ExpressionFault(column_of(tree), "a number is needed here")
    try:
        found = float(tree.value)  # type: ignore[arg-type] # it is one of the two
    except OverflowError:
        found = math.inf
    if math.isinf(found):
        raise ExpressionFault(column_of(tree), "the number is beyond the range of float64")
    return found


def _whole(tree: ast.expr) -> int | None:
    """A whole number as it is written, with or without a minus."""
    sign = 1
    if type(tree) is ast.UnaryOp and type(tree.op) is ast.USub:
        sign, tree = -1, tree.operand
    if type(tree) is ast.Constant and type(tree.value) is int and tree.value <= 64:
        return sign * tree.value
    return None


def dims(tree: ast.expr, *, several: bool) -> Dims:
    """One dim, or several where that is allowed."""
    one = _whole(tree)
    if one is not None:
        return one
    if several and type(tree) is ast.Tuple and tree.elts:
        found = [_whole(part) for part in tree.elts]
        if None not in found and len(found) <= 64:
            return tuple([at for at in found if at is not None])
    several_too = ", or several in parentheses" if several else ""
    raise ExpressionFault(column_of(tree), f"dim is a whole number as it is written{several_too}: -1 is the last")


def flag(tree: ast.expr) -> bool:
    """True or False."""
    if type(tree) is ast.Constant and type(tree.value) is bool:
        return tree.value
    raise ExpressionFault(column_of(tree), "keepdim is True or False")


def order(tree: ast.expr) -> float:
    """The order of a norm."""
    if type(tree) is ast.Name and tree.id == "inf":
        return NUMBERS["inf"]
    if type(tree) is ast.Constant and type(tree.value) in (int, float):
        found = number(tree)
        if 0 < found <= 64:
            return found
    raise ExpressionFault(column_of(tree), "p is a number above 0 and at most 64 as it is written, or inf")
