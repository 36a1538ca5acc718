"""The rules of a good Dockerfile that matter here, after hadolint's list (no engine needed)."""

import json
import re
from typing import NamedTuple

SECRET = re.compile(r"(token|secret|passw|api_?key|credential)", re.I)


class Instruction(NamedTuple):
    """One instruction: `RUN`, `COPY`, ... and everything after it on its joined lines."""

    word: str
    rest: str


def parse(text: str) -> list[Instruction]:
    """Instructions in order; comments dropped, continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    found = [line.strip().partition(" ") for line in joined.splitlines() if line.strip()]
    return [Instruction(word.upper(), rest.strip()) for word, _, rest in found]


def problems(text: str) -> list[str]:
    """Every rule broken, in words."""
    found = []
    steps = parse(text)
    for step in steps:
        found += _step_problems(step)
    words = [step.word for step in steps]
    for wanted in ("HEALTHCHECK", "CMD", "WORKDIR", "USER"):
        if wanted not in words:
            found.append(f"no {wanted}")
    users = [step.rest for step in steps if step.word == "USER"]
    if users and users[-1].split(":")[0] in ("root", "0"):
        found.append("the last USER is root")
    return found + _image_problems(steps)


def _image_problems(steps: list[Instruction]) -> list[str]:
    """Base images are pinned to a version, also where an argument names them."""
    arguments = dict(s.rest.partition("=")[::2] for s in steps if s.word == "ARG")
    found = []
    for step in steps:
        if step.word == "FROM":
            image = step.rest.split()[0]
            image = re.sub(r"\$\{?(\w+)\}?", lambda m: arguments.get(m[1], ""), image)
            tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2]
            if "@sha256:" not in image and not re.search(r"\d", tag):
                found.append(f"the base image {image!r} has no pinned version")
    return found


def _step_problems(step: Instruction) -> list[str]:
    word, rest = step
    found = []
    if word == "ADD":
        found.append("ADD: use COPY")
    if word == "WORKDIR" and not rest.startswith("/"):
        found.append(f"WORKDIR {rest} is not absolute")
    if word in ("CMD", "ENTRYPOINT") and not _is_exec_form(rest):
        found.append(f"{word} is not in exec form")
    if word == "HEALTHCHECK" and not _is_exec_form(rest.partition("CMD")[2].strip()):
        found.append("HEALTHCHECK is not in exec form")
    if word in ("ENV", "ARG"):
        names = [part.partition("=")[0] for part in rest.split()]
        found += [f"{word} {name} holds a secret" for name in names if SECRET.search(name)]
    if word == "RUN":
        found += _run_problems(rest)
    return found


def _run_problems(rest: str) -> list[str]:
    found = []
    if re.search(r"\bsudo\b", rest):
        found.append("RUN uses sudo")
    if "apt-get install" in rest:
        if "apt-get update" not in rest:
            found.append("apt-get install without update in the same RUN")
        if "rm -rf /var/lib/apt/lists" not in rest:
            found.append("apt-get leaves its lists behind")
        if "--no-install-recommends" not in rest or " -y" not in rest:
            found.append("apt-get install without -y --no-install-recommends")
    elif "apt-get update" in rest:
        found.append("apt-get update without install in the same RUN")
    if re.search(r"\bapt (install|update)\b", rest):
        found.append("apt is for people: use apt-get")
    if re.search(r"(^|&&|;)\s*cd ", rest):
        found.append("RUN cd: use WORKDIR")
    for install in re.findall(r"pip install[^;&]*", rest):
        if "--no-cache-dir" not in install:
            found.append("pip install keeps its cache in the image")
        if "-r " not in install and "==" not in install:
            found.append("pip install without a version")
    if re.search(r"(curl|wget)[^|&;]*\|", rest):
        found.append("RUN pipes a download into a program")
    return found


def _is_exec_form(text: str) -> bool:
    try:
        return isinstance(json.loads(text), list)
    except ValueError:
        return False
