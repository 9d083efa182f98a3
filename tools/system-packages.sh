#!/bin/sh
# Install what the tests need beyond Python, or say what to install. Changes nothing that is there already.
set -eu

missing=""
need() { # command, Debian package
    command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
need gcc gcc
need cmake cmake
need clang clang
need arm-none-eabi-gcc gcc-arm-none-eabi
need qemu-system-arm qemu-system-arm
need qemu-system-riscv32 qemu-system-misc
need riscv64-unknown-elf-gcc "gcc-riscv64-unknown-elf picolibc-riscv64-unknown-elf"
if command -v arm-none-eabi-gcc >/dev/null 2>&1; then
    # the C library is a package of its own on Debian
    [ "$(arm-none-eabi-gcc -print-file-name=nano.specs)" != nano.specs ] || missing="$missing libnewlib-arm-none-eabi"
else
    missing="$missing libnewlib-arm-none-eabi"
fi

[ -n "$missing" ] || exit 0
echo "missing:$missing"
if ! command -v apt-get >/dev/null 2>&1; then
    echo "install them with this system's package manager (the names above are Debian's), then run make again" >&2
    exit 1
fi
if [ "$(id -u)" = 0 ]; then
    sudo=""
elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
    sudo="sudo"
else
    echo "this needs root; run: sudo apt-get install -y --no-install-recommends$missing" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
# shellcheck disable=SC2086
$sudo apt-get install -y -qq --no-install-recommends $missing
