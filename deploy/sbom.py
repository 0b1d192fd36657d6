#!/usr/bin/env python3
"""Prints what the binary is made of, as CycloneDX 1.6 JSON: deploy/sbom.py [TARGET] > countersign.cdx.json

Asks Cargo (`cargo metadata --locked`) and reads Cargo.lock; needs nothing else. Dependencies of tests are left out, those of building
are marked `excluded`. The same commit gives the same bytes.
"""
import json
import pathlib
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
target = sys.argv[1] if len(sys.argv) > 1 else "x86_64-unknown-linux-gnu"
metadata = json.loads(
    subprocess.check_output(
        ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target], cwd=ROOT
    )
)
lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
checksums = {(p["name"], p["version"]): p.get("checksum") for p in lock["package"]}
packages = {p["id"]: p for p in metadata["packages"]}
nodes = {n["id"]: n for n in metadata["resolve"]["nodes"]}
root = metadata["resolve"]["root"]


def below(package, kinds):
    """The direct dependencies of these kinds (None: normal)."""
    return sorted(d["pkg"] for d in nodes[package]["deps"] if {k["kind"] for k in d["dep_kinds"]} & kinds)


def is_macro(package):
    return any("proc-macro" in t["kind"] for t in packages[package]["targets"])


# What is linked: normal dependencies, but for the macros, which run while compiling.
linked, everything = set(), set()
for found, kinds in ((linked, {None}), (everything, {None, "build"})):
    todo = [root]
    while todo:
        package = todo.pop()
        if package not in found and not (found is linked and is_macro(package)):
            found.add(package)
            todo += below(package, kinds)


def purl(package):
    return f"pkg:cargo/{packages[package]['name']}@{packages[package]['version']}"


def component(package):
    about = packages[package]
    checksum = checksums.get((about["name"], about["version"]))
    licence = (about.get("license") or "").replace("/", " OR ")
    return {
        "type": "application" if package == root else "library",
        "bom-ref": purl(package),
        "name": about["name"],
        "version": about["version"],
        "purl": purl(package),
        "scope": "required" if package in linked else "excluded",
        **({"licenses": [{"expression": licence}]} if licence else {}),
        **({"hashes": [{"alg": "SHA-256", "content": checksum}]} if checksum else {}),
    }


document = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.6",
    "version": 1,
    "metadata": {"component": component(root), "properties": [{"name": "cargo:target", "value": target}]},
    "components": [component(p) for p in sorted(everything - {root}, key=purl)],
    "dependencies": [
        {"ref": purl(p), "dependsOn": sorted({purl(d) for d in below(p, {None, "build"})})}
        for p in sorted(everything, key=purl)
    ],
}
json.dump(document, sys.stdout, indent=1)
print()
