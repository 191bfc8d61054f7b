"""YAML → desired activities; every mistake of every file at once, with file:line:column.

files              what may be read, and reading it
entries            what lies in the activities folder
yaml_              text → mappings, lists and texts
lookalikes         what only looks like YAML
merchants          group files → mchids
images             whether local images are whole
models, fields     what an author may write, and the rules of each field
validation_errors  pydantic's errors in our words, and what is still good
rules, conflicts   mistakes that need several fields, or several specs
normalize          a spec → the activity that it asks for
positions, sheets  where a value stands, and all that is wrong there
suggest            what an author would write, and in which line
schema, published  the same for editors, as JSON Schemas
project_file       paygift.yaml
project            the story: paygift.yaml, groups, specs, and what is wrong between them
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
