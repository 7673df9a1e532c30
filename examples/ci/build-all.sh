#!/bin/sh
# Makes an executable of one module for every target, and a file of checksums.
#
#   AOT=path/to/aot build-all.sh app.wasm [DIRECTORY]
#
# The bytes depend on the module and on the version of aot alone, so any machine can check them by building again.
set -eu

module=$1
out=${2:-dist}
aot=${AOT:-aot}
name=$(basename "$module")
name=${name%.*}

mkdir -p "$out"
for target in x86_64-linux aarch64-linux riscv64-linux s390x-linux; do
    "$aot" build "$module" --target "$target" --strip debug -o "$out/$name-$target"
done
cd "$out"
sha256sum "$name"-*-linux >SHA256SUMS
