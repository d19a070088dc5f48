"""The report in a headless Chromium: `make test-browser`. Not collected by `make test`.

Screenshots stay in build/report/ for people to look at.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, Page, sync_playwright

from stemsplit.config import SOURCES
from stemsplit.page import PageFacts, write_page
from stemsplit.portrait import PIECE_SECONDS

RATE = 22_050
SECONDS = 25.3  # three pieces, the last one shorter
PICTURES = Path(__file__).parent.parent / "build" / "report"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def report(tmp_path_factory: pytest.TempPathFactory, make_stems) -> Path:
    folder = tmp_path_factory.mktemp("report")
    stems = make_stems(SECONDS, sample_rate=RATE)
    signals = {"mixture": np.sum(list(stems.values()), axis=0), **stems}
    for name, signal in signals.items():
        soundfile.write(folder / f"{name}.wav", signal.T, RATE)
    facts = PageFacts(
        "A <song> & more.wav",
        {"model": "paper", "device": "cpu", "masks": "soft", "segment": "10 s"},
        {"decode": 0.1, "STFT": 0.2, "network": 5.0, "masks + iSTFT": 0.9, "encode": 0.3},
    )
    path = folder / "song.html"
    files = {name: folder / f"{name}.wav" for name in signals}
    write_page(path, files.pop("mixture"), files, facts)
    return path


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    assert program is not None, "no Chromium: apt-get install chromium, or run .ci/run as root"
    with sync_playwright() as playwright:
        # Chromium's sandbox does not run as root, which CI is.
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def page(browser: Browser, report: Path) -> Iterator[Page]:
    yield from opened(browser, report)


def opened(browser: Browser, report: Path, **options) -> Iterator[Page]:
    """Open the report offline; at the end, see that nothing went wrong or out to the network."""
    context = browser.new_context(viewport={"width": 1200, "height": 900}, **options)
    context.set_offline(True)
    page = context.new_page()
    problems: list[str] = []
    requests: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(report.as_uri())
    yield page
    context.close()
    assert problems == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []


def player(page: Page, what: str):
    return page.evaluate(f"window.stemsplitPlayer.{what}")


def test_it_says_what_it_is(page):
    assert page.title() == "A <song> & more.wav – stems"
    assert page.locator("h1").inner_text() == "A <song> & more.wav"
    names = [name.lower() for name in page.locator(".track h2").all_inner_texts()]
    assert names == ["mixture", *SOURCES, "mask energy"]
    text = page.locator("main").inner_text()
    for word in ("paper", "network", "5.00 s", "kHz", "RMS"):
        assert word in text


def test_pictures_are_complete(page):
    sizes = page.evaluate(
        "[...document.images].map((i) => [i.complete, i.naturalWidth, i.naturalHeight])"
    )
    assert len(sizes) == 5
    for complete, width, height in sizes:
        assert complete
        assert (width, height) == (1000, 160)
    assert page.locator("svg path").count() == len(SOURCES)


def test_every_piece_decodes_to_its_exact_length(page):
    for number in range(3):
        expected = round(min(PIECE_SECONDS, SECONDS - number * PIECE_SECONDS) * RATE)
        lengths = page.evaluate(
            f"stemsplitPlayer.decode({number}).then((all) => all.map((b) => b.length))"
        )
        assert lengths == [expected] * 5


def test_it_plays_mutes_and_solos(page):
    assert player(page, "audible()") == [False, True, True, True, True]
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("stemsplitPlayer.position() > 0.3")
    assert player(page, "sources()") == 5
    page.get_by_role("button", name="Mute vocals").click()
    assert player(page, "audible()") == [False, False, True, True, True]
    # The gains follow within a few time constants of 10 ms.
    page.wait_for_function("stemsplitPlayer.gains()[1] < 0.01")
    page.get_by_role("button", name="Solo mixture").click()
    assert player(page, "audible()") == [True, False, False, False, False]
    page.wait_for_function("stemsplitPlayer.gains()[0] > 0.99")
    page.get_by_role("button", name="Pause").click()
    assert not player(page, "playing()")
    assert player(page, "sources()") == 0


def test_it_goes_on_past_a_piece_and_stops_at_the_end(page):
    page.get_by_role("slider", name="Position").fill("9.6")
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("stemsplitPlayer.position() > 10.2")
    assert player(page, "sources()") == 5
    page.get_by_role("slider", name="Position").fill(str(SECONDS - 0.4))
    assert player(page, "position()") >= SECONDS - 0.5
    page.wait_for_function("!stemsplitPlayer.playing()")
    assert player(page, "position()") == 0


def test_the_keyboard_does_it_all(page):
    page.keyboard.press("Space")
    page.wait_for_function("stemsplitPlayer.position() > 0.1")
    page.keyboard.press("ArrowRight")
    assert player(page, "position()") > 4.9
    page.keyboard.press("Space")
    assert not player(page, "playing()")
    page.keyboard.press("2")
    assert player(page, "audible()") == [False, False, True, True, True]
    page.keyboard.press("Shift+3")
    assert player(page, "audible()") == [False, False, True, False, False]
    focused = []
    for _ in range(4):
        page.keyboard.press("Tab")
        focused.append(page.evaluate("document.activeElement.getAttribute('aria-label')"))
    assert focused == ["Play", "Position", "Mute mixture", "Solo mixture"]


def test_a_click_in_a_picture_goes_there(page):
    picture = page.locator(".picture").nth(1)
    box = picture.bounding_box()
    picture.click(position={"x": box["width"] / 2, "y": 10})
    # A pixel of a picture about 900 wide is 0.03 s.
    assert abs(player(page, "position()") - SECONDS / 2) < 0.1


def test_screenshots(browser, report, scheme):
    for page in opened(browser, report, color_scheme=scheme):
        page.get_by_role("slider", name="Position").fill("8")
        page.screenshot(path=PICTURES / f"{scheme}.png", full_page=True)
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == {"light": "rgb(246, 246, 243)", "dark": "rgb(20, 21, 26)"}[scheme]
        page.set_viewport_size({"width": 400, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        page.screenshot(path=PICTURES / f"{scheme}-narrow.png", full_page=True)
