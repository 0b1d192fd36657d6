#!/usr/bin/env bash
# Builds the clients of the interop suite into DIR: clients.sh DIR; the policy engines: clients.sh DIR engines; or the commands of admission
# controllers, which bring Kubernetes and every cloud and take a quarter of an hour and some GB: clients.sh DIR controllers. What cannot
# be had is named, and left out.
set -uo pipefail
cd "$(dirname "$0")"
mkdir -p "$1/bin" && out=$(cd "$1" && pwd)
missing() { printf '!!! SKIPPED: %s\n' "$*"; }
# A Go program, under a name of its own.
go_install() { [ -x "$out/bin/$2" ] || { GOBIN=$out/go go install "$1" && mv "$out/go/"* "$out/bin/$2"; }; }
# A Go program whose module has replacements, which `go install` refuses: go_build MODULE@VERSION PACKAGE NAME.
go_build() {
  local module
  [ -x "$out/bin/$3" ] || {
    module=$(go mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p') && (cd "$module" && go build -ldflags='-s -w' -o "$out/bin/$3" "$2")
  }
}

if [ "${2:-}" = controllers ]; then
  command -v go >/dev/null || { missing "the admission controllers: no Go to build them with"; exit; }
  go_build github.com/sigstore/policy-controller@v0.13.1 ./cmd/tester policy-tester || missing "policy-controller: it does not build"
  go_build github.com/kyverno/kyverno@v1.19.1 ./cmd/cli/kubectl-kyverno kyverno || missing "Kyverno: it does not build"
  exit
fi

if [ "${2:-}" = engines ]; then
  command -v go >/dev/null || { missing "the policy engines: no Go to build them with"; exit; }
  go_install github.com/open-policy-agent/conftest@v0.71.1 conftest || missing "conftest: it does not build"
  go_install github.com/open-policy-agent/opa@v1.22.2 opa || missing "OPA: it does not build"
  exit
fi

if command -v go >/dev/null; then
  go_install github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3 cosign || missing "cosign v3: it does not build"
  go_install github.com/sigstore/cosign/v2/cmd/cosign@v2.6.5 cosign2 || missing "cosign v2: it does not build"
  go_install github.com/sigstore/fulcio@v1.8.5 fulcio || missing "Fulcio: it does not build"
  go_install github.com/google/go-containerregistry/cmd/registry@v0.21.7 registry || missing "a registry: it does not build"
  (cd go && go build -o "$out/bin/sigstore-go-client" .) || missing "sigstore-go: it does not build"
else
  missing "cosign, sigstore-go, a registry: no Go to build them with"
fi

if command -v npm >/dev/null; then
  mkdir -p "$out/js" && cp js/package.json js/*.mjs "$out/js/"
  (cd "$out/js" && npm install --no-audit --no-fund --silent --no-package-lock) || missing "sigstore-js: its packages cannot be had"
else
  missing "sigstore-js: no npm"
fi

if command -v mvn >/dev/null && command -v javac >/dev/null; then
  mkdir -p "$out/java" && cp -r java/pom.xml java/src "$out/java/"
  if (cd "$out/java" && mvn --quiet --batch-mode package); then
    printf '%s:%s' "$out/java/target/classes" "$(cat "$out/java/target/classpath")" > "$out/java/classpath"
  else
    missing "sigstore-java: it does not build"
  fi
else
  missing "sigstore-java: no Maven or no JDK"
fi

if (cd rust && CARGO_TARGET_DIR=$out/rust cargo build --quiet); then
  cp "$out/rust/debug/interop" "$out/bin/sigstore-rs-client"
else
  missing "sigstore-rs: it does not build"
fi
