"""A team's repository, and the real command line in it. The fixture ``project`` gives one that is new."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from reconciler.cli import run
from reconciler.commands.seed import stocks_for
from reconciler.commands.workspace import SANDBOX_FOLDER
from reconciler.sandbox.options import DEFAULTS
from reconciler.sandbox.server import Sandbox
from reconciler.sandbox.world import World
from reconciler.spec import load_project
from reconciler.system.paygift_folder import make
from tests.support.images import png
from tests.support.signed import MCHID, keys

CLOCK = "2026-11-25T10:00:00+08:00"

SPEC = """\
activity_base_info:
  activity_name: 春日回馈
  activity_second_title: 满十减五
  merchant_logo_url: images/logo.png
  begin_time: 2026-12-01T00:00:00+08:00
  end_time: 2026-12-31T23:59:59+08:00
  delivery_purpose: OFF_LINE_PAY
award_send_rule:
  transaction_amount_minimum: 1000
  send_content: SINGLE_COUPON
  award_list:
    - {stock_id: "98065001", original_image_url: images/logo.png}
  merchant_id_list: ["1900000001"]
"""


@dataclass
class Project:
    """A team's repository with one spec, and its sandbox."""

    root: Path
    capfd: pytest.CaptureFixture[str]

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout, stderr of `paygift ARGUMENTS` in this project."""
        self.capfd.readouterr()
        code = run(["-C", str(self.root), *arguments])
        out, err = self.capfd.readouterr()
        return code, out, err

    def write(self, key: str, text: str = SPEC) -> None:
        (self.root / f"activities/{key}.yaml").write_text(text, encoding="utf-8")

    def edit(self, key: str, old: str, new: str) -> None:
        file = self.root / f"activities/{key}.yaml"
        text = file.read_text(encoding="utf-8")
        assert old in text
        self.write(key, text.replace(old, new))

    def sandbox(self) -> Sandbox:
        return Sandbox(self.root / SANDBOX_FOLDER)


def begun(root: Path, capfd: pytest.CaptureFixture[str]) -> Project:
    """A project in the empty folder ``root``, whose sandbox has its keys and stands at ``CLOCK``."""
    (root / "paygift.yaml").write_text("namespace: liangpin\n")
    (root / "activities").mkdir()
    (root / "images").mkdir()
    (root / "images/logo.png").write_bytes(png())
    make(root / SANDBOX_FOLDER)
    keys().write(root / SANDBOX_FOLDER / "keys")
    made = Project(root, capfd)
    made.write("spring")
    # What `paygift sandbox clock` and `seed` do, without a server: hundreds of tests begin like this.
    with closing(World.in_directory(root / SANDBOX_FOLDER, options=DEFAULTS, keys=keys())) as world:
        world.set_clock(CLOCK)
        activities = load_project(root, now=datetime.fromisoformat(CLOCK)).activities
        world.seed(stocks_for(activities, MCHID), only_missing=True)
    return made


def name_account(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox) -> dict[str, str]:
    """Put the credentials of ``sandbox`` into the environment, so that it is the real account to the commands."""
    right = {
        "PAYGIFT_BASE_URL": sandbox.base_url,
        "PAYGIFT_MCHID": sandbox.mchid,
        "PAYGIFT_SERIAL_NO": sandbox.serial_no,
        "PAYGIFT_PRIVATE_KEY": sandbox.private_key_pem,
        "PAYGIFT_APIV3_KEY": sandbox.apiv3_key,
    }
    for name, value in right.items():
        monkeypatch.setenv(name, value)
    return right
