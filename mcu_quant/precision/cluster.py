"""Plans measured on a cluster that is there already: Dask, through joblib's own backend, with the same code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mcu_quant.diagnostics import Diagnostic, DiagnosticError

#: How long the scheduler may take to answer.
TIMEOUT_SECONDS = 10


@contextmanager
def cluster(address: str | None) -> Iterator[int | None]:
    """Within this, work goes to the cluster at an address (tcp://host:8786); gives the number of its processors.

    Without an address nothing changes, and None is given.

    Raises:
        DiagnosticError: MQ900 if Dask is not installed, or nobody answers.
    """
    if address is None:
        yield None
        return
    where = f"--cluster {address}"
    try:
        from distributed import Client
    except ImportError as error:
        help_ = "pip install 'mcu-quant[cluster]'"
        raise DiagnosticError(Diagnostic("MQ900", where, "Dask is not installed", help=help_)) from error
    import joblib

    connect: Any = Client  # its package has annotations in part
    try:
        client = connect(address, timeout=TIMEOUT_SECONDS)
    except (OSError, ValueError) as error:
        help_ = "start one with `dask scheduler` and `dask worker`, or leave --cluster out"
        raise DiagnosticError(Diagnostic("MQ900", where, "nobody answers there", help=help_)) from error
    with client, joblib.parallel_config("dask"):
        yield max(1, sum(client.ncores().values()))
