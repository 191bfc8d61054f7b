"""The page as people use it: in a real browser, wide and narrow, light and dark, with mouse and keyboard.

``PAYGIFT_SCREENSHOTS=FOLDER pytest tests/browser`` keeps the screenshots, to be looked at.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from reconciler.plan import read_plan
from reconciler.render.html import plan_html, report_html
from reconciler.render.html.page import STYLE
from reconciler.render.json_ import dumps, plan_json
from tests.browser.chromium import INSTALL, Browser, browse, installed
from tests.render.test_html import placed
from tests.render.test_markdown import hostile_plan
from tests.render.test_text import everything_happened

pytestmark = [
    pytest.mark.skipif(installed() is None, reason=INSTALL),
    pytest.mark.xdist_group("browser"),
]
SEARCH: Final = "input[type=search]"
SHOWN: Final = """
  return [...document.querySelectorAll(arguments[0])]
    .filter((each) => each.checkVisibility())
    .map((each) => each.dataset.key)
"""
WIDE, NARROW = 1280, 390


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browse(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture
def plan(browser: Browser, tmp_path: Path) -> Browser:
    """A browser that shows the plan with everything in it."""
    return show(browser, tmp_path, plan_html(placed()))


def show(browser: Browser, folder: Path, html: str, fragment: str = "") -> Browser:
    file = folder / "page.html"
    file.write_text(html, encoding="utf-8")
    browser.show_as(width=WIDE)
    browser.get("about:blank")  # else a new fragment alone would not load the page anew
    browser.get(file.as_uri() + fragment)
    return browser


def changes(browser: Browser) -> list[str]:
    return list(browser.execute_script(SHOWN, ".change"))


def rows(browser: Browser) -> list[str]:
    return list(browser.execute_script(SHOWN, ".timeline li"))


def counted(browser: Browser) -> str:
    return str(browser.execute_script("return document.querySelector('output').value"))


def test_filters_and_searches_change_what_is_shown(plan: Browser) -> None:
    assert len(changes(plan)) == 8
    assert counted(plan) == "8 changes"

    plan.click("label:has([value=replace])")
    assert changes(plan) == ["gap", "replaced"]
    assert rows(plan) == ["gap", "gap", "replaced", "replaced"]
    assert counted(plan) == "2 of 8 changes"

    plan.click("label:has([value=unchanged])")
    assert changes(plan) == []
    assert rows(plan) == ["", "winter-tea", "winter-tea"]

    plan.click("label:has([value=''])")
    plan.type(SEARCH, "离场")
    assert changes(plan) == rows(plan) == ["gone"]
    plan.type(SEARCH, " no such thing")
    assert plan.execute_script("return document.querySelector('.nothing').checkVisibility()")
    plan.type(SEARCH, "\ue00c")  # Escape
    assert len(changes(plan)) == 8
    assert plan.complaints() == []


def test_a_merchant_is_found_in_the_fold_that_holds_it(plan: Browser) -> None:
    folded = "return document.querySelector('#change-create .ids').checkVisibility()"
    assert plan.execute_script(folded) is False
    plan.type(SEARCH, "1600001200")
    assert changes(plan) == rows(plan) == ["create"]
    assert plan.execute_script(folded) is True


def test_what_was_refused_or_ends_is_never_filtered_away(plan: Browser) -> None:
    cards = "return [...document.querySelectorAll('.card')].every((each) => each.checkVisibility())"
    plan.click("label:has([value=create])")
    plan.type(SEARCH, "no such thing")
    assert plan.execute_script(cards) is True


def test_the_address_keeps_the_filter(browser: Browser, tmp_path: Path) -> None:
    html = plan_html(placed())
    show(browser, tmp_path, html, "#kind=terminate&q=gone")
    assert changes(browser) == ["gone"]
    browser.click("label:has([value=''])")
    assert browser.execute_script("return location.hash") == "#q=gone"
    show(browser, tmp_path, html, "#change-gap")
    assert len(changes(browser)) == 8


def test_it_works_without_a_mouse(plan: Browser) -> None:
    plan.press("/")
    plan.press("winter")
    assert rows(plan) == ["winter-tea", "winter-tea"]
    plan.press("\ue00c\ue004")  # Escape, Tab: on to the first kind
    plan.press("\ue014")  # right: the next one
    assert changes(plan) == ["gone", "protected"]
    outline = "return getComputedStyle(document.querySelector(':checked + span')).outlineStyle"
    assert plan.execute_script(outline) == "solid"


FOLDED: Final = "document.querySelector('#change-merchants details').open"


def test_a_link_in_the_timeline_opens_its_change_as_often_as_it_is_clicked(plan: Browser) -> None:
    for _ in range(2):
        plan.execute_script(f"{FOLDED} = false")
        plan.click(".timeline a[href='#change-merchants']")
        assert plan.execute_script(f"return {FOLDED}") is True


def test_a_link_to_a_change_that_is_filtered_away_brings_it_back(plan: Browser) -> None:
    plan.click("label:has([value=create])")
    assert "gone" not in changes(plan)
    plan.click(".ending a[href='#change-gone']")
    assert len(changes(plan)) == 8
    seen = """
      const place = document.querySelector('#change-gone').getBoundingClientRect();
      return place.top >= 0 && place.top < innerHeight;
    """
    assert plan.execute_script(seen) is True
    assert plan.execute_script("return location.hash") == "#change-gone"


def test_every_link_leads_somewhere(plan: Browser) -> None:
    targets = "return [...document.querySelectorAll('a')].map((link) => document.querySelector(link.hash) !== null)"
    found = plan.execute_script(targets)
    assert len(found) > 8
    assert all(found)


def test_paper_shows_every_fold(plan: Browser) -> None:
    plan.execute_script("document.querySelectorAll('details').forEach((each) => { each.open = false; })")
    plan.execute_script("dispatchEvent(new Event('beforeprint'))")
    plan.show_as(width=WIDE, media="print")
    assert plan.execute_script("return document.querySelectorAll('details:not([open])').length") == 0
    assert plan.execute_script("return document.querySelector('.tools').checkVisibility()") is False
    plan.execute_script("dispatchEvent(new Event('afterprint'))")
    assert plan.execute_script("return document.querySelectorAll('details[open]').length") == 0


def test_paper_is_white_on_a_dark_screen(plan: Browser) -> None:
    plan.show_as(width=WIDE, scheme="dark", media="print")
    colours = plan.execute_script("""
      return [...document.querySelectorAll('body, .counts li, .card:not(.note), .head')]
        .map((each) => getComputedStyle(each).backgroundColor.match(/\\d+/g).slice(0, 3))
        .map((parts) => Math.min(...parts.map(Number)))
    """)
    assert len(colours) > 10
    assert min(colours) > 190


def test_the_timeline_of_a_plan_file_shows_the_account_around_it(browser: Browser, tmp_path: Path) -> None:
    written = json.loads(dumps(plan_json(placed())))
    show(browser, tmp_path, plan_html(read_plan(written)))
    states = browser.execute_script("""
      return [...document.querySelectorAll('.timeline li .badge:first-child')].map((each) => each.textContent)
    """)
    assert set(states) == {"planned", "live", "to be terminated", "ended"}
    drawn = "return [...document.querySelectorAll('.timeline li')].every((row) => row.querySelector('rect title'))"
    assert browser.execute_script(drawn) is True
    assert browser.complaints() == []


def test_no_script_of_anybody_else_runs(browser: Browser, tmp_path: Path) -> None:
    evil = "</title></script><script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">"
    show(browser, tmp_path, plan_html(hostile_plan(evil), title=evil))
    assert browser.execute_script("return document.title") != "owned"
    assert browser.complaints() == []
    browser.execute_script("""
      const script = document.createElement('script'); script.textContent = "document.title = 'owned'";
      document.body.append(script);
      document.body.setAttribute('onclick', "document.title = 'owned'"); document.body.click();
    """)
    assert browser.execute_script("return document.title") != "owned"
    assert any("Content Security Policy" in each for each in browser.complaints())


def test_the_browser_understands_every_line_of_the_style(plan: Browser) -> None:
    """What it does not, it drops without a word."""
    dropped = plan.execute_script("""
      const written = document.querySelector("style").textContent.matchAll(/([\\w-]+)\\s*:\\s*([^;{}]+);/g);
      return [...written].filter(([, name, value]) => !CSS.supports(name, value.replace("!important", "")))
        .map(([line]) => line);
    """)
    assert dropped == []
    rules = """
      const count = (rules) => [...rules].reduce((sum, each) => sum + 1 + count(each.cssRules || []), 0);
      return count(document.styleSheets[0].cssRules);
    """
    assert plan.execute_script(rules) == STYLE.count("{")


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("name", ["plan", "report"])
def test_it_can_be_read_on_every_screen(browser: Browser, tmp_path: Path, name: str, width: int, scheme: str) -> None:
    html = plan_html(placed()) if name == "plan" else report_html(everything_happened())
    show(browser, tmp_path, html).show_as(width=width, scheme=scheme)
    assert browser.execute_script("return document.documentElement.scrollWidth") == width
    assert (
        browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        == {
            "light": "rgb(255, 255, 255)",
            "dark": "rgb(13, 17, 23)",
        }[scheme]
    )
    folder = Path(os.environ.get("PAYGIFT_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    assert browser.page_screenshot(folder / f"{name}-{width}-{scheme}.png") > 50_000
    assert browser.complaints() == []
