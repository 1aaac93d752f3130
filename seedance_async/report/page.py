"""The page made of its parts: what is ours goes in as it is, all else as escaped JSON."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from seedance_async import __version__

#: How the file begins: only a page that begins so is written over.
MARK = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="generator" content="seedance-async"""
_HOLE = re.compile(r"\{\{(\w+)\}\}")
# Of the videos beside the page: browsers do not agree on whether a file's own neighbours are
# "self". Nothing else may be asked for, by anything that might get into the page.
_POLICY = (
    "default-src 'none'; script-src '{script}'; style-src '{style}'; img-src data:; "
    "media-src 'self' file:; base-uri 'none'; form-action 'none'"
)


def make(title: str, facts: Mapping[str, Any], pictures: Sequence[str | None]) -> str:
    """Give the page.

    Args:
        title: What it is called.
        facts: What it is told, for JSON.
        pictures: A picture for each job as base64 of WebP, in their order; None for none.
    """
    style, script = _part("page.css"), _part("page.js")
    policy = _POLICY.format(script=_digest(script), style=_digest(style))
    filled = {
        "version": __version__,
        "policy": policy,
        "title": html.escape(title),
        "style": style,
        "script": script,
        "facts": escaped(facts),
        "pictures": escaped(pictures),
    }
    # In one go: what was filled in is not looked at again.
    return MARK + _HOLE.sub(lambda hole: filled[hole[1]], _part("page.html"))


def escaped(value: Any) -> str:
    """Spell *value* as JSON that ends no script, wherever it stands in a page."""
    spelled = json.dumps(value, separators=(",", ":"))  # ASCII: no line separators of JavaScript
    for char in "<>&":
        spelled = spelled.replace(char, f"\\u{ord(char):04x}")
    return spelled


def _part(name: str) -> str:
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


def _digest(inline: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()}"
