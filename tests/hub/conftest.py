"""A server on this machine that speaks the hub's protocol, as far as an upload and a download of models go."""

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import pytest

huggingface_hub = pytest.importorskip("huggingface_hub", reason="pip install 'infogan-lib[hub]'")
constants = pytest.importorskip("huggingface_hub.constants")

COMMIT = "0" * 40


class _Hub(BaseHTTPRequestHandler):
    """Repositories by name, each a dict of files."""

    repositories: dict[str, dict[str, bytes]]
    tokens: list[str | None]

    def log_message(self, *_):
        pass

    def answer(self, body=b"", status=200, **headers):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        sent = {"Content-Length": str(len(data)), "Content-Type": "application/json", "X-Repo-Commit": COMMIT} | headers
        for name, value in sent.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def do_POST(self):
        data, host = self.rfile.read(int(self.headers.get("Content-Length") or 0)), f"http://{self.headers['Host']}"
        self.tokens.append(self.headers.get("Authorization"))
        if self.path == "/api/repos/create":
            asked = json.loads(data)
            name = f"{asked.get('organization') or 'me'}/{asked['name']}"
            self.repositories.setdefault(name, {})
            return self.answer({"url": f"{host}/{name}", "name": name})
        if self.path.startswith("/api/validate-yaml"):
            return self.answer({"errors": [], "warnings": []})
        if match := re.match(r"/api/models/(.+)/preupload/", self.path):
            files = [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                     for file in json.loads(data)["files"]]  # fmt: skip
            return self.answer({"files": files})
        if match := re.match(r"/api/models/(.+)/commit/", self.path):
            for line in map(json.loads, data.splitlines()):
                if line["key"] == "file":
                    content = base64.b64decode(line["value"]["content"])
                    self.repositories[match[1]][line["value"]["path"]] = content
            address = f"{host}/{match[1]}/commit/{COMMIT}"
            return self.answer({"success": True, "commitOid": COMMIT, "commitUrl": address})
        return self.answer({"error": self.path}, 404)

    def do_GET(self):
        path = unquote(self.path.partition("?")[0])
        if match := re.match(r"/api/models/(.+)/tree/", path):
            files = self.repositories[match[1]].items()
            return self.answer([{"type": "file", "path": n, "size": len(d), "oid": _oid(d)} for n, d in files])
        if match := re.match(r"/api/models/(.+?)(/revision/.+)?$", path):
            if match[1] not in self.repositories:
                return self.answer({"error": "no such repository"}, 404, X_Error_Code="RepoNotFound")
            siblings = [{"rfilename": name} for name in self.repositories[match[1]]]
            return self.answer({"id": match[1], "sha": COMMIT, "siblings": siblings, "private": False, "tags": []})
        if match := re.match(r"/(.+?)/resolve/[^/]+/(.+)$", path):
            data = self.repositories.get(match[1], {}).get(match[2])
            if data is None:
                return self.answer({"error": "no such file"}, 404, X_Error_Code="EntryNotFound")
            return self.answer(data, ETag=f'"{_oid(data)}"')
        return self.answer({"error": path}, 404)

    do_HEAD = do_GET  # noqa: N815


def _oid(data):
    return hashlib.sha1(data).hexdigest()


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The server, which huggingface_hub takes for the hub; its cache is in the test's folder."""
    handler = type("Hub", (_Hub,), {"repositories": {}, "tokens": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    for name, value in {"ENDPOINT": address, "HF_HUB_CACHE": str(tmp_path / "cache")}.items():
        monkeypatch.setattr(constants, name, value)
    template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    yield handler
    huggingface_hub.close_session()
    server.shutdown()
    server.server_close()
