"""A Hub on the loopback: what the client asks of the real one to create a repository, fill it and read it back."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import yaml

REVISION = "0" * 40
FIRST = "1" * 40  # commit of every repository, which holds nothing
USER = "ada"
TOKEN = "hf_ada"


class Hub(ThreadingHTTPServer):
    """Holds the repositories, files by name, every request as `METHOD path`, and how many bytes of files it sent.

    A data set is a repository `datasets/owner/name`.
    `branches` has the files of a repository's branches besides main, of any commit id; `private` repositories are only
    there for who shows `TOKEN`; while it is `down`, nothing can be written; of bodies longer than `cut`, the
    connection breaks after so many bytes, `cuts` times.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.branches: dict[tuple[str, str], dict[str, bytes]] = {}
        self.private: set[str] = set()
        self.down = False
        self.cut: int | None = None
        self.cuts = 10**9
        self.blobs: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.sent = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def at(self, name: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """The commit that a branch or commit of a repository is, and its files."""
        if revision in ("main", REVISION):
            return REVISION, self.repositories[name]
        if revision == FIRST:
            return FIRST, {}
        for (repository, branch), files in self.branches.items():
            commit = hashlib.sha1(branch.encode()).hexdigest()
            if repository == name and revision in (branch, commit):
                return commit, files
        return None


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub that answers until the end of the block."""
    hub = Hub()
    thread = threading.Thread(target=hub.serve_forever, args=(0.01,), daemon=True)  # how often it looks for its end
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()


def problems_of_card(text: str) -> list[str]:
    """What the Hub would say against the metadata of a card: the rules of its documentation that concern ours."""
    match = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    if match is None:
        return ["no metadata"]
    data = yaml.safe_load(match[1])
    problems = [
        f"{key} must be text" for key in ("library_name", "pipeline_tag") if not isinstance(data.get(key, ""), str)
    ]
    problems += [f"tag {tag!r}" for tag in data.get("tags", []) if not isinstance(tag, str)]
    for model in data.get("model-index", []):
        for result in model["results"]:
            problems += [f"{part} has no type" for part in ("task", "dataset") if not result[part].get("type")]
            problems += [f"metric {m}" for m in result["metrics"] if "type" not in m or "value" not in m]
    return problems


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or a body waits 40 ms for the head's receipt

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""

    def _answer(self, body: Any, status: int = 200, **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        headers = {"Content_Length": str(len(content)), **headers}
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _body(self) -> bytes:
        self.server.requests.append(f"{self.command} {self.path}")
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _missing(self, code: str) -> None:
        self._answer({"error": "not found"}, 404, X_Error_Code=code)

    def do_PUT(self) -> None:
        body = self._body()
        self.server.blobs[hashlib.sha256(body).hexdigest()] = body
        self._answer({})

    def do_POST(self) -> None:
        body, path = self._body(), self.path.split("?")[0]
        if self.server.down:
            return self._answer({"error": "down for maintenance"}, 503)
        if path == "/api/validate-yaml":
            problems = problems_of_card(json.loads(body)["content"])
            self._answer(
                {"errors": [{"message": text} for text in problems], "warnings": []}, 400 if problems else 200
            )
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        elif match := re.fullmatch(r"/(.+)\.git/info/lfs/objects/batch", path):
            self._lfs_batch(json.loads(body))
        elif match := re.fullmatch(r"/api/models/(.+)/branch/(.+)", path):
            if there := self._find(match[1], json.loads(body).get("startingPoint", "main")):
                known = (match[1], match[2]) in self.server.branches
                self.server.branches.setdefault((match[1], match[2]), dict(there[1]))
                self._answer({}, 409 if known else 200)
        elif match := re.fullmatch(r"/api/models/(.+)/preupload/.+", path):
            self._preupload(body)
        elif match := re.fullmatch(r"/api/models/(.+)/commit/(.+)", path):
            if there := self._find(match[1], match[2]):
                self._commit(match[1], *there, body)
        else:
            self._missing("EntryNotFound")

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked.get('organization') or USER}/{asked['name']}"
        if name.endswith("forbidden"):
            return self._answer({"error": "You don't have the rights to do this"}, 403, X_Error_Message="no rights")
        known = name in self.server.repositories
        if asked.get("private") or asked.get("visibility") == "private":
            self.server.private.add(name)
        self.server.repositories.setdefault(name, {})
        self._answer({"url": f"{self.server.url}/{name}", "name": name, "id": name}, 409 if known else 200)

    def _preupload(self, body: bytes) -> None:
        files = [file["path"] for file in json.loads(body)["files"]]
        modes = {path: "lfs" if path.endswith((".safetensors", ".png", ".onnx")) else "regular" for path in files}
        told = [{"path": path, "uploadMode": mode, "shouldIgnore": False} for path, mode in modes.items()]
        self._answer({"files": told})

    def _lfs_batch(self, asked: dict[str, Any]) -> None:
        upload = {"upload": {"href": f"{self.server.url}/lfs", "header": {}}}
        objects = [{"oid": o["oid"], "size": o["size"], "actions": upload} for o in asked["objects"]]
        self._answer({"transfer": "basic", "objects": objects}, Content_Type="application/vnd.git-lfs+json")

    def _commit(self, name: str, commit: str, files: dict[str, bytes], body: bytes) -> None:
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.blobs[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        url = f"{self.server.url}/{name}/commit/{commit}"
        self._answer({"success": True, "commitOid": commit, "commitUrl": url, "hookOutput": ""})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self._body()
        path = self.path.split("?")[0]
        if path == "/api/whoami-v2":
            self._answer({"name": USER, "type": "user", "orgs": [], "auth": {"type": "access_token"}})
        elif match := re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(tree|revision)/([^/]+)(/.+)?)?", path):
            name = match[2] if match[1] == "models" else f"datasets/{match[2]}"
            if there := self._find(name, match[4] or "main"):
                if match[3] == "tree":
                    self._list((match[5] or "/")[1:], *there)
                else:
                    self._describe(name, *there)
        elif match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commits/([^/]+)", path):
            if there := self._find(match[1], match[2]):
                said = {"title": "", "message": "", "authors": [], "date": "2026-01-01T00:00:00.000Z"}
                self._answer([{"id": commit, **said} for commit in (there[0], FIRST)])
        elif match := re.fullmatch(r"/((?:datasets/)?[^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            if there := self._find(match[1], match[2]):
                self._send(there[0], there[1].get(match[3]))
        else:
            self._missing("EntryNotFound")

    def _find(self, name: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        hidden = name in self.server.private and self.headers.get("Authorization") != f"Bearer {TOKEN}"
        if name not in self.server.repositories or hidden:
            self._answer({"error": "not found"}, 401 if hidden else 404, X_Error_Code="RepoNotFound")
        elif there := self.server.at(name, revision):
            return there
        else:
            self._missing("RevisionNotFound")
        return None

    def _list(self, folder: str, commit: str, files: dict[str, bytes]) -> None:
        """What is in a folder, or, if it is asked so, at any depth."""
        inside = {f: content for f, content in files.items() if f.startswith(f"{folder}/" if folder else "")}
        if folder and not inside:
            return self._missing("EntryNotFound")
        found: dict[str, dict[str, Any]] = {}
        for file, content in inside.items():
            parts = file.split("/")
            depth = len(parts) if "recursive=true" in self.path.lower() else len(folder.split("/")) * bool(folder) + 1
            entry = {"type": "file", "size": len(content)} if len(parts) <= depth else {"type": "directory", "size": 0}
            path = "/".join(parts[:depth])
            found[path] = {**entry, "path": path, "oid": commit}
        self._answer(list(found.values()))

    def _describe(self, name: str, commit: str, files: dict[str, bytes]) -> None:
        siblings = [{"rfilename": file} for file in files]
        self._answer({"id": name, "sha": commit, "siblings": siblings, "tags": [], "private": False})

    def _send(self, commit: str, content: bytes | None) -> None:
        if content is None:
            return self._answer({"error": "not found"}, 404, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
        headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X_Repo_Commit": commit}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if asked and (asked[2] or asked[1] != "0"):
            size, begin = len(content), int(asked[1])
            content = content[begin : int(asked[2] or size) + 1]
            headers["Content_Range"] = f"bytes {begin}-{begin + len(content) - 1}/{size}"
        cut = self.server.cut
        if self.command == "GET" and cut is not None and len(content) > cut and self.server.cuts:
            self.server.cuts -= 1
            headers["Content_Length"] = str(len(content))
            content = content[:cut]
            self.close_connection = True
        self.server.sent += len(content) * (self.command == "GET")
        self._answer(content, 206 if "Content_Range" in headers else 200, **headers)
