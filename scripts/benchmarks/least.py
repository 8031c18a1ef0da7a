"""What must be done to a layer's bytes and nothing else: the kernel's work, SHA-256 of each piece and of the whole, and a
file. What a node takes beyond that is its own.

usage: least.py send ADDRESS PORT FILE PIECE       sends FILE piece by piece, as it is asked for them, and ends
       least.py receive ADDRESS PORT SIZE PIECE FILE  asks for the pieces, hashes them and writes them to FILE
       least.py relay PORT URL PIECE FILE           one request after the other: reads URL, hashes it and writes it to FILE,
                                                    and sends it on

The last line of the first two is the CPU-seconds they took, in JSON.
"""
import hashlib
import json
import os
import queue
import resource
import socket
import sys
import threading
from urllib.parse import urlsplit


def spent():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def fill(connection, memory):
    """How much of `memory` could be filled before the other side closed."""
    at = 0
    while at < len(memory):
        n = connection.recv_into(memory[at:], len(memory) - at, socket.MSG_WAITALL)
        if n == 0:
            break
        at += n
    return at


def write(file, memory, at):
    done = 0
    while done < len(memory):
        done += os.pwrite(file, memory[done:], at + done)


def listen(address, port):
    listener = socket.create_server((address, port))
    print("ready", flush=True)
    return listener


def send(address, port, path, piece):
    listener = listen(address, int(port))
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        connection, _ = listener.accept()
        before = spent()
        for start in range(0, size, piece):
            if not connection.recv(256):
                break
            end = min(start + piece, size)
            while start < end:
                start += os.sendfile(connection.fileno(), file.fileno(), start, end - start)
        # The kernel still works on what it has taken.
        connection.recv(1)
        print(json.dumps({"cpuSeconds": spent() - before}), flush=True)


def receive(address, port, size, piece, path):
    memory = memoryview(bytearray(piece))
    file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_TRUNC, 0o600)
    connection = socket.create_connection((address, int(port)))
    before = spent()
    whole = hashlib.sha256()
    for start in range(0, size, piece):
        connection.sendall(b"the next piece")
        part = memory[: min(piece, size - start)]
        if fill(connection, part) < len(part):
            sys.exit("the sender has left")
        hashlib.sha256(part).digest()
        whole.update(part)
        write(file, part, start)
    whole.hexdigest()
    print(json.dumps({"cpuSeconds": spent() - before}), flush=True)


def relay(port, url, piece, path):
    """Two threads, for there is work for two: one takes, the other passes on."""
    listener = listen("127.0.0.1", int(port))
    free = queue.Queue()
    for _ in range(8):
        free.put(memoryview(bytearray(piece)))
    while True:
        client, _ = listener.accept()
        client.recv(65536)
        place = urlsplit(url)
        source = socket.create_connection((place.hostname, place.port or 80))
        source.sendall(f"GET {place.path} HTTP/1.1\r\nhost: {place.netloc}\r\nconnection: close\r\n\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += source.recv(1)
        client.sendall(head)
        taken = queue.Queue()
        passing = threading.Thread(target=pass_on, args=(taken, free, client))
        passing.start()
        file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_TRUNC, 0o600)
        at = 0
        while True:
            memory = free.get()
            length = fill(source, memory)
            part = memory[:length]
            hashlib.sha256(part).digest()
            write(file, part, at)
            at += length
            taken.put((memory, part))
            if length < piece:
                break
        taken.put(None)
        passing.join()
        os.close(file)
        os.unlink(path)
        source.close()
        client.close()


def pass_on(taken, free, client):
    whole = hashlib.sha256()
    while (each := taken.get()) is not None:
        memory, part = each
        whole.update(part)
        try:
            client.sendall(part)
        except OSError:
            pass
        free.put(memory)


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    if what == "send":
        address, port, path, piece = arguments
        send(address, port, path, int(piece))
    elif what == "receive":
        address, port, size, piece, path = arguments
        receive(address, port, int(size), int(piece), path)
    elif what == "relay":
        port, url, piece, path = arguments
        relay(port, url, int(piece), path)
    else:
        sys.exit(__doc__)
