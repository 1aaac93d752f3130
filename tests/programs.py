"""Programs that tests stand on, and that pip does not install."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess

import pytest

# Where a program is called otherwise on some machines, and what it then says of itself: Windows has
# another ``convert``, and ImageMagick 7 has one program for all.
_CALLED = {
    "chromium": ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"),
    "convert": ("convert-im6.q16", "convert-im7.q16", "convert", "magick"),
    "identify": ("identify-im6.q16", "identify-im7.q16", "identify", "magick identify"),
}
_SAYS = {"convert": "ImageMagick", "identify": "ImageMagick"}


def tool(name: str) -> list[str]:
    """Give the words that a command of *name* begins with; where it is missing, skip the test.

    In CI, where all of them have to be, a missing one is a failure.
    """
    for words in _CALLED.get(name, (name,)):
        program, *others = words.split()
        path = shutil.which(program)
        if path and (name not in _SAYS or _SAYS[name] in _version(path)):
            return [path, *others]
    missing = f"{name} is not installed"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


@functools.cache
def _version(path: str) -> str:
    return subprocess.run([path, "-version"], capture_output=True, text=True, check=False).stdout
