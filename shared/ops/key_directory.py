"""The directory of whoever issues tokens: private keys, the public ones for the services, and the retired ones."""

import fcntl
import json
import os
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shared.security import keys
from shared.security.keys import PublicKey
from shared.security.tokens import SigningKey

PUBLIC_FILE = "keys.json"
RETIRED_FILE = "retired-keys.json"
LOCK_TIMEOUT_S = 10.0
LOCK_INTERVAL_S = 0.05
PRIVATE_MODE = 0o600
PUBLIC_MODE = 0o644

#: How it stands with a key's private half in the directory.
ABSENT, HERE, READABLE_BY_OTHERS, NOT_ITS_OWN = "absent", "here", "readable by others", "not its own"


@dataclass(frozen=True)
class Entry:
    """A key as the directory knows it.

    :param thumbprint: RFC 7638; None for a private key whose public half is in neither file.
    :param made_at: when it was made, and ``retired_at`` since when services do not accept it; ISO 8601, or None.
    :param is_accepted: whether services that read this directory's file accept its tokens.
    :param private_half: :data:`ABSENT`, :data:`HERE`, :data:`READABLE_BY_OTHERS`, or :data:`NOT_ITS_OWN` for a file
        that holds another key or none.
    """

    key_id: str
    is_accepted: bool
    made_at: str | None
    retired_at: str | None
    thumbprint: str | None
    private_half: str


class KeyDirectory:
    """Keys in a directory. What changes it waits for whoever else does, so that no key is lost.

    Every method raises ``OSError`` when files cannot be read or written, and ``ValueError`` with a sentence for what
    makes no sense.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.public = path / PUBLIC_FILE
        self.retired = path / RETIRED_FILE

    def private(self, key_id: str) -> Path:
        """Return where a key's private half belongs."""
        return self.path / f"{key_id}.pem"

    def add(self) -> SigningKey:
        """Make a key, and the directory too if there is none."""
        self.path.mkdir(mode=0o755, parents=True, exist_ok=True)
        with self._alone():
            known = self._keys(self.public) if self.public.exists() else {}
            key = SigningKey.new()
            _write(self.private(key.key_id), key.private_pem(), PRIVATE_MODE)
            self._store(self.public, known.values(), {**key.public_jwk(), "made_at": _now()})
        return key

    def retire(self, key_id: str, *, even_the_last: bool = False, delete_private: bool = False) -> None:
        """Take a key's public half from the services' file and keep it, with the date, among the retired.

        :param even_the_last: leave the services without any key.
        :param delete_private: delete the private half too.
        """
        with self._alone():
            known, retired = self._keys(self.public), self._retired()
            if key_id not in known:
                since = retired[key_id].entry.get("retired_at") if key_id in retired else None
                there_are = ", ".join(known) or "none"
                raise ValueError(
                    f"{key_id} was retired already, at {since}"
                    if since
                    else f"there is no key {key_id} in {self.public}; there are: {there_are}"
                )
            if len(known) == 1 and not even_the_last:
                raise ValueError(
                    f"{key_id} is the last key: without it services refuse every token. Make another first with keys"
                    " new, or say --even-the-last"
                )
            key = known.pop(key_id)
            retired.pop(key_id, None)
            # In this order: interrupted in between, the key is in both files, still accepted, and can be retired again.
            self._store(self.retired, retired.values(), {**key.entry, "retired_at": _now()})
            self._store(self.public, known.values())
            if delete_private:
                self.private(key_id).unlink(missing_ok=True)

    def entries(self) -> list[Entry]:
        """Return every key: those that are accepted, then the retired, then private keys that belong to neither."""
        if not self.path.is_dir():
            raise ValueError(f"there is no directory {self.path}; keys new makes it")
        known = self._keys(self.public) if self.public.exists() else {}
        retired = {key_id: key for key_id, key in self._retired().items() if key_id not in known}
        strays = sorted(path.stem for path in self.path.glob("*.pem") if path.stem not in {*known, *retired})
        return [
            *(self._entry(key, is_accepted=True) for key in known.values()),
            *(self._entry(key, is_accepted=False) for key in retired.values()),
            *(Entry(key_id, False, None, None, None, self._private_half(key_id, None)) for key_id in strays),
        ]

    def retired_key(self, key_id: str) -> PublicKey | None:
        """Return a retired key; None when there is none of that id."""
        return self._retired().get(key_id)

    def _entry(self, key: PublicKey, *, is_accepted: bool) -> Entry:
        made_at, retired_at = (value if isinstance(value := key.entry.get(name), str) else None for name in _DATES)
        return Entry(
            key.key_id,
            is_accepted,
            made_at,
            None if is_accepted else retired_at,
            key.thumbprint,
            self._private_half(key.key_id, key),
        )

    def _private_half(self, key_id: str, public: PublicKey | None) -> str:
        path = self.private(key_id)
        if not path.exists():
            return ABSENT
        try:
            own = PublicKey.of(SigningKey.read(path).public_jwk())
        except (OSError, ValueError):
            return NOT_ITS_OWN
        if public is not None and own != public:
            return NOT_ITS_OWN
        return READABLE_BY_OTHERS if path.stat().st_mode & 0o077 else HERE

    def _retired(self) -> dict[str, PublicKey]:
        return self._keys(self.retired) if self.retired.exists() else {}

    def _keys(self, path: Path) -> dict[str, PublicKey]:
        try:
            return keys.parse(keys.decode(keys.content_of(path)))
        except ValueError as error:
            raise ValueError(
                f"{path} is not a JWKS file of public keys: {error}; put it right or move it away"
            ) from error

    def _store(self, path: Path, known: Iterable[PublicKey], *added: Mapping[str, Any]) -> None:
        entries = [*(key.entry for key in known), *added]
        content = json.dumps({"keys": entries}, indent=2).encode() + b"\n"
        if len(content) > keys.MAX_FILE_BYTES:
            raise ValueError(f"{path} would be larger than {keys.MAX_FILE_BYTES:,} bytes; retire keys or move it away")
        _write(path, content, PUBLIC_MODE)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            if os.fstat(directory).st_mode & stat.S_IWOTH:
                raise ValueError(f"anybody may write into {self.path}, and so add keys: chmod o-w {self.path}")
            _lock(directory, self.path)
            yield
        finally:
            os.close(directory)


_DATES = ("made_at", "retired_at")


def _lock(directory: int, path: Path) -> None:
    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        try:
            fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise ValueError(f"another command works on {path} and does not end; try again") from None
            time.sleep(LOCK_INTERVAL_S)
        else:
            return


def _write(path: Path, content: bytes, mode: int) -> None:
    replacement = path.with_name(f"{path.name}.new")
    replacement.unlink(missing_ok=True)
    with open(os.open(replacement, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as out:
        os.fchmod(out.fileno(), mode)
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    os.replace(replacement, path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
