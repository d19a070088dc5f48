"""Writes docs/report.png: the report on the demo song, as a browser shows it.

python docs/record_report.py, with stemsplit, its extras report and browser, and Chromium.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parent.parent
WIDTH, HEIGHT = 1000, 1040
COLOURS = 96


def main() -> None:
    """Separate the song, open its report, and take its picture."""
    with tempfile.TemporaryDirectory() as name:
        song = Path(name) / "potassium.ogg"
        shutil.copy(ROOT / "demo" / song.name, song)
        command = [sys.executable, "-m", "stemsplit", song.name, "-o", "out", "--report", "-q"]
        subprocess.run([*command, "--no-config"], cwd=name, check=True)
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
            page.emulate_media(color_scheme="dark")
            page.goto((Path(name) / "out" / "potassium.html").as_uri())
            page.get_by_role("slider").fill("8")
            page.evaluate("document.activeElement.blur()")
            picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            browser.close()
    picture.quantize(COLOURS).save(ROOT / "docs" / "report.png", optimize=True)


if __name__ == "__main__":
    main()
