"""How numbers and strange text are put into words, the same in the terminal and on the page.

>>> count(1234567), size(8_010_000), share(3, 40), times(2.94)
('1,234,567', '8.01 MB', '7.5 %', '×2.9')
"""

from __future__ import annotations

import math
import unicodedata
from typing import Any

UNKNOWN = "unknown"
_DASH = "–"
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
# Characters that would turn the reading direction of the page around them.
_TURNING = {0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)}


def count(value: float | None) -> str:
    """A whole number with thousands separators."""
    return UNKNOWN if value is None else f"{value:,.0f}"


def size(value: float | None) -> str:
    """Bytes in decimal units with three figures.

    >>> size(999), size(999_999), size(4.2e9)
    ('999 B', '1.00 MB', '4.20 GB')
    """
    if value is None:
        return UNKNOWN
    amount, unit = float(value), 0
    while float(f"{amount:.3g}") >= 1000 and unit + 1 < len(_UNITS):
        amount, unit = amount / 1000, unit + 1
    if unit == 0 or amount >= 1000:
        return f"{count(amount)} {_UNITS[unit]}"
    return f"{f'{amount:#.3g}'.rstrip('.')} {_UNITS[unit]}"


def amount(value: float | None, unit: str) -> str:
    """So much of a unit: bytes as `size`, others in thousands, millions and billions.

    >>> amount(4_000_000, "bytes"), amount(2_000_000, "tokens"), amount(512, "tokens")
    ('4.00 MB', '2.00 M tokens', '512 tokens')
    """
    if value is None or unit == "bytes":
        return size(value)
    for scale, name in ((1e9, "B"), (1e6, "M"), (1e4, "k")):
        if float(f"{value:.3g}") >= scale:
            scale = 1e3 if name == "k" else scale
            return f"{f'{value / scale:#.3g}'.rstrip('.')} {name} {unit}"
    return f"{count(value)} {unit}"


def share(part: float, whole: float) -> str:
    """A part of a whole in percent, never rounded to nothing or to all.

    >>> share(1, 1_000_000), share(999_999, 1_000_000), share(0, 5), share(1, 0)
    ('<0.1 %', '>99.9 %', '0 %', '0 %')
    """
    percent = 100 * part / whole if whole else 0.0
    if 0 < percent < 0.1:
        return "<0.1 %"
    if 99.9 < percent < 100:
        return ">99.9 %"
    return f"{percent:.0f} %" if percent in (0, 100) else f"{percent:.1f} %"


def number(value: float | None, digits: int = 4) -> str:
    """A measured number with so many significant figures, and a true minus sign.

    >>> number(-0.03211), number(2.0), number(None), number(-6.5392e110)
    ('−0.03211', '2.000', 'unknown', '−6.539e+110')
    """
    if value is None or not math.isfinite(value):
        return UNKNOWN if value is None or math.isnan(value) else ("∞" if value > 0 else "−∞")
    if abs(value) >= 1e15:
        return f"{value:.{digits - 1}e}".replace("-", "−")
    places = max(0, digits - 1 - (math.floor(math.log10(abs(value))) if value else 0))
    return f"{value:,.{min(places, 8)}f}".replace("-", "−")


def times(value: float | None) -> str:
    """A factor: `×2.9`."""
    return UNKNOWN if value is None else f"×{number(value, 2 if value < 100 else 3)}"


def interval(low: float | None, high: float | None, digits: int = 3) -> str:
    """`low to high`, or what is left of it when an end is open."""
    if low is None and high is None:
        return UNKNOWN
    if high is None or math.isinf(high):
        return f"above {number(low, digits)}"
    return f"below {number(high, digits)}" if low is None else f"{number(low, digits)} to {number(high, digits)}"


def probability(value: float | None) -> str:
    """A probability that never claims certainty.

    >>> probability(0.99996), probability(0.512), probability(1e-5)
    ('>0.999', '0.512', '<0.001')
    """
    if value is None:
        return UNKNOWN
    return ">0.999" if value > 0.999 else "<0.001" if value < 0.001 else f"{value:.3f}"


def duration(seconds: float | None) -> str:
    """Seconds as people say them.

    >>> duration(0.042), duration(9.96), duration(192), duration(7265)
    ('42 ms', '10.0 s', '3 min 12 s', '2 h 1 min')
    """
    if seconds is None:
        return UNKNOWN
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def visible(text: Any) -> str:
    """Text that is safe to write anywhere: control, turning and half characters become marks that can be seen.

    >>> visible("a\\x00b\\u202ec\\ud800"), visible("two\\nlines")
    ('a␀b⟨202E⟩c⟨D800⟩', 'two\\nlines')
    """
    return "".join(map(_seen, str(text)))


def _seen(character: str) -> str:
    code = ord(character)
    if character in "\n\t" or (32 <= code < 127):
        return character
    if code < 32 or code == 127:
        return chr(0x2421 if code == 127 else 0x2400 + code)
    if code in _TURNING or code & 0xFFFE == 0xFFFE or unicodedata.category(character) in ("Cc", "Cs"):
        return f"⟨{code:04X}⟩"
    return character


def one_line(text: Any, width: int) -> str:
    """Text squeezed into one line of at most `width` characters."""
    flat = " ".join(visible(text).split())
    return flat if len(flat) <= width else flat[: max(0, width - 1)].rstrip() + "…"


def feature(text: Any) -> str:
    """An n-gram whose spaces can be seen.

    >>> feature(" the\\n")
    '␣the↵'
    """
    return visible(str(text)).replace(" ", "␣").replace("\n", "↵").replace("\t", "⇥")


def date(stamp: Any) -> str:
    """An ISO time without its fraction of a second: `2026-11-20 14:03 UTC`."""
    text = str(stamp or "")
    if len(text) < 16 or text[10:11] != "T":
        return visible(text)
    zone = " UTC" if text.endswith(("Z", "+00:00")) else ""
    return visible(f"{text[:10]} {text[11:16]}{zone}")
