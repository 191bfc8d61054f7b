"""Values that people really put into environment variables, each with a secret in it that nobody may ever read."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path
from typing import Final

LEFT: Final = "Zq7hunterLEFT"
RIGHT: Final = "Kx9hunterRIGHT"
"""Both halves of the secret: half a password is a password too."""
BOTH: Final = LEFT + RIGHT

_IN_64: Final = base64.b64encode(f"user:{BOTH}!".encode()).decode()
MARKS: Final = (LEFT, RIGHT, LEFT.lower(), RIGHT.lower(), _IN_64[8:24], _IN_64[24:40])
"""None of these may be in anything that is printed or written."""

_PEM: Final = f"-----BEGIN PRIVATE KEY-----\n{BOTH}\n-----END PRIVATE KEY-----\n"


def userinfo(scheme: str, separator: str) -> str:
    return f"{scheme}://user:{LEFT}{separator}{RIGHT}@db.internal:5432/journal"


def values(scheme: str = "https", folder: Path = Path("/nowhere")) -> dict[str, str]:
    """By what they are; addresses begin with ``scheme``. ``folder`` has a folder ``BOTH`` in it."""
    in_password = {f"password with {mark!r}": userinfo(scheme, mark) for mark in "#/?@:%[] \\"}
    return in_password | {
        "bare": BOTH,
        "bare, with a line break": f"{BOTH}\n",
        "two lines": f"{LEFT}\r\n{RIGHT}",
        "quoted": f"'{BOTH}'",
        "quoted address": f'"{userinfo(scheme, "#")}"',
        "byte order mark": f"\ufeff{BOTH}",
        "no-break space": f"{LEFT}\u00a0{RIGHT}\u00a0",
        "zero-width": f"{LEFT}\u200b{RIGHT}",
        "not UTF-8": f"{LEFT}\udcff{RIGHT}",
        "an address not in UTF-8": f"{scheme}://user:{LEFT}\udce9{RIGHT}@db.internal/x",
        "export": f"export PAYGIFT_APIV3_KEY={BOTH}",
        "assignment": f"HTTPS_PROXY=http://user:{LEFT}@{RIGHT}",
        "reference": f"${{{{ secrets.{BOTH} }}}}",
        "variable": f"${BOTH}",
        "Base64": _IN_64,
        "JSON": json.dumps({"password": BOTH}),
        "long": f"{LEFT}{'x' * 200_000}{RIGHT}",
        "long host": f"{scheme}://{LEFT}{'x' * 70_000}.{RIGHT}/",
        "port": f"{scheme}://db.internal:{BOTH}/journal",
        "port too high": f"{scheme}://user:{BOTH}@db.internal:99999/journal",
        "scheme": f"{BOTH}://db.internal/journal",
        "other scheme": f"socks5://user:{BOTH}@db.internal:1080",
        "no scheme": f"user:{LEFT}@{RIGHT}:x",
        "no host": f"{scheme}://user:{BOTH}@",
        "only a host of it": f"{scheme}:///{BOTH}",
        "two hosts": f"{scheme}://user:{LEFT}@one,two:{RIGHT}/x",
        "path": f"{scheme}://db.internal:x/{LEFT}/{RIGHT}",
        "query": f"{scheme}://db.internal:?{LEFT}={RIGHT}&plugin={LEFT}",
        "fragment": f"{scheme}://{LEFT}#{RIGHT}@db.internal",
        "IPv6 junk": f"{scheme}://[::{LEFT}%{RIGHT}]:80/",
        "unbalanced": f"{scheme}://[{LEFT}/{RIGHT}",
        "closed only": f"{scheme}://user:{LEFT}]@{RIGHT}]/",
        "no label": f"{scheme}://{LEFT}..{RIGHT}.example/",
        "long label": f"{scheme}://{LEFT}{'x' * 64}.{RIGHT}.example/",
        "no ASCII host": f"{scheme}://{LEFT}。ﬁ{RIGHT}.例/",
        "xn--": f"{scheme}://xn--{LEFT}\u00ad.{RIGHT}/",
        "ANSI": f"\x1b[31m{LEFT}\x07\x1b]0;{RIGHT}\x9c",
        "workflow command": f"::add-mask::{LEFT}##[{RIGHT}]",
        "tab": f"{scheme}://user:{LEFT}\t{RIGHT}@db.internal/",
        "number": f"1e9{BOTH}",
        "PEM": _PEM,
        "PEM in one line": _PEM.replace("\n", "\\n"),
        "PEM without its lines": BOTH * 60,
        "a missing file": f"/nowhere/{LEFT}/{RIGHT}.pem",
        "a home of nobody": f"~{LEFT}/{RIGHT}",
        "a folder": str(folder / BOTH),
        "a device": "/dev/zero",
        "two folders": f"/nowhere/{LEFT}:/nowhere/{RIGHT}",
        "JSON Web Token": f"eyJhbGciOiJIUzI1NiJ9.{LEFT}.{RIGHT}",
        "list": f"{LEFT},fd07::/64,[::1],10.0.0.0/8,*.{RIGHT},http://[{LEFT},:::,/,%",
        "punctuation": f"{LEFT}'\"`|;&{RIGHT}",
        "comment": f"{LEFT} # {RIGHT}",
        "empty": "",
        "only spaces": " \t\u3000\ufeff\n",
        "only quotes": "''",
    }


EMPTY: Final = ("empty", "only spaces", "only quotes")
"""As good as not set."""


WIDELY: Final = (
    *(
        "password with '#'",
        "password with '/'",
        "password with '@'",
        "password with '['",
        "password with '%'",
        "bare",
    ),
    *(
        "two lines",
        "quoted",
        "byte order mark",
        "not UTF-8",
        "export",
        "reference",
        "Base64",
        "JSON",
        "long",
        "port",
    ),
    *(
        "scheme",
        "other scheme",
        "query",
        "unbalanced",
        "no label",
        "ANSI",
        "PEM",
        "a missing file",
        "a device",
        "list",
    ),
)
"""Enough of them for every command: each is of another kind."""
TOKENS: Final = (
    *("bare", "bare, with a line break", "quoted", "byte order mark", "Base64", "number", "JSON Web Token"),
    *("PEM without its lines", "a missing file", "a home of nobody", "a folder", "a device"),
)
"""Those that might be a token, as far as anybody can see."""


def tells(said: str | bytes) -> list[str]:
    """Which part of the secret is in it."""
    text = said if isinstance(said, str) else said.decode("utf-8", "replace")
    folded = text.lower()
    return [mark for mark in MARKS if mark.lower() in folded]


def everything_in(folder: Path) -> dict[Path, bytes]:
    """All files below ``folder``, by name."""
    return {Path(top) / name: (Path(top) / name).read_bytes() for top, _, names in os.walk(folder) for name in names}
