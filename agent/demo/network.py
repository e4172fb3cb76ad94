"""The demo's network: an embedded MQTT broker, and a cable that can be pulled.

The gates and the collector connect through `Cable`, so that a cut is a cut whichever broker plays.
The embedded broker (amqtt) speaks MQTT 3.1.1 only.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Coroutine
from typing import Any

__all__ = ["Cable", "EmbeddedBroker", "Loop"]

START_TIMEOUT_S = 10.0
CHUNK = 65_536


class Loop:
    """An asyncio loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, Any], timeout_s: float = START_TIMEOUT_S) -> Any:
        """Run a coroutine in the loop and wait for its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout_s)

    def close(self) -> None:
        """End what still runs, and the loop."""
        if self._loop.is_closed():
            return
        self.call(self._cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(START_TIMEOUT_S)
        self._loop.close()

    @staticmethod
    async def _cancel_all() -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class EmbeddedBroker:
    """An MQTT 3.1.1 broker in this process.

    Args:
        loop: where it runs.
        port: on the loopback address.
    """

    def __init__(self, loop: Loop, port: int) -> None:
        from amqtt.broker import Broker

        # Its own word of every connection would drown the day.
        for name in ("amqtt", "transitions"):
            logging.getLogger(name).setLevel(logging.ERROR)
        self._loop = loop
        config: dict[str, Any] = {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {
                "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}
            },
        }

        async def build() -> Broker:
            return Broker(config)

        self._broker = loop.call(build())
        loop.call(self._broker.start())

    def close(self) -> None:
        """Stop the broker."""
        self._loop.call(self._broker.shutdown())


class Cable:
    """A network cable between this machine's clients and a broker; `pull` and `plug` it.

    Args:
        loop: where it runs.
        host, port: of the broker.
    """

    def __init__(self, loop: Loop, host: str, port: int) -> None:
        self._loop = loop
        self._target = (host, port)
        self._plugged = True
        self._lines: set[asyncio.StreamWriter] = set()
        self._server = loop.call(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def pull(self) -> None:
        """Cut every connection and refuse new ones."""
        self._plugged = False
        self._loop.call(self._cut())

    def plug(self) -> None:
        """Let connections through again."""
        self._plugged = True

    def close(self) -> None:
        """Cut everything and stop listening."""
        self.pull()
        self._server.close()

    async def _cut(self) -> None:
        for writer in list(self._lines):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._plugged:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        self._lines |= {writer, far_writer}
        await asyncio.gather(
            self._carry(reader, far_writer), self._carry(far_reader, writer), return_exceptions=True
        )
        self._lines -= {writer, far_writer}

    @staticmethod
    async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Copy one direction; its end ends the other side."""
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK):
                writer.write(chunk)
                await writer.drain()
        writer.transport.abort()
