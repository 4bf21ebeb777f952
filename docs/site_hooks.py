"""What the site adds to docs/: the committed results under reports/benchmarks, and links that also work in the repository.

In the repository a page links to reports/, configs/ and tests/ beside docs/. In the site the results are pages of their own,
and a link to what is no page becomes its name. Pages of wide tables take the room of the table of contents, and the search's
index is also written as a script, which a page that was opened from a folder may read.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
RESULTS = Path("reports/benchmarks")
WIDE = (RESULTS.as_posix(), "explanation/comparison.md", "explanation/generators.md")  # pages whose tables need the whole width

_LINK = re.compile(r"(!?)\[([^\]]*)\]\(((?:\.\./)+)([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Any, config: Any) -> Any:
    """Add every committed result as a page or picture of the site."""
    for file in sorted((ROOT / RESULTS).rglob("*")):
        if file.suffix in (".md", ".svg"):
            files.append(File.generated(config, file.relative_to(ROOT).as_posix(), content=file.read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Point links that leave docs/ at the site's own copy, where there is one."""
    here = posixpath.dirname(page.file.src_uri)
    if page.file.src_uri.startswith(WIDE):
        page.meta["hide"] = ["toc"]
    elif page.is_homepage:
        page.meta["hide"] = ["navigation"]  # of which it is the only page

    def point(match: re.Match[str]) -> str:
        picture, text, up, place, anchor = match.groups()
        there = posixpath.normpath(posixpath.join("docs", here, up, place))
        if not there.startswith(RESULTS.as_posix()):
            inside = posixpath.relpath(there, "docs")
            return match.group(0) if not inside.startswith("..") else text
        relative = os.path.relpath(there, here or ".")
        return f"{picture}[{text}]({relative}{anchor or ''})"

    return _LINK.sub(point, markdown)


def on_post_build(config: Any) -> None:
    """Write the search's index also as a script, which the theme reads where the page was opened from a folder."""
    index = Path(config.site_dir) / "search" / "search_index.json"
    index.with_suffix(".js").write_text(f"var __index = {index.read_text(encoding='utf-8')}", encoding="utf-8")
