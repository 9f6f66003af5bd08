"""A function over blocks of rows, on this machine or on the cluster that holds a dask array."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from ._expression import check_values, row_blocks


class PreparedBlock(NamedTuple):
    """A block of cells, ready for a model.

    Attributes
    ----------
    values
        What the model reads, CSR.
    totals
        Depth of every cell.
    """

    values: sp.csr_matrix
    totals: np.ndarray


@dataclass(frozen=True)
class Prepare:
    """Checks a block of stored values and normalises it.

    Attributes
    ----------
    where
        Name of the matrix for messages.
    log_normalized
        Whether log-normalised values are declared.
    normalize
        Gives values and totals of a block.
    """

    where: str
    log_normalized: bool
    normalize: Callable[[sp.csr_matrix], tuple[sp.csr_matrix, np.ndarray]]

    def __call__(self, block: sp.csr_matrix) -> PreparedBlock:
        """Check and normalise."""
        check_values(block.data, where=self.where, log_normalized=self.log_normalized)
        return PreparedBlock(*self.normalize(block))


def map_blocks(
    function: Callable[..., Any],
    matrix: Any,
    size: int,
    *per_row: Any,
    join: Callable[[list[Any]], Any] | None = None,
) -> Iterator[tuple[slice, Any]]:
    """Yield rows and ``function(block, *arrays)`` for blocks of at most ``size`` rows, in order.

    With a dask array and a client of ``dask.distributed``, blocks are worked on where they are:
    chunks stay on the workers, and only results come back.

    Parameters
    ----------
    function
        What is done with a CSR block; for a cluster it has to be picklable and to depend on
        nothing else.
    matrix
        What :func:`row_blocks` takes.
    size
        Rows at a time.
    *per_row
        Arrays and tables with a first axis of rows, whose parts go along with the blocks.
    join
        Makes one result of those of a chunk's blocks before it leaves the worker, where results
        are large and need not be apart.
    """
    client = cluster_client(matrix)
    if client is None:
        for start, block in row_blocks(matrix, size):
            rows = slice(start, start + block.shape[0])
            yield rows, function(block, *_parts(per_row, rows))
        return

    import dask
    from dask.delayed import delayed

    if len(matrix.chunks[1]) > 1:
        matrix = matrix.rechunk({1: -1})
    ends = np.cumsum(matrix.chunks[0])
    starts = ends - matrix.chunks[0]
    # What is sent is sent once: no warning that it is large.
    with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TiB"}):
        # One task gives the function to all others: a model may be large. Scattered, it would be
        # lost with the worker that holds the last copy; a task is done again.
        shared = client.submit(_itself, function, pure=False)
        tasks = [
            delayed(_in_chunk, pure=False)(
                shared, chunk, size, join, *_parts(per_row, slice(start, end))
            )
            for chunk, start, end in zip(matrix.to_delayed().ravel(), starts, ends, strict=True)
        ]
        futures = client.compute(tasks)
    try:
        for start, future in zip(starts, futures, strict=True):
            for rows, result in future.result():
                yield slice(start + rows.start, start + rows.stop), result
            future.release()
    finally:
        client.cancel([future for future in futures if not future.done()])


def _itself(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function on the worker that fetched it."""
    return function


def _in_chunk(
    function: Callable[..., Any],
    chunk: Any,
    size: int,
    join: Callable[[list[Any]], Any] | None,
    *per_row: Any,
) -> list[tuple[slice, Any]]:
    """Do on a worker what is done here without one."""
    found = list(map_blocks(function, chunk, size, *per_row))
    if join is None:
        return found
    return [(slice(0, chunk.shape[0]), join([result for _, result in found]))]


def _parts(per_row: Sequence[Any], rows: slice) -> list[Any]:
    return [array.iloc[rows] if hasattr(array, "iloc") else array[rows] for array in per_row]


def cluster_client(matrix: Any) -> Any:
    """Return the client of the dask cluster that works on a matrix, ``None`` without one.

    Nothing is imported to find out.
    """
    distributed = sys.modules.get("distributed") if hasattr(matrix, "dask") else None
    if distributed is None:
        return None
    try:
        return distributed.default_client()
    except ValueError:
        return None
