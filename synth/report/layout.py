"""Every page of ours is made here: one file without scripts, whose policy of content (CSP) lets it load nothing at all.

A page is a template that extends `base.html.jinja`; its style is the one block that the policy admits, by its SHA-256.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def page(template: str, **values: Any) -> str:
    """The page of a template beside this module; the same values give the same bytes.

    values: what the template asks for, and for `base.html.jinja` "title", "headline" and "pictures" (whether it shows any).
    """
    return _environment().get_template(template).render(values)


def source_of(text: str) -> str:
    """How a content security policy names an inline style: CSP Level 3, hash-source."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _environment() -> Environment:
    env = Environment(
        loader=PackageLoader("synth.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters["sha256"] = source_of
    return env
