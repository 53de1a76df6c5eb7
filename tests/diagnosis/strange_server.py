"""A server that says strange things of itself: an old version, another time. It knows what the checks ask, no more."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager


class StrangeServer:
    """Answers ECHO, INFO and TIME as it is told, and OK to anything else."""

    def __init__(self, info: str, time: float) -> None:
        self._info = info.replace("\n", "\r\n")
        self._time = time

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until the peer has gone."""
        try:
            while words := await self._command(reader):
                writer.write(self._answer(words))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _command(self, reader: asyncio.StreamReader) -> list[str]:
        count = int((await reader.readexactly(4)).strip(b"*\r\n") or 0)
        words: list[str] = []
        for _ in range(count):
            length = int((await reader.readline())[1:])
            words.append((await reader.readexactly(length + 2))[:-2].decode())
        return words

    def _answer(self, words: list[str]) -> bytes:
        match words[0].upper():
            case "ECHO":
                return _bulk(words[1])
            case "INFO":
                return _bulk(self._info)
            case "TIME":
                return b"*2\r\n" + _bulk(f"{self._time:.0f}") + _bulk("0")
            case _:
                return b"+OK\r\n"


def _bulk(text: str) -> bytes:
    return f"${len(text)}\r\n{text}\r\n".encode()


@asynccontextmanager
async def strange_server(info: str = "redis_version:7.0.0\n", time: float = 0.0) -> AsyncGenerator[str]:
    """Runs one; its REDIS_URL."""
    server = await asyncio.start_server(StrangeServer(info, time).serve, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
