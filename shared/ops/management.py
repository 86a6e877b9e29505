"""The broker's management API, as far as ``commonweal-ops`` asks it: every wait and every answer bounded."""

import base64
import http.client
import json
import ssl
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import quote, urlsplit

from shared.messaging import broker, embedded

TIMEOUT_S = 10
MAX_ANSWER_BYTES = 64 * 1_048_576
DEFAULT_PORTS = {"amqp": 15672, "amqps": 15671}
_REASONS = {
    401: "it refuses the user of COMMONWEAL_AMQP_URI, who needs the right password and a tag, management at least",
    403: "the user of COMMONWEAL_AMQP_URI may not do that",
    404: "there is no such thing",
}


class ManagementError(Exception):
    """The management API does not answer, refuses, or answers something else; the message says what to do.

    :param status: the HTTP status; None when there was no answer.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Management:
    """Asks the management API about one virtual host, as the user that an AMQP URI names.

    :param amqp_uri: gives user, password and virtual host, and the host where no ``url`` is given.
    :param url: the API's base address, such as ``http://broker:15672``; by default RabbitMQ's own port beside AMQP.
    :raises ManagementError: when there can be no such API.
    """

    def __init__(self, amqp_uri: str, url: str | None = None) -> None:
        if amqp_uri.startswith(embedded.URI):
            raise ManagementError("the embedded broker has no management API; name a RabbitMQ in COMMONWEAL_AMQP_URI")
        try:
            connection = broker.connect(amqp_uri)
            scheme = amqp_uri.partition(":")[0]
            host = connection.hostname or "localhost"
            self.vhost: str = connection.virtual_host or "/"
            user, password = connection.userid or "guest", connection.password or "guest"
            port = DEFAULT_PORTS[scheme]
        except (ValueError, KeyError) as error:
            raise ManagementError("COMMONWEAL_AMQP_URI must look like amqp://user:password@host:5672/vhost") from error
        host = f"[{host}]" if ":" in host else host
        self.url = (url or f"{'https' if scheme == 'amqps' else 'http'}://{host}:{port}").rstrip("/")
        self._check_url()
        # Without the proxy that the environment may name for the web: the password is the broker's business alone.
        try:
            trusted = ssl.create_default_context(cafile=broker.authorities_of(amqp_uri))
        except OSError as error:
            raise ManagementError(f"the cacertfile of COMMONWEAL_AMQP_URI holds no certificates: {error}") from error
        self._http = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trusted), _NoRedirect()
        )
        self._credentials = base64.b64encode(f"{user}:{password}".encode()).decode()

    def get(self, path: str) -> Any:
        """Return what the API has at a path below ``/api/``; None for an empty answer.

        :param path: its parts quoted; ``{vhost}`` in it stands for the virtual host.
        :raises ManagementError: when it cannot be asked, or refuses.
        """
        return self._request("GET", path)

    def put(self, path: str, body: object) -> Any:
        """Put a JSON value at a path; otherwise as :meth:`get`."""
        return self._request("PUT", path, body)

    def post(self, path: str, body: object) -> Any:
        """Post a JSON value to a path; otherwise as :meth:`get`."""
        return self._request("POST", path, body)

    def delete(self, path: str) -> None:
        """Delete what is at a path; otherwise as :meth:`get`."""
        self._request("DELETE", path)

    def _check_url(self) -> None:
        try:
            parts = urlsplit(self.url)
            sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            sound = False
        if not sound or "@" in self.url or not self.url.isascii() or not self.url.isprintable() or " " in self.url:
            raise ManagementError(
                "COMMONWEAL_MANAGEMENT_URL must look like http://host:15672, without a user: COMMONWEAL_AMQP_URI has it"
            )

    def _request(self, method: str, path: str, body: object = None) -> Any:
        path = path.replace("{vhost}", quote(self.vhost, safe=""))
        request = urllib.request.Request(
            f"{self.url}/api/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Basic {self._credentials}", "Content-Type": "application/json"},
        )
        asked = f"the management API at {self.url}"
        try:
            with self._http.open(request, timeout=TIMEOUT_S) as answer:
                content = answer.read(MAX_ANSWER_BYTES + 1)
        except urllib.error.HTTPError as refusal:
            with refusal:
                reason = _REASONS.get(refusal.code) or f"it answers with status {refusal.code}: {_reason_in(refusal)}"
            raise ManagementError(f"{asked} was asked to {method} /api/{path}: {reason}", refusal.code) from refusal
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or str(error) or type(error).__name__
            raise ManagementError(
                f"{asked} does not answer: {reason}; is COMMONWEAL_MANAGEMENT_URL right,"
                " and the plugin rabbitmq_management on?"
            ) from error
        if len(content) > MAX_ANSWER_BYTES:
            raise ManagementError(f"{asked} answers /api/{path} with more than {MAX_ANSWER_BYTES:,} bytes")
        try:
            return json.loads(content) if content else None
        except ValueError as error:
            raise ManagementError(f"{asked} does not answer in JSON; is COMMONWEAL_MANAGEMENT_URL right?") from error


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows none: the password would go along to wherever it leads."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _reason_in(refusal: urllib.error.HTTPError) -> str:
    content = refusal.read(10_000).decode(errors="replace")
    try:
        return str(json.loads(content)["reason"])[:500]
    except (ValueError, KeyError, TypeError):
        return content[:200]
