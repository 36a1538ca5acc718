import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.deploy.dockerfile_rules import parse, problems

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Dockerfile").read_text()
STEPS = parse(TEXT)


def test_the_dockerfile_breaks_no_rule():
    assert problems(TEXT) == []


@pytest.mark.parametrize(
    ("good", "bad", "problem"),
    [
        ("python:3.11-slim-bookworm", "python:latest", "no pinned version"),
        ("python:3.11-slim-bookworm", "python", "no pinned version"),
        ("apt-get update ", "true ", "without update"),
        ("rm -rf /var/lib/apt/lists/*", "true", "lists behind"),
        ("--no-install-recommends ", "", "--no-install-recommends"),
        ("USER 1000", "USER root", "root"),
        ("USER 1000", "", "no USER"),
        ("WORKDIR /home/user/app", "WORKDIR app", "not absolute"),
        ("COPY requirements.txt", "ADD requirements.txt", "use COPY"),
        ('CMD ["python", "app.py"]', "CMD python app.py", "exec form"),
        ("HEALTHCHECK", "LABEL", "no HEALTHCHECK"),
        ("PYTHONUNBUFFERED=1", "OPENAI_API_KEY=sk-1", "secret"),
        ("ARG WEIGHTS=1", "ARG HF_TOKEN", "secret"),
        ("RUN useradd", "RUN sudo useradd", "sudo"),
        ("--no-cache-dir -r", "-r", "cache in the image"),
        ("RUN useradd", "RUN cd /tmp && useradd", "use WORKDIR"),
    ],
)
def test_each_rule_can_fail(good, bad, problem):
    assert good in TEXT
    broken = problems(TEXT.replace(good, bad))
    assert any(problem in one for one in broken), broken


def test_cpu_by_default_and_cuda_by_an_empty_argument():
    argument = next(s.rest for s in STEPS if s.rest.startswith("TORCH_INDEX_URL="))
    assert argument.endswith("/whl/cpu")
    install = next(s.rest for s in STEPS if "TORCH_INDEX_URL" in s.rest and s.word == "RUN")
    assert install.startswith('if [ -n "$TORCH_INDEX_URL" ]')


def test_the_container_listens_outside_and_on_the_exposed_port():
    environment = next(s.rest for s in STEPS if s.word == "ENV")
    port = next(s.rest for s in STEPS if s.word == "EXPOSE")
    assert "GRADIO_SERVER_NAME=0.0.0.0" in environment
    assert f"GRADIO_SERVER_PORT={port}" in environment


def test_the_image_gets_the_packages_and_no_more():
    ignored = (ROOT / ".dockerignore").read_text().split()
    kept = [line[1:].rstrip("/") for line in ignored if line.startswith("!")]
    assert ignored.count("*") == 1
    assert all((ROOT / name).exists() for name in kept)
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for pattern in packages["tool"]["setuptools"]["packages"]["find"]["include"]:
        assert any(fnmatch(name, pattern) for name in kept)
    copied = {s.rest.split()[0] for s in STEPS if s.word == "COPY" and s.rest[0] not in "-."}
    assert copied <= set(kept)


def test_the_pinned_torch_can_be_read_out_of_requirements():
    pattern = re.search(r"grep -o '([^']+)'", TEXT)[1]
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    assert sum(bool(re.match(pattern, line)) for line in lines) == 1
