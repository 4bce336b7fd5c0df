"""Makes PyTorch's CUDA wheel importable without the 2.7 GB of GPU libraries that it links to.

usage: cuda_stub.py          with the Python of the environment that has torch

Beside torch's own libraries it builds empty ones with the names, versions and symbols that those
need to be loaded. Nothing may call them: PyTorch then sees no GPU and computes on the CPU.
"""

import glob
import importlib.util
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass, field

GPU_LIBRARY = r"(?:libcu|libnv|libnccl)[^\]\s]*"
GPU_SYMBOL = re.compile(r"cu|nv|__cuda|nccl|_nv")
DRIVER = "libcuda.so.1"  # opened at run time, and its absence is what says "no GPU"
NO_DEVICE = 100  # cudaErrorNoDevice


@dataclass
class Needs:
    """What the libraries of torch ask of others, together."""

    libraries: set[str] = field(default_factory=set)
    versions: dict[str, set[str]] = field(default_factory=dict)  # library -> version nodes
    versioned: dict[str, set[str]] = field(default_factory=dict)  # version node -> symbols
    unversioned: set[str] = field(default_factory=set)
    defined: set[str] = field(default_factory=set)

    def read(self, path: str) -> None:
        """Adds what the ELF file at `path` needs and defines."""
        self.libraries |= set(re.findall(rf"NEEDED.*\[({GPU_LIBRARY})\]", readelf("-d", path)))
        library = None
        for file, node in re.findall(r"Version: \d+\s+File: (\S+)\s+Cnt|Name: (\S+)\s+Flags", readelf("-V", path)):
            if file:
                library = file
            elif library:
                self.versions.setdefault(library, set()).add(node)
        for row in map(str.split, readelf("--dyn-syms", path).splitlines()):
            if len(row) >= 8 and row[4] in ("GLOBAL", "WEAK"):
                self.add_symbol(row[7], is_weak=row[4] == "WEAK", is_undefined=row[6] == "UND")

    def add_symbol(self, name_and_version: str, *, is_weak: bool, is_undefined: bool) -> None:
        name, _, version = name_and_version.partition("@")
        version = version.strip("@")
        if not is_undefined:
            self.defined.add(name)
        elif not is_weak and version:
            self.versioned.setdefault(version, set()).add(name)
        elif not is_weak:
            self.unversioned.add(name)

    def homeless(self) -> set[str]:
        """GPU symbols of which no file says in which library they are; any stub will do."""
        return {name for name in self.unversioned - self.defined if GPU_SYMBOL.match(name)}


def readelf(what: str, path: str) -> str:
    return subprocess.run(["readelf", "-W", what, path], check=True, capture_output=True, text=True).stdout


def build(folder: str, library: str, symbols: set[str], nodes: dict[str, list[str]]) -> None:
    """Compiles one library of functions that do nothing."""
    with tempfile.TemporaryDirectory() as scratch:
        source, script = f"{scratch}/stub.c", f"{scratch}/stub.map"
        with open(source, "w", encoding="ascii") as file:
            file.write("int stub;\n")
            for name in sorted(symbols):
                result = NO_DEVICE if name == "cudaGetDeviceCount" else 0
                file.write(f"long {name}(void){{return {result};}}\n")
        versions = "".join(f"{node} {{ global: {'; '.join(names)}; }};\n" for node, names in nodes.items() if names)
        with open(script, "w", encoding="ascii") as file:
            file.write(versions)
        flags = [f"-Wl,--version-script={script}"] if versions else []
        command = ["gcc", "-shared", "-fPIC", "-w", f"-Wl,-soname,{library}", *flags]
        subprocess.run([*command, "-o", f"{folder}/{library}", source], check=True)


def main() -> None:
    folder = os.path.join(os.path.dirname(importlib.util.find_spec("torch").origin), "lib")
    needs = Needs()
    for path in glob.glob(f"{folder}/*.so*"):
        if not re.match(GPU_LIBRARY, os.path.basename(path)):
            needs.read(path)
    for library in sorted(needs.libraries - {DRIVER}):
        nodes = {node: sorted(needs.versioned.get(node, ())) for node in needs.versions.get(library, ())}
        symbols = {name for names in nodes.values() for name in names}
        if library.startswith("libcudart"):
            symbols |= needs.homeless()
        build(folder, library, symbols, nodes)


if __name__ == "__main__":
    main()
