"""Every option can be set by a variable that is called after the command and the option, as people type them."""

from __future__ import annotations

import json

import click
import pytest
from click.core import ParameterSource

from reconciler.cli import run
from tests.support.project import Project
from tests.support.tree import UNSETTABLE, Command, commands, flags

EACH = [
    pytest.param(command, option, flag, id=" ".join((*command.words, flag)))
    for command in commands()
    for option in command.options
    for flag in flags(option)
]


def variable(words: tuple[str, ...], flag: str) -> str:
    """``PAYGIFT_COMMAND_OPTION``, as the help describes it."""
    return "_".join(("paygift", *words, flag.removeprefix("--"))).upper().replace("-", "_")


def sample(option: click.Option) -> str:
    """A value that the option takes."""
    if option.is_flag:
        return "true"
    if isinstance(option.type, click.Choice):
        return str(option.type.choices[-1])
    return "3000"


@pytest.mark.parametrize(("command", "option", "flag"), EACH)
def test_each_option_is_set_by_the_variable_that_is_named_after_it(
    command: Command, option: click.Option, flag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable(command.words, flag), sample(option))
    value, source = option.consume_value(command.context, {})
    assert source is ParameterSource.ENVIRONMENT
    expected: object = sample(option)
    if option.is_flag:
        value, expected = option.type_cast_value(command.context, value), flag not in option.secondary_opts
    elif option.multiple:
        expected = [expected]
    assert value == expected


def test_no_variable_stands_for_two_options() -> None:
    names = [
        variable(command.words, flag) for command in commands() for each in command.options for flag in flags(each)
    ]
    assert len(names) > 80
    assert len({*names}) == len(names)


@pytest.mark.parametrize("flag", UNSETTABLE)
def test_a_version_that_somebody_pins_is_no_option(
    flag: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for words in ((), ("validate",)):
        monkeypatch.setenv(variable(words, flag), "1")
    assert project.run("validate")[1] == "1 spec fine.\n"


def test_json_is_asked_for_by_a_variable(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYGIFT_PLAN_JSON", "1")
    assert json.loads(project.run("--sandbox", "plan")[1])["kind"] == "plan"


def test_white_space_and_quotes_around_a_value_do_not_count(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYGIFT_VALIDATE_JSON", ' "true"\n')
    assert json.loads(project.run("validate")[1])["specs"] == 1
    monkeypatch.setenv("PAYGIFT_VALIDATE_JSON", " ")
    assert project.run("validate")[1] == "1 spec fine.\n"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("PAYGIFT_HISTORY_OUTCOME", ("history",)),
        ("PAYGIFT_SHOW_PLAN_FORMAT", ("show-plan", "plan.json")),
        ("PAYGIFT_SANDBOX_FAULT_ADD_COUNT", ("sandbox", "fault", "add", "latency")),
        ("PAYGIFT_NO_COLOR", ("schema",)),
    ],
)
def test_a_value_that_cannot_be_taken_is_told_by_the_variable_and_not_quoted(
    name: str, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, "a-secret")
    assert run([*words]) == 1
    said = "".join(capfd.readouterr())
    assert name in said
    assert "secret" not in said


def test_a_waiver_that_a_variable_holds_counts(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAYGIFT_PLAN_ALLOW", "PROTECTED:spring REPLACE_RUNNING")
    _, out, _ = project.run("--sandbox", "plan", "--json")
    assert [each["code"] for each in json.loads(out)["findings"]].count("WAIVER_UNUSED") == 2
