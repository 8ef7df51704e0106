"""The plots of the report: facts in, SVG out, drawn by Vega-Lite without a browser.

Colours are CSS variables, so one drawing serves light, dark and paper; every mark carries its words in `aria-label`,
which screen readers read and the page shows as a tooltip. Each plot comes wide and narrow, and the page shows the one
that fits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import altair as alt
import vl_convert
from altair.utils.schemapi import debug_mode

from assay.report.verdicts import breadth as measured_breadth
from assay.report.verdicts import direction, metric, unit
from assay.report.view import against, confidence, part, worth
from assay.report.wording import amount, count, interval, number, share, size

WIDE, NARROW = 480, 320
_FONT = "sans-serif"
_VEGA_LITE = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
_TICKS = alt.ExprRef("ceil(width / 80)")
_DECADES = [step * 10**power for power in range(10) for step in (1, 3)]
_INK, _MUTED, _LINE, _POOL, _CHOSEN, _SURFACE = (
    f"var(--{name})" for name in ("ink", "muted", "line", "pool", "chosen", "surface")
)
_GAP = {"stroke": _SURFACE, "strokeWidth": 0.8}
_BYTES = "replace(format(datum.value, '.3~s'), /([kMGT]?)$/, ' $1B')"
_COUNTS = "replace(replace(format(datum.value, '.3~s'), /([kMGT])$/, ' $1'), 'G', 'B')"
Facts = Mapping[str, Any]


def scores(score: Facts) -> alt.LayerChart:
    """Histogram of a score `{name, edges, all, chosen, cut}`: the chosen rows before the pool, the cut as a line."""
    bars = _bars(score)
    scale, note = _count_scale(score)
    x = alt.X(
        "low:Q",
        title=f"score: {score.get('name') or 'unnamed'}",
        scale=alt.Scale(nice=False, zero=False),
        axis=alt.Axis(grid=False, tickCount=_TICKS),
    )
    y = alt.Y("all:Q", title=f"rows{note}", scale=scale, axis=alt.Axis(tickCount=5, format="~s"))
    base = alt.Chart(alt.Data(values=bars)).encode(x=x, x2="high:Q", y2=alt.datum(0), description="words:N")
    layers = [
        base.mark_rect(color=_POOL, **_GAP).encode(y=y),
        base.mark_rect(color=_CHOSEN, **_GAP).encode(y=alt.Y("chosen:Q", scale=scale)),
    ]
    if score.get("cut") is not None:
        layers += _cut(score)
    return alt.layer(*layers).properties(height=230)


def _bars(histogram: Facts) -> list[dict[str, Any]]:
    edges = histogram["edges"]
    return [
        {
            "low": low,
            "high": high,
            "all": everything,
            "chosen": chosen,
            "words": f"{interval(low, high)}: {count(everything)} rows, {count(chosen)} chosen",
        }
        for low, high, everything, chosen in zip(
            edges[:-1], edges[1:], histogram["all"], histogram["chosen"], strict=True
        )
    ]


def _count_scale(histogram: Facts) -> tuple[alt.Scale, str]:
    """A square-root scale where the chosen rows would be too small to see on a straight one."""
    tallest, chosen = max(histogram["all"], default=0), max(histogram["chosen"], default=0)
    return (
        (alt.Scale(type="sqrt", domainMin=0), " (square-root scale)")
        if chosen < 0.2 * tallest
        else (alt.Scale(domainMin=0), "")
    )


def _cut(score: Facts) -> list[alt.Chart]:
    middle = (score["edges"][0] + score["edges"][-1]) / 2
    left = score["cut"] > middle
    data = alt.Data(values=[{"cut": score["cut"], "words": f"cut at {number(score['cut'])}"}])
    line = (
        alt.Chart(data)
        .mark_rule(color=_INK, strokeWidth=1.5, strokeDash=[4, 3])
        .encode(x="cut:Q", description="words:N")
    )
    text = alt.Chart(data).mark_text(
        color=_INK, align="right" if left else "left", dx=6 if left else -6, baseline="bottom", fontWeight=600
    )
    return [line, text.encode(x="cut:Q", y=alt.value(-5), text="words:N")]


def lengths(lengths_: Facts) -> alt.LayerChart:
    """Share of rows by length in bytes `{edges, all, chosen}`, pool and choice each adding to one, on a log axis."""
    whole, taken = sum(lengths_["all"]) or 1, sum(lengths_["chosen"]) or 1
    bars = [
        {
            "low": max(bar["low"], 1),
            "high": max(bar["high"], 1),
            "pool": bar["all"] / whole,
            "choice": bar["chosen"] / taken,
            "words": f"{size(bar['low'])} to {size(bar['high'])}: "
            f"{share(bar['all'], whole)} of the pool, {share(bar['chosen'], taken)} of the choice",
        }
        for bar in _bars(lengths_)
        if bar["high"] > 1
    ]
    x = alt.X(
        "low:Q",
        title="bytes of text in a row",
        scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(grid=False, labelExpr=_BYTES, values=_DECADES, labelSeparation=10),
    )
    y = alt.Axis(format="~%", tickCount=5)
    base = alt.Chart(alt.Data(values=bars)).encode(x=x, x2="high:Q", y2=alt.datum(0), description="words:N")
    pool = base.mark_rect(color=_POOL, **_GAP).encode(y=alt.Y("pool:Q", title="share of rows", axis=y))
    choice = base.mark_rect(color=_CHOSEN, fillOpacity=0.22).encode(y="choice:Q")
    stairs = bars and [*bars, {**bars[-1], "low": bars[-1]["high"]}]
    outline = (
        alt.Chart(alt.Data(values=stairs))
        .mark_line(color=_CHOSEN, strokeWidth=2.2, interpolate="step-after", aria=False)
        .encode(x=x, y="choice:Q")
    )
    return alt.layer(pool, choice, outline).properties(height=230)


def arms(verdict: Facts) -> alt.LayerChart:
    """Every arm's metric by seed, with the prediction interval of one random draw around random's mean."""
    name = metric(verdict)
    points = [{**_arm(arm, name), "value": arm["metric"]} for arm in verdict["arms"] if arm.get("metric") is not None]
    order = sorted(
        {point["arm"] for point in points}, key=lambda name: ({"choice": 0, "random": 1, "pool": 3}.get(name, 2), name)
    )
    y = alt.Y(
        "arm:N",
        sort=order,
        title=None,
        axis=alt.Axis(grid=True, gridDash=[1, 4], labelFontSize=13, labelColor=_INK, labelPadding=10, domain=False),
    )
    x = alt.X(
        "value:Q",
        title=f"{metric(verdict)} on held-out text ({direction(verdict)})",
        scale=alt.Scale(zero=False, padding=18),
        axis=alt.Axis(tickCount=_TICKS),
    )
    color = alt.Color(
        "arm:N",
        legend=None,
        scale=alt.Scale(domain=order, range=[_CHOSEN if name == "choice" else _INK for name in order]),
    )
    shape = alt.Shape(
        "arm:N",
        legend=None,
        scale=alt.Scale(domain=order, range=["diamond" if name == "choice" else "circle" for name in order]),
    )
    extent = alt.Size(
        "arm:N", legend=None, scale=alt.Scale(domain=order, range=[170 if name == "choice" else 55 for name in order])
    )
    dots = alt.Chart(alt.Data(values=points)).mark_point(filled=True, opacity=0.8, stroke=_SURFACE, strokeWidth=1)
    dots = dots.encode(x=x, y=y, color=color, shape=shape, size=extent, description="words:N")
    means = alt.Chart(alt.Data(values=points)).mark_text(dy=-21, fontSize=12, fontWeight=600, color=_INK, aria=False)
    means = means.encode(x="mean(value):Q", y=y, text=alt.Text("mean(value):Q", format=".3f"))
    return alt.layer(*_prediction(verdict, y), dots, means).properties(height=66 * len(order))


def _arm(arm: Facts, name: str) -> dict[str, Any]:
    """The words of one model's mark; `name` is the metric's."""
    spent = f" from {amount(arm['bytes'], arm.get('unit') or 'bytes')}" if arm.get("bytes") is not None else ""
    words = f"{arm['name']}, seed {arm.get('seed')}: {number(arm['metric'])} {name}{spent}"
    return {"arm": arm["name"], "words": words}


def _prediction(verdict: Facts, y: alt.Y) -> list[alt.Chart]:
    """Mean and interval of the arm compared with: the choice's metric plus the difference (that arm minus it)."""
    difference, own = part(verdict, "difference") or {}, choice_metric(verdict)
    other, named = against(verdict), {arm.get("name") for arm in verdict["arms"]}
    if own is None or other not in named or any(difference.get(end) is None for end in ("estimate", "low", "high")):
        return []
    sign = -1 if verdict.get("bigger") else 1
    mean, low, high = (own + sign * difference[end] for end in ("estimate", "low", "high"))
    kind = f"{confidence(verdict)} prediction interval" + (" of one draw" if other == "random" else "")
    words = f"{other}: mean {number(mean)}, {kind} {interval(low, high, 4)}"
    base = alt.Chart(alt.Data(values=[{"arm": other, "mean": mean, "low": low, "high": high, "words": words}])).encode(
        y=y, description="words:N"
    )
    band = base.mark_bar(color=_POOL, opacity=0.5, height=24, cornerRadius=3).encode(x="low:Q", x2="high:Q")
    return [band, base.mark_tick(color=_INK, thickness=2, size=24).encode(x="mean:Q")]


def choice_metric(verdict: Facts) -> float | None:
    """The mean metric of the choice's arms."""
    own = [
        arm["metric"]
        for arm in part(verdict, "arms") or []
        if arm.get("name") == "choice" and arm.get("metric") is not None
    ]
    return sum(own) / len(own) if own else None


def curve(verdict: Facts) -> alt.LayerChart:
    """Random's loss by budget, the choice beside it, and the data multiplier as the arrow from one to the other."""
    points = [
        {
            **point,
            "words": _arm({"name": "random", **point}, metric(verdict))["words"],
        }
        for point in verdict["curve"]
    ]
    x = alt.X(
        "bytes:Q",
        title=f"{unit(verdict)} of training text (log scale)",
        scale=alt.Scale(type="log", nice=False, padding=22),
        axis=alt.Axis(
            labelExpr=_BYTES if unit(verdict) == "bytes" else _COUNTS,
            values=sorted({point["bytes"] for point in points}),
            grid=False,
            labelSeparation=10,
        ),
    )
    how = {
        "title": f"{metric(verdict)} ({direction(verdict)})",
        "scale": alt.Scale(zero=False, padding=16),
        "axis": alt.Axis(tickCount=5),
    }
    base = alt.Chart(alt.Data(values=points)).encode(x=x)
    line = base.mark_line(color=_POOL, strokeWidth=2, aria=False).encode(y=alt.Y("mean(metric):Q", **how))
    dots = base.mark_point(filled=True, color=_INK, opacity=0.75, size=38).encode(
        y=alt.Y("metric:Q", **how), description="words:N"
    )
    return alt.layer(line, dots, *_multiplier(verdict, points)).properties(height=270)


def _multiplier(verdict: Facts, points: Sequence[Facts]) -> list[alt.Chart]:
    own = choice_metric(verdict)
    start = next((arm.get("bytes") for arm in verdict.get("arms") or [] if arm.get("name") == "choice"), None)
    if own is None or not start:
        return []
    given, spent = part(verdict, "multiplier") or {}, amount(start, unit(verdict))
    here = {"bytes": start, "metric": own, "words": f"choice: {number(own)} {metric(verdict)} from {spent}"}
    diamond = alt.Chart(alt.Data(values=[here])).mark_point(
        shape="diamond", filled=True, color=_CHOSEN, opacity=1, size=190
    )
    layers = [diamond.encode(x="bytes:Q", y="metric:Q", description="words:N")]
    if given.get("estimate") is not None:
        return [
            *_reach(start, own, given["estimate"], worth(given), False),
            *_band(start, own, given),
            *layers,
        ]
    if given.get("low") is not None and given.get("high") is None:
        reached = max(given["low"], max(point["bytes"] for point in points) / start)
        return [*_reach(start, own, reached, worth(given), True), *layers]
    return layers


def _reach(start: float, own: float, factor: float, words: str, opened: bool) -> list[alt.Chart]:
    """The dashed line from the choice to where random reaches the same loss; an open one ends in an arrow."""
    stop = start * factor
    data = alt.Data(
        values=[{"bytes": start, "stop": stop, "middle": (start * stop) ** 0.5, "metric": own, "words": words}]
    )
    base = alt.Chart(data).encode(y="metric:Q", description="words:N")
    line = base.mark_rule(color=_CHOSEN, strokeWidth=2, strokeDash=[5, 4]).encode(x="bytes:Q", x2="stop:Q")
    text = base.mark_text(
        color="var(--chosen-ink)",
        dy=-13 if opened or factor < 1 else 13,
        baseline="middle",
        fontSize=15,
        fontWeight=700,
    ).encode(x="middle:Q", text="words:N")
    shape, angle = ("triangle-right", 0) if opened else ("circle", 0)
    end = base.mark_point(
        shape=shape, angle=angle, filled=True, color=_CHOSEN, opacity=1, size=90 if opened else 50
    ).encode(x="stop:Q")
    return [line, end, text]


def _band(start: float, own: float, given: Facts) -> list[alt.Chart]:
    low, high = given.get("low"), given.get("high")
    if low is None or high is None:
        return []
    data = alt.Data(
        values=[
            {
                "low": start * low,
                "high": start * high,
                "metric": own,
                "words": f"interval of the multiplier: {interval(low, high, 2)}",
            }
        ]
    )
    return [
        alt.Chart(data)
        .mark_rule(color=_CHOSEN, strokeWidth=11, opacity=0.3)
        .encode(x="low:Q", x2="high:Q", y="metric:Q", description="words:N")
    ]


def breadth(verdict: Facts) -> alt.LayerChart:
    """What every model saves on the target against what it saves on general text, random's mean at the origin; the points of a
    sweep over general shares are joined to a line."""
    points = [{**point, "words": _breadth_words(point)} for point in measured_breadth(verdict)]
    single, swept = ([point for point in points if (point["share"] is not None) == sweep] for sweep in (False, True))
    order = sorted({point["arm"] for point in points}, key=lambda name: ({"choice": 0, "random": 1}.get(name, 2), name))
    x, y = _saved("target:Q", f"{metric(verdict)} saved on the target"), _saved("general:Q", "saved on general text")
    zero = alt.Chart(alt.Data(values=[{"at": 0}])).mark_rule(color=_LINE, strokeWidth=1.5, aria=False)
    dots = alt.Chart(alt.Data(values=single)).mark_point(filled=True, opacity=0.85, stroke=_SURFACE, strokeWidth=1)
    dots = dots.encode(
        x=x, y=y, description="words:N",
        color=_kinds("color", order, _CHOSEN, _INK, _POOL),
        shape=_kinds("shape", order, "diamond", "circle", "square"),
        size=_kinds("size", order, 170, 55, 70),
    )  # fmt: skip
    layers = [zero.encode(x="at:Q"), zero.encode(y="at:Q"), *_swept(swept, x, y), dots]
    return alt.layer(*layers, *_named(single, f"{metric(verdict)} saved on the target")).properties(height=270)


def _saved(field: str, title: str) -> Any:
    """An axis of what is saved against random."""
    given = {"title": title, "scale": alt.Scale(padding=22), "axis": alt.Axis(tickCount=5, grid=False)}
    return alt.X(field, **given) if "target" in field else alt.Y(field, **given)


def _breadth_words(point: Facts) -> str:
    who = f"choice with {100 * point['share']:g} % general" if point["share"] is not None else str(point["arm"])
    seed = f", seed {point['seed']}" if point["seed"] is not None else ""
    return (
        f"{who}{seed}: {number(point['target'], 3)} saved on the target, {number(point['general'], 3)} on general text"
    )


def _kinds(channel: str, order: list[str], choice: Any, random: Any, other: Any) -> Any:
    """One look for the choice, one for random, one for every other arm."""
    given = [{"choice": choice, "random": random}.get(name, other) for name in order]
    encoding = {"color": alt.Color, "shape": alt.Shape, "size": alt.Size}[channel]
    return encoding("arm:N", legend=None, scale=alt.Scale(domain=order, range=given))


def _named(points: Sequence[Facts], title: str) -> list[alt.Chart]:
    """Each arm's name above its points' mean; random's below, since arms that differ little lie where it does."""
    x, y = _saved("mean(target):Q", title), _saved("mean(general):Q", "saved on general text")
    found = []
    for dy, some in (
        (-15, [point for point in points if point["arm"] != "random"]),
        (26, [point for point in points if point["arm"] == "random"]),
    ):
        if some:
            text = alt.Chart(alt.Data(values=some)).mark_text(dy=dy, fontSize=12, fontWeight=600, color=_INK, aria=False)
            found.append(text.encode(x=x, y=y, text="arm:N"))
    return found


def _swept(points: Sequence[Facts], x: Any, y: Any) -> list[alt.Chart]:
    """The curve of a sweep, with each share beside its point."""
    if not points:
        return []
    told = sorted(
        ({**point, "label": f"{100 * point['share']:g} %"} for point in points), key=lambda point: point["share"]
    )
    base = alt.Chart(alt.Data(values=told)).encode(x=x, y=y)
    line = base.mark_line(color=_CHOSEN, strokeWidth=2, aria=False).encode(order="share:Q")
    dots = base.mark_point(filled=True, color=_CHOSEN, opacity=1, size=60, stroke=_SURFACE).encode(
        description="words:N"
    )
    text = base.mark_text(color="var(--chosen-ink)", dx=8, dy=10, align="left", fontSize=12, aria=False)
    return [line, dots, text.encode(text="label:N")]


def both(draw: Callable[[Facts], alt.LayerChart], facts: Facts, name: str) -> dict[str, str]:
    """One plot as SVG, wide and narrow, its inner ids made unique by `name`."""
    # Validating every mark against the schema costs seconds; the tests validate instead.
    with debug_mode(False):
        spec = _styled(draw(facts)).to_dict(validate=False)
    return {
        key: re.sub(r'(id="|url\(#)', rf"\1{name}-{key}-", _svg({**spec, "width": width}))
        for key, width in (("wide", WIDE), ("narrow", NARROW))
    }


def _styled(chart: alt.LayerChart) -> alt.LayerChart:
    text = {
        "labelColor": _MUTED,
        "titleColor": _MUTED,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": 500,
    }
    axis = alt.AxisConfig(
        domainColor=_LINE, tickColor=_LINE, gridColor=_LINE, titlePadding=10, labelPadding=5, labelLimit=110, **text
    )
    sized = chart.properties(autosize=alt.AutoSizeParams(type="fit-x", contains="padding"), padding=4)
    return sized.configure(background="transparent", font=_FONT, axis=axis, view=alt.ViewConfig(stroke=None))


def _svg(spec: dict[str, Any]) -> str:
    drawing = vl_convert.vegalite_to_svg(spec, vl_version=_VEGA_LITE)
    # The page scales the drawing by its viewBox and gives it its own font.
    drawing = re.sub(r'(<svg[^>]*?) width="[^"]*" height="[^"]*"', r"\1", drawing, count=1)
    return drawing.replace(f' font-family="{_FONT}"', "")
