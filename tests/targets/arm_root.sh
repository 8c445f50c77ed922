#!/usr/bin/env bash
# Unpacks a Debian python3 with pip, numpy and cffi for another processor, which qemu-user runs: arm_root.sh arm64|armhf FOLDER
# Needs Debian with apt and dpkg, no root; the system's own package lists and packages are left alone.
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
architecture=$1 folder=$2
mkdir -p "$(dirname "$folder")"
work=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{parts,lists/partial,cache/archives/partial,root}

# where this system has its Debian packages from
apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' 'Origin: Debian' 'Component: main' | sort -u |
    sed 's/.*/deb [signed-by=\/usr\/share\/keyrings\/debian-archive-keyring.gpg] & main/' >"$work/parts/debian.list"
[ -s "$work/parts/debian.list" ] || { echo "arm_root.sh: apt knows no Debian packages; run apt-get update" >&2; exit 1; }

options=(-qq -o APT::Architecture="$architecture" -o APT::Architectures="$architecture" -o APT::Sandbox::User= -o APT::Install-Recommends=false
    -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$work/parts" -o Dir::State::Lists="$work/lists"
    -o Dir::Cache="$work/cache" -o Dir::State::status=/dev/null -o Acquire::Languages=none -o Debug::NoLocking=true)
apt-get "${options[@]}" update >"$work/log" 2>&1 || true # one suite may be missing; the next line knows whether the rest suffices
apt-get "${options[@]}" install --download-only -y python3 python3-pip python3-numpy python3-cffi >>"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
for package in "$work"/cache/archives/*.deb; do dpkg -x "$package" "$work/root"; done
for library in "$work"/root/usr/lib/*/{blas/libblas,lapack/liblapack}.so.3; do # what update-alternatives would do
    ln -sf "$(basename "$(dirname "$library")")/$(basename "$library")" "$(dirname "$library")/.."
done
rm -rf "$folder"
mv "$work/root" "$folder"
