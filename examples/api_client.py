"""Ask several models one question through the running app.

    python examples/api_client.py [http://127.0.0.1:7860]

It needs gradio_client, which comes with Gradio: `pip install gradio_client`.
"""

import sys

from gradio_client import Client

lab = Client(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:7860")

for model in lab.predict(api_name="/models"):
    print(f"{model['id']}: {model['role']}")

job = lab.submit(
    "What is the capital of Germany?",
    ["pocket-base", "pocket-reference"],
    temperature=0,
    max_tokens=40,
    api_name="/compare",
)
for column in job.result()["columns"]:  # the last snapshot is complete
    print(f"{column['model']} ({column['state']}): {column['text']}")
