"""How torch runs while probes are recorded: operation by operation, on one thread."""

from __future__ import annotations

from typing import Any

import torch


class probe_kernels:
    """A context in which small models are recorded and measured; what it changes is put back.

    Recurrent layers decompose into ordinary operations when the fused kernels are off. One thread: the tensors are
    small, and threads that wait for one another (several test workers on one machine) cost many times the arithmetic.
    """

    def __enter__(self) -> None:
        self._fused = torch._C._get_mkldnn_enabled()
        self._threads = torch.get_num_threads()
        torch._C._set_mkldnn_enabled(False)
        if self._threads > 1:
            torch.set_num_threads(1)

    def __exit__(self, *exc: Any) -> None:
        torch._C._set_mkldnn_enabled(self._fused)
        if self._threads > 1:
            torch.set_num_threads(self._threads)
