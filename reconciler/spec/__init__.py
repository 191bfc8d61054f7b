"""YAML → desired activities; every problem of every file at once, with file:line:column.

files      what may be read, and reading it
entries    what lies in the activities folder
yaml_      text → mappings, lists and texts
merchants  group files → mchids
wording    pydantic's errors → faults in our words, and what is still good
positions  where a value stands
suggest    what an author would write, and in which line
project    the story: paygift.yaml, groups, specs, and what is wrong between them
"""

from reconciler.spec.entries import PROJECT_FILE
from reconciler.spec.project import (
    STOCKS_FILE,
    Project,
    find_root,
    load_project,
    read_account,
    read_image,
    read_namespace,
    read_timezone,
)
from reconciler.spec.suggest import Suggestion, generation_line

__all__ = [
    "PROJECT_FILE",
    "STOCKS_FILE",
    "Project",
    "Suggestion",
    "find_root",
    "generation_line",
    "load_project",
    "read_account",
    "read_image",
    "read_namespace",
    "read_timezone",
]
