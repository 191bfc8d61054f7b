"""What ``--help`` says: whole sentences, in the words that everything else uses."""

from __future__ import annotations

import re

import click
import pytest

from tests.support.tree import Command, commands

QUAINT = re.compile(
    r"\b(for ever|for good|mend(ed|s)?|pictures?|newcomers?|hands on)\b|(?<!there )\bis no [a-z]",
    re.IGNORECASE,
)

EACH = [pytest.param(command, id=" ".join(command.words) or "paygift") for command in commands()]


def helped(command: Command) -> str:
    return command.context.command.get_help(command.context)


@pytest.mark.parametrize("command", EACH)
def test_no_line_is_cut_short(command: Command) -> None:
    listed = helped(command).partition("\nCommands:\n")[2]
    assert [line for line in listed.splitlines() if line.endswith("...")] == []


@pytest.mark.parametrize("command", EACH)
def test_help_is_in_plain_words(command: Command) -> None:
    found = QUAINT.search(re.sub(r"\s+", " ", helped(command)))
    assert found is None, found


@pytest.mark.parametrize("command", EACH)
def test_each_option_says_what_it_does_in_a_sentence(command: Command) -> None:
    for option in command.options:
        assert option.help, option.opts
        assert re.search(r"^[A-Z].*[.;]", option.help, re.DOTALL), option.help


def test_the_tree_is_found_at_all() -> None:
    assert len(EACH) > 30
    assert sum(isinstance(each.context.command, click.Group) for each in commands()) >= 4
