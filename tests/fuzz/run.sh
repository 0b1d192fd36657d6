#!/usr/bin/env bash
# Fuzzes every target, or those named, each for so many seconds: tests/fuzz/run.sh [--fixed RUNS] [SECONDS [TARGET…]]
#
# `--fixed`: so many inputs, always the same ones for the same code, but for no longer than those seconds: what has passed once on a machine
# that is not much faster passes again. Without it, every run looks elsewhere.
#
# Needs cargo-fuzz (`cargo install cargo-fuzz --locked --root target/tools`) and installs nothing. With rustup's nightly where it
# is, else with the stable compiler told to take nightly's flags. What the fuzzer finds new goes to target/fuzz/found, what breaks
# a promise to target/fuzz/broken; nothing here is changed but by `--minimise`, which keeps of each corpus what covers most.
set -euo pipefail
cd "$(dirname "$0")/../.."

minimise=false
if [ "${1:-}" = --minimise ]; then minimise=true; shift; fi
fixed=()
if [ "${1:-}" = --fixed ]; then fixed=(-seed=1 "-runs=${2:-}"); shift 2 || true; fi
seconds=${1:-20}
[[ $seconds =~ ^[0-9]+$ && ${fixed[1]:--runs=1} =~ =[0-9]+$ ]] || {
  echo "usage: tests/fuzz/run.sh [--minimise] [--fixed RUNS] [SECONDS [TARGET…]]" >&2
  exit 2
}
shift || true
export PATH=$PWD/target/tools/bin:$PATH
command -v cargo-fuzz >/dev/null || {
  echo "cargo-fuzz is missing: cargo install cargo-fuzz --locked --root target/tools" >&2
  exit 3
}
toolchain=()
if cargo +nightly --version >/dev/null 2>&1; then
  toolchain=(+nightly)
else
  echo "no nightly compiler (rustup toolchain install nightly --profile minimal): RUSTC_BOOTSTRAP=1 with $(rustc --version)"
  export RUSTC_BOOTSTRAP=1
fi
# No sanitizer: all of src forbids unsafe code, and AddressSanitizer would see the C of aws-lc only if that were built with it. Debug
# assertions and overflow checks are on, so that arithmetic that would wrap is found.
options=(--fuzz-dir tests/fuzz --target-dir target/fuzz --sanitizer none)
# cargo-fuzz has no --locked of its own.
cargo "${toolchain[@]}" metadata --locked --format-version 1 --manifest-path tests/fuzz/Cargo.toml >/dev/null
cargo "${toolchain[@]}" fuzz build "${options[@]}"
if [ $# -gt 0 ]; then targets=("$@"); else mapfile -t targets < <(cd tests/fuzz/fuzz_targets && printf '%s\n' *.rs | sed 's/\.rs$//'); fi

triple=$(rustc -vV | sed -n 's/^host: //p')
failed=()
for target in "${targets[@]}"; do
  binary=target/fuzz/$triple/release/$target
  found=target/fuzz/found/$target
  broken=target/fuzz/broken/$target/
  # What earlier runs found would lead elsewhere.
  if [ ${#fixed[@]} -gt 0 ]; then rm -rf "$found"; fi
  mkdir -p "$found" "$broken"
  arguments=(-max_len=16384 -timeout=10 -rss_limit_mb=1024 -use_value_profile=0 -print_final_stats=1 -artifact_prefix="$broken")
  [ -f "tests/fuzz/dictionaries/$target.dict" ] && arguments+=(-dict="tests/fuzz/dictionaries/$target.dict")
  seeds=(tests/fuzz/corpus/"$target")
  [ -d "tests/fuzz/regressions/$target" ] && seeds+=(tests/fuzz/regressions/"$target")
  log=target/fuzz/$target.log
  if "$binary" "${arguments[@]}" "${fixed[@]}" -max_total_time="$seconds" "$found" "${seeds[@]}" >"$log" 2>&1; then
    awk -v target="$target" -v seconds="$seconds" '
      / cov: / { for (i = 1; i < NF; i++) { if ($i == "cov:") cov = $(i + 1); if ($i == "ft:") ft = $(i + 1) } }
      /^stat::number_of_executed_units/ { runs = $2 }
      /^stat::peak_rss_mb/ { rss = $2 }
      END { printf "%-16s %10d executions  %6d edges  %6d features  %4d MB  %4d s\n", target, runs, cov, ft, rss, seconds }' "$log"
  else
    failed+=("$target")
    echo "$target BROKE A PROMISE, or ran out of time or memory:"
    grep -vE '^(#[0-9]|INFO|stat::|==.*ERROR|MS:|Base64:|0x)' "$log" | tail -n 25
    echo "  again: $binary $broken*"
    echo "  keep:  cp $broken* tests/fuzz/regressions/$target/ && cargo test --locked --test suite fuzz_corpus"
  fi
  if $minimise; then
    # The seeds that a person wrote stay; of the rest, what adds most, small files first.
    merged=$(mktemp -d)
    "$binary" -merge=1 -max_len=2048 "$merged" "${seeds[@]}" "$found" >>"$log" 2>&1 || true
    room=$((40 - $(ls "tests/fuzz/corpus/$target" | wc -l)))
    for file in $(ls -Sr "$merged" | tail -n +1); do
      [ "$room" -gt 0 ] || break
      grep -qlxF -- "$(sha1sum <"$merged/$file")" <(for seed in tests/fuzz/corpus/"$target"/*; do sha1sum <"$seed"; done) && continue
      cp "$merged/$file" "tests/fuzz/corpus/$target/found-${file:0:12}"
      room=$((room - 1))
    done
    rm -r "$merged"
  fi
done
if [ ${#failed[@]} -gt 0 ]; then echo "broken: ${failed[*]}"; exit 1; fi
