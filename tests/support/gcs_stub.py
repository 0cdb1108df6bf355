"""The calls of Google Cloud Storage's XML API that object_store makes, on a loopback port.

There is no usable stand-in for Google's store: those to be had ignore conditions. This one keeps
objects in memory, by generations, and heeds x-goog-if-generation-match. It prints its port and ends
with its standard input.

https://cloud.google.com/storage/docs/xml-api/reference-methods
"""

import datetime
import email.utils
import gzip
import hashlib
import itertools
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.etree import ElementTree
from xml.sax.saxutils import escape

LOCK = threading.Lock()
GENERATIONS = itertools.count(1)
OBJECTS = {}  # name → (generation, bytes, time)
PACKED = set()  # names of objects that are stored with `Content-Encoding: gzip`
REFUSED = {  # objects that are listed and not handed out, by a word of their names
    "denied": (403, "AccessDenied"),
    "customers_key": (400, "ResourceIsEncryptedWithCustomerEncryptionKey"),
}
UPLOADS = {}  # id → {"key", "begun", "parts": {number: (tag, bytes)}}


def tag(data):
    return '"' + hashlib.md5(data).hexdigest() + '"'


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", headers=()):
        if isinstance(body, str):
            body = body.encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status, code):
        self.answer(status, f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>")

    def target(self):
        parts = urllib.parse.urlsplit(self.path)
        _, _, key = urllib.parse.unquote(parts.path).lstrip("/").partition("/")
        query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
        return key, query

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def put_object(self, key, data):
        """Under the lock; gives the generation, or nothing if a condition refuses it."""
        wanted = self.headers.get("x-goog-if-generation-match")
        found = OBJECTS.get(key, (0,))[0]
        if wanted is not None and int(wanted) != found:
            return None
        if self.headers.get("Content-Encoding") == "gzip":
            PACKED.add(key)
        OBJECTS[key] = (next(GENERATIONS), data, datetime.datetime.now(datetime.timezone.utc))
        return OBJECTS[key][0]

    def do_PUT(self):
        key, query = self.target()
        data = self.body()
        with LOCK:
            if "uploadId" in query:
                upload = UPLOADS.get(query["uploadId"])
                if upload is None:
                    return self.refuse(404, "NoSuchUpload")
                upload["parts"][int(query["partNumber"])] = (tag(data), data)
                return self.answer(200, headers=[("ETag", tag(data))])
            source = self.headers.get("x-goog-copy-source")
            if source is not None:
                _, _, name = urllib.parse.unquote(source).lstrip("/").partition("/")
                if name not in OBJECTS:
                    return self.refuse(404, "NoSuchKey")
                data = OBJECTS[name][1]
            generation = self.put_object(key, data)
        if generation is None:
            return self.refuse(412, "PreconditionFailed")
        self.answer(200, headers=[("ETag", tag(data)), ("x-goog-generation", str(generation))])

    def do_POST(self):
        key, query = self.target()
        data = self.body()
        with LOCK:
            if "uploads" in query:
                identifier = f"upload-{next(GENERATIONS)}"
                begun = datetime.datetime.now(datetime.timezone.utc)
                UPLOADS[identifier] = {"key": key, "begun": begun, "parts": {}}
                inner = f"<Bucket>lake</Bucket><Key>{escape(key)}</Key>"
                inner += f"<UploadId>{identifier}</UploadId>"
                root = "InitiateMultipartUploadResult"
                return self.answer(200, f"<{root}>{inner}</{root}>")
            upload = UPLOADS.get(query.get("uploadId"))
            if upload is None:
                return self.refuse(404, "NoSuchUpload")
            tree = ElementTree.fromstring(data)
            numbers = [int(part.text) for part in tree.iter() if part.tag.endswith("PartNumber")]
            whole = b"".join(upload["parts"][number][1] for number in numbers)
            generation = self.put_object(key, whole)
            if generation is None:
                return self.refuse(412, "PreconditionFailed")
            del UPLOADS[query["uploadId"]]
        root = "CompleteMultipartUploadResult"
        inner = f"<Key>{escape(key)}</Key><ETag>{escape(tag(whole))}</ETag>"
        self.answer(200, f"<{root}>{inner}</{root}>", [("x-goog-generation", str(generation))])

    def do_DELETE(self):
        key, query = self.target()
        with LOCK:
            if "uploadId" in query:
                if UPLOADS.pop(query["uploadId"], None) is None:
                    return self.refuse(404, "NoSuchUpload")
            elif OBJECTS.pop(key, None) is None:
                return self.refuse(404, "NoSuchKey")
        self.answer(204)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        key, query = self.target()
        if not key:
            return self.list_uploads(query) if "uploads" in query else self.list_objects(query)
        for word, refusal in REFUSED.items():
            if word in key:
                return self.refuse(*refusal)
        with LOCK:
            found = OBJECTS.get(key)
        if found is None:
            return self.refuse(404, "NoSuchKey")
        generation, data, time = found
        headers = [
            ("ETag", tag(data)),
            ("x-goog-generation", str(generation)),
            ("Last-Modified", email.utils.format_datetime(time, usegmt=True)),
        ]
        wanted = self.headers.get("If-Match")
        if wanted is not None and wanted not in ("*", tag(data)):
            return self.refuse(412, "PreconditionFailed")
        if self.headers.get("If-None-Match") in ("*", tag(data)):
            return self.answer(304, headers=headers)
        if key in PACKED:
            # https://cloud.google.com/storage/docs/transcoding#decompressive_transcoding
            if "gzip" not in self.headers.get("Accept-Encoding", ""):
                self.send_response(200)
                self.send_header("Connection", "close")
                self.end_headers()
                return self.wfile.write(gzip.decompress(data))
            headers.append(("Content-Encoding", "gzip"))
        cut = self.headers.get("Range")
        if cut is None:
            return self.answer(200, data, headers)
        first, _, last = cut.removeprefix("bytes=").partition("-")
        if first == "":
            start, end = max(0, len(data) - int(last)), len(data)
        else:
            start, end = int(first), min(len(data), int(last) + 1 if last else len(data))
        if start >= len(data):
            return self.refuse(416, "InvalidRange")
        headers.append(("Content-Range", f"bytes {start}-{end - 1}/{len(data)}"))
        self.answer(206, data[start:end], headers)

    def list_objects(self, query):
        """ListObjectsV2, which Google's XML API has too, a few names a page."""
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        behind = query.get("continuation-token") or query.get("start-after", "")
        with LOCK:
            found = sorted((name, *kept) for name, kept in OBJECTS.items())
        entries = {}
        for name, generation, data, time in found:
            if not name.startswith(prefix):
                continue
            at = name.find(delimiter, len(prefix)) if delimiter else -1
            if at >= 0:
                folder = name[: at + 1]
                inner = f"<Prefix>{escape(folder)}</Prefix>"
                entries[folder] = f"<CommonPrefixes>{inner}</CommonPrefixes>"
            else:
                inner = f"<Key>{escape(name)}</Key><Size>{len(data)}</Size>"
                inner += f"<LastModified>{time.strftime('%Y-%m-%dT%H:%M:%S.%fZ')}</LastModified>"
                inner += f"<ETag>{escape(tag(data))}</ETag>"
                entries[name] = f"<Contents>{inner}</Contents>"
        left = [name for name in sorted(entries) if name > behind]
        page = left[:7]
        inner = "".join(entries[name] for name in page)
        if len(left) > len(page):
            token = escape(page[-1])
            inner += f"<NextContinuationToken>{token}</NextContinuationToken>"
        truncated = "true" if len(left) > len(page) else "false"
        inner += f"<IsTruncated>{truncated}</IsTruncated>"
        self.answer(200, f"<ListBucketResult>{inner}</ListBucketResult>")

    def list_uploads(self, query):
        prefix = query.get("prefix", "")
        with LOCK:
            found = [(kept["key"], name, kept["begun"]) for name, kept in UPLOADS.items()]
        inner = "<IsTruncated>false</IsTruncated>"
        for key, name, begun in sorted(found):
            if key.startswith(prefix):
                time = begun.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
                inner += f"<Upload><Key>{escape(key)}</Key><UploadId>{name}</UploadId>"
                inner += f"<Initiated>{time}</Initiated></Upload>"
        self.answer(200, f"<ListMultipartUploadsResult>{inner}</ListMultipartUploadsResult>")


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()
