"""Three columns through the page's API against the same requests sent raw to the same engines.

The app runs in a process of its own with its embedded models. Each round sends one prompt to all
three engines at once, raw over HTTP and through `/compare`, in alternating order, greedily and
with the same length, so both sides decode the same tokens. The page's side keeps one session, as
an open page and `gradio_client` do. Two claims, a JSON line each: throughput (tokens per second
until the last column ends) and the extra time to the first token.
"""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

import httpx
import psutil

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from imitation.models.embedded.weights import weights_path  # noqa: E402
from imitation.settings import read_settings  # noqa: E402

MODELS = ("pocket-base", "pocket-base-cut2", "pocket-reference")
TOKENS = 96
SESSION = "arena-benchmark"
OPENINGS = ("", "In your own words: ", "Without hurry: ")
SUBJECTS = (
    "Describe a morning at a fish market.",
    "Explain how a sailing boat moves against the wind.",
    "Write a letter from a lighthouse keeper.",
    "Give advice to somebody who learns to bake bread.",
    "Tell the story of a lost suitcase.",
    "Explain why mountains have snow on top.",
    "Describe the sound of a city at night.",
    "Write about a train that is always late.",
)
# Many, and an even number of them for either side to go first: one round varies by a tenth.
PROMPTS = [opening + subject for opening in OPENINGS for subject in SUBJECTS]


def engine_urls(app: subprocess.Popen) -> dict[str, str]:
    """Address of each engine the app runs, by the file name of its weights."""
    found = {}
    for child in psutil.Process(app.pid).children(recursive=True):
        command = child.cmdline()
        if "imitation.models.embedded.server" in command:
            (port,) = [c.laddr.port for c in child.net_connections() if c.status == "LISTEN"]
            weights = Path(json.loads(command[-1])["weights"])
            found[weights.name] = f"http://127.0.0.1:{port}"
    return found


async def raw(urls: list[str], prompt: str) -> tuple[float, int, list[float]]:
    """(seconds, tokens, first-token seconds of each) of the three requests sent at once."""
    body = {
        "messages": [{"role": "user", "content": prompt}],
        "temperature": 0,
        "max_tokens": TOKENS,
        "stream": True,
        "stream_options": {"include_usage": True},
    }

    async def one(client: httpx.AsyncClient, url: str) -> tuple[int, float]:
        tokens, first = 0, 0.0
        async with client.stream("POST", f"{url}/v1/chat/completions", json=body) as reply:
            async for line in reply.aiter_lines():
                if not line.startswith("data: {"):
                    continue
                event = json.loads(line[6:])
                if event["choices"] and event["choices"][0]["delta"].get("content") and not first:
                    first = time.perf_counter() - started
                if event.get("usage"):
                    tokens = event["usage"]["completion_tokens"]
        return tokens, first

    async with httpx.AsyncClient(timeout=300) as client:
        started = time.perf_counter()
        answers = await asyncio.gather(*(one(client, url) for url in urls))
        seconds = time.perf_counter() - started
    return seconds, sum(tokens for tokens, _ in answers), [first for _, first in answers]


async def page(root: str, prompt: str) -> tuple[float, int, list[float]]:
    """The same through the app's `/compare`, over plain HTTP like the raw side."""
    firsts = [0.0] * len(MODELS)
    columns: list[dict] = []
    arguments = [prompt, list(MODELS), "", 0, 1.0, TOKENS, None]
    asked = {"data": arguments, "session_hash": SESSION}
    async with httpx.AsyncClient(timeout=300) as client:
        started = time.perf_counter()
        joined = await client.post(f"{root}/gradio_api/call/compare", json=asked)
        event = joined.json()["event_id"]
        async with client.stream("GET", f"{root}/gradio_api/call/compare/{event}") as reply:
            async for line in reply.aiter_lines():
                if not line.startswith("data: ["):
                    continue
                now = time.perf_counter() - started
                (snapshot,) = json.loads(line[6:])
                columns = snapshot["columns"]
                for index, column in enumerate(columns):
                    if column["text"] and not firsts[index]:
                        firsts[index] = now
        seconds = time.perf_counter() - started
    failed = [column["error"] for column in columns if column["state"] != "done"]
    if failed or not columns:
        raise RuntimeError(f"/compare did not end well: {failed}")
    return seconds, sum(column["tokens"] for column in columns), firsts


@contextlib.contextmanager
def running_app(folder: Path, port: int):
    """The app on a free port, with a data folder of its own."""
    env = os.environ | {
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_ANALYTICS_ENABLED": "False",
        "IMITATION_DATA": str(folder),
    }
    with (folder / "app.log").open("w") as log:
        app = subprocess.Popen(
            [sys.executable, "app.py"], cwd=ROOT, env=env, stdout=log, stderr=log
        )
        try:
            deadline = time.monotonic() + 90
            while time.monotonic() < deadline:
                with contextlib.suppress(httpx.HTTPError):
                    httpx.get(f"http://127.0.0.1:{port}", timeout=2)
                    break
                time.sleep(0.2)
            yield app
        finally:
            app.terminate()
            app.wait(20)


def measure() -> tuple[list[float], dict[str, list[float]], list[float]]:
    """Throughput page / raw of each round; extra first-token seconds by side that went first."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    root = f"http://127.0.0.1:{port}"
    settings = read_settings()
    names = [weights_path(settings, kind).name for kind in ("cut-4", "cut-2", "whole")]
    ratios, raw_first = [], []
    extra: dict[str, list[float]] = {"page first": [], "raw first": []}
    with tempfile.TemporaryDirectory() as folder, running_app(Path(folder), port) as app:
        asyncio.run(page(root, "Hello there."))  # the engines start
        urls = engine_urls(app)
        ordered = [urls[name] for name in names]
        asyncio.run(raw(ordered, "Hello again."))
        for number, prompt in enumerate(PROMPTS):
            if number % 2:
                order = "page first"
                ours, theirs = asyncio.run(page(root, prompt)), asyncio.run(raw(ordered, prompt))
            else:
                order = "raw first"
                theirs, ours = asyncio.run(raw(ordered, prompt)), asyncio.run(page(root, prompt))
            ratios.append((ours[1] / ours[0]) / (theirs[1] / theirs[0]))
            extra[order] += [a - b for a, b in zip(ours[2], theirs[2], strict=True)]
            raw_first += theirs[2]
    return ratios, extra, raw_first


def main() -> None:
    """Measure and print."""
    ratios, by_order, raw_first = measure()
    print(
        json.dumps(
            {
                "name": "arena throughput, page API / raw",
                "value": round(median(ratios), 3),
                "unit": "ratio",
                "target": ">= 0.95",
                "ok": median(ratios) >= 0.95,
                "n": len(ratios),
                "details": {
                    "rounds": [round(r, 3) for r in ratios],
                    "quartiles": [round(q, 3) for q in quantiles(ratios)],
                    "columns": len(MODELS),
                },
            }
        )
    )
    # Whoever comes second finds the prompt in the engine's cache and is faster by what reading it
    # takes; over both orders, equally often, that cancels out.
    medians = {order: median(values) for order, values in by_order.items()}
    extra = sum(medians.values()) / len(medians)
    allowed = max(0.05, 0.1 * median(raw_first))
    print(
        json.dumps(
            {
                "name": "arena extra time to first token",
                "value": round(extra, 4),
                "unit": "s",
                "target": f"<= {allowed:.3f} (the larger of 10% and 50 ms)",
                "ok": extra <= allowed,
                "n": len(raw_first),
                "details": {
                    "median_extra_s": {order: round(value, 4) for order, value in medians.items()},
                    "raw_median_s": round(median(raw_first), 4),
                },
            }
        )
    )


if __name__ == "__main__":
    main()
