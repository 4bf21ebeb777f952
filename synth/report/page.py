"""The page that a person sees."""

from __future__ import annotations

from typing import Any


def render(
    measurements: Any,
    verdict: Any = None,
    *,
    train: Any = None,
    holdout: Any = None,
    synthetic: Any = None,
    title: str = "",
    public: bool = False,
) -> str:
    return f"<html><title>{title}</title></html>"
