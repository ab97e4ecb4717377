"""Formulas that callers write themselves: read, checked and laid out by arithmetic; none is ever run here."""

from schemas.expression.fault import ExpressionFault
from schemas.expression.functions import FUNCTIONS, Function, Parameter
from schemas.expression.program import Node, Program
from schemas.expression.read import read
from schemas.expression.shapes import Extent, extent_of

__all__ = ["FUNCTIONS", "ExpressionFault", "Extent", "Function", "Node", "Parameter", "Program", "extent_of", "read"]
