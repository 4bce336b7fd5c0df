"""A host tier for vLLM on the CPU; for tests only.

vLLM's own tier in host memory refuses to start without a GPU, because the part of it that copies is
made of CUDA streams. That part alone is replaced here, through the plug-in point that vLLM has for it:
what is offloaded, looked up, evicted and counted is decided by vLLM's own scheduler and manager.

    --kv-transfer-config '{"kv_connector": "OffloadingConnector", "kv_role": "kv_both",
      "kv_connector_extra_config": {"spec_name": "HostTier", "spec_module_path": "host_tier",
                                    "cpu_bytes_to_use": 67108864}}'

with this folder on PYTHONPATH. It copies within the host's memory, at once: its speed says nothing.
"""

import time
from collections.abc import Iterator

import numpy as np
import torch
from vllm.v1.kv_offload.base import OffloadingWorker, TransferResult
from vllm.v1.kv_offload.cpu.spec import CPUOffloadingSpec


class HostTier(CPUOffloadingSpec):
    """vLLM's tier in host memory with another worker."""

    def get_worker(self, kv_caches):
        if self._worker is None:
            if self.blocks_per_chunk != 1:
                raise ValueError("the test-only host tier keeps single blocks: leave block_size of the tier alone")
            self._worker = CopyingWorker(kv_caches, self.num_chunks)
        return self._worker


class CopyingWorker(OffloadingWorker):
    """Copies blocks between the engine's cache and memory of its own, in the call that asks for it."""

    def __init__(self, kv_caches, blocks: int):
        self.groups = kv_caches.group_data_refs
        self.device = [cache.tensor.view(torch.int8).view(-1, cache.page_size_bytes).numpy() for cache in kv_caches.tensors]
        self.host = [np.zeros((blocks, cache.shape[1]), np.int8) for cache in self.device]
        self.finished: list[TransferResult] = []

    def submit_store(self, job_id, src_spec, dst_spec) -> bool:
        return self._copy(job_id, src_spec, dst_spec, self.device, self.host, groups_of=src_spec)

    def submit_load(self, job_id, src_spec, dst_spec) -> bool:
        return self._copy(job_id, src_spec, dst_spec, self.host, self.device, groups_of=dst_spec)

    def _copy(self, job_id, src_spec, dst_spec, source, target, groups_of) -> bool:
        begin, size_bytes = time.monotonic(), 0
        for caches, blocks in self._by_group(groups_of.group_sizes):
            src, dst = src_spec.block_ids[blocks], dst_spec.block_ids[blocks]
            for cache in caches:
                target[cache.tensor_idx][dst] = source[cache.tensor_idx][src]
                size_bytes += len(src) * cache.page_size_bytes
        took_s = max(time.monotonic() - begin, 1e-9)  # it is divided by
        self.finished.append(TransferResult(job_id, True, size_bytes, took_s))
        return True

    def _by_group(self, sizes) -> Iterator[tuple[list, slice]]:
        """The layers of each group with its place in the lists of blocks."""
        end = 0
        for caches, size in zip(self.groups, sizes):
            begin, end = end, end + size
            yield caches, slice(begin, end)

    def get_finished(self) -> list[TransferResult]:
        finished, self.finished = self.finished, []
        return finished

    def wait(self, job_ids) -> None:
        """Nothing is ever under way."""

    def shutdown(self) -> None:
        self.host = self.device = []
