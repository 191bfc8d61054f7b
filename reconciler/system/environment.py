"""The one reader of environment variables: what they hold is stripped, checked, and never quoted. Pure.

Whatever stands in a variable may be a secret that somebody put into the wrong one. So an error names the variable, says
what is wrong and what was expected, and repeats nothing of the value. Of an address nothing is shown but its host, once
it is beyond doubt which part of it that is. ``docs/decisions/environment.md`` says what is taken and what is not.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote

from reconciler.model.characters import BLANKS, DEFAULT_IGNORABLE, HIDDEN
from reconciler.model.errors import CredentialsError, PaygiftError, UsageError

Environ = Mapping[str, str]

LONGEST: Final = 8_192
LONGEST_TEXT: Final = 65_536
"""Characters: of a line, and of a key or certificate."""
LONGEST_NAME: Final = 253
"""Of a host (RFC 1035)."""
LAST_PORT: Final = 65_535

_CREDENTIALS: Final = re.compile(
    r"PAYGIFT_(?:MCHID|SERIAL_NO|APIV3_KEY|PUBLIC_KEY_ID|(?:PRIVATE_KEY|PUBLIC_KEY|CERTIFICATE)(?:_FILE)?)"
)
"""Those whose errors end a command as missing credentials do."""
_EDGES: Final = "\t\n\v\f\r \x85\u2028\u2029\u3000" + "".join(
    chr(point) for ranges in (DEFAULT_IGNORABLE, BLANKS) for first, last in ranges for point in range(first, last + 1)
)
"""What copying, a file of variables or an editor leaves at the ends of a value."""
# Python shows bytes of a variable that are not UTF-8 as halves of surrogate pairs.
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_ASSIGNMENT: Final = re.compile(r"(?:export|set|setx|env)\s|(?:PAYGIFT|GITHUB|SSL_CERT)_\w+=|\w+_PROXY=", re.IGNORECASE)
_REFERENCE: Final = re.compile(r"\$|%\w+%\Z")


def stripped(value: str) -> str:
    """``value`` without white space and invisible characters at its ends, and without one pair of quotes around it."""
    value = value.strip(_EDGES)
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1].strip(_EDGES)
    return value


def invalid(name: str, why: str, remedy: str = "") -> PaygiftError:
    """The error for the variable ``name``; ``why`` completes a sentence that begins with its name."""
    kind = CredentialsError if _CREDENTIALS.fullmatch(name) else UsageError
    return kind(f"{name} {why}.", remedy=remedy or f"Correct {name}, or unset it.")


def text(environ: Environ, name: str, *, lines: bool = False) -> str:
    """What the variable holds, stripped; empty if it is not set. With ``lines`` there may be several.

    Raises UsageError, or CredentialsError for a credential, for what cannot be a value of anything.
    """
    return checked(name, environ.get(name, ""), lines=lines)


def checked(name: str, value: str, *, lines: bool = False) -> str:
    """The same for a ``value`` that is at hand."""
    value = stripped(value)
    longest = LONGEST_TEXT if lines else LONGEST
    if _SURROGATE.search(value):
        raise invalid(name, "holds bytes that are not UTF-8")
    if len(value) > longest:
        raise invalid(name, f"holds {len(value):,} characters, more than {longest:,}")
    if _REFERENCE.match(value):
        raise invalid(
            name,
            "holds a reference to a variable or secret that nothing has replaced",
            f"Set {name} to the value itself.",
        )
    if _ASSIGNMENT.match(value):
        raise invalid(name, "holds an assignment (NAME=VALUE) instead of a value", f"Set {name} to the value itself.")
    if not lines and HIDDEN.search(value):
        raise invalid(name, "holds a line break, or a character that cannot be seen")
    return value


def file_name(environ: Environ, name: str) -> str:
    """The name of a file or folder that the variable holds, empty if it is not set. Raises as ``text`` does."""
    value = stripped(environ.get(name, ""))
    if "-----" in value or "\n" in value:
        own = name.removesuffix("_FILE")
        remedy = f"Put the text itself into {own}, or a file's name here." if _CREDENTIALS.fullmatch(own) else ""
        raise invalid(name, "holds something else than the name of a file", remedy)
    checked(name, _SURROGATE.sub("?", value))  # the name of a file may be any bytes
    return value


def matching(environ: Environ, name: str, pattern: re.Pattern[str], expected: str, default: str = "") -> str:
    """What the variable holds, or ``default``. Raises UsageError if it is not the ``expected``, all of it."""
    value = text(environ, name)
    if value and not pattern.fullmatch(value):
        raise invalid(name, f"does not hold {expected}")
    return value or default


def informing(environ: Environ, names: Iterable[str], pattern: re.Pattern[str]) -> str:
    """The first of ``names`` that holds what is wanted, or nothing: for what informs only, and must end no command."""
    values = (stripped(environ.get(name, "")) for name in names)
    return next((value for value in values if len(value) <= LONGEST and pattern.fullmatch(value)), "")


def address_informing(environ: Environ, name: str) -> str:
    """An http address for people to follow, without a slash at its end; nothing if the variable holds another thing."""
    try:
        found = address(environ, name, _PAGE)
    except PaygiftError:
        return ""
    return found.url.rstrip("/") if found else ""


# --- addresses --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Form:
    """What an address may be made of. Plain http is for this machine only, unless ``plain``.

    ``parts`` may hold ``user`` (a name and a password), ``path``, ``query``, and ``local`` (no host at all).
    ``implied`` is the scheme of one that has none.
    """

    example: str
    schemes: tuple[str, ...] = ("https", "http")
    parts: frozenset[str] = frozenset()
    plain: bool = False
    implied: str = ""


ORIGIN: Final = Form("https://HOST and nothing more")
ENDPOINT: Final = Form("an https:// address", parts=frozenset({"path"}))
LINK: Final = Form("an https:// address", parts=frozenset({"path", "query"}))
HOOK: Final = Form("an https:// address", parts=frozenset({"user", "path", "query"}))
PROXY: Final = Form(
    "http://HOST:PORT or http://USER:PASSWORD@HOST:PORT",
    parts=frozenset({"user"}),
    plain=True,
    implied="http",
)
DATABASE: Final = Form(
    "postgresql://USER:PASSWORD@HOST/DATABASE",
    ("postgresql", "postgres", "postgresql+psycopg"),
    frozenset({"user", "path", "query", "local"}),
)
_PAGE: Final = Form("an address", parts=frozenset({"path"}), plain=True)


@dataclass(frozen=True, slots=True)
class Address:
    """Only ``host``, ``port`` and ``variable`` may be shown. ``host`` is lower case, an IPv6 address without brackets;
    ``user`` and ``password`` are decoded; ``path`` begins with a slash or is empty; ``url`` is the address as given.
    """

    variable: str
    scheme: str
    host: str
    port: int | None
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    path: str = field(default="", repr=False)
    query: str = field(default="", repr=False)
    url: str = field(default="", repr=False)

    @property
    def options(self) -> list[tuple[str, str]]:
        """What the query says, decoded."""
        return parse_qsl(self.query, keep_blank_values=True)


_PARTS: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>/[^?#]*)?(?:\?(?P<query>[^#]*))?(?P<fragment>#.*)?",
    re.IGNORECASE,
)
_AUTHORITY: Final = re.compile(
    r"(?:(?P<userinfo>[^@]*)@)?(?P<host>\[[0-9a-f:.]+\]|[^\[\]@:]*)(?::(?P<port>[^@:\[\]]*))?", re.IGNORECASE
)
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.IGNORECASE)
_ESCAPES: Final = " In a user name or a password write @ as %40, : as %3A, / as %2F, ? as %3F, # as %23 and % as %25."


def address(environ: Environ, name: str, form: Form) -> Address | None:
    """The address that the variable holds, ``None`` if it is not set. Raises UsageError."""
    value = text(environ, name)
    return checked_address(name, value, form) if value else None


def checked_address(name: str, value: str, form: Form) -> Address:
    """``value`` in its parts. Raises UsageError, naming ``name``, unless it is beyond doubt which part is which.

    Python, httpx, SQLAlchemy and libpq do not agree on where the host of an address begins if a password holds what
    should have been percent-encoded; then one of them shows half of it as a host or a port. So that is refused here.
    """
    # The proxy of the system's settings comes here, too, and is no variable to set.
    is_variable = re.fullmatch(r"\w+", name)
    remedy = f"Set {name} to {form.example}." if is_variable else f"Expected {form.example}."
    remedy += _ESCAPES if "user" in form.parts else ""

    def refuse(why: str) -> PaygiftError:
        return invalid(name, why, remedy)

    value = checked(name, value)
    if form.implied and "://" not in value:
        if not re.search(r":[0-9]+/?\Z", value):
            raise refuse("holds neither a scheme nor a port")
        value = f"{form.implied}://{value}"
    found = _PARTS.fullmatch(value)
    if found is None or " " in value or "\\" in value:
        raise refuse("holds no address")
    scheme, path, query = found["scheme"].lower(), found["path"] or "", found["query"]
    if scheme not in form.schemes:
        raise refuse(f"does not begin with {form.schemes[0]}://")
    if found["fragment"] is not None or "@" in path + (query or ""):
        raise refuse("holds a #, or an @ after its host")
    authority = _AUTHORITY.fullmatch(found["authority"])
    if authority is None:
        raise refuse("does not tell where its host begins and ends")
    if authority["userinfo"] is not None and "user" not in form.parts:
        raise refuse("holds a user name or a password")
    host = _host(authority["host"])
    if host is None or not (host or "local" in form.parts):
        raise refuse("holds no valid host name")
    if (path not in ("", "/") and "path" not in form.parts) or (query is not None and "query" not in form.parts):
        raise refuse("holds more than scheme, host and port")
    if scheme == "http" and not form.plain and not is_loopback(host):
        raise refuse("is plain http, which is for this machine only")
    port = _port(authority["port"] or "")
    if port is None:
        raise refuse(f"has a port that is not a number from 1 to {LAST_PORT}")
    user, _, password = (authority["userinfo"] or "").partition(":")
    return Address(name, scheme, host, port or None, unquote(user), unquote(password), path, query or "", value)


def _port(text: str) -> int | None:
    """0 where there is none, ``None`` if it is invalid."""
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(LAST_PORT))):
        return None
    return int(text) if 1 <= int(text) <= LAST_PORT else None


def _host(text: str) -> str | None:
    """In lower case, without brackets; ``None`` if it is neither a name nor an address."""
    if text.startswith("["):
        try:
            return ipaddress.IPv6Address(text[1:-1]).compressed
        except ValueError:
            return None
    labels = text.removesuffix(".").split(".")
    if len(text) > LONGEST_NAME or not all(map(_LABEL.fullmatch, labels)):
        return None if text else ""
    # Some libraries read 127.1 as an address, so what ends in a number must be a whole one.
    if labels[-1].isdigit():
        try:
            return str(ipaddress.IPv4Address(text))
        except ValueError:
            return None
    return text.lower()


def is_loopback(host: str) -> bool:
    """Whether ``host`` is this machine: ``localhost``, or an address of the loopback network."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
