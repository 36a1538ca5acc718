#!/bin/sh
# `make lock`: compile requirements.txt and requirements-dev.txt from pyproject.toml.
#
# Against torch's CPU build, so that no CUDA package of the machine that ran this is pinned for
# everyone; torch's "+cpu" is then cut off, since PyPI has no such version. Extra arguments go to
# pip-compile (--upgrade, --upgrade-package NAME).
set -eu

CUSTOM_COMPILE_COMMAND="make lock"
export CUSTOM_COMPILE_COMMAND
index=${TORCH_INDEX-https://download.pytorch.org/whl/cpu}

compile() {
    out=$1
    shift
    "$PYTHON" -m piptools compile -q ${index:+--extra-index-url "$index"} \
        --allow-unsafe --strip-extras --annotation-style=line --no-header \
        --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options \
        --output-file="$out" "$@"
    sed 's/^\(torch==[0-9.]*\)+cpu/\1    /' "$out" >"$out.new"
    mv "$out.new" "$out"
}

head_of() { # the new header, then the file without its old one
    grep -v '^#' "$1" >"$1.new" || true
    cat - "$1.new" >"$1"
    rm "$1.new"
}

compile requirements.txt --extra train --extra eval pyproject.toml "$@"
head_of requirements.txt <<'HEADER'
# Compiled by `make lock` from pyproject.toml's dependencies and its extras
# train and eval (Python 3.11, Linux): edit those.
#
# No CUDA library (nvidia-*, triton) is listed: the list was resolved with torch's CPU build, and
# pip adds what the torch wheel of your platform asks for. On Linux that is CUDA, about 3 GB; to
# go without it (`make demo` does, where there is no NVIDIA driver), take torch from its CPU index:
#   pip install --no-deps --index-url https://download.pytorch.org/whl/cpu torch==VERSION-BELOW
#   pip install -r requirements.txt
HEADER

"$PYTHON" - <<'CODE' >requirements-dev.in
import tomllib
print("-c requirements.txt")
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
print(*project["optional-dependencies"]["dev"], sep="\n")
CODE
compile requirements-dev.txt requirements-dev.in "$@"
rm requirements-dev.in
head_of requirements-dev.txt <<'HEADER'
# Compiled by `make lock` from pyproject.toml's "dev" dependencies, on top of requirements.txt.
-r requirements.txt

HEADER
