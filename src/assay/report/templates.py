"""Templates of the pages: text that is put into them is escaped, and a name that a template asks for must be given."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from assay.report.wording import feature


def render(name: str, given: Mapping[str, Any]) -> str:
    """A page or a piece of one, with the style that all pages share."""
    return _environment().get_template(name).render({"style": source("report.css"), **given})


def source(name: str) -> str:
    """A file beside the templates, as it is."""
    environment = _environment()
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("assay.report", "pages"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["feature"] = feature
    return environment
