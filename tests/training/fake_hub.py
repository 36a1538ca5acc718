"""A look-alike of the hub's API as far as a push needs it, with its errors.

Shapes are those the hub's client checks: /api/repos/create, /api/validate-yaml, preupload, LFS
batch (git-lfs.github.com, batch API) and commit (NDJSON).
"""

import base64
import hashlib
import json

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.models.servers import LookAlike

TOKEN = "hf_" + "t" * 30


class FakeHub(LookAlike):
    """Repositories in memory.

    Attributes:
        repos: Name -> whether it is private.
        files: Repository -> path -> content, as of its last commit.
        status: What every request gets, if not 0.
    """

    def __init__(self) -> None:
        super().__init__()
        self.repos: dict[str, bool] = {}
        self.files: dict[str, dict[str, bytes]] = {}
        self.status = 0
        self._blobs: dict[str, bytes] = {}

    def app(self) -> Starlette:
        post, put = ["POST"], ["PUT"]
        repo = "/{owner}/{name}"
        return Starlette(
            routes=[
                Route("/api/repos/create", self.create, methods=post),
                Route("/api/validate-yaml", self.validate, methods=post),
                Route(f"/api/models{repo}/preupload/main", self.preupload, methods=post),
                Route(f"{repo}.git/info/lfs/objects/batch", self.batch, methods=post),
                Route("/blobs/{oid}", self.blob, methods=put),
                Route(f"/api/models{repo}/commit/main", self.commit, methods=post),
            ]
        )

    def refused(self, request: Request) -> Response | None:
        status = self.status
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            status = 401
        return JSONResponse({"error": "no"}, status) if status else None

    async def create(self, request: Request) -> Response:
        body = await self.record(request)
        if no := self.refused(request):
            return no
        name = f"{body['organization']}/{body['name']}"
        if name in self.repos:
            return JSONResponse({"error": "exists", "url": f"{self.url}/{name}"}, 409)
        self.repos[name] = body.get("private", body.get("visibility") == "private")
        return JSONResponse({"url": f"{self.url}/{name}", "id": name})

    async def validate(self, request: Request) -> Response:
        body = await request.json()
        bad = not body["content"].startswith("---\nlicense: ")
        return JSONResponse({"errors": [{"message": "no metadata"}]}, 400 if bad else 200)

    async def preupload(self, request: Request) -> Response:
        if no := self.refused(request):
            return no
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith((".safetensors", ".gguf")) else
                "regular",
                "shouldIgnore": False,
            }
            for file in (await request.json())["files"]
        ]  # fmt: skip
        return JSONResponse({"files": files})

    async def batch(self, request: Request) -> Response:
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.url}/blobs/{one['oid']}"}}}
            for one in (await request.json())["objects"]
        ]
        return JSONResponse({"transfer": "basic", "objects": objects})

    async def blob(self, request: Request) -> Response:
        content, oid = await request.body(), request.path_params["oid"]
        if hashlib.sha256(content).hexdigest() != oid:
            return JSONResponse({"error": "wrong hash"}, 422)
        self._blobs[oid] = content
        return Response()

    async def commit(self, request: Request) -> Response:
        if no := self.refused(request):
            return no
        repo = "{owner}/{name}".format(**request.path_params)
        files = self.files.setdefault(repo, {})
        for line in (await request.body()).splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                files[value["path"]] = self._blobs[value["oid"]]
        url = f"{self.url}/{repo}/commit/{'a' * 40}"
        return JSONResponse({"commitUrl": url, "commitOid": "a" * 40})
