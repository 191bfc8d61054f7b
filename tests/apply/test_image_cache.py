"""Images are uploaded once per content and account, and the memory of it may be lost, or forged, without harm."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from reconciler.apply import PollPolicy, apply_plan
from reconciler.apply.image_cache import ImageCache
from reconciler.commands.workspace import SANDBOX_FOLDER
from reconciler.model.errors import UsageError
from reconciler.model.operations import KnownImage
from reconciler.model.report import Report
from reconciler.sandbox.memory import Transaction
from reconciler.sandbox.options import DEFAULTS
from reconciler.sandbox.world import World
from reconciler.wechatpay.keys import Credentials
from tests.apply.test_apply import spec
from tests.support.images import png, read_image
from tests.support.project import SPEC, Project
from tests.support.remote import Remote, statuses
from tests.support.signed import keys, merchant_key

URL = "https://wxpaylogo.qpic.cn/wxpaylogo/abc/0"
AT = datetime(2026, 11, 25, 2, 0, tzinfo=UTC)
SHA, OTHER_SHA = "ab" * 32, "cd" * 32


@cache
def another_key() -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


def credentials(mchid: str = "1900000001", key: RSAPrivateKey | None = None) -> Credentials:
    return Credentials(mchid, keys().serial_no, key or merchant_key(), apiv3_key=b"k" * 32)


def opened(file: Path, mchid: str = "1900000001", key: RSAPrivateKey | None = None) -> ImageCache:
    return ImageCache.open(file, credentials(mchid, key), lambda: AT)


def changed(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """As somebody's editor leaves it: ``change`` is given the images of the account."""
    data = json.loads(file.read_text())
    change(data["images"]["1900000001"])
    file.write_text(json.dumps(data))


# -- what is remembered ------------------------------------------------------------------------------------------------


def test_what_is_remembered_is_there_the_next_time(tmp_path: Path) -> None:
    file = tmp_path / "new" / "images.json"
    opened(file).remember(SHA, URL)
    assert opened(file).known == {SHA: KnownImage(SHA, URL, AT)}
    assert opened(file).find(OTHER_SHA) is None
    assert opened(file).remark == ""


def test_each_account_has_its_own_images_and_leaves_those_of_others_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "images.json"
    opened(file).remember(SHA, URL)
    other = opened(file, "1900000002", another_key())
    assert (other.known, other.remark) == ({}, "")
    other.remember(SHA, "https://other")
    assert opened(file).find(SHA) == KnownImage(SHA, URL, AT)
    assert opened(file, "1900000002", another_key()).known.keys() == {SHA}


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    cache = opened(tmp_path / "taken" / "images.json")
    (tmp_path / "taken").write_text("")
    with pytest.raises(UsageError, match=r"taken cannot be made.*uploaded again next time"):
        cache.remember(SHA, URL)


def test_a_newer_file_is_not_guessed_at(tmp_path: Path) -> None:
    file = tmp_path / "images.json"
    file.write_text(json.dumps({"format_version": "3.0", "images": {}}))
    with pytest.raises(UsageError, match=r"another version than 2\.0.*delete it"):
        opened(file)


def _remember_many(file: Path, mchid: str) -> None:
    mine = opened(file, mchid)
    for number in range(40):
        mine.remember(f"{number:064x}", URL)


def test_two_processes_that_write_at_once_leave_a_whole_file(tmp_path: Path) -> None:
    file = tmp_path / ".paygift/images.json"
    merchant_key()  # before they part, or each would make its own
    fork = get_context("fork")
    writers = [fork.Process(target=_remember_many, args=(file, mchid)) for mchid in ("1900000001", "1900000002")]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    assert [each.exitcode for each in writers] == [0, 0]
    assert opened(file).remark == opened(file, "1900000002").remark == ""
    assert 40 in (len(opened(file).known), len(opened(file, "1900000002").known))
    assert {each.name for each in file.parent.iterdir()} == {"images.json", ".gitignore"}


# -- what is not believed ----------------------------------------------------------------------------------------------


def swapped(images: dict[str, Any]) -> None:
    images[SHA], images[OTHER_SHA] = images[OTHER_SHA], images[SHA]


FORGERIES: dict[str, Callable[[dict[str, Any]], object]] = {
    "another address": lambda images: images[SHA].update(url="https://wxpaylogo.qpic.cn/wxpaylogo/evil/0"),
    "another time": lambda images: images[SHA].update(uploaded_at="2020-01-01T00:00:00Z"),
    "no code": lambda images: images[SHA].pop("mac"),
    "empty code": lambda images: images[SHA].update(mac=""),
    "code of no text": lambda images: images[SHA].update(mac=True),
    "half a surrogate pair": lambda images: images[SHA].update(mac="\ud800", url="\ud800"),
    "upper case": lambda images: images[SHA].update(mac=images[SHA]["mac"].upper()),
    "an address alone": lambda images: images.update({SHA: {"url": URL}}),
    "an address of no text": lambda images: images[SHA].update(url=["https://evil"]),
    "plain http": lambda images: images[SHA].update(url="http://evil.example/"),
    "a command for a log": lambda images: images[SHA].update(url="https://x/\n::error::x\x1b[2J"),
    "another image's entry": swapped,
    "a hash of another kind": lambda images: images.update({"../../x": images.pop(SHA)}),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_an_entry_that_this_account_did_not_write_is_ignored_and_that_is_said(tmp_path: Path, forgery: str) -> None:
    file = tmp_path / "images.json"
    cache = opened(file)
    cache.remember(SHA, URL)
    cache.remember(OTHER_SHA, f"{URL}?2")
    changed(file, FORGERIES[forgery])
    found = opened(file)
    assert SHA not in found.known
    both = forgery == "another image's entry"
    said = "2 entries were" if both else "1 entry was"
    assert found.remark.startswith(f"images.json: {said} not written by this account's key and ")
    assert found.known.keys() == (set() if both else {OTHER_SHA})
    found.remember(SHA, URL)
    assert opened(file).remark == ""


def test_entries_of_another_account_or_key_are_not_believed(tmp_path: Path) -> None:
    file = tmp_path / "images.json"
    opened(file).remember(SHA, URL)
    assert opened(file, key=another_key()).known == {}
    data = json.loads(file.read_text())
    data["images"]["1900000002"] = data["images"]["1900000001"]
    file.write_text(json.dumps(data))
    assert opened(file, "1900000002").known == {}
    assert opened(file, "1900000002").remark.startswith("images.json: 1 entry was not written")


def test_of_a_repeated_key_whatever_counts_is_proven(tmp_path: Path) -> None:
    file = tmp_path / "images.json"
    opened(file).remember(SHA, URL)
    entry = json.dumps(json.loads(file.read_text())["images"]["1900000001"][SHA])
    evil = json.dumps({**json.loads(entry), "url": "https://evil"})
    for first, second in ((entry, evil), (evil, entry)):
        images = f'{{"{SHA}": {first}, "{SHA}": {second}}}'
        file.write_text(f'{{"format_version": "2.0", "images": {{"1900000001": {images}}}}}')
        assert {each.url for each in opened(file).known.values()} <= {URL}


@pytest.mark.parametrize("images", [{"1900000001": {SHA: URL}}, {}, [], None])
def test_a_file_of_the_first_format_is_ignored_and_replaced(tmp_path: Path, images: object) -> None:
    file = tmp_path / "images.json"
    file.write_text(json.dumps({"format_version": "1.0", "images": images}))
    cache = opened(file)
    assert (cache.known, "of format 1" in cache.remark) == ({}, True)
    cache.remember(OTHER_SHA, URL)
    assert opened(file).known.keys() == {OTHER_SHA}
    assert opened(file).remark == ""


# -- apply -------------------------------------------------------------------------------------------------------------


def applied(remote: Remote, cache: ImageCache, key: str) -> Report:
    wanted = [spec(key, activity_name=key)]
    remote.seed(wanted)
    plan = remote.plan(wanted, allow=["NO_SPECS", "LOOKS_RENAMED"])
    return remote.call(
        lambda api: apply_plan(
            api,
            plan,
            read_image=read_image,
            clock=lambda: remote.now,
            uploaded=cache,
            poll=PollPolicy(reads=1),
        )
    )


def test_a_second_apply_uploads_nothing_again_and_tells_where_the_images_are(tmp_path: Path) -> None:
    remote = Remote()
    assert set(statuses(applied(remote, opened(tmp_path / "images.json"), "spring").outcomes)) == {"done"}
    again = applied(remote, opened(tmp_path / "images.json"), "summer")
    assert statuses(again.outcomes)[:2] == ["already done", "already done"]
    assert again.outcomes[0].reason.startswith(
        "It was uploaded earlier, on 2026-11-25 10:00:00 Beijing time: https://wxpaylogo.qpic.cn/"
    )
    assert again.complete
    assert sum(line.endswith("image-upload") for line in remote.network.sent) == 2


def test_a_deleted_cache_costs_an_upload_and_nothing_else(tmp_path: Path) -> None:
    remote = Remote()
    file = tmp_path / "images.json"
    applied(remote, opened(file), "spring")
    file.unlink()
    assert applied(remote, opened(file), "summer").complete


def test_a_cache_that_cannot_be_written_does_not_stop_an_apply(tmp_path: Path) -> None:
    cache = opened(tmp_path / "taken" / "images.json")
    (tmp_path / "taken").write_text("")
    report = applied(Remote(), cache, "spring")
    assert report.complete
    assert "will be uploaded again" in report.outcomes[0].reason


# -- the commands ------------------------------------------------------------------------------------------------------

PLAN = ("--no-color", "--sandbox", "plan")
APPLY = ("--no-color", "--sandbox", "apply", "--yes")


def cached(project: Project) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((project.root / ".paygift/sandbox/images.json").read_text())
    return data


def live_logo(project: Project, key: str) -> str:
    shown = json.loads(project.run("--sandbox", "show", key, "--json")[1])
    return str(shown["live"][0]["wire"]["activity_base_info"]["merchant_logo_url"])


def with_another_image(project: Project) -> None:
    """A second activity, with an image of its own."""
    (project.root / "images/other.png").write_bytes(png(2, 2))
    project.write("summer", SPEC.replace("images/logo.png", "images/other.png").replace("98065001", "98065002"))


def test_an_address_that_came_with_a_commit_is_not_used(project: Project) -> None:
    """The reviewed logo's hash is mapped to another image's address, which the account knows."""
    with_another_image(project)
    (project.root / "activities/spring.yaml").rename(project.root / "spring")
    assert project.run(*APPLY)[0] == 0
    (project.root / "spring").rename(project.root / "activities/spring.yaml")
    (evil,) = cached(project)["images"]["1900000001"].values()
    sha256 = hashlib.sha256((project.root / "images/logo.png").read_bytes()).hexdigest()
    present = cached(project)
    present["images"]["1900000001"][sha256] = evil
    for data in ({"format_version": "1.0", "images": {"1900000001": {sha256: evil["url"]}}}, present):
        (project.root / ".paygift/sandbox/images.json").write_text(json.dumps(data))
        code, out, err = project.run(*PLAN)
        assert (code, "images/logo.png" in out) == (0, True)
        assert evil["url"] not in out
        assert err.count("images.json") == 1
    code, out, err = project.run(*APPLY)
    assert (code, err.count("1 entry was not written by this account's key and is ignored")) == (0, 1)
    assert live_logo(project, "spring") != evil["url"]
    assert project.run(*APPLY)[2] == ""


def test_addresses_that_are_not_uploaded_in_this_run_are_shown(project: Project) -> None:
    assert project.run(*APPLY)[0] == 0
    url = live_logo(project, "spring")
    (project.root / "activities/spring.yaml").rename(project.root / "activities/autumn.yaml")
    project.edit("autumn", "春日回馈", "秋日回馈")
    plan_file = project.root / "plan.json"
    code, out, _ = project.run(*PLAN, "--out", str(plan_file))
    said = f"image: images/logo.png → {url}, uploaded earlier ("
    assert (code, out.count(said), "upload 1 image" in out) == (0, 1, False)
    for form in ("text", "markdown", "html"):
        out = project.run("show-plan", str(plan_file), "--format", form)[1]
        assert url.rpartition("/wxpaylogo/")[2].strip("/0") in out.replace("\\", "").replace("&#x2F;", "/")
        assert "uploaded earlier" in out
    data = json.loads(plan_file.read_text())
    assert [each["url"] for each in data["known_images"]] == [url]
    (project.root / ".paygift/sandbox/images.json").unlink()
    again = json.loads(project.run(*PLAN, "--json")[1])
    assert (again["digest"], again["known_images"]) == (data["digest"], [])
    assert project.run("--sandbox", "apply", str(plan_file), "--yes")[0] == 0


def test_reports_tell_where_an_image_is_that_was_not_uploaded(project: Project) -> None:
    assert project.run(*APPLY)[0] == 0
    url = live_logo(project, "spring")
    project.write("summer", SPEC.replace("98065001", "98065002"))
    for form in ("md", "html", "json"):
        project.edit("summer", "春日回馈", "春日回馈又")
        report = project.root / f"report.{form}"
        code, out, _ = project.run(*APPLY, "--report", str(report))
        text = report.read_text(encoding="utf-8")
        assert (code, out.count("It was uploaded earlier, on 2026-11-25 10:00:")) == (0, 1)
        assert (url in out, url in text.replace("&#x2F;", "/"), "uploaded earlier" in text) == (
            True,
            True,
            True,
        )


def shows(project: Project, url: str) -> None:
    """The live activity shows another address, as if somebody else had created it so."""
    with closing(World.in_directory(project.root / SANDBOX_FOLDER, options=DEFAULTS, keys=keys())) as world:
        (activity,) = world.memory.activities.values()
        base = {**activity.item["activity_base_info"], "merchant_logo_url": url}
        world.commit(Transaction(None, (replace(activity, item={**activity.item, "activity_base_info": base}),)))


EVIL = "https://wxpaylogo.qpic.cn/wxpaylogo/evil/0"
FIELD = "activity_base_info.merchant_logo_url"


def test_live_images_elsewhere_than_they_were_uploaded_are_drift(project: Project) -> None:
    assert project.run(*APPLY)[0] == 0
    ours = live_logo(project, "spring")
    assert project.run("--sandbox", "drift")[0] == 0
    shows(project, EVIL)
    code, out, _ = project.run("--sandbox", "drift")
    assert code == 2
    assert "IMAGES_DIFFER  spring: activity " in out
    assert f"{FIELD} is {EVIL}, uploaded was {ours}" in out
    (item,) = json.loads(project.run("--sandbox", "drift", "--json")[1])["items"]
    assert (item["code"], item["pending"]) == ("IMAGES_DIFFER", False)
    assert item["fields"] == [{"path": FIELD, "live": {"url": EVIL}, "desired": {"url": ours}, "unproven": False}]
    code, out, _ = project.run(*PLAN)
    assert (code, "warning IMAGES_DIFFER spring" in out, EVIL in out, ours in out) == (0, True, True, True)
    assert "shows other images" in project.run("--sandbox", "status")[1]


def test_an_image_that_was_uploaded_again_since_is_no_drift(project: Project) -> None:
    """Two uploads of the same bytes may get two addresses (API §4): a lost cache must not raise an alarm forever."""
    assert project.run(*APPLY)[0] == 0
    (project.root / ".paygift/sandbox/images.json").unlink()
    project.run("sandbox", "clock", "+1d")
    project.write("summer", SPEC.replace("98065001", "98065002"))
    assert project.run(*APPLY)[0] == 0
    assert live_logo(project, "spring") != live_logo(project, "summer")
    code, out, _ = project.run("--sandbox", "drift")
    assert (code, out) == (0, "No drift: live is as specified.\n")
    assert "IMAGES_DIFFER" not in project.run(*PLAN)[1]
