"""Which images were uploaded already, and where they are: a cache by content, per account.

One small JSON file, safe to delete: images are uploaded again. An uploaded image's URL is valid permanently (API §4);
whether another account may use it is unknown (API §4), so each merchant number has its own.

The address that is remembered for a reviewed image decides what customers see. So an entry is believed only if its
message authentication code was made with the account's private key, over all that it says: whoever else can write the
file, by a commit or on a shared machine, cannot make one, nor move one to another image or account.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from reconciler.model.clock import Clock
from reconciler.model.errors import UsageError
from reconciler.model.identity import canonical_json, instant
from reconciler.model.operations import KnownImage
from reconciler.plan import first_number
from reconciler.system import paygift_folder as folder
from reconciler.wechatpay.keys import Credentials

FORMAT_VERSION: Final = "2.0"
PURPOSE: Final = "uploaded image 1"
"""What the key is derived for: another meaning of an entry needs another purpose."""
_REMEDY: Final = "It is only a cache: delete it."
_UPLOADED_AGAIN: Final = "The image was uploaded, and will be uploaded again next time."

Entry = Mapping[str, str]
_Accounts = dict[str, dict[str, Entry]]


@dataclass(slots=True)
class ImageCache:
    """The images that the account of ``credentials`` has uploaded, by the SHA-256 of their bytes.

    Read once when it is opened; written as a whole after each upload, so that a crash forgets one at most. ``remark``
    is a sentence for people about what was not believed, or nothing.
    """

    path: Path
    credentials: Credentials
    clock: Clock
    remark: str = ""
    _known: dict[str, KnownImage] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, path: Path, credentials: Credentials, clock: Clock) -> ImageCache:
        """Raises UsageError for a file that is not an image cache; it is neither followed elsewhere nor quoted."""
        version, accounts = _read(path)
        cache = cls(path, credentials, clock)
        if accounts is None:
            cache.remark = (
                f"{path.name} is of format {version}, in which nothing tells who wrote an address: it is ignored, and "
                "replaced when an image is uploaded."
            )
            return cache
        written = accounts.get(credentials.mchid, {})
        cache._known = {sha256: each for sha256, entry in written.items() if (each := cache._proven(sha256, entry))}
        cache.remark = _not_believed(path, len(written) - len(cache._known))
        return cache

    def reopened(self) -> ImageCache:
        """The same as it is by now."""
        return ImageCache.open(self.path, self.credentials, self.clock)

    @property
    def known(self) -> dict[str, KnownImage]:
        """All that is remembered of this account."""
        return dict(self._known)

    def find(self, sha256: str) -> KnownImage | None:
        """Where the image with this SHA-256 was uploaded to before, or ``None``."""
        return self._known.get(sha256)

    def remember(self, sha256: str, url: str) -> None:
        """Raises UsageError when the file cannot be written."""
        self._known[sha256] = KnownImage(sha256, url, self.clock().astimezone(UTC).replace(microsecond=0))
        try:
            # As it is by now: another account's run may have written to it meanwhile.
            accounts = _read(self.path)[1] or {}
            accounts[self.credentials.mchid] = {each.sha256: self._entry(each) for each in self._known.values()}
            data = {"format_version": FORMAT_VERSION, "images": accounts}
            folder.write(self.path, json.dumps(data, indent=1, sort_keys=True) + "\n", remedy=_REMEDY)
        except UsageError as error:
            raise UsageError(error.message, remedy=_UPLOADED_AGAIN) from error

    def _entry(self, image: KnownImage) -> Entry:
        at = instant(image.uploaded_at)
        return {"url": image.url, "uploaded_at": at, "mac": self._mac(image.sha256, image.url, at)}

    def _proven(self, sha256: str, entry: Entry) -> KnownImage | None:
        """The image, if the entry was written with this account's key."""
        url, at = entry.get("url", ""), entry.get("uploaded_at", "")
        # A stranger's JSON may hold half a surrogate pair, which must not end in a traceback.
        mac = entry.get("mac", "").encode(errors="surrogatepass")
        if not hmac.compare_digest(mac, self._mac(sha256, url, at).encode()):
            return None
        # Not before: only what our key vouches for is sure to have this form.
        return KnownImage(sha256, url, datetime.fromisoformat(at))

    def _mac(self, sha256: str, url: str, at: str) -> str:
        # The account and the hash too, or an entry could be moved to another image.
        said = canonical_json([self.credentials.mchid, sha256, url, at])
        return self.credentials.mac(PURPOSE, said.encode(errors="surrogatepass"))


def _not_believed(path: Path, count: int) -> str:
    if not count:
        return ""
    entries, are = ("entry was", "is") if count == 1 else ("entries were", "are")
    return f"{path.name}: {count:,} {entries} not written by this account's key and {are} ignored."


def _read(path: Path) -> tuple[str, _Accounts | None]:
    """The version of the file, and its entries by account and image; none in a format that proves nothing.

    Raises UsageError, without a word of what was read: it may be another file than it seems.
    """
    content = folder.read(path, remedy=_REMEDY)
    if content is None:
        return FORMAT_VERSION, {}
    try:
        data = json.loads(content.decode("utf-8"))
        version = str(data["format_version"])
        major = first_number(version)
        if major == "1":
            return "1", None
        if major != first_number(FORMAT_VERSION):
            raise UsageError(f"{path} is of another version than {FORMAT_VERSION}.", remedy=_REMEDY)
        return version, {
            mchid: {sha256: _entry_of(entry) for sha256, entry in known.items()}
            for mchid, known in data["images"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UsageError(f"{path} is not an image cache.", remedy=_REMEDY) from None


def _entry_of(written: Mapping[str, object]) -> Entry:
    """What of an entry can be ours, of whichever account it is."""
    return {name: text for name, text in written.items() if isinstance(text, str)}
