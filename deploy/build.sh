#!/usr/bin/env bash
# Builds the release binary so that one commit and one compiler give the same bytes in any directory: deploy/build.sh
#
# Messages of panics and the C of aws-lc name their source files; here they are named by what they belong to instead of where they
# lie. Compare the line that it prints with anybody else's (docs/SECURITY.md, "Supply chain").
set -euo pipefail
cd "$(dirname "$0")/.."
cargo=$(realpath "${CARGO_HOME:-$HOME/.cargo}")
# Variables of the caller would make another binary.
unset CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS
export CARGO_TARGET_DIR=$PWD/target/reproducible
export RUSTFLAGS="--remap-path-prefix=$PWD=/countersign --remap-path-prefix=$cargo=/cargo --remap-path-prefix=$(rustc --print sysroot)=/rust"
export CFLAGS="-ffile-prefix-map=$PWD=/countersign -ffile-prefix-map=$cargo=/cargo"
export CXXFLAGS=$CFLAGS
cargo build --locked --release --bin countersign "$@"
rustc --version
sha256sum target/reproducible/release/countersign
