"""A network between clients and brokers that can be cut, healed and slowed: a TCP proxy in a thread of its own.

Clients find brokers by what these advertise, so that a proxy is on the way only where brokers advertise its ports:
``Cluster.routes`` and ``Cluster.proxied_bootstrap``.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine, Iterable, Mapping
from types import TracebackType
from typing import Any, Final, Self

from tests.kafka.node import HOST

CHUNK: Final = 1 << 16
CHUNKS_ON_THE_WAY: Final = 64  # that a delayed direction holds before it reads no more
RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER with no time: closing sends RST

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Proxy:
    """Forward connections from ports of this machine to other ports of it.

    Parameters
    ----------
    routes
        Port to listen on → port to forward to, as ``Cluster.routes`` has them.
    """

    def __init__(self, routes: Mapping[int, int]) -> None:
        self._routes = dict(routes)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._servers: dict[int, asyncio.Server] = {}
        self._connections: dict[asyncio.Task[None], tuple[int, list[asyncio.StreamWriter]]] = {}
        self._flowing = {port: asyncio.Event() for port in self._routes}
        self._delay = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            self.heal()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def connections(self) -> int:
        """Return how many connections there are now."""
        return len(self._connections)

    def cut(self, ports: Iterable[int] | None = None) -> None:
        """Reset every connection and refuse new ones: through some *ports*, by default through all."""
        self._run(self._cut(self._chosen(ports)))

    def hold(self, ports: Iterable[int] | None = None) -> None:
        """Let nothing through, and let nobody know: connections stay open and new ones are taken, as in a cable cut."""
        self._run(self._hold(self._chosen(ports)))

    def heal(self, ports: Iterable[int] | None = None) -> None:
        """Undo ``cut`` and ``hold``; what was held goes through."""
        self._run(self._heal(self._chosen(ports)))

    def delay(self, seconds: float) -> None:
        """Let everything from now on take so much longer, each way."""
        self._run(self._set_delay(seconds))

    # --- in the thread -----------------------------------------------------------------------------------------------

    def _run(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(30)

    def _chosen(self, ports: Iterable[int] | None) -> list[int]:
        return list(self._routes if ports is None else ports)

    async def _set_delay(self, seconds: float) -> None:
        self._delay = seconds

    async def _cut(self, ports: list[int]) -> None:
        for port in ports:
            server = self._servers.pop(port, None)
            if server is not None:
                server.close()
        ending = [task for task, (port, _) in self._connections.items() if port in ports]
        for task in ending:
            for writer in self._connections[task][1]:
                _reset(writer)
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        await asyncio.sleep(0)  # transports close in the loop's next round

    async def _hold(self, ports: list[int]) -> None:
        for port in ports:
            self._flowing[port].clear()

    async def _heal(self, ports: list[int]) -> None:
        for port in ports:
            self._flowing[port].set()
            if port not in self._servers:
                self._servers[port] = await asyncio.start_server(self._taker(port), HOST, port)

    def _taker(self, port: int) -> Any:
        """Return what asyncio calls with each connection to *port*."""

        def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = self._loop.create_task(self._connect(port, (reader, writer)))
            self._connections[task] = (port, [writer])
            task.add_done_callback(self._connections.pop)

        return take

    async def _connect(self, port: int, client: Streams) -> None:
        task = asyncio.current_task()
        assert task is not None
        writers = self._connections[task][1]
        try:
            await self._flowing[port].wait()
            broker = await asyncio.open_connection(HOST, self._routes[port])
            writers.append(broker[1])
            async with asyncio.TaskGroup() as both:
                both.create_task(self._forward(port, client[0], broker[1]))
                both.create_task(self._forward(port, broker[0], client[1]))
        except* OSError:
            pass  # one side is done, or there is no broker: so is the connection
        finally:
            for writer in writers:
                writer.close()

    async def _forward(self, port: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on one direction until its end; then the whole connection ends, as Kafka's do."""
        on_the_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_ON_THE_WAY)
        reading = self._loop.create_task(self._read(reader, on_the_way))
        try:
            while True:
                due, chunk = await on_the_way.get()
                await asyncio.sleep(due - self._loop.time())
                await self._flowing[port].wait()
                if not chunk:
                    raise ConnectionResetError("the other side is done")
                writer.write(chunk)
                await writer.drain()
        finally:
            reading.cancel()

    async def _read(self, reader: asyncio.StreamReader, on_the_way: "asyncio.Queue[tuple[float, bytes]]") -> None:
        chunk = b"more"
        while chunk:
            try:
                chunk = await reader.read(CHUNK)
            except OSError:
                chunk = b""
            await on_the_way.put((self._loop.time() + self._delay, chunk))


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection so that the other side sees it at once, and nothing that was held goes through."""
    connection = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
