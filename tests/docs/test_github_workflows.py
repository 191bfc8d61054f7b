"""The workflows that teams copy: safe to copy, without logic, and calling only what there is."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
import pytest
import yaml

from reconciler.cli import paygift

ROOT: Final = Path(__file__).parents[2]
NAMES: Final = ("plan", "plan-trusted", "apply", "drift")
WORKFLOWS: Final = {name: ROOT / f".github/workflows/{name}.yml" for name in NAMES}
GITLAB: Final = ROOT / "docs/gitlab.md"


def read(path: Path) -> dict[str, Any]:
    # YAML 1.1 takes the key `on` for a truth value; the base loader keeps it.
    data = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    assert isinstance(data, dict)
    return data


def gitlab() -> str:
    found = re.search(r"^```yaml\n(.*?)^```$", GITLAB.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def jobs(name: str) -> Iterator[dict[str, Any]]:
    yield from read(WORKFLOWS[name])["jobs"].values()


def steps(name: str) -> Iterator[dict[str, Any]]:
    for job in jobs(name):
        yield from job["steps"]


def commands() -> list[str]:
    """Every line of every script, for GitHub and for GitLab."""
    github = [step["run"] for name in WORKFLOWS for step in steps(name) if "run" in step]
    gitlab_jobs = [each for each in yaml.safe_load(gitlab()).values() if isinstance(each, dict)]
    return [*github, *(line for job in gitlab_jobs for line in job.get("script", []))]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_actions_are_pinned_to_commits_and_to_the_same_everywhere(name: str) -> None:
    pins = re.findall(r"uses: (\S+)@(\S+) # v", WORKFLOWS[name].read_text(encoding="utf-8"))
    ours = dict(re.findall(r"uses: (\S+)@(\S+)", (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")))
    assert len(pins) == sum("uses" in step for step in steps(name)) > 0
    for action, commit in pins:
        assert re.fullmatch(r"[0-9a-f]{40}", commit)
        assert ours.get(action, commit) == commit


@pytest.mark.parametrize("name", WORKFLOWS)
def test_nothing_is_permitted_but_what_a_job_asks_for(name: str) -> None:
    assert read(WORKFLOWS[name])["permissions"] == {}
    written = {permission for job in jobs(name) for permission, level in job["permissions"].items() if level == "write"}
    assert written == ({"issues"} if name == "drift" else {"pull-requests"})


@pytest.mark.parametrize("name", WORKFLOWS)
def test_jobs_with_credentials_have_an_environment_and_run_only_where_they_were_turned_on(name: str) -> None:
    for job in jobs(name):
        if "secrets." in str(job):
            assert job["environment"] == f"paygift-{name.removesuffix('-trusted')}"
            assert "vars.PAYGIFT_ENABLED == 'true'" in job["if"]
            assert job["runs-on"] == "ubuntu-24.04"


def test_the_job_for_forks_knows_no_credentials_and_does_nothing_without_a_project() -> None:
    validate = read(WORKFLOWS["plan"])["jobs"]["validate"]
    assert validate["permissions"] == {"contents": "read"}
    assert not re.search(r"secrets|github\.token|environment", str(validate))
    first, *others = validate["steps"]
    assert first["with"] == {"persist-credentials": "false"}
    assert all("hashFiles('paygift.yaml') != ''" in step["if"] for step in others[:-1])
    assert "steps.validate.outcome == 'failure'" in others[-1]["if"]


OUR_OWN: Final = "github.event.pull_request.head.repo.full_name == github.repository"


@pytest.mark.parametrize("name", ["plan", "plan-trusted"])
def test_credentials_stay_in_the_repository_on_pull_requests(name: str) -> None:
    for job in jobs(name):
        if "secrets." in str(job) or "write" in job["permissions"].values():
            assert OUR_OWN in job["if"]
            assert "github.actor != 'dependabot[bot]'" in job["if"]
    assert ("pull_request_target" in read(WORKFLOWS[name])["on"]) == (name == "plan-trusted")


def test_where_there_are_no_secrets_it_is_said_and_nothing_fails() -> None:
    job = read(WORKFLOWS["plan"])["jobs"]["not-planned"]
    assert "github.actor == 'dependabot[bot]'" in job["if"]
    assert OUR_OWN.replace("==", "!=") in job["if"]
    assert job["permissions"] == {"contents": "read"}
    assert "Not planned" in job["steps"][-1]["run"]


def test_the_trusted_plan_installs_before_the_files_of_the_pull_request_are_there() -> None:
    """Nothing that they bring is run: they lie in a folder of their own, as data."""
    (job,) = jobs("plan-trusted")
    checkouts = [index for index, step in enumerate(job["steps"]) if "checkout" in step.get("uses", "")]
    installs = [index for index, step in enumerate(job["steps"]) if "pip install" in step.get("run", "")]
    assert len(checkouts) == 2
    assert checkouts[0] < installs[0] < checkouts[1]
    trusted, proposed = (job["steps"][index]["with"] for index in checkouts)
    assert "ref" not in trusted
    assert proposed["path"] == "proposed"
    assert all(step["with"]["persist-credentials"] == "false" for step in job["steps"] if "checkout" in str(step))
    rest = job["steps"][checkouts[1] + 1 :]
    assert not any(word in step.get("run", "") for step in rest for word in ("proposed", "pip ", "make ", "python"))


def test_a_plan_that_apply_would_refuse_is_red_after_everybody_can_read_it() -> None:
    for name in ("plan", "plan-trusted"):
        *before, last = [
            step
            for job in jobs(name)
            for step in job["steps"]
            if "show-plan" in str(step) or "comment --plan" in str(step)
        ]
        assert last["run"] == 'paygift show-plan "$RUNNER_TEMP/plan.json" --fail-on-refusals'
        assert "comment --plan" in before[-1]["run"]


def test_waivers_come_from_the_pull_request_and_stand_in_no_file() -> None:
    for command in commands():
        assert "--allow " not in command
    assert "labeled" in read(WORKFLOWS["plan"])["on"]["pull_request"]["types"]
    assert "edited" in read(WORKFLOWS["plan"])["on"]["pull_request"]["types"]


def test_plan_and_apply_can_be_run_again_by_hand_and_in_a_merge_queue() -> None:
    assert {"merge_group", "workflow_dispatch"} <= set(read(WORKFLOWS["plan"])["on"])
    assert "workflow_dispatch" in read(WORKFLOWS["apply"])["on"]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_the_token_of_github_and_the_credentials_of_the_account_are_never_in_one_step(name: str) -> None:
    for step in steps(name):
        environment = str(step.get("env", ""))
        assert not ("github.token" in environment and "secrets." in environment)


def test_no_apply_is_broken_off_by_the_next() -> None:
    concurrency = read(WORKFLOWS["apply"])["concurrency"]
    assert concurrency == {"group": "${{ github.workflow }}", "cancel-in-progress": "false"}


def test_scripts_hold_no_expressions_and_no_logic() -> None:
    for command in commands():
        assert "${{" not in command
        assert "\n" not in command
        assert command.startswith(("paygift ", "pip install --require-hashes ", "git fetch ", 'echo "::notice '))


def test_scripts_call_commands_and_options_that_there_are() -> None:
    for line in commands():
        if not line.startswith("paygift "):
            continue
        command: click.Command = paygift
        for word in shlex.split(re.split(r" (?:2?>+|\|\|) ", line)[0])[1:]:
            context = click.Context(command)
            if word.startswith("-"):
                known = {
                    option for each in command.get_params(context) for option in (*each.opts, *each.secondary_opts)
                }
                assert word in known, line
            elif isinstance(command, click.Group):
                found = command.get_command(context, word)
                assert found is not None, line
                command = found


def test_gitlab_accepts_its_file(tmp_path: Path) -> None:
    file = tmp_path / ".gitlab-ci.yml"
    file.write_text(gitlab(), encoding="utf-8")
    checker = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.gitlab-ci"]
    done = subprocess.run(
        [*checker, "--data-transform", "gitlab-ci", file], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout


def test_the_manual_apply_of_gitlab_takes_the_plan_of_its_own_pipeline() -> None:
    apply = yaml.safe_load(gitlab())["apply"]
    assert apply["needs"] == ["plan"]
    assert apply["rules"][0]["when"] == "manual"
    assert apply["resource_group"] == "paygift-apply"
