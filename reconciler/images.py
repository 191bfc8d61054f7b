"""Which pictures were uploaded already, and where they are: a cache by content, per account.

One small JSON file. It is safe to delete (pictures are uploaded again) and safe to commit (hashes and public URLs
only). An uploaded picture's URL is valid for ever (API §4); whether another account may use it is unknown (API §4), so
each merchant number has its own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from reconciler.errors import UsageError
from reconciler.output import write

FORMAT_VERSION: Final = "1.0"
_UPLOADED_AGAIN: Final = (
    "Make its folder writable; the image was uploaded, and will be uploaded again next time."
)


@dataclass(slots=True)
class ImageCache:
    """The pictures that the account ``mchid`` has uploaded: SHA-256 of the bytes → URL.

    Read once when it is opened; written as a whole after each upload, so that a crash forgets one at most.
    """

    path: Path
    mchid: str
    _accounts: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, path: Path, mchid: str) -> ImageCache:
        """Raises UsageError for a file that is no image cache."""
        return cls(path, mchid, _read(path) if path.exists() else {})

    @property
    def known(self) -> dict[str, str]:
        """All that is remembered of this account."""
        return dict(self._accounts.get(self.mchid, {}))

    def url_of(self, sha256: str) -> str | None:
        return self._accounts.get(self.mchid, {}).get(sha256)

    def remember(self, sha256: str, url: str) -> None:
        """Raises UsageError when the file cannot be written."""
        self._accounts.setdefault(self.mchid, {})[sha256] = url
        text = json.dumps(
            {"format_version": FORMAT_VERSION, "images": self._accounts}, indent=1, sort_keys=True
        )
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write(text + "\n", self.path, follow_links=False)
        except OSError as error:
            raise UsageError(
                f"{self.path} cannot be written: {error.strerror}.", remedy=_UPLOADED_AGAIN
            ) from error
        except UsageError as error:
            raise UsageError(error.message, remedy=_UPLOADED_AGAIN) from error


def _read(path: Path) -> dict[str, dict[str, str]]:
    remedy = "It is only a cache: delete it."
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        accounts = data["images"]
        if data["format_version"].partition(".")[0] != FORMAT_VERSION.partition(".")[0]:
            raise UsageError(
                f"{path} is of version {data['format_version']}, not {FORMAT_VERSION}.", remedy=remedy
            )
        return {
            str(mchid): {str(sha): str(url) for sha, url in known.items()}
            for mchid, known in accounts.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path} is no image cache: {error!r}.", remedy=remedy) from error
