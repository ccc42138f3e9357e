"""httpx against Vestibule at the URL that is given: a pool of connections, uploads and downloads as streams.

With a second argument, the file of an authority: over TLS and HTTP/2.
"""

import hashlib
import asyncio
import ssl
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx

base = sys.argv[1]
secure = len(sys.argv) > 2
verify = ssl.create_default_context(cafile=sys.argv[2]) if secure else True
limits = httpx.Limits(max_connections=4, max_keepalive_connections=4)


def connections(client):
    return len(client._transport._pool.connections)


options = {"base_url": base, "timeout": 60, "limits": limits, "http2": secure, "verify": verify}


async def sixty_on_one_connection():
    async with httpx.AsyncClient(**options) as client:
        gate = asyncio.Semaphore(20)

        async def get(n):
            async with gate:
                return await client.get("/sleep", params={"token": n, "ms": 2})

        answers = await asyncio.gather(*map(get, range(60)))
        return answers, connections(client)


def sixty_on_four_connections():
    with httpx.Client(**options) as client, ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda n: client.get("/sleep", params={"token": n, "ms": 2}), range(60)))
        return answers, connections(client)


# Sixty requests, twenty at a time, share four connections, or one of HTTP/2. Threads would not do for HTTP/2: httpcore 1.0.9 takes a
# stream's number and sends its head without a lock between, so now and then the numbers go down, which no server may take
# (RFC 9113, 5.1.1; nginx ends such a connection too).
answers, used = asyncio.run(sixty_on_one_connection()) if secure else sixty_on_four_connections()
assert [answer.status_code for answer in answers] == [200] * 60
assert [answer.text for answer in answers] == [str(n) for n in range(60)]
assert {answer.http_version for answer in answers} == {"HTTP/2" if secure else "HTTP/1.1"}
assert used == (1 if secure else 4), used

with httpx.Client(**options) as client:
    ports = {client.get("/").extensions["network_stream"].get_extra_info("client_addr")[1] for _ in range(20)}
    assert len(ports) == 1, f"one after the other used {len(ports)} connections"

    # A generator has no length: it goes in chunks.
    parts = [bytes([n]) * (1 + n * 1000) for n in range(100)]
    digest = hashlib.sha256(b"".join(parts)).hexdigest()
    answer = client.post("/upload", content=iter(parts))
    assert answer.request.headers["transfer-encoding"] == "chunked"
    assert answer.text == f"{sum(map(len, parts))} {digest}", answer.text
    answer = client.post("/upload", content=b"".join(parts))
    assert answer.text == f"{sum(map(len, parts))} {digest}", answer.text

    for more in ({}, {"chunked": 1}):
        with client.stream("GET", "/lines", params={"bytes": 3_000_000, **more}) as answer:
            lines = [line for line in answer.iter_lines()]
        assert lines == [f"{n:015d}" for n in range(187_500)], len(lines)

    # One that is not read to its end costs its connection, and nothing else. Over HTTP/2 httpx neither resets such a stream nor
    # opens the connection's window (16 MiB) for what still comes of it, so there it is less than that.
    with client.stream("GET", "/big", params={"bytes": 1_000_000 if secure else 50_000_000}) as answer:
        assert next(answer.iter_bytes())
    assert client.get("/").status_code == 200

    with client.stream("GET", "/sse") as answer:
        events = [line for line in answer.iter_lines() if line]
    assert events == ["data: one", "data: two", "data: three"], events

    seen = client.request("DELETE", "/echo", params={"a": "ü &"}, headers={"X-One": "1"}).json()
    assert (seen["method"], seen["query"]) == ("DELETE", "a=%C3%BC+%26"), seen
    assert seen["fields"]["HTTP_X_ONE"] == "1", seen
    assert client.head("/").text == ""
    assert client.get("/missing").status_code == 404
    assert client.get("/cookies").headers.get_list("set-cookie")[2] == "c=3"

print("fine")
