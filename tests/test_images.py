"""Pictures are uploaded once per content and account, and the memory of it may be lost without harm."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reconciler.apply import Patience, apply_plan
from reconciler.change import Report
from reconciler.errors import UsageError
from reconciler.images import ImageCache
from tests.pictures import read_image
from tests.remote import Remote, statuses
from tests.test_apply import spec

URL = "https://wxpaylogo.qpic.cn/wxpaylogo/abc/0"


def test_what_is_remembered_is_there_the_next_time(tmp_path: Path) -> None:
    file = tmp_path / "new" / "images.json"
    ImageCache.open(file, "1900000001").remember("ab", URL)
    assert ImageCache.open(file, "1900000001").url_of("ab") == URL
    assert ImageCache.open(file, "1900000001").url_of("cd") is None


def test_each_account_has_its_own_pictures(tmp_path: Path) -> None:
    file = tmp_path / "images.json"
    ImageCache.open(file, "1900000001").remember("ab", URL)
    other = ImageCache.open(file, "1900000002")
    assert other.url_of("ab") is None
    other.remember("ab", "https://other")
    assert ImageCache.open(file, "1900000001").url_of("ab") == URL


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"format_version": "1.0"}', '{"format_version": "1.0", "images": {"a": 1}}', "\x00"],
)
def test_a_file_that_is_no_cache_is_named_and_may_be_deleted(tmp_path: Path, content: str) -> None:
    file = tmp_path / "images.json"
    file.write_text(content)
    with pytest.raises(UsageError, match=r"images\.json is no image cache.*delete it"):
        ImageCache.open(file, "1900000001")


def test_a_newer_file_is_not_guessed_at(tmp_path: Path) -> None:
    file = tmp_path / "images.json"
    file.write_text(json.dumps({"format_version": "2.0", "images": {}}))
    with pytest.raises(UsageError, match=r"version 2\.0"):
        ImageCache.open(file, "1900000001")


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    cache = ImageCache.open(tmp_path / "taken" / "images.json", "1900000001")
    with pytest.raises(UsageError, match="cannot be written"):
        cache.remember("ab", URL)


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
            patience=Patience(reads=1),
        )
    )


def test_a_second_apply_uploads_nothing_again(tmp_path: Path) -> None:
    remote = Remote()
    cache = ImageCache.open(tmp_path / "images.json", "1900000001")
    assert set(statuses(applied(remote, cache, "spring").outcomes)) == {"done"}
    again = applied(remote, ImageCache.open(tmp_path / "images.json", "1900000001"), "summer")
    assert statuses(again.outcomes)[:2] == ["already done", "already done"]
    assert again.complete
    assert sum(line.endswith("image-upload") for line in remote.network.sent) == 2


def test_a_deleted_cache_costs_an_upload_and_nothing_else(tmp_path: Path) -> None:
    remote = Remote()
    file = tmp_path / "images.json"
    applied(remote, ImageCache.open(file, "1900000001"), "spring")
    file.unlink()
    assert applied(remote, ImageCache.open(file, "1900000001"), "summer").complete


def test_a_cache_that_cannot_be_written_does_not_stop_an_apply(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    cache = ImageCache.open(tmp_path / "taken" / "images.json", "1900000001")
    report = applied(Remote(), cache, "spring")
    assert report.complete
    assert "will be uploaded again" in report.outcomes[0].reason
