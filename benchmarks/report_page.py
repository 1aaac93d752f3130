"""What a report of many jobs takes: to be written, and to be there, searched and drawn in Chromium.

Its jobs are made up (``tests/report_lives.py``), its videos real and small. Times are medians of
fresh browsers' pages; each step ends when the browser has drawn it.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from playwright.async_api import Browser, async_playwright

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import report_lives
from media_files import video

from seedance_async.report import write_report

_PROMISED_MS = 2000
_VIEW = {"width": 1440, "height": 1000}
# Each step, as a person takes it.
_STEPS = {
    "search": "put('search', 'kite', 'input')",
    "search no more": "put('search', '', 'input')",
    "sort by time taken": "put('sort', 'took', 'change')",
    "timeline": "$('tab-timeline').click()",
    "charts": "$('tab-charts').click()",
    "failures": "$('tab-failures').click()",
}
_MEASURE = """async ([steps]) => {
    const $ = (id) => document.getElementById(id), took = {};
    const put = (id, value, type) => { $(id).value = value; $(id).dispatchEvent(new Event(type)); };
    for (const [name, step] of Object.entries(steps)) {
        const began = performance.now();
        new Function("$", "put", step)($, put);
        await new Promise((drawn) => requestAnimationFrame(() => setTimeout(drawn)));
        took[name] = performance.now() - began;
    }
    for (const mark of performance.getEntriesByType("mark")) took[mark.name] = mark.startTime;
    return took;
}"""


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


async def measured(browser: Browser, page: Path) -> Mapping[str, float]:
    # The page's own policy lets nobody make functions of text, us neither.
    context = await browser.new_context(viewport=_VIEW, bypass_csp=True)
    opened = await context.new_page()
    await opened.goto(page.as_uri())
    took: dict[str, float] = await opened.evaluate(_MEASURE, [_STEPS])
    await context.close()
    return took


async def rounds(page: Path, count: int) -> list[Mapping[str, float]]:
    chromium = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))))
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=chromium)
        found = [await measured(browser, page) for _ in range(count + 1)]
        await browser.close()
    return found[1:]  # the first starts the browser's own processes


def written(folder: Path, jobs: int) -> tuple[Any, float]:
    film = video(folder / "film.mp4", size=(1280, 720), seconds=1.0)
    lives = list(report_lives.lives(jobs, [film]))
    journal = report_lives.write_journal(folder / "seedance.sqlite", lives)
    began = time.monotonic()
    return asyncio.run(write_report(journal)), time.monotonic() - began


def main() -> int:
    args = parsed()
    with TemporaryDirectory() as folder:
        report, took_s = written(Path(folder), args.jobs)
        size_mb = report.path.stat().st_size / 1e6
        found = asyncio.run(rounds(report.path, args.rounds))
    print(f"{report.jobs:,} jobs, {report.pictures:,} pictures, {size_mb:.1f} MB in {took_s:.1f} s")
    medians = {name: statistics.median(each[name] for each in found) for name in found[0]}
    for name, took_ms in medians.items():
        print(f"{name:22} {took_ms:7.0f} ms")
    answered_ms = medians["seedance:ready"] + medians["search"]
    is_met = answered_ms < _PROMISED_MS
    verdict = "met" if is_met else "NOT MET"
    print(f"opened and searched    {answered_ms:7.0f} ms, promised {_PROMISED_MS}: {verdict}")
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
