"""Servers on this machine for the tests: one of S3, and one that answers HTTP as a test says."""

import contextlib
import http.server
import json
import logging
import os
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optional

from xpnet.pipelines.images import remote

moto_server, stores = optional.module("moto.server"), optional.module("obstore.store")
werkzeug_app, serving = optional.module("moto.moto_server.werkzeug_app"), optional.module("werkzeug.serving")


@contextlib.contextmanager
def s3(name: str) -> Iterator[Any]:
    """Give a store of an empty bucket on a server of S3. The environment says where the server is, meanwhile."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    url = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    names = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION")
    before = {each: os.environ.get(each) for each in names}
    os.environ.update(zip(names, (url, "user", "word", "us-east-1"), strict=True))
    try:
        urllib.request.urlopen(urllib.request.Request(f"{url}/{name}", method="PUT")).close()  # noqa: S310
        forget()
        yield stores.from_url(f"s3://{name}", client_options={"allow_http": True})
    finally:
        server.stop()
        forget()
        for each, value in before.items():
            os.environ.pop(each) if value is None else os.environ.update({each: value})


SIGNED = (
    "AWS4-HMAC-SHA256 Credential=user/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
)
"""A signature that the server of S3 takes."""


@contextlib.contextmanager
def gcs(name: str) -> Iterator[Any]:
    """Give a store of an empty bucket as that of Google, whose XML interface is that of S3 but for signatures."""
    dispatch = werkzeug_app.DomainDispatcherApplication(werkzeug_app.create_backend_app)

    def answer(environ: dict[str, Any], start: Any) -> Any:
        return dispatch(environ | {"HTTP_AUTHORIZATION": SIGNED}, start)

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = serving.make_server("127.0.0.1", 0, answer, threaded=True)
    threading.Thread(target=server.serve_forever, args=(0.01,)).start()
    url = f"http://127.0.0.1:{server.server_port}"
    account = {"gcs_base_url": url, "disable_oauth": True}
    account |= dict.fromkeys(("client_email", "private_key", "private_key_id"), "")
    before = os.environ.get("GOOGLE_SERVICE_ACCOUNT_KEY")
    os.environ["GOOGLE_SERVICE_ACCOUNT_KEY"] = json.dumps(account)
    try:
        urllib.request.urlopen(urllib.request.Request(f"{url}/{name}", method="PUT")).close()  # noqa: S310
        forget()
        yield stores.from_url(f"gs://{name}", client_options={"allow_http": True})
    finally:
        server.shutdown()
        server.server_close()
        forget()
        os.environ.pop("GOOGLE_SERVICE_ACCOUNT_KEY")
        os.environ.update({} if before is None else {"GOOGLE_SERVICE_ACCOUNT_KEY": before})


def forget() -> None:
    """Forget which servers were asked, and what they said."""
    remote._opened.cache_clear()
    remote._status_of.cache_clear()


def put_folder(store: Any, folder: Path, start: str = "") -> None:
    """Write the files of a folder into a bucket."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            store.put(f"{start}{path.relative_to(folder).as_posix()}", path.read_bytes())


class Pages(http.server.BaseHTTPRequestHandler):
    """Answers with the pages of its server, by their paths: a list of (status, headers, content).

    The first answer of a list is given first; the last one is given again and again.
    """

    def do_GET(self) -> None:
        """Answer."""
        self.server.asked.append(f"{self.command} {self.path}")  # type: ignore[attr-defined]
        answers = self.server.pages.get(self.path, [(404, {}, b"")])  # type: ignore[attr-defined]
        status, headers, content = answers.pop(0) if len(answers) > 1 else answers[0]
        if (wanted := self.headers.get("Range")) and status == 200 and "no-ranges" not in headers:
            first, last = map(int, wanted.removeprefix("bytes=").split("-"))
            status, content = 206, content[first : last + 1]
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(content))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    do_HEAD = do_GET  # noqa: N815  (the name that http.server looks for)

    def log_message(self, *_: object) -> None:
        """Be silent."""


@contextlib.contextmanager
def web(pages: dict[str, list[tuple[int, dict[str, str], bytes]]]) -> Iterator[tuple[str, list[str]]]:
    """Give the address of a server with these pages, and a list that grows by each request."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        server.pages, server.asked = pages, []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        forget()
        try:
            yield f"http://127.0.0.1:{server.server_port}", server.asked  # type: ignore[attr-defined]
        finally:
            server.shutdown()
            thread.join()
            forget()
