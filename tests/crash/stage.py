"""A project, a WeChat Pay that can signal whoever asks it, and a way to run the real command between them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import uvicorn

from reconciler.commands.seed import stocks_for
from reconciler.journal.chain import verify
from reconciler.journal.database import Database
from reconciler.journal.journal import Journal
from reconciler.journal.location import JournalLocation, journal_location
from reconciler.journal.reader import audit_lines
from reconciler.sandbox.app import app
from reconciler.sandbox.memory import Transaction
from reconciler.sandbox.server import _listen, _Protocol, _url
from reconciler.sandbox.world import World
from tests.support.images import png
from tests.support.samples import desired
from tests.support.signed import keys

ROOT: Final = Path(__file__).parent.parent.parent
BEGIN: Final = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
STOCK: Final = "98065001"
When = Literal["arrival", "answer"]
Strike = tuple[int, When, int]
"""At which request, counted from 1, to send a signal: when it has arrived, or when its effect is there and its answer
is about to leave."""


def spec(merchants: Sequence[str], *, amount: int = 1000, picture: int = 0, **own: str) -> str:
    """A spec of one coupon, which begins in three days."""
    keys_ = "".join(f"{name}: {value}\n" for name, value in own.items())
    listed = ", ".join(f'"{mchid}"' for mchid in merchants)
    return f"""{keys_}activity_base_info:
  activity_name: 春日回馈
  activity_second_title: 满十减五
  merchant_logo_url: images/{picture}.png
  begin_time: {BEGIN.isoformat()}
  end_time: {(BEGIN + timedelta(days=30)).isoformat()}
  delivery_purpose: OFF_LINE_PAY
award_send_rule:
  transaction_amount_minimum: {amount}
  send_content: SINGLE_COUPON
  award_list:
    - {{stock_id: "{STOCK}", original_image_url: images/{picture}.png}}
  merchant_id_list: [{listed}]
"""


def write_project(root: Path, specs: Mapping[str, str], paygift: str = "namespace: liangpin\n") -> None:
    """The project's files as they are to be now; what was there and is not named is removed."""
    shutil.rmtree(root / "activities", ignore_errors=True)
    for folder in ("activities", "images"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "paygift.yaml").write_text(paygift, encoding="utf-8")
    for number in range(2):
        (root / f"images/{number}.png").write_bytes(png(number))
    for key, text in specs.items():
        (root / f"activities/{key}.yaml").write_text(text, encoding="utf-8")


class Service:
    """WeChat Pay on loopback, for one world after another. It can send signals to the process that asks it."""

    def __init__(self) -> None:
        self.world = World(keys())
        self._app = app(self.world)
        self.asked: list[str] = []
        self._strikes: Sequence[Strike] = ()
        self._victim = Path()
        self._listener = _listen("127.0.0.1", 0)
        self.base_url = _url(self._listener)

    def begin(self, world: World, strikes: Sequence[Strike] = (), victim: Path = Path()) -> None:
        """Answer from ``world`` now, and strike the process whose number is in the file ``victim``."""
        self.world, self._app = world, app(world)
        self.asked, self._strikes, self._victim = [], strikes, victim

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.append(f"{scope['method']} {scope['path']}")
        number = len(self.asked)
        events = [await receive()]
        while events[-1].get("more_body"):
            events.append(await receive())
        self._strike(number, "arrival")
        replay = iter(events)

        async def received() -> Any:
            return next(replay)

        async def answered(message: Any) -> None:
            if message["type"] == "http.response.start":
                self._strike(number, "answer")
            await send(message)

        await self._app(scope, received, answered)

    def _strike(self, number: int, when: When) -> None:
        for at, moment, kind in self._strikes:
            if (at, moment) == (number, when):
                os.kill(int(self._victim.read_text()), kind)

    @contextmanager
    def serving(self) -> Iterator[Service]:
        config = uvicorn.Config(
            self, http=_Protocol, loop="asyncio", ws="none", lifespan="off", log_config=None, access_log=False
        )
        server = uvicorn.Server(config)
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.run, args=([self._listener],), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.should_exit = True
            thread.join()


@dataclass(frozen=True, slots=True)
class Ran:
    """How a run ended: the exit codes of its commands, or none if it was killed; and the moments that it passed."""

    codes: tuple[int, ...]
    output: str
    moments: int
    asked: tuple[str, ...]

    @property
    def killed(self) -> bool:
        return not self.codes


class Commands:
    """A process that runs commands in children of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.driver"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def close(self) -> None:
        self._process.communicate()

    @property
    def pid_file(self) -> Path:
        return self._folder / "pid"

    def run(self, service: Service, *commands: list[str], environ: Mapping[str, str], **job: Any) -> Ran:
        files = self._files("")
        line = {**job, "commands": commands, "environ": dict(environ), **_named(files)}
        (ended,) = self._ask(line)
        return _read(files, ended, tuple(service.asked))

    def run_together(self, *commands: list[str], environ: Mapping[str, str]) -> list[Ran]:
        """Each command in a process of its own, all begun at once."""
        parts = [self._files(str(number)) for number, _ in enumerate(commands)]
        jobs = [
            {"commands": [command], "environ": dict(environ), **_named(files)}
            for command, files in zip(commands, parts, strict=True)
        ]
        ended = self._ask({"environ": dict(environ), "together": jobs})
        return [_read(files, each, ()) for files, each in zip(parts, ended, strict=True)]

    def _files(self, suffix: str) -> dict[str, Path]:
        names = ("output", "pid", "moments", "codes", "modules")
        files = {name: self._folder / f"{name}{suffix}" for name in names}
        for file in files.values():
            file.unlink(missing_ok=True)
        return files

    def _ask(self, job: Mapping[str, Any]) -> list[int]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        statuses: list[int] = json.loads(self._process.stdout.readline())
        return statuses


def _named(files: Mapping[str, Path]) -> dict[str, str]:
    return {name: str(file) for name, file in files.items()}


def _read(files: Mapping[str, Path], ended: int, asked: tuple[str, ...]) -> Ran:
    output = files["output"].read_text(encoding="utf-8", errors="replace")
    assert ended in (0, -signal.SIGKILL), output
    if ended:
        return Ran((), output, 0, asked)
    codes = tuple(json.loads(files["codes"].read_text()))
    return Ran(codes, output, int(files["moments"].read_text()), asked)


@dataclass(slots=True)
class Stage:
    """A project before a change, and what the change is; each ``take`` begins from there.

    ``journal_url`` is the database of the journal, if it is not the file. ``clocks_are_ahead`` is by how much all
    clocks are, the service's and the commands'.
    """

    service: Service
    commands: Commands
    folder: Path
    before: Mapping[str, str]
    after: Mapping[str, str]
    journal_url: str = ""
    entities: tuple[Any, ...] = ()
    takes: int = 0
    clocks_are_ahead: timedelta = timedelta(0)
    root: Path = field(default=Path(), init=False)

    def __post_init__(self) -> None:
        write_project(self.folder / "before", self.before)
        self.root = self.folder / "before"
        self._begin(self._world())
        self.service.world.seed([_stock()])
        if self.before:
            done = self.run(["apply", "--yes"])
            assert done.codes == (0,), done.output
        self.entities = tuple(self.service.world.store.entities())

    @property
    def environ(self) -> dict[str, str]:
        return {
            "PAYGIFT_BASE_URL": self.service.base_url,
            "PAYGIFT_MCHID": keys().mchid,
            "PAYGIFT_SERIAL_NO": keys().serial_no,
            "PAYGIFT_PRIVATE_KEY": keys().merchant_key_pem,
            "PAYGIFT_APIV3_KEY": keys().apiv3_key,
            **({"PAYGIFT_JOURNAL_URL": self.journal_url} if self.journal_url else {}),
        }

    def take(self) -> None:
        """The account and the project as they were before the change, with the files of after it."""
        self.takes += 1
        self.root = self.folder / f"take-{self.takes}"
        shutil.copytree(self.folder / "before", self.root)
        write_project(self.root, self.after)
        world = self._world()
        world.commit(Transaction(None, self.entities))
        self._begin(world)

    def _world(self) -> World:
        return World(keys(), real=lambda: datetime.now(UTC) + self.clocks_are_ahead)

    def _begin(self, world: World, strikes: Sequence[Strike] = ()) -> None:
        self.service.begin(world, strikes, self.commands.pid_file)

    def run(self, *commands: list[str], strikes: Sequence[Strike] = (), **job: Any) -> Ran:
        """Run commands in the project, one after another in one process."""
        self._begin(self.service.world, strikes)
        job["clock_is_off"] = self.clocks_are_ahead.total_seconds()
        full = [["-C", str(self.root), *command] for command in commands]
        return self.commands.run(self.service, *full, environ=self.environ, **job)

    def apply_together(self, many: int) -> list[Ran]:
        """So many applies at once, each in a process of its own."""
        self._begin(self.service.world)
        apply = ["-C", str(self.root), "apply", "--yes"]
        return self.commands.run_together(*[apply] * many, environ=self.environ)

    def apply(self, *options: str, **job: Any) -> Ran:
        return self.run(["apply", "--yes", *options], **job)

    @property
    def place(self) -> JournalLocation:
        return journal_location(self.root, self.journal_url)

    def converges(self) -> None:
        """One more apply, and live equals the files, nothing has happened twice, and no question is left open."""
        ran = self.apply()
        assert ran.codes == (0,), ran.output
        self.sound()

    def sound(self) -> None:
        history = self.service.world.history()
        created = Counter(each["request_no"] for each in history if each["effect"] == "created")
        assert set(created.values()) <= {1}, created
        activities = self.service.world.activities()
        assert all(each["terminations"] <= 1 for each in activities)
        lives = {
            each["out_request_no"].split("_")[1]: each["merchants"]
            for each in activities
            if each["activity_status"] == "CREATE_ACT_STATUS"
        }
        running = {key: text for key, text in self.after.items() if "state: terminated" not in text}
        assert lives == {key: sorted(_merchants(text)) for key, text in running.items()}
        database = self.place.open()
        try:
            assert not open_in(database)
            assert list(verify(audit_lines(database, "liangpin"))) == []
        finally:
            database.close()


def open_in(database: Database) -> list[Any]:
    book = Journal(database, mchid=keys().mchid, namespace="liangpin", clock=lambda: datetime.now(UTC))
    return book.open_intents()


def _merchants(text: str) -> list[str]:
    listed = text.rpartition("merchant_id_list: ")[2]
    mchids: list[str] = json.loads(listed)
    return mchids


def _stock() -> dict[str, object]:
    long = desired(begin_time=BEGIN - timedelta(days=9), end_time=BEGIN + timedelta(days=60))
    return stocks_for([long], keys().mchid)[0]


class Setting(Protocol):
    """Sets the stage for the scenario of that name, with its journal at a URL or in its file."""

    def __call__(self, scenario: str, journal_url: str = "") -> Stage: ...
