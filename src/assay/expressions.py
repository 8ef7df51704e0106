"""Expressions over signals: polars SQL, and two functions of a whole column, `zscore` and `percent_rank`.

Nothing is ever `eval`ed, and an expression cannot query: what SQL has for reading files and tables is refused before the
parser sees it, and so are the functions that make a text longer than any row. A column's mean and deviation are sums over
blocks of 65,536 rows merged in order, so they do not depend on threads.
"""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Callable, Mapping

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Shaped

from assay.errors import RecipeError, suggest

BLOCK = 65_536
_CALL = re.compile(r"\b(zscore|percent_rank)\s*\(", re.IGNORECASE)


_WORDS_OF_TEXT = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"")
_QUERY = re.compile(
    r"--|/\*|;|\bselect\b|\(\s*(?:from|table|values|with)\b|\b(?:(?:read|scan)_\w+|[lr]pad|repeat|columns)\s*\(", re.IGNORECASE
)
LONGEST = 20_000  # characters: whoever writes more than that by hand had better write a scores file


def _refuse_queries(expression: str) -> None:
    """RecipeError for what is no plain expression over the signals of a row."""
    if len(expression) > LONGEST:
        raise RecipeError(f"an expression must have at most {LONGEST:,} characters; got {len(expression):,}")
    if found := _QUERY.search(_WORDS_OF_TEXT.sub("''", expression)):
        raise RecipeError(
            f"the expression {expression!r} cannot be read: it must compute with the signals of a row and nothing else; "
            f"leave {found[0].strip('( ')!r} out"
        )


def names(expression: str, known: Mapping[str, Shaped[np.ndarray, "n"]]) -> set[str]:
    """The signals that an expression reads; raises RecipeError for one that does not exist."""
    _refuse_queries(expression)
    plain = _CALL.sub("(", _quote(expression, known))
    try:
        roots = set(pl.sql_expr(plain).meta.root_names())
    except (pl.exceptions.PolarsError, UnicodeError) as error:
        raise RecipeError(f"the expression {expression!r} cannot be read: {str(error).splitlines()[0]}") from None
    for root in sorted(roots):
        if root not in known:
            raise RecipeError(f"the expression {expression!r} names no signal {root!r}; {suggest(root, known)}")
    return roots


def evaluate(
    expression: str, signals: Mapping[str, Shaped[np.ndarray, "n"]], living: Bool[np.ndarray, "n"] | None = None
) -> Shaped[np.ndarray, "n"]:
    """The value of an expression for every row, (n,); zscore and percent_rank compare with the `living (n,)` rows only.

    >>> evaluate("zscore(a) + 1", {"a": np.array([1.0, 3.0])}).tolist()
    [0.0, 2.0]
    """
    names(expression, signals)
    if expression.strip() in signals:
        return signals[expression.strip()]
    columns = ChainMap({}, signals)
    while (call := _CALL.search(expression)) is not None:
        stop = _closing(expression, call.end())
        name = f"__column_{len(columns)}"
        inner = evaluate(expression[call.end() : stop], columns, living)
        if inner.dtype.kind not in "fiub":
            raise RecipeError(f"{call[1]} needs a number; got {expression[call.end() : stop]!r}")
        columns[name] = _FUNCTIONS[call[1].lower()](inner.astype(np.float64), living)
        expression = f"{expression[: call.start()]}{name}{expression[stop + 1 :]}"
    return _polars(expression, columns)


def _polars(expression: str, columns: Mapping[str, Shaped[np.ndarray, "n"]]) -> Shaped[np.ndarray, "n"]:
    parsed = pl.sql_expr(_quote(expression, columns))
    used = parsed.meta.root_names()
    frame = pl.DataFrame(
        {name: pl.Series(name, columns[name], nan_to_null=columns[name].dtype.kind == "f") for name in used}
    )
    try:
        result = frame.select(parsed.alias("value"))["value"]
    except pl.exceptions.PolarsError as error:
        raise RecipeError(f"the expression {expression!r} cannot be computed: {str(error).splitlines()[0]}") from None
    rows = len(next(iter(columns.values())))
    if len(result) == 1 and rows != 1:
        result = pl.concat([result] * rows) if rows else result.clear()
    return result.fill_null(False).to_numpy() if result.dtype == pl.Boolean else result.to_numpy()


def _closing(expression: str, start: int) -> int:
    depth = 1
    for index in range(start, len(expression)):
        depth += {"(": 1, ")": -1}.get(expression[index], 0)
        if depth == 0:
            return index
    raise RecipeError(f"the expression {expression!r} lacks a closing parenthesis")


def _quote(expression: str, known: Mapping[str, Shaped[np.ndarray, "n"]]) -> str:
    """Put quotes around names with dots or colons, which SQL would take for something else."""
    for name in sorted((name for name in known if not name.isidentifier()), key=len, reverse=True):
        expression = re.sub(rf'(?<!["\w.]){re.escape(name)}(?!["\w])', f'"{name}"', expression)
    return expression


def block_mean(values: Float[np.ndarray, "n"]) -> float:
    """The mean of finite values, summed block by block in order."""
    sums = [float(np.nansum(values[start : start + BLOCK])) for start in range(0, len(values), BLOCK)]
    count = int((~np.isnan(values)).sum())
    return sum(sums) / count if count else 0.0


def zscore(values: Float[np.ndarray, "n"], living: Bool[np.ndarray, "n"] | None = None) -> Shaped[np.ndarray, "n"]:
    """(x - mean) / deviation; zero for a constant column."""
    centred = values - block_mean(_only(values, living))
    deviation = block_mean(_only(centred, living) ** 2) ** 0.5
    return centred / deviation if deviation else centred


def _only(values: Float[np.ndarray, "n"], living: Bool[np.ndarray, "n"] | None) -> Shaped[np.ndarray, "n"]:
    """The values with NaN where a row is not alive."""
    return values if living is None else np.where(living, values, np.nan)


def percent_rank(
    values: Float[np.ndarray, "n"], living: Bool[np.ndarray, "n"] | None = None
) -> Shaped[np.ndarray, "n"]:
    """The share of present values that are smaller, 0 to 1; equal values share a rank."""
    present = np.sort(values[~np.isnan(_only(values, living))])
    ranks = np.searchsorted(present, values, side="left") / max(len(present) - 1, 1)
    return np.where(np.isnan(values), np.nan, ranks)


_FUNCTIONS: dict[str, Callable[[np.ndarray, np.ndarray | None], np.ndarray]] = {
    "zscore": zscore,
    "percent_rank": percent_rank,
}
