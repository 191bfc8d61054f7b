"""Which WeChat Pay is meant, and how hard it may be asked: environment, then options."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, NoReturn

import pytest

from reconciler.cli import run
from reconciler.commands.session import Session, open_session
from reconciler.commands.settings import RATE, Remote, remote_from
from reconciler.commands.workspace import Workspace
from reconciler.model.errors import CredentialsError, UsageError
from reconciler.wechatpay.client import Client
from reconciler.wechatpay.hosts import BACKUP_URL, BASE_URL
from tests.wechatpay.test_keys import APIV3_KEY, MCHID, PUBLIC_KEY_ID, SERIAL_NO, pem_of, public_pem_of, rsa_key


@pytest.fixture(scope="module")
def environ() -> dict[str, str]:
    return {
        "PAYGIFT_MCHID": MCHID,
        "PAYGIFT_SERIAL_NO": SERIAL_NO,
        "PAYGIFT_PRIVATE_KEY": pem_of(rsa_key("merchant")).decode(),
        "PAYGIFT_APIV3_KEY": APIV3_KEY.decode(),
    }


def test_the_real_account_has_a_backup_host_and_a_limit(environ: dict[str, str]) -> None:
    remote = remote_from(environ)
    assert (remote.base_url, remote.backup_url) == (BASE_URL, BACKUP_URL)
    assert (remote.rate, remote.concurrency) == (20.0, 8)


def test_another_host_has_the_limit_but_no_backup_host_that_is_not_its_own(environ: dict[str, str]) -> None:
    other = {**environ, "PAYGIFT_BASE_URL": "https://gateway.example"}
    assert remote_from(other).backup_url == ""
    assert remote_from(other).rate == RATE
    named = remote_from({**other, "PAYGIFT_BACKUP_URL": "https://other.example"})
    assert named.backup_url == "https://other.example"
    moved = remote_from({**environ, "PAYGIFT_BACKUP_URL": "https://api2.wechatpay.cn"})
    assert moved.backup_url == "https://api2.wechatpay.cn"


def test_a_sandbox_on_this_machine_is_not_slowed_down(environ: dict[str, str]) -> None:
    remote = remote_from({**environ, "PAYGIFT_BASE_URL": "http://127.0.0.1:8000"})
    assert (remote.rate, remote.backup_url) == (None, "")


def test_everything_that_is_missing_is_named_at_once() -> None:
    with pytest.raises(CredentialsError) as caught:
        remote_from({})
    assert caught.value.message == (
        "Not set: PAYGIFT_MCHID, PAYGIFT_SERIAL_NO, PAYGIFT_PRIVATE_KEY or PAYGIFT_PRIVATE_KEY_FILE, "
        "PAYGIFT_APIV3_KEY (or PAYGIFT_PUBLIC_KEY_ID with PAYGIFT_PUBLIC_KEY)."
    )


def test_empty_variables_count_as_not_set(environ: dict[str, str]) -> None:
    empty = {"PAYGIFT_BASE_URL": "", "PAYGIFT_BACKUP_URL": ""}
    assert remote_from({**environ, **empty}).backup_url == BACKUP_URL


def test_the_public_key_may_stand_in_for_the_apiv3_key(environ: dict[str, str]) -> None:
    pem = public_pem_of(rsa_key("public")).decode()
    given = {**environ, "PAYGIFT_PUBLIC_KEY_ID": PUBLIC_KEY_ID, "PAYGIFT_PUBLIC_KEY": pem}
    del given["PAYGIFT_APIV3_KEY"]
    remote = remote_from(given)
    assert (remote.credentials.apiv3_key, remote.credentials.public_key_id) == (None, PUBLIC_KEY_ID)


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("PAYGIFT_PUBLIC_KEY_ID", "PAYGIFT_PUBLIC_KEY or PAYGIFT_PUBLIC_KEY_FILE"),
        ("PAYGIFT_PUBLIC_KEY", "PAYGIFT_PUBLIC_KEY_ID"),
    ],
)
def test_half_a_public_key_is_not_enough(environ: dict[str, str], name: str, missing: str) -> None:
    with pytest.raises(CredentialsError) as caught:
        remote_from({**environ, name: "x"})
    assert caught.value.message == f"Not set: {missing}."


def test_a_key_file_that_is_not_there_is_named(environ: dict[str, str], tmp_path: Path) -> None:
    given = {**environ, "PAYGIFT_PRIVATE_KEY_FILE": str(tmp_path / "key.pem")}
    del given["PAYGIFT_PRIVATE_KEY"]
    with pytest.raises(CredentialsError, match="PAYGIFT_PRIVATE_KEY_FILE names a file that cannot be read: No such"):
        remote_from(given)
    (tmp_path / "key.pem").write_bytes(pem_of(rsa_key("merchant")))
    assert remote_from(given).credentials.mchid == MCHID


def test_a_pem_text_may_have_its_line_breaks_written_out(environ: dict[str, str]) -> None:
    one_line = environ["PAYGIFT_PRIVATE_KEY"].replace("\n", "\\n")
    assert remote_from({**environ, "PAYGIFT_PRIVATE_KEY": one_line}).credentials.mchid == MCHID


def test_options_come_before_the_environment(environ: dict[str, str]) -> None:
    remote = remote_from(environ)
    assert remote.paced() == remote
    assert remote.paced(rate=5, concurrency=2) == Remote(remote.credentials, BASE_URL, BACKUP_URL, 5, 2)
    assert remote.paced(rate=0).rate is None


# --- from the command line to the client ------------------------------------------------------------------------------


@pytest.fixture
def connected(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> list[tuple[float | None, int]]:
    """The rate and concurrency of each remote that a command connects to; the command then fails."""
    seen: list[tuple[float | None, int]] = []

    def connect(session: Session) -> NoReturn:
        seen.append((session.remote.rate, session.remote.concurrency))
        raise UsageError("that is far enough")

    monkeypatch.setattr(Session, "connect", connect)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "paygift.yaml").write_text("namespace: liangpin\n")
    (tmp_path / "activities").mkdir()
    monkeypatch.chdir(tmp_path)
    return seen


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], (20.0, 8)),
        (["--rate", "5"], (5.0, 8)),
        (["--rate", "0.5", "--concurrency", "50"], (0.5, 50)),
        (["--rate", "0"], (None, 8)),
    ],
)
def test_rate_and_concurrency_reach_the_account(
    connected: list[tuple[float | None, int]], arguments: list[str], expected: tuple[float | None, int]
) -> None:
    run([*arguments, "plan"])
    assert connected == [expected]


def test_rate_and_concurrency_can_be_set_in_the_environment(
    connected: list[tuple[float | None, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAYGIFT_RATE", "7")
    monkeypatch.setenv("PAYGIFT_CONCURRENCY", "3")
    run(["plan"])
    run(["--rate", "9", "plan"])
    assert connected == [(7.0, 3), (9.0, 3)]


@pytest.mark.parametrize(
    "arguments", [["--rate", "-1"], ["--rate", "fast"], ["--concurrency", "0"], ["--concurrency", "1.5"]]
)
def test_what_cannot_be_meant_is_refused_before_anything_is_done(
    connected: list[tuple[float | None, int]], arguments: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run([*arguments, "plan"]) == 1
    assert arguments[0] in capfd.readouterr().err
    assert connected == []


def test_what_a_remote_says_is_what_the_client_does(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "paygift.yaml").write_text("namespace: liangpin\n")
    (tmp_path / "activities").mkdir()
    given: dict[str, Any] = {}
    real = Client.__init__

    def note(self: Client, *args: Any, **options: Any) -> None:
        given.update(options)
        real(self, *args, **options)

    monkeypatch.setattr(Client, "__init__", note)

    async def main(session: Session) -> None:
        async with session.connect():
            pass

    with open_session(Workspace(tmp_path, environ, rate=3, concurrency=4)) as session:
        asyncio.run(main(session))
    assert given == {"base_url": BASE_URL, "backup_url": BACKUP_URL, "rate": 3, "concurrency": 4}
