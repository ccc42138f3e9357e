"""websockets against an echo behind Vestibule at the URL that is given, as many at once as is given."""

import random
import sys

from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK
from websockets.frames import CloseCode
from websockets.sync.client import connect

url, at_once = sys.argv[1], int(sys.argv[2])
noise = random.Random(1)


def talk(**more):
    return connect(url, max_size=None, open_timeout=30, close_timeout=30, proxy=None, **more)


with talk() as socket:
    socket.send("grüße")
    assert socket.recv(timeout=30) == "grüße"
    # On both sides of each width that a length can have, and larger than every buffer on the way.
    for length in (0, 1, 125, 126, 127, 65_535, 65_536, 1_000_003, 8_000_000):
        data = noise.randbytes(length)
        socket.send(data)
        assert socket.recv(timeout=60) == data, length
    # A message in fragments.
    socket.send(["one ", "two ", "three"])
    assert socket.recv(timeout=30) == "one two three"
    # Many before the first answer is read.
    for number in range(500):
        socket.send(f"message {number}")
    assert [socket.recv(timeout=30) for _ in range(500)] == [f"message {number}" for number in range(500)]
    assert socket.ping("are you there?").wait(timeout=30), "no pong"
    # The client closes first.
    socket.close(code=CloseCode.NORMAL_CLOSURE, reason="enough")
assert (socket.protocol.close_rcvd.code, socket.protocol.close_rcvd.reason) == (1000, "enough")
assert not socket.protocol.close_rcvd_then_sent, "the client closed first"

# The application closes first.
with talk() as socket:
    socket.send("close")
    try:
        socket.recv(timeout=30)
        raise AssertionError("no close")
    except (ConnectionClosedOK, ConnectionClosedError) as closed:
        assert (closed.rcvd.code, closed.rcvd.reason) == (1001, "as asked"), closed
        assert closed.rcvd_then_sent, closed

# Compressed messages, where both sides speak of it: the echo does not, so they stay as they are.
with talk(compression="deflate") as socket:
    assert not socket.protocol.extensions
    socket.send("x" * 100_000)
    assert socket.recv(timeout=30) == "x" * 100_000

# Several at the same time.
sockets = [talk() for _ in range(at_once)]
for number, socket in enumerate(sockets):
    socket.send(f"socket {number}")
for number, socket in reversed(list(enumerate(sockets))):
    assert socket.recv(timeout=30) == f"socket {number}"
for socket in sockets:
    socket.close()

print("fine")
