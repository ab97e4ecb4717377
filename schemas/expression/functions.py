"""The functions of the language: their parameters, and what they do to shapes. There are no others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Takes = Literal["value", "truth", "dims", "dim", "flag", "order"]
Rule = Literal["elements", "test", "reduction", "along"]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter: what it takes, and whether it must be given.

    `value`: a tensor or a number. `truth`: what a comparison gives. `dims`: whole numbers as they are written, one or
    several in parentheses; `dim`: one. `flag`: True or False. `order`: a positive number as it is written, or inf.
    """

    name: str
    takes: Takes = "value"
    required: bool = True


@dataclass(frozen=True, slots=True)
class Function:
    """A function.

    `elements`: of each element, its arguments broadcast; `test`: likewise, and gives truths. `reduction`: over `dim`
    or everything. `along`: of the same shape, along `dim`.
    """

    name: str
    parameters: tuple[Parameter, ...]
    rule: Rule
    meaning: str

    def signature(self) -> str:
        """How it is written: what may be left out stands with its default."""
        defaults = {"keepdim": "False", "p": "2"}
        told = [one.name if one.required else f"{one.name}={defaults.get(one.name, 'none')}" for one in self.parameters]
        return f"{self.name}({', '.join(told)})"


_X: Final = Parameter("x")
_Y: Final = Parameter("y")
_KEEPDIM: Final = Parameter("keepdim", "flag", required=False)
_DIMS: Final = Parameter("dim", "dims", required=False)


def _elements(name: str, meaning: str, *parameters: Parameter) -> Function:
    return Function(name, parameters or (_X,), "elements", meaning)


def _reduction(name: str, meaning: str) -> Function:
    return Function(name, (_X, _DIMS, _KEEPDIM), "reduction", meaning)


def _along(name: str, meaning: str) -> Function:
    return Function(name, (_X, Parameter("dim", "dim")), "along", meaning)


_ALL: Final = (
    _elements("abs", "the absolute value; its gradient at 0 is 0"),
    _elements("exp", "e to the power of x"),
    _elements("expm1", "exp(x) - 1, precise near 0"),
    _elements("log", "the natural logarithm"),
    _elements("log1p", "log(1 + x), precise near 0"),
    _elements("log2", "the logarithm to base 2"),
    _elements("log10", "the logarithm to base 10"),
    _elements("sqrt", "the square root"),
    _elements("rsqrt", "1 / sqrt(x)"),
    _elements("square", "x * x"),
    _elements("sin", "the sine"),
    _elements("cos", "the cosine"),
    _elements("tan", "the tangent"),
    _elements("asin", "the inverse sine"),
    _elements("acos", "the inverse cosine"),
    _elements("atan", "the inverse tangent"),
    _elements("sinh", "the hyperbolic sine"),
    _elements("cosh", "the hyperbolic cosine"),
    _elements("tanh", "the hyperbolic tangent"),
    _elements("sigmoid", "1 / (1 + exp(-x))"),
    _elements("logsigmoid", "log(sigmoid(x)), for any x"),
    _elements("softplus", "log(1 + exp(x)), for any x"),
    _elements("relu", "maximum(x, 0); its gradient at 0 is 0"),
    _elements("erf", "the error function"),
    _elements("erfc", "1 - erf(x)"),
    _elements("lgamma", "the logarithm of the absolute value of the gamma function"),
    _elements("sign", "-1, 0 or 1; its gradient is 0"),
    _elements("pow", "x ** y", _X, _Y),
    _elements("minimum", "the smaller of both; where they are equal, each has half of the gradient", _X, _Y),
    _elements("maximum", "the larger of both; where they are equal, each has half of the gradient", _X, _Y),
    _elements(
        "clamp",
        "x, but no less than min and no more than max, of which one may be left out; at a bound that is a number the "
        "gradient is 1",
        _X,
        Parameter("min", required=False),
        Parameter("max", required=False),
    ),
    _elements("where", "x where the condition holds, y elsewhere", Parameter("condition", "truth"), _X, _Y),
    _elements("xlogy", "x * log(y), and 0 where x is 0", _X, _Y),
    _elements("logaddexp", "log(exp(x) + exp(y)), for any x and y", _X, _Y),
    _elements("atan2", "the angle of the point (y, x)", _X, _Y),
    _elements("stop_gradient", "x, through which no gradient passes"),
    Function("isnan", (_X,), "test", "whether x is not a number"),
    Function("isfinite", (_X,), "test", "whether x is neither infinite nor not a number"),
    _reduction("sum", "the sum"),
    _reduction("mean", "the mean; of nothing, not a number"),
    _reduction("amax", "the largest; several share the gradient"),
    _reduction("amin", "the smallest; several share the gradient"),
    _reduction("max", "amax by its other name"),
    _reduction("min", "amin by its other name"),
    _reduction("logsumexp", "log(sum(exp(x))), for any x"),
    Function(
        "norm",
        (_X, Parameter("p", "order", required=False), _DIMS, _KEEPDIM),
        "reduction",
        "sum(abs(x) ** p) ** (1 / p); p=inf is the largest absolute value",
    ),
    _along("softmax", "exp(x) / sum(exp(x)) along a dim"),
    _along("log_softmax", "log(softmax(x)) along a dim, for any x"),
    _along("cumsum", "the sum of an element and all before it along a dim"),
)
FUNCTIONS: Final[dict[str, Function]] = {function.name: function for function in _ALL}
SAME: Final = {"max": "amax", "min": "amin"}
"""Functions under another name."""
NUMBERS: Final = {"pi": 3.141592653589793, "inf": float("inf")}
"""Names of numbers."""
COMPARISONS: Final = ("lt", "le", "gt", "ge", "eq", "ne")
