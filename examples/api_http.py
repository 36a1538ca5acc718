"""The same as api_client.py by plain HTTP: what to send, and what comes back.

    python examples/api_http.py [http://127.0.0.1:7860]

A call takes two requests. The first posts the arguments, in order, and gets an id. The second reads
events (text/event-stream) under that id: "generating" with a snapshot each, then "complete".
"""

import json
import sys
import urllib.request
from collections.abc import Iterator

ADDRESS = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:7860"


def call(name: str, *arguments: object) -> Iterator[tuple[str, object]]:
    """Each event of an endpoint, with its value."""
    address = f"{ADDRESS}/gradio_api/call/{name}"
    body = json.dumps({"data": arguments}).encode()
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as reply:
        identity = json.load(reply)["event_id"]
    with urllib.request.urlopen(f"{address}/{identity}") as lines:
        event = ""
        for raw in lines:
            key, _, value = raw.decode().rstrip("\n").partition(": ")
            if key == "event":
                event = value
            elif key == "data" and event != "heartbeat":
                yield event, json.loads(value)


for _, value in call("models"):
    for model in value[0]:
        print(f"{model['id']}: {model['role']}")

# prompt, models, system, temperature, top_p, max_tokens, seed
question = ["What is the capital of Germany?", ["pocket-base", "pocket-reference"], "", 0, 1, 40, 0]
columns = []
for event, value in call("compare", *question):
    if event == "error":
        sys.exit(f"The app refused: {value}")
    columns = value[0]["columns"] if value else columns
for column in columns:
    print(f"{column['model']} ({column['state']}): {column['text']}")
