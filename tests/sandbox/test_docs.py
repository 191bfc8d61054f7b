"""What docs/sandbox.md tells people to paste runs, and what docs/findings.md tells them to provoke comes."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Final

import pytest

from reconciler.cli.sandbox import sandbox as group
from reconciler.commands.workspace import SANDBOX_FOLDER
from tests.support.project import CLOCK
from tests.support.signed import keys

ROOT: Final = Path(__file__).parents[2]
SANDBOX: Final = (ROOT / "docs/sandbox.md").read_text(encoding="utf-8")
FINDINGS: Final = (ROOT / "docs/findings.md").read_text(encoding="utf-8")
_BLOCK: Final = re.compile(r"^( *)```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def blocks(text: str, language: str) -> list[str]:
    found = _BLOCK.findall(text)
    return [textwrap.dedent(body) for _, written, body in found if written == language]


SHELL: Final = blocks(SANDBOX, "sh")
SERVE: Final = "paygift sandbox serve"
PROVOKED: Final = {
    code: block
    for code, section in re.findall(r"^### ([A-Z_]+)\n(.*?)(?=^##|\Z)", FINDINGS, re.MULTILINE | re.DOTALL)
    for block in blocks(section, "sh")
}


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The example project with one spec of it, before the campaign begins, and with a sandbox of its own."""
    root = tmp_path / "project"
    shutil.copytree(ROOT / "activities", root, ignore=shutil.ignore_patterns(".paygift", "specs"))
    (root / "specs").mkdir()
    shutil.copy(ROOT / "activities/specs/everyday.yaml", root / "specs")
    (root / SANDBOX_FOLDER).mkdir(parents=True)
    keys().write(root / SANDBOX_FOLDER / "keys")
    shell(root, f"paygift sandbox clock {CLOCK}")
    return root


def environ() -> dict[str, str]:
    found = {name: value for name, value in os.environ.items() if not name.startswith("PAYGIFT_")}
    return found | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def shell(root: Path, script: str) -> subprocess.CompletedProcess[str]:
    """Run ``script`` as somebody pastes it, with every command in it having to succeed."""
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=root,
        env=environ(),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize("number", [n for n, block in enumerate(SHELL) if SERVE not in block])
def test_a_block_of_commands_runs_as_it_stands(example: Path, number: int) -> None:
    shell(example, SHELL[number])


def test_a_server_of_its_own_is_found_by_other_terminals(example: Path) -> None:
    (block,) = (block for block in SHELL if SERVE in block)
    for line in block.splitlines():
        assert line.startswith(SERVE)  # nothing in the block waits for a server that only Ctrl-C ends
        command = shlex.split(line, comments=True)
        command += [] if "--port" in command else ["--port", "0"]
        server = subprocess.Popen(
            command, cwd=example, env=environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            assert server.stdout is not None
            url = server.stdout.readline().split()[4].rstrip(",")
            assert (example / SANDBOX_FOLDER / "server.json").exists()
            shell(example, "paygift --sandbox plan")
            assert url.startswith("http://127.0.0.1:")
        finally:
            server.send_signal(signal.SIGINT)
            _, err = server.communicate(timeout=30)
        assert err == ""


@pytest.mark.parametrize("number", range(len(blocks(SANDBOX, "python"))))
def test_a_block_of_python_runs_as_it_stands(tmp_path: Path, number: int) -> None:
    script = blocks(SANDBOX, "python")[number]
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_every_command_of_the_sandbox_and_every_option_of_it_is_documented() -> None:
    for name, command in group.commands.items():
        assert f"paygift sandbox {name}" in SANDBOX or f"`{name} " in SANDBOX, name
        for option in (each for parameter in command.params for each in parameter.opts):
            if option.startswith("--") and option != "--limit":
                assert option in SANDBOX, (name, option)


def test_what_depends_on_what_wechat_pay_shows_can_be_provoked() -> None:
    assert PROVOKED.keys() >= {
        "LIVE_TERMS_DIFFER",
        "STATUS_UNKNOWN",
        "ADOPT_NOT_FULL_SEND",
        "TERMS_UNREADABLE",
    }


@pytest.mark.sampled(every=3)
@pytest.mark.parametrize("code", sorted(PROVOKED))
def test_a_finding_is_provoked_by_the_lines_of_its_section(example: Path, code: str) -> None:
    assert f" {code} " not in shell(example, "paygift --sandbox plan").stdout
    ran = shell(example, PROVOKED[code])
    assert re.search(rf"^(refusal|warning) {code} ", ran.stdout, re.MULTILINE)
