"""Runs the bundled example with its source in S3 (moto on a loopback port of its own) and compares
the result with the same run on local files. Usage: s3.py BINARY"""

import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile

import boto3
from moto.server import ThreadedMotoServer

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURE = ROOT / "fixtures" / "action_log"
COUNTS = ["lines", "decoded", "rejected", "blank", "rejects_by_reason", "unknown_fields"]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(binary, out, **environment):
    command = [binary, "run", "--quiet", str(ROOT / "sql" / "action_log"), "--date", "2026-11-21"]
    finished = subprocess.run(
        command, env={**os.environ, "ASHIATO_OUT": out, **environment}, stdout=subprocess.PIPE
    )
    assert finished.returncode == 0, finished
    return json.loads(finished.stdout)


def main(binary):
    binary = str(pathlib.Path(binary).resolve())
    port = free_port()
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    try:
        endpoint = f"http://127.0.0.1:{port}"
        access = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
        client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="key",
            aws_secret_access_key="secret",
        )
        client.create_bucket(Bucket="logs")
        for path in sorted(FIXTURE.rglob("*")):
            if path.is_file():
                client.upload_file(str(path), "logs", f"raw/{path.relative_to(FIXTURE)}")
        with tempfile.TemporaryDirectory() as local, tempfile.TemporaryDirectory() as remote:
            expected = run(binary, local)
            found = run(
                binary,
                remote,
                ASHIATO_SOURCE="s3://logs/raw",
                AWS_ENDPOINT=endpoint,
                AWS_ALLOW_HTTP="true",
                AWS_REGION="us-east-1",
                **access,
            )
        for count in COUNTS:
            assert found[count] == expected[count], (count, found[count], expected[count])
        assert found["sources"]["objects"] == expected["sources"]["objects"]
        for name, output in expected["outputs"].items():
            assert found["outputs"][name]["rows"] == output["rows"], name
    finally:
        server.stop()
    print(f"s3: {found['lines']} lines from {found['sources']['objects']} objects, as from disk")


if __name__ == "__main__":
    main(sys.argv[1])
