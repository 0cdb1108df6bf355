"""What trials need beside a collector, each on a loopback port: Redis, nginx, a slow store."""

import contextlib
import http.server
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import zstandard

NGINX = """
worker_processes 2;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
    access_log {folder}/access.log combined;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 100000000;
    server {{
        listen 127.0.0.1:{port};
        location / {{ return 204; }}
    }}
}}
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def await_port(port):
    for _ in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.05)
    raise TimeoutError(f"nobody listens on port {port}")


def fresh(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


@contextlib.contextmanager
def redis(work):
    """Redis that writes its log to disk before it answers."""
    folder, port = fresh(work / "redis-server"), free_port()
    command = ["redis-server", "--port", str(port), "--dir", folder, "--save", ""]
    command += ["--appendonly", "yes", "--appendfsync", "always"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        await_port(port)
        yield port
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def nginx(work):
    """nginx: 204 for everything, and a line in its access log."""
    folder, port = fresh(work / "nginx-server"), free_port()
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, port=port))
    binary = shutil.which("nginx") or "/usr/sbin/nginx"
    process = subprocess.Popen([binary, "-c", config, "-g", "daemon off;"])

    def workers():
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        return [process.pid, *map(int, children)]

    try:
        await_port(port)
        yield f"127.0.0.1:{port}", workers
    finally:
        process.terminate()
        process.wait()


class SlowStore(http.server.BaseHTTPRequestHandler):
    """As much of S3 as landing uses: conditional puts, each answered after a while."""

    protocol_version = "HTTP/1.1"

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(self.server.delay_s)
        path = self.server.folder / re.sub(r"\W", "_", self.path)
        if path.exists():
            return self.answer(412, b"<Error><Code>PreconditionFailed</Code></Error>")
        path.write_bytes(body)
        return self.answer(200, headers=[("ETag", '"1"')])

    def do_GET(self):
        path = self.server.folder / re.sub(r"\W", "_", self.path)
        if not path.exists():
            return self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        modified = ("Last-Modified", self.date_time_string())
        return self.answer(200, path.read_bytes(), [("ETag", '"1"'), modified])

    def log_message(self, *_):
        pass


class Landed:
    """What a slow store was given."""

    def __init__(self, folder):
        self.folder = folder

    def lines(self):
        lines, ids = 0, set()
        for path in self.folder.iterdir():
            with path.open("rb") as packed:
                text = zstandard.ZstdDecompressor().stream_reader(packed).read()
            events = text.splitlines()
            lines += len(events)
            ids.update(event[13:49] for event in events)
        return lines, len(ids)


@contextlib.contextmanager
def slow_store(work, delay_s):
    """A store that answers each put after `delay_s` seconds."""
    folder = fresh(work / "slow-store")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), SlowStore)
    server.delay_s, server.folder = delay_s, folder
    threading.Thread(target=server.serve_forever, daemon=True).start()
    set_for_store = {
        "AWS_ENDPOINT": f"http://127.0.0.1:{server.server_address[1]}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
    }
    os.environ |= set_for_store
    try:
        yield Landed(folder)
    finally:
        server.shutdown()
        for name in set_for_store:
            os.environ.pop(name)
