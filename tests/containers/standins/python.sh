#!/bin/bash
# Packs this machine's own Python without its packages, to be unpacked in /usr/local: python.sh VERSION TAR, as in 3.12.
set -euo pipefail
if command -v pyenv >/dev/null; then
    version=$(pyenv latest "$1")
    prefix=$(pyenv prefix "$version")
else
    prefix=$("python$1" -c 'import sys; print(sys.base_prefix)')
fi
tar -C "$prefix" -c -f "$2" --exclude=site-packages --exclude=__pycache__ --exclude=test --exclude='bin/pip*' bin include lib
