#!/bin/bash
# Makes a Debian for the other stand-ins: debian.sh TAR. Package sources, CA bundle and pip's configuration are this machine's.
set -euo pipefail
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

mirror=$(apt-get indextargets --format '$(SITE) $(CODENAME)' 'Created-By: Packages' | awk '$2 == "bookworm" {print $1; exit}')
test -n "$mirror" || { echo "apt on this machine has no package source of Debian bookworm" >&2; exit 1; }
debootstrap --variant=minbase --include=ca-certificates bookworm "$root" "$mirror" >&2

rm -f "$root"/etc/apt/sources.list
cp -a /etc/apt/sources.list.d/. "$root"/etc/apt/sources.list.d/
test ! -f /etc/apt/sources.list || cp /etc/apt/sources.list "$root"/etc/apt/
test ! -f /etc/pip.conf || cp /etc/pip.conf "$root"/etc/
cp -L /etc/ssl/certs/ca-certificates.crt "$root"/etc/ssl/certs/
printf 'APT::Install-Recommends "false";\nAPT::Get::Assume-Yes "true";\n' > "$root"/etc/apt/apt.conf.d/90standin
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
tar -C "$root" -c -f "$1" .
