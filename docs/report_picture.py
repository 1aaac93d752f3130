"""Remakes the picture on the page "Report": a batch at the emulator, its report, and Chromium.

    python docs/report_picture.py

Needs the extra ``dev`` and Chromium. Takes a minute.
"""

from __future__ import annotations

import asyncio
import io
import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image
from playwright.async_api import async_playwright

from seedance_async import Job, SeedanceSession, VideoRequest
from seedance_async.emulator import Emulator, Fault, FaultPlan
from seedance_async.report import write_report

PICTURE = Path(__file__).parent / "guide" / "report.webp"
SPEED = 20
SCENES = {
    "Heron": "A heron at dawn, mist over the reeds, slow push in",
    "Ramen": "Ramen, steaming; chopsticks lift the noodles, close up",
    "Kite": "A red kite high above the dunes, long shadows",
    "Tram": "An old tram climbs a hill in the rain",
    "Mug": "The mug turns slowly on white, soft light from the left",
    "Boats": "Paper boats drift down a gutter after the storm",
    "Glass": "A glassblower at work, sparks in the dark",
    "Lighthouse": "A lighthouse in a storm, waves over the rocks",
    "Market": "Snow falling on a market, lanterns",
    "Swim": "A swimmer from above, one line through the blue",
}
MODELS = ("seedance_2_0_pro", "seedance_2_0_fast_pro")
RATIOS = ("16:9", "21:9", "16:9", "4:3")


def jobs() -> list[Job]:
    return [
        Job(
            request=VideoRequest(
                model=model,
                prompt=prompt,
                duration=4 + place % 5,
                aspect_ratio=RATIOS[place % len(RATIOS)],
            ),
            name=name,
        )
        for model in MODELS
        for place, (name, prompt) in enumerate(SCENES.items())
    ]


def failure(body: Mapping[str, Any]) -> str | None:
    """Have the glassblower fail, whoever films him."""
    reason = "The prompt was rejected by content moderation: it may describe a real person."
    return reason if "glassblower" in body["prompt"] else None


async def batch(folder: Path) -> Path:
    """Run a batch in which some jobs fail."""
    journal = folder / "seedance.sqlite"
    faults = FaultPlan(script=[Fault("create.html_502_after_accept", nth=6)])
    async with (
        Emulator(speed=SPEED, failures=failure, seed=7, faults=faults) as emulator,
        SeedanceSession(emulator.api_key, base_url=emulator.base_url, journal=journal) as session,
    ):
        await session.run_batch(jobs(), max_in_flight=6, out_dir=folder)
    return journal


async def picture(page: Path) -> Image.Image:
    """Photograph the gallery in the light, and the timeline in the dark beside it."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))))
    shots = []
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=chromium)
        for scheme, tab in (("light", "videos"), ("dark", "timeline")):
            opened = await browser.new_page(
                viewport={"width": 1000, "height": 900}, color_scheme=scheme
            )
            await opened.goto(page.as_uri())
            await opened.locator(f"#tab-{tab}").click()
            shots.append(Image.open(io.BytesIO(await opened.screenshot())))
        await browser.close()
    both = Image.new("RGB", (sum(shot.width for shot in shots), shots[0].height))
    for place, shot in enumerate(shots):
        both.paste(shot, (place * shots[0].width, 0))
    return both


async def main() -> None:
    with TemporaryDirectory() as folder:
        journal = await batch(Path(folder))
        report = await write_report(journal, title="Spring campaign")
        (await picture(report.path)).save(PICTURE, "WEBP", quality=80, method=6)
    print(f"{PICTURE.name}: {PICTURE.stat().st_size:,} bytes")


if __name__ == "__main__":
    asyncio.run(main())
