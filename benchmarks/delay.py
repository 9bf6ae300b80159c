"""A slow link on one machine: a TCP forwarder that hands everything on after half a round trip.

For machines whose kernel has no `tc qdisc ... netem`. Bandwidth stays what it is, only time is added, in both
directions and to the first packet of a connection.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial


@contextmanager
def forwarded(target_ports: list[int], round_trip_s: float) -> Iterator[list[int]]:
    """Ports of 127.0.0.1 that lead to `target_ports` there, each `round_trip_s` away; closed afterwards."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def listen() -> list[asyncio.Server]:
        return [
            await asyncio.start_server(partial(_serve, port, round_trip_s), "127.0.0.1", 0) for port in target_ports
        ]

    async def close() -> None:
        for server in servers:
            server.close()
        mine = asyncio.current_task()
        open_ones = [task for task in asyncio.all_tasks() if task is not mine]
        for task in open_ones:
            task.cancel()
        await asyncio.gather(*open_ones, return_exceptions=True)

    servers = asyncio.run_coroutine_threadsafe(listen(), loop).result()
    try:
        yield [server.sockets[0].getsockname()[1] for server in servers]
    finally:
        asyncio.run_coroutine_threadsafe(close(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _serve(
    target_port: int, round_trip_s: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    # A cancelled task of a server is one whose error asyncio prints (streams.py, 3.11); here it is just the end.
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(round_trip_s)  # what TCP's own handshake takes on such a link
        onward_reader, onward_writer = await asyncio.open_connection("127.0.0.1", target_port)
        try:
            await asyncio.gather(
                _pass_on(reader, onward_writer, round_trip_s / 2), _pass_on(onward_reader, writer, round_trip_s / 2)
            )
        finally:
            writer.close()
            onward_writer.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
    """Everything read is written `delay_s` later, in order; the end, too."""
    loop = asyncio.get_running_loop()
    under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def take() -> None:
        data = b"-"
        while data:
            try:
                data = await reader.read(65536)
            except ConnectionError:
                data = b""
            under_way.put_nowait((loop.time() + delay_s, data))

    async def give() -> None:
        while True:
            due, data = await under_way.get()
            await asyncio.sleep(due - loop.time())
            with suppress(ConnectionError, RuntimeError):
                if not data:
                    writer.write_eof()
                    return
                writer.write(data)
                await writer.drain()

    await asyncio.gather(take(), give())
