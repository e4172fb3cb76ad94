"""Servers of their own for a chaos run: RabbitMQ and PostgreSQL in scratch directories."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port: int, timeout_s: float = 10.0) -> None:
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise TimeoutError(f"nothing listens on port {port}")


class PostgreSql:
    """A PostgreSQL server with its own data; it refuses to be root, so root lends it a user."""

    def __init__(self) -> None:
        versions = sorted(
            Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name)
        )
        if not versions:
            raise FileNotFoundError("no server in /usr/lib/postgresql")
        self._directory = Path(tempfile.mkdtemp(prefix="chaos-postgresql-"))
        user: dict = {}
        if os.geteuid() == 0:
            user = {"user": "postgres", "group": "postgres", "extra_groups": []}
            shutil.chown(self._directory, "postgres", "postgres")
        data = self._directory / "data"
        port = free_port()
        self.url = f"postgresql://chaos@127.0.0.1:{port}/postgres"
        with (self._directory / "log").open("wb") as log:
            subprocess.run(
                [versions[-1] / "initdb", "-D", data, "-A", "trust", "-U", "chaos"],
                check=True, stdout=log, stderr=log, cwd=self._directory, **user,
            )  # fmt: skip
            self._process = subprocess.Popen(
                [
                    versions[-1] / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1",
                    "-c", "unix_socket_directories=",
                ],
                stdout=log, stderr=log, cwd=self._directory, **user,
            )  # fmt: skip
        wait_for_port(port, 30.0)

    def close(self) -> None:
        """Stop it without waiting for clients, and remove its data."""
        self._process.send_signal(signal.SIGINT)
        self._process.wait(30)
        shutil.rmtree(self._directory)


class RabbitMq:
    """A RabbitMQ node of its own in a scratch directory, with a port mapper of its own."""

    def __init__(self, directory: Path, port: int) -> None:
        amqp = free_port()
        (directory / "plugins").write_text("[rabbitmq_mqtt].\n")
        (directory / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{amqp}\nmqtt.listeners.tcp.1 = 127.0.0.1:{port}\n"
            "mqtt.allow_anonymous = true\n"
        )
        self.environment = {
            "HOME": str(directory),
            "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(directory / "log"),
            "RABBITMQ_NODENAME": "chaos@localhost",
            "RABBITMQ_NODE_PORT": str(amqp),
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
            "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_PID_FILE": str(directory / "rabbitmq.pid"),
            "ERL_EPMD_PORT": str(free_port()),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_RELAXED_COMMAND_CHECK": "1",
        }

    def close(self) -> None:
        """End the port mapper, which Erlang starts as a daemon."""
        command = ["epmd", "-kill"]
        subprocess.run(
            command, env={**os.environ, **self.environment}, check=False, capture_output=True
        )
