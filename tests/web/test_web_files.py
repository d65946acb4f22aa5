"""How the server serves the web app; what its sources may not hold."""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest
from web_server import WebServer

from connectordb.server import webapp

WEB = Path(__file__).parents[2] / "web"


@pytest.fixture(scope="module")
def files(built: None, server: WebServer) -> WebServer:
    """A server of the web app as it is."""
    return server


def get(server: WebServer, path: str, method: str = "GET", **headers: str) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection(server.url.removeprefix("http://"), timeout=30)
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response, body


def parts(server: WebServer) -> list[str]:
    page = get(server, "/")[1].decode()
    return re.findall(r'(?:src|href)="(/assets/[^"]+)"', page)


def test_every_page_is_there_and_guarded(files: WebServer) -> None:
    index = get(files, "/")[1]
    for path in webapp.PAGES:
        response, body = get(files, re.sub(r"{\w+}", "x", path) + "?any=thing&t1=1")
        assert (response.status, body) == (200, index), path
        policy = response.headers["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["X-Frame-Options"] == "DENY"
        assert response.headers["Cache-Control"] == "no-cache"
    assert get(files, "/nosuchpage")[0].status == 404
    assert get(files, "/", "POST")[0].status == 405


def test_page_has_nothing_inline_and_nothing_from_elsewhere(files: WebServer) -> None:
    page = get(files, "/")[1].decode()
    assert not re.search(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=", page)
    assert not re.search(r"(?:src|href)=\"(?!/)", page)


def test_parts_have_a_hash_and_are_kept_for_ever(files: WebServer) -> None:
    found = parts(files)
    assert len(found) >= 2
    for part in found:
        assert re.search(r"-[\w-]{8}\.(js|css)$", part)
        response, _ = get(files, part)
        assert response.status == 200
        assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert get(files, "/assets/nosuch.js")[0].status == 404


def test_compressed_for_those_who_take_it(files: WebServer) -> None:
    script = next(part for part in parts(files) if part.endswith(".js"))
    plain, content = get(files, script)
    assert plain.headers["Content-Encoding"] is None
    packed, body = get(files, script, Accept_Encoding="gzip, deflate")
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(body) == content
    assert get(files, script, Accept_Encoding="gzip, br")[0].headers["Content-Encoding"] == "br"
    assert get(files, script, Accept_Encoding="br;q=0, gzip")[0].headers["Content-Encoding"] == "gzip"
    assert packed.headers["Vary"] == "Accept-Encoding"


def test_unchanged_page_is_not_sent_again(files: WebServer) -> None:
    tag = get(files, "/")[0].headers["ETag"]
    response, body = get(files, "/", If_None_Match=tag)
    assert (response.status, body) == (304, b"")
    assert get(files, "/", If_None_Match="*")[0].status == 304


@pytest.mark.parametrize("name", ["..%2findex.html", "%2e%2e/x", ".vite", "x.py", ""])
def test_nothing_else_is_served(files: WebServer, name: str) -> None:
    assert get(files, f"/assets/{name}")[0].status == 404


def test_without_a_build_the_page_says_how(server: WebServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from connectordb.server.request import Request

    monkeypatch.setattr(webapp, "FOLDER", tmp_path / "nothing")
    scope = {"method": "GET", "headers": [], "raw_path": b"/"}
    page = webapp.page(None, Request(scope, None, None, 0))  # type: ignore[arg-type]
    with pytest.raises(StopIteration) as ended:  # in this thread, the browser's event loop may be running
        page.send(None)
    assert ended.value.value.status == 200
    assert b"make web" in ended.value.value.body


# ---- sources


def test_lock_file_names_no_registry() -> None:
    lock = json.loads((WEB / "package-lock.json").read_text())
    for package in lock["packages"].values():
        package.pop("funding", None)  # who may be thanked
    assert "resolved" not in json.dumps(lock)
    assert "://" not in json.dumps(lock)


def test_libraries_that_are_shipped_may_be_shipped() -> None:
    lock = json.loads((WEB / "package-lock.json").read_text())
    shipped = {
        name: package["license"] for name, package in lock["packages"].items() if name and not package.get("dev")
    }
    assert set(shipped.values()) <= {"MIT", "ISC", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0"}, shipped


def test_types_are_those_of_the_api(built: None) -> None:
    """What `make types` writes is what is there."""
    sys.path.insert(0, str(WEB))
    try:
        import openapi  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(WEB))
    assert openapi.document() == (WEB / "openapi.json").read_text(), "the API has changed: make types"
    fresh = WEB / "node_modules" / ".fresh-schema.d.ts"
    command = ["npx", "--no-install", "openapi-typescript", "openapi.json", "-o", str(fresh)]
    flags = ["--immutable", "--alphabetize", "--default-non-nullable=false"]
    subprocess.run([*command, *flags], cwd=WEB, check=True, capture_output=True)
    assert fresh.read_text() == (WEB / "src" / "api" / "schema.d.ts").read_text(), "the types are old: make types"
