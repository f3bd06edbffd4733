"""The HTTP interface: files, jobs with progress, edited images, live sessions, and a page that uses them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from importlib.resources import files as package_files
from pathlib import Path
from typing import Any, Final

from fastapi import Body, FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response, StreamingResponse

from app.errors import AppError
from app.jobs.record import ENDED
from app.options import json_schema
from app.server import requests, work
from app.server.files import FileStore
from app.server.guard import App, Guard
from app.server.limits import Limits, RequestError, status_of
from app.server.posing import TYPES, Poser
from app.server.work import Work
from liveportrait import __version__
from liveportrait.expression import SLIDERS

POLL: Final = 0.2  # seconds between looks at a job that a client follows
ALIVE: Final = 15.0  # seconds after which a client that follows hears that nothing has changed


def build_app(
    folder: Path, *, media: Path | None = None, token: str = "", limits: Limits | None = None, workers: int = 0
) -> App:
    """The server as an ASGI application.

    Args:
        folder: Folder for uploads, results and the queue.
        media: Folder whose files requests may name by path, or None.
        token: Token that requests must carry; empty: only this machine is answered.
        limits: What is accepted.
        workers: Worker processes; 0 chooses by cores and memory.
    """
    limits = limits or Limits()
    files = FileStore(folder, media, limits)
    jobs = Work(folder, files, limits, workers)
    api = FastAPI(
        title="Portrait animation",
        version=__version__,
        description="Animate portraits: upload files, create jobs, follow them, fetch the results.",
        docs_url=None,  # its page loads scripts from elsewhere; /reference needs nothing
        redoc_url=None,
        lifespan=_lifespan(jobs),
    )
    api.state.jobs = jobs
    _errors(api)
    _pages(api)
    _files(api, files)
    _jobs(api, jobs)
    _edits(api, files, Poser(lambda: _resources(jobs)))
    _live(api, files, limits)
    return Guard(api, token, limits)


def _lifespan(jobs: Work) -> Any:
    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        jobs.start()
        try:
            yield
        finally:
            await run_in_threadpool(jobs.close)

    return lifespan


def _resources(jobs: Work) -> Any:
    from app.frames.motion_cache import MotionCache
    from app.frames.resources import Resources

    return Resources(MotionCache(), jobs.queue.store.file_hash, photos=2)


def _errors(api: FastAPI) -> None:
    @api.exception_handler(AppError)
    async def expected(_: Request, error: AppError) -> JSONResponse:
        return JSONResponse(requests.told(error), status_of(error))


def _pages(api: FastAPI) -> None:
    def page(name: str) -> HTMLResponse:
        text = (package_files("app.server") / name).read_text("utf-8")
        return HTMLResponse(text, headers={"Content-Security-Policy": POLICY, "X-Frame-Options": "DENY"})

    @api.get("/", include_in_schema=False)
    def start() -> HTMLResponse:
        return page("page.html")

    @api.get("/reference", include_in_schema=False)
    def reference() -> HTMLResponse:
        return page("reference.html")

    @api.get("/health", summary="Whether the server works")
    def health() -> dict[str, str]:
        fault = api.state.jobs.fault
        if fault:
            raise RequestError(503, fault)
        return {"status": "ok", "version": __version__}

    @api.get("/v1/options", summary="JSON schema of all options")
    def options() -> dict[str, Any]:
        return json_schema()

    @api.get("/v1/sliders", summary="Names and bounds of the sliders of an expression")
    def sliders() -> list[dict[str, Any]]:
        return [
            {
                "name": name,
                "title": slider.title,
                "group": slider.group,
                "minimum": slider.minimum,
                "maximum": slider.maximum,
                "default": slider.default,
                "unit": slider.unit,
                "help": slider.help,
            }
            for name, slider in SLIDERS.items()
        ]


# Scripts and styles of the pages themselves only; images and clips also from memory.
POLICY: Final = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self' ws: wss:; "
    "img-src 'self' blob: data:; media-src 'self' blob:; base-uri 'none'; form-action 'none'"
)


def _files(api: FastAPI, files: FileStore) -> None:
    @api.post(
        "/v1/files", status_code=201, summary="Upload an image, clip, sound, template or track: its bytes as body"
    )
    async def upload(request: Request, name: str = "file") -> dict[str, Any]:
        return await files.save(name, request.stream())

    @api.delete("/v1/files/{number}", status_code=204, summary="Remove an upload")
    def remove(number: str) -> Response:
        if not files.remove(number):
            raise RequestError(404, "There is no such file.")
        return Response(status_code=204)


def _jobs(api: FastAPI, jobs: Work) -> None:
    @api.post("/v1/jobs", status_code=201, summary="Create a job; the same key again returns the same job")
    def create(request: dict[str, Any] = JOB) -> dict[str, Any]:
        return work.told(jobs.add(request))

    @api.get("/v1/jobs", summary="All jobs")
    def listed() -> list[dict[str, Any]]:
        return [work.told(job) for job in jobs.all()]

    @api.get("/v1/jobs/{name}", summary="State and progress of a job")
    def shown(name: str) -> dict[str, Any]:
        return work.told(jobs.find(name))

    @api.get("/v1/jobs/{name}/events", summary="Follow a job: server-sent events with its state, until it ends")
    def follow(name: str) -> StreamingResponse:
        jobs.find(name)
        return StreamingResponse(
            _followed(jobs, name), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )

    @api.get("/v1/jobs/{name}/result", summary="The finished file")
    def result(name: str) -> FileResponse:
        path = jobs.result(name)
        return FileResponse(path, filename=path.name, content_disposition_type="inline")

    @api.post("/v1/jobs/{name}/cancel", summary="Cancel a job")
    def cancel(name: str) -> dict[str, Any]:
        return work.told(jobs.cancel(name))

    @api.delete("/v1/jobs/{name}", status_code=204, summary="Forget an ended job and remove its result")
    def remove(name: str) -> Response:
        jobs.remove(name)
        return Response(status_code=204)


JOB: Final = Body(
    examples=[
        {
            "source": {"file": "ID of an upload"},
            "driving": {"file": "ID of an upload"},
            "options": {"length": "driving", "max_side": 720},
            "expression": {"sliders": {"smile": 0.3}},
            "format": "mp4",
            "key": "any text of yours",
        }
    ]
)


async def _followed(jobs: Work, name: str) -> AsyncIterator[str]:
    """Server-sent events: one for every change of a job, and a comment while nothing changes."""
    last, quiet = "", 0.0
    while True:
        try:
            job = await run_in_threadpool(jobs.find, name)
        except RequestError:  # removed meanwhile
            return
        text = json.dumps(work.told(job))
        if text != last:
            last, quiet = text, 0.0
            yield f"event: job\ndata: {text}\n\n"
        elif quiet >= ALIVE:
            quiet = 0.0
            yield ": still here\n\n"
        if job.state in ENDED:
            return
        await asyncio.sleep(POLL)
        quiet += POLL


def _edits(api: FastAPI, files: FileStore, poser: Poser) -> None:
    @api.post("/v1/edit", summary="A portrait posed by sliders, at once", response_class=Response)
    def edit(request: dict[str, Any] = EDIT) -> Response:
        unknown = set(request) - {"source", "options", "preset", "expression", "format"}
        if unknown:
            raise RequestError(422, f"There is no entry named {min(unknown)}.")
        source = files.find(request.get("source"), "source")
        if files.check(source).kind != "image":
            raise RequestError(422, "source must be an image; create a job for a clip.")
        options = requests.read_options(files, request.get("options") or {}, request.get("preset") or "")
        expression = requests.read_expression(request.get("expression"))
        ending = str(request.get("format") or "png")
        return Response(poser.pose(source, options, expression, ending), media_type=TYPES[ending])


EDIT: Final = Body(
    examples=[
        {"source": {"file": "ID of an upload"}, "expression": {"sliders": {"smile": 0.5, "yaw": 10}}, "format": "png"}
    ]
)


def _live(api: FastAPI, files: FileStore, limits: Limits) -> None:
    seats = asyncio.Semaphore(limits.live)

    @api.websocket("/v1/live")
    async def live(socket: WebSocket, source: str = "") -> None:
        """Camera frames in (JPEG), animated frames out (JPEG); text messages set the sliders."""
        await socket.accept()
        if seats.locked():
            await _end(socket, RequestError(429, "All live sessions are taken."))
            return
        async with seats:
            try:
                await _converse(socket, files.find({"file": source}, "source"))
            except AppError as error:
                await _end(socket, error)
            except (WebSocketDisconnect, RuntimeError):  # the client has gone
                return


async def _end(socket: WebSocket, error: AppError) -> None:
    with contextlib.suppress(WebSocketDisconnect, RuntimeError):
        await socket.send_json(requests.told(error))
        await socket.close(1008)


async def _converse(socket: WebSocket, source: Path) -> None:
    """Run a session until the client leaves; a slow client gets the newest frames only."""
    from app.options import RenderOptions
    from app.server.pushed import PushedSession

    loop = asyncio.get_running_loop()
    newest: asyncio.Queue[bytes] = asyncio.Queue(1)

    def keep(data: bytes) -> None:
        if newest.full():
            newest.get_nowait()
        newest.put_nowait(data)

    def on_frame(data: bytes) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(keep, data)

    async def send() -> None:
        while True:
            await socket.send_bytes(await newest.get())

    session = await run_in_threadpool(PushedSession, source, RenderOptions(), on_frame)
    sender = asyncio.create_task(send())
    try:
        await socket.send_json({"state": "ready"})
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if message.get("bytes") is not None:
                await run_in_threadpool(session.push, message["bytes"])
            elif message.get("text") is not None:
                session.set_expression(_expression(message["text"]))
    finally:
        sender.cancel()
        with contextlib.suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
            await sender
        await run_in_threadpool(session.__exit__)


def _expression(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
        return dict(found["expression"])
    except (ValueError, KeyError, TypeError):
        raise RequestError(422, 'A text message must be {"expression": {"sliders": {NAME: VALUE}}}.') from None
