"""A RabbitMQ for the tests, with a fresh vhost for whoever asks."""

import base64
import contextlib
import json
import secrets
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import amqp

from tests.support.servers.lifecycle import Lifecycle
from tests.support.servers.sources import StartFailed
from tests.support.servers.waiting import wait_until

READY_DEADLINE_S = 90.0

# What rabbitmqctl is told to raise an alarm, and to end it.
_ALARMS = {
    "memory": (("set_vm_memory_high_watermark", "absolute", "1"), ("set_vm_memory_high_watermark", "0.4")),
    "disk": (("set_disk_free_limit", "100000GB"), ("set_disk_free_limit", "1MB")),
}

# The management API is on this machine or near it, and never behind the proxy that the environment may name.
_http = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ManagementError(Exception):
    """The broker's management API refused a request."""


class Broker:
    """One RabbitMQ node.

    Attributes:
        amqp_uri: where to connect, to the default vhost, as a user who may do anything.
        management_url: the base address of the management API, without user and password.
        tls_port: where it listens for encrypted connections; None where it does not.
        version: RabbitMQ's, once it is ready.
    """

    def __init__(
        self, amqp_uri: str, management_url: str, lifecycle: Lifecycle, *, tls_port: int | None = None
    ) -> None:
        self.amqp_uri = amqp_uri
        self.management_url = management_url
        self.tls_port = tls_port
        self.version = ""
        self._obstacle = ""
        self._lifecycle = lifecycle
        self._vhosts: set[str] = set()

    def create_vhost(self) -> str:
        """The AMQP URI of a fresh vhost with a random name, in which the same user may do anything.

        Raises:
            ManagementError: the management API refused.
        """
        name = f"test-{secrets.token_hex(6)}"
        self.manage("PUT", f"vhosts/{name}")
        self.manage(
            "PUT", f"permissions/{name}/{quote(self._user, safe='')}", {"configure": ".*", "write": ".*", "read": ".*"}
        )
        uri = urlsplit(self.amqp_uri)._replace(path=f"/{name}").geturl()
        self._vhosts.add(uri)
        return uri

    def delete_vhost(self, uri: str) -> None:
        """Deletes a vhost that `create_vhost` made, whoever is connected to it.

        Raises:
            ValueError: it was not made by this broker's `create_vhost`.
            ManagementError: the management API refused.
        """
        if uri not in self._vhosts:
            raise ValueError(f"{urlsplit(uri).path} is not one of the vhosts that were created here")
        self.manage("DELETE", f"vhosts{urlsplit(uri).path}")
        self._vhosts.remove(uri)

    def manage(self, method: str, path: str, body: object = None, *, timeout_s: float = 30) -> Any:
        """A request to the management API.

        Args:
            method: GET, PUT, POST or DELETE.
            path: what follows `/api/`, with its parts quoted.
            body: what to send, as JSON.
            timeout_s: seconds to wait for the answer.

        Returns:
            The decoded answer; None if it is empty.

        Raises:
            ManagementError: it answered with an error.
            OSError: it does not answer.
        """
        credentials = base64.b64encode(f"{self._user}:{self._password}".encode()).decode()
        request = urllib.request.Request(
            f"{self.management_url}/api/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Basic {credentials}", "Content-Type": "application/json"},
        )
        try:
            with _http.open(request, timeout=timeout_s) as answer:
                content = answer.read()
        except urllib.error.HTTPError as refusal:
            reason = refusal.read().decode(errors="replace")
            raise ManagementError(f"{method} /api/{path}: {refusal.code} {reason}") from refusal
        return json.loads(content) if content else None

    def wait_until_ready(self, deadline_s: float = READY_DEADLINE_S) -> None:
        """Returns once clients and the management API are served.

        Raises:
            StartFailed: the broker ended, or the deadline passed.
        """
        try:
            address = urlsplit(self.amqp_uri).netloc.rpartition("@")[2]
            wait_until(self._ready, what=f"RabbitMQ at {address}", deadline_s=deadline_s, every_s=0.1)
        except TimeoutError as late:
            raise StartFailed(f"{late}: {self._obstacle}\n{self._lifecycle.log_tail()}") from late

    def start(self) -> None:
        """Starts the broker, and returns when it is ready.

        Raises:
            StartFailed: it didn't get ready.
        """
        self._lifecycle.start()
        self.wait_until_ready()

    def wait_for_nodes(self, number: int, deadline_s: float = READY_DEADLINE_S) -> None:
        """Returns once the broker is one of so many nodes of a cluster that see one another.

        Raises:
            StartFailed: the deadline passed.
        """
        try:
            wait_until(lambda: self._nodes_seen() == number, what=f"a cluster of {number}", deadline_s=deadline_s)
        except TimeoutError as late:
            raise StartFailed(f"{late}:\n{self._lifecycle.log_tail()}") from late

    def restart(self) -> None:
        """Starts the broker again with the same ports and data, after an orderly stop (some 6 s) if it runs.

        Raises:
            StartFailed: it didn't get ready again.
        """
        if self._lifecycle.running:
            self._lifecycle.shut_down()
        self.start()

    def shut_down(self) -> None:
        """Ends the broker in an orderly way and keeps its data; `restart` brings it back."""
        self._lifecycle.shut_down()

    def kill(self) -> None:
        """Ends the broker by SIGKILL, as a crash would; `restart` brings it back."""
        self._lifecycle.kill()

    @contextlib.contextmanager
    def alarm(self, resource: str) -> Iterator[None]:
        """Has the broker run short of something within the block: it reads from no connection that publishes.

        Args:
            resource: `memory` or `disk`.
        """
        raise_it, end_it = _ALARMS[resource]
        try:
            self._lifecycle.run("rabbitmqctl", *raise_it)
            wait_until(lambda: self._alarm_is(True, resource), what=f"the alarm that {resource} is short")
            yield
        finally:
            self._lifecycle.run("rabbitmqctl", *end_it)
            wait_until(lambda: self._alarm_is(False, resource), what=f"the end of the alarm that {resource} is short")

    def _alarm_is(self, on: bool, resource: str) -> bool:
        # A node that has just started says nothing of its alarms yet.
        name = f"{'mem' if resource == 'memory' else 'disk_free'}_alarm"
        return all(node.get(name) is on for node in self.manage("GET", "nodes"))

    def stop(self) -> None:
        """Ends the broker for good and removes its data; a named one is left alone."""
        self._lifecycle.remove()

    def _nodes_seen(self) -> int:
        try:
            return sum(node["running"] for node in self.manage("GET", "nodes", timeout_s=5))
        except (OSError, ManagementError):
            return 0

    def _ready(self) -> bool:
        if not self._lifecycle.running:
            raise StartFailed(f"RabbitMQ ended while it started; its log ends:\n{self._lifecycle.log_tail()}")
        try:
            self.manage("GET", "overview", timeout_s=5)
            with self._connect() as connection:
                self.version = connection.server_properties["version"]
        except (OSError, ManagementError, amqp.exceptions.AMQPError) as error:
            self._obstacle = str(error)
            return False
        return True

    def _connect(self) -> amqp.Connection:
        parts = urlsplit(self.amqp_uri)
        encrypted = parts.scheme == "amqps"
        return amqp.Connection(
            host=f"{parts.hostname}:{parts.port or (5671 if encrypted else 5672)}",
            userid=self._user,
            password=self._password,
            virtual_host=unquote(parts.path[1:]) or "/",
            ssl=encrypted,
            connect_timeout=5,
            read_timeout=5,
        )

    @property
    def _user(self) -> str:
        return unquote(urlsplit(self.amqp_uri).username or "guest")

    @property
    def _password(self) -> str:
        return unquote(urlsplit(self.amqp_uri).password or "guest")
