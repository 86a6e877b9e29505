"""A directory with the AMQP URI of each broker user, one file for each: it serves as COMMONWEAL_AMQP_URI_FILE.

A password stands nowhere else: the broker is given its hash.
"""

import base64
import hashlib
import os
import secrets
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from shared.messaging import broker

PASSWORD_BYTES = 32
SALT_BYTES = 4
MAX_FILE_BYTES = 16_384


class CredentialsError(Exception):
    """The directory or a file in it cannot be used; the message says what to do and nothing of a password."""


class Credentials:
    """The directory.

    :param directory: is made if it is not there; nobody but its owner may look into it.
    :param amqp_uri: where the broker and its virtual host are; its user and password are not taken over.
    :raises CredentialsError: when the directory cannot be used.
    """

    def __init__(self, directory: Path, amqp_uri: str) -> None:
        self.directory = directory
        self._amqp_uri = amqp_uri
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            mode = stat.S_IMODE(directory.stat().st_mode)
        except OSError as error:
            raise CredentialsError(f"{directory} cannot be used: {error.strerror}") from error
        if mode & 0o077:
            raise CredentialsError(f"{directory} is open to others; run: chmod 700 {directory}")

    def path_of(self, user: str) -> Path:
        """Return where a user's URI is, or would be. :raises CredentialsError: for what can be no file's name."""
        if "/" in user or user.startswith("."):
            raise CredentialsError(f"{user!r} can have no file in {self.directory}")
        return self.directory / user

    def password_of(self, user: str) -> str | None:
        """Return the password in a user's file; None when there is no file.

        :raises CredentialsError: when the file is not that user's URI.
        """
        path = self.path_of(user)
        try:
            with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW)) as file:
                content = file.read(MAX_FILE_BYTES).strip()
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise CredentialsError(f"{path} cannot be read: {reason}") from error
        if content and broker.problem_of(content) is None:
            parts = urlsplit(broker.nodes_of(content)[0])
            if unquote(parts.username or "") == user and parts.password:
                return unquote(parts.password)
        raise CredentialsError(f"{path} does not hold the AMQP URI of {user}; move it away, and a new one is made")

    def keep(self, user: str, password: str) -> None:
        """Write a user's file: whole or not at all, for its owner's eyes alone.

        :raises CredentialsError: when it cannot be written.
        """
        path = self.path_of(user)
        try:
            # mkstemp's file is its owner's alone from the first moment.
            descriptor, replacement = tempfile.mkstemp(prefix=".", dir=self.directory)
            try:
                with open(descriptor, "w") as file:
                    file.write(self._uri_of(user, password) + "\n")
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(replacement, path)
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(replacement)
                raise
        except OSError as error:
            raise CredentialsError(f"{path} cannot be written: {error.strerror}") from error

    def forget(self, user: str) -> bool:
        """Delete a user's file; tells whether there was one. :raises CredentialsError: when it cannot be deleted."""
        try:
            self.path_of(user).unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise CredentialsError(f"{self.path_of(user)} cannot be deleted: {error.strerror}") from error
        return True

    def _uri_of(self, user: str, password: str) -> str:
        uris = []
        for node in broker.nodes_of(self._amqp_uri):
            parts = urlsplit(node)
            # A certificate of the administrator's own is not for others.
            authorities = broker.authorities_of(node)
            uris.append(
                parts._replace(
                    netloc=f"{quote(user, safe='')}:{quote(password, safe='')}@{parts.netloc.rpartition('@')[2]}",
                    query=f"cacertfile={quote(authorities)}" if authorities else "",
                ).geturl()
            )
        return ";".join(uris)


def new_password() -> str:
    """Return a password that nobody can guess, of signs that stand in a URI as they are."""
    return secrets.token_urlsafe(PASSWORD_BYTES)


def hash_of(password: str, salt: bytes | None = None) -> str:
    """Return what RabbitMQ keeps of a password: ``rabbit_password_hashing_sha256``.

    :param salt: a new one unless given.
    """
    salt = secrets.token_bytes(SALT_BYTES) if salt is None else salt
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def is_hash_of(password_hash: str, password: str) -> bool:
    """Tell whether RabbitMQ keeps this of that password."""
    try:
        salt = base64.b64decode(password_hash, validate=True)[:SALT_BYTES]
    except ValueError:
        return False
    return secrets.compare_digest(hash_of(password, salt), password_hash)
