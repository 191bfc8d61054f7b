"""The hostile-environment matrix: every variable that may hold a secret or an address, malformed in realistic ways,
under every command. No part of a secret is told, nothing ends in a traceback, and the right variable is named.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click
import pytest
import stamina

from reconciler.cli import paygift
from reconciler.commands.reporting import REPORT_KINDS
from reconciler.model.activity import BEIJING
from reconciler.render.json_ import dumps, plan_json
from reconciler.sandbox.server import Sandbox
from tests.review.test_github import FILED
from tests.support.hostile import BOTH, EMPTY, TOKENS, WIDELY, everything_in, tells, values
from tests.support.project import SPEC, Project, begun
from tests.support.signed import keys

DIGEST: Final = "0" * 64
DOCUMENTED: Final = {0, 1, 2, 3, 4, 5, 6, 7, 130}
FOREIGN: Final = re.compile(
    r"\b(?:httpx|httpcore|sqlalchemy|psycopg|ssl|click|urllib)\.\w+|\b[A-Z]\w+(?:Error|Exception|[a-z]URL)\b"
)
"""Names that Python and libraries have for errors."""
ELSEWHERE: Final = "https://paygift.invalid"
"""A host that is not on this machine, so that proxies and certificates count."""

COMMANDS: Final[Mapping[str, tuple[str, ...]]] = {
    "validate": ("--json",),
    "plan": ("--out", "plan.json"),
    "apply": ("--yes", "--report", "report.md", "--expect", DIGEST),
    "drift": (),
    "status": (),
    "show": ("spring",),
    "show-plan": ("kept.json", "--format", "html"),
    "schema": (),
    "history": (),
    "history export": ("audit.jsonl",),
    "history verify": (),
    "unlock": ("--yes",),
    "doctor": (),
    "github annotate": ("--problems", "problems.json"),
    "github comment": ("--plan", "kept.json", "--pr", "7"),
    "github waivers": ("--out", "waivers.txt", "--pr", "7"),
    "github artifact-name": ("--plan", "kept.json"),
    "github drift-issue": ("--drift", "drift.json"),
    "github reviewed-digest": ("--commit", "c" * 40),
    "github reviewed-plan": ("--commit", "c" * 40, "--out", "reviewed.json", "--report", "report.html"),
    "sandbox clock": (),
    "sandbox insert": ("no such file.json",),
    "sandbox log": (),
    "sandbox pause": ("20406354",),
    "sandbox resume": ("20406354",),
    "sandbox reject": ("1688000001",),
    "sandbox reset": ("--yes",),
    "sandbox seed": (),
    "sandbox serve": ("--option", "no such option"),  # else it would serve
    "sandbox fault add": ("delay",),
    "sandbox fault clear": (),
    "sandbox fault list": (),
    "demo": ("--folder", "."),  # which is not empty: else it would run all of the above
}
"""Every command, with arguments that are fine."""

CREDENTIALS: Final = ("PAYGIFT_MCHID", "PAYGIFT_SERIAL_NO", "PAYGIFT_PRIVATE_KEY", "PAYGIFT_APIV3_KEY")


@dataclass
class Matrix:
    """A project with everything right around it, until a variable is changed for one command."""

    project: Project
    environ: dict[str, str]

    def run(self, command: str, *arguments: str, **changes: str) -> tuple[int, str]:
        """Exit code, and everything that was printed; checked for what holds in every case."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.project.root)
            for name, value in {**self.environ, **changes}.items():
                patch.setenv(name, value)
            code, out, err = self.project.run(*command.split(), *(arguments or COMMANDS[command]))
        said = out + err
        what = f"{command} with {', '.join(changes)}: exit {code}\n{said[-1500:]}"
        assert tells(said) == [], what
        assert "Traceback" not in said, what
        assert FOREIGN.search(said) is None, what
        assert code in DOCUMENTED, what
        return code, said


def _leaves(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[str]:
    if not isinstance(command, click.Group) or command.invoke_without_command:
        yield " ".join(path)
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from _leaves(found, (*path, name))


def test_the_matrix_has_every_command() -> None:
    assert set(COMMANDS) == set(_leaves(paygift))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("served"), keys=keys()) as sandbox:
        yield sandbox


@pytest.fixture
def matrix(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, served: Sandbox
) -> Matrix:
    for name in list(os.environ):
        if name.startswith(("PAYGIFT_", "GITHUB_", "CI_", "SSL_CERT")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    root = tmp_path / "project"
    root.mkdir()
    project = begun(root, capfd)
    (root / "paygift.yaml").write_text(
        "namespace: liangpin\nnotify:\n  - {kind: wecom, url_from: ROBOT_URL}\n", encoding="utf-8"
    )
    (root / "kept.json").write_text(dumps(plan_json(FILED)), encoding="utf-8")
    for name in ("problems", "drift"):
        (root / f"{name}.json").write_text("{}", encoding="utf-8")
    (tmp_path / BOTH).mkdir()
    monkeypatch.setattr(socket, "getaddrinfo", _only_here(socket.getaddrinfo))
    closed = "http://127.0.0.1:1"
    return Matrix(
        project,
        {
            "PAYGIFT_BASE_URL": served.base_url,
            "PAYGIFT_MCHID": keys().mchid,
            "PAYGIFT_SERIAL_NO": keys().serial_no,
            "PAYGIFT_PRIVATE_KEY": keys().merchant_key_pem,
            "PAYGIFT_APIV3_KEY": keys().apiv3_key,
            "SSL_CERT_FILE": str(_one_authority(tmp_path)),
            "GITHUB_TOKEN": "ghs_token",
            "GITHUB_REPOSITORY": "liangpin/campaigns",
            "GITHUB_API_URL": closed,
            "ROBOT_URL": f"{closed}/robot",
            "CI": "true",
        },
    )


def _one_authority(folder: Path) -> Path:
    """All that this machine trusts takes longer to read than a command takes."""
    file = folder / "authority.pem"
    file.write_text(keys().merchant_certificate_pem, encoding="utf-8")
    return file


def _only_here(really: Any) -> Any:
    """No name is looked up that is not this machine's own."""

    def getaddrinfo(host: Any, *args: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name in ("127.0.0.1", "localhost", "::1"):
            return really(host, *args, **options)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    return getaddrinfo


@pytest.fixture(autouse=True)
def _few_tries() -> Iterator[None]:
    with stamina.set_testing(True, attempts=1):
        yield


# --- each variable alone, under the commands that read it -------------------------------------------------------------


@dataclass(frozen=True)
class Variable:
    """``commands`` read it: they take turns, with ``arguments``. ``fine`` are values that serve, or that nobody needs
    to mind. ``beside`` are other variables, and ``scheme`` is what its address begins with.
    """

    commands: tuple[str, ...]
    scheme: str = "https"
    fine: tuple[str, ...] = EMPTY
    beside: Mapping[str, str] = ()  # type: ignore[assignment]
    arguments: tuple[str, ...] = ()


_ACCOUNT: Final = ("plan", "doctor")
_JOURNAL: Final = ("apply", "history", "history export", "history verify", "unlock", "doctor")
_GITHUB: Final = ("github reviewed-digest", "github comment")
_AWAY: Final = {"PAYGIFT_BASE_URL": ELSEWHERE}
_GITHUB_AWAY: Final = {**_AWAY, "GITHUB_API_URL": f"{ELSEWHERE}/api/v3"}
_THROUGH: Final = ("plan", "doctor", "github comment")
_NAMES: Final = tuple(values())

VARIABLES: Final[Mapping[str, Variable]] = {
    "PAYGIFT_MCHID": Variable(_ACCOUNT, fine=()),
    "PAYGIFT_SERIAL_NO": Variable(_ACCOUNT, fine=()),
    "PAYGIFT_PRIVATE_KEY": Variable(_ACCOUNT, fine=()),
    "PAYGIFT_PRIVATE_KEY_FILE": Variable(_ACCOUNT, fine=(), beside={"PAYGIFT_PRIVATE_KEY": ""}),
    "PAYGIFT_CERTIFICATE": Variable(("doctor",)),
    "PAYGIFT_CERTIFICATE_FILE": Variable(("doctor",)),
    "PAYGIFT_PUBLIC_KEY": Variable(_ACCOUNT, beside={"PAYGIFT_PUBLIC_KEY_ID": "PUB_KEY_ID_1"}, fine=()),
    "PAYGIFT_PUBLIC_KEY_FILE": Variable(_ACCOUNT, beside={"PAYGIFT_PUBLIC_KEY_ID": "PUB_KEY_ID_1"}, fine=()),
    "PAYGIFT_PUBLIC_KEY_ID": Variable(_ACCOUNT, beside={"PAYGIFT_PUBLIC_KEY": keys().public_key_pem}, fine=()),
    "PAYGIFT_APIV3_KEY": Variable(_ACCOUNT, fine=()),
    "PAYGIFT_BASE_URL": Variable(_ACCOUNT, beside={"HTTPS_PROXY": "http://127.0.0.1:1"}),
    "PAYGIFT_BACKUP_URL": Variable(("plan",)),
    "PAYGIFT_JOURNAL_URL": Variable(_JOURNAL, scheme="postgresql"),
    "PAYGIFT_RATE": Variable(("validate", "doctor", "github comment"), fine=("empty",)),
    "PAYGIFT_CONCURRENCY": Variable(("validate",), fine=("empty",)),
    "PAYGIFT_SANDBOX": Variable(("schema",), fine=EMPTY),
    "PAYGIFT_COLOR": Variable(("schema",), fine=EMPTY),
    "PAYGIFT_NO_COLOR": Variable(("schema",), fine=EMPTY),
    "PAYGIFT_PLAN_AT": Variable(("plan",), fine=EMPTY),
    "PAYGIFT_APPLY_EXPECT": Variable(("apply",), fine=("empty",), arguments=("--yes",)),
    "PAYGIFT_APPLY_LOCK_TIMEOUT": Variable(("apply",), fine=("empty",)),
    "PAYGIFT_HISTORY_SINCE": Variable(("history",), fine=EMPTY),
    "PAYGIFT_HISTORY_OUTCOME": Variable(("history",), fine=EMPTY),
    "PAYGIFT_SHOW_PLAN_FORMAT": Variable(("show-plan",), fine=("empty",), arguments=("kept.json",)),
    "HTTPS_PROXY": Variable(_THROUGH, scheme="http", beside=_GITHUB_AWAY),
    "https_proxy": Variable(_THROUGH, scheme="http", beside=_GITHUB_AWAY),
    "ALL_PROXY": Variable(_THROUGH, scheme="http", beside=_GITHUB_AWAY),
    "all_proxy": Variable(_THROUGH, scheme="http", beside=_GITHUB_AWAY),
    "HTTP_PROXY": Variable(_THROUGH, scheme="http", beside=_GITHUB_AWAY, fine=_NAMES),
    "NO_PROXY": Variable(_THROUGH, beside=_GITHUB_AWAY, fine=_NAMES),
    "no_proxy": Variable(_THROUGH, beside=_GITHUB_AWAY, fine=_NAMES),
    "SSL_CERT_FILE": Variable(_THROUGH, beside=_GITHUB_AWAY),
    "SSL_CERT_DIR": Variable(_THROUGH, beside={**_GITHUB_AWAY, "SSL_CERT_FILE": ""}),
    "GITHUB_TOKEN": Variable(_GITHUB, fine=TOKENS),
    "GITHUB_REPOSITORY": Variable(_GITHUB, fine=()),
    "GITHUB_API_URL": Variable(_GITHUB),
    "GITHUB_GRAPHQL_URL": Variable(_GITHUB),
    "GITHUB_EVENT_PATH": Variable(_GITHUB),
    "GITHUB_SHA": Variable(_GITHUB),
    "ROBOT_URL": Variable(("apply",)),
}


IN_ALL_WAYS: Final = (
    *(
        "PAYGIFT_PRIVATE_KEY_FILE",
        "PAYGIFT_APIV3_KEY",
        "PAYGIFT_BASE_URL",
        "PAYGIFT_JOURNAL_URL",
        "HTTPS_PROXY",
    ),
    *("NO_PROXY", "SSL_CERT_FILE", "GITHUB_API_URL"),
)
"""One of each kind of variable; the others are read by the same functions."""
IN_SOME_WAYS: Final = ("https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "no_proxy", "SSL_CERT_DIR")
"""Those that differ from one of these in little more than their name."""


def changes_for(name: str, value: str) -> dict[str, str]:
    return {**dict(VARIABLES[name].beside), name: value}


@pytest.mark.sampled(every=4)
@pytest.mark.parametrize("name", VARIABLES)
def test_the_variable_that_breaks_a_command_is_named_and_not_quoted(name: str, matrix: Matrix, tmp_path: Path) -> None:
    variable = VARIABLES[name]
    malformed = values(variable.scheme, tmp_path)
    kinds = tuple(malformed) if name in IN_ALL_WAYS else WIDELY[::3] if name in IN_SOME_WAYS else WIDELY
    for number, kind in enumerate(kinds):
        command = variable.commands[number % len(variable.commands)]
        code, said = matrix.run(command, *variable.arguments, **changes_for(name, malformed[kind]))
        if kind not in variable.fine:
            assert (code not in (0, 2), name in said) == (True, True), f"{kind}: {command}: {code}\n{said}"
    assert_nothing_written(matrix)


def assert_nothing_written(matrix: Matrix) -> None:
    assert [file for file, content in everything_in(matrix.project.root).items() if tells(content)] == []


# --- all of them at once, under every command -------------------------------------------------------------------------

INFORMING: Final = (
    *("GITHUB_SERVER_URL", "GITHUB_RUN_ID", "GITHUB_RUN_ATTEMPT", "GITHUB_REF_NAME", "GITHUB_WORKSPACE"),
    *("CI_JOB_URL", "CI_COMMIT_SHA", "GITHUB_SHA", "HTTP_PROXY"),
)
"""They only inform: nothing depends on them."""
_OPTIONS: Final = tuple(
    name
    for name in VARIABLES
    if re.fullmatch(r"PAYGIFT_(RATE|CONC.*|SANDBOX|(NO_)?COLOR|PROJECT|(PLAN|APPLY|HISTORY|SHOW)_.*)", name)
)


@pytest.mark.sampled(every=4)
@pytest.mark.parametrize("kind", WIDELY)
def test_no_command_tells_anything_of_what_is_malformed(kind: str, matrix: Matrix, tmp_path: Path) -> None:
    schemes = {name: variable.scheme for name, variable in VARIABLES.items() if name not in _OPTIONS}
    schemes |= dict.fromkeys(INFORMING, "https")
    changes = {name: values(scheme, tmp_path)[kind] for name, scheme in schemes.items()}
    for command in COMMANDS:
        matrix.run(command, **changes)
    assert_nothing_written(matrix)


@pytest.mark.sampled(every=5)
@pytest.mark.parametrize("kind", WIDELY)
def test_a_journal_a_report_and_a_message_tell_nothing_of_it(
    kind: str, matrix: Matrix, tmp_path: Path, served: Sandbox
) -> None:
    served.reset()
    served.seed([{"stock_id": "98065001"}])
    begin = datetime.now(UTC).astimezone(BEIJING) + timedelta(days=2)
    end = begin + timedelta(days=20)
    soon = SPEC.replace("2026-12-01T", f"{begin:%Y-%m-%d}T").replace("2026-12-31T", f"{end:%Y-%m-%d}T")
    matrix.project.write("spring", soon)
    changes = {name: values("https", tmp_path)[kind] for name in INFORMING}
    report = f"report{REPORT_KINDS[len(kind) % len(REPORT_KINDS)]}"
    code, said = matrix.run("apply", "--yes", "--report", report, **changes)
    assert code == 0, said
    assert (matrix.project.root / report).stat().st_size > 100
    assert_nothing_written(matrix)
