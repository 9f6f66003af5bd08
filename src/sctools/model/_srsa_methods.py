"""What the RNA model and the multimodal model share: training, latents, attention, components."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_only
from scvi.utils import unsupported_if_adata_minified

from .._arguments import (
    check_devices,
    check_one_device,
    is_on_several_devices,
    read_checkpoint_dir,
)
from .._ranks import is_first_rank
from .._settings import settings
from ._checkpoint import CHECKPOINT, Checkpoint
from ._depth_field import add_depth
from ._devices import frozen, on_devices, share_history
from ._fingerprint import fingerprint
from ._resumable_training import ResumableTraining
from ._runner import EpochCounter, interruptible, one_thread, progress, quiet, seeded
from ._srsa_options import check_enough_cells
from ._vae_schedule import schedule
from ._whole_batches import WholeBatchSplitter

if TYPE_CHECKING:
    from anndata import AnnData
    from lightning.pytorch import LightningDataModule

logger = logging.getLogger("sctools")

ADAM_EPS = 1e-8
"""scvi-tools takes 0.01, which throttles small gradients: those of attention and of alpha."""

ENCODING_CELLS = (128, 512)
ENCODING_VALUES = 2_500_000
"""Fewest and most cells that are encoded at a time, and values: larger buffers cost more than they
save, since memory for each is fetched anew."""

WEIGHT_DECAY = 1e-6
"""That of scvi-tools."""


class SRSAMethods:
    """Methods of the SRSA-VAE models; comes before the model class of scvi-tools."""

    adata: Any
    adata_manager: Any
    summary_stats: Any
    module: Any
    train_indices: Any
    _check_if_trained: Callable[..., None]
    init_params_: dict[str, dict[str, Any]]
    registry_: dict[str, Any]

    _data_splitter_cls = WholeBatchSplitter

    def _validate_anndata(self, adata: Any = None, copy_if_view: bool = True) -> Any:
        setup = self.registry_["setup_args"]
        if adata is not None and setup.get("depth_share") is not None:
            if adata.is_view and copy_if_view:
                adata = adata.copy()
            add_depth(adata, setup["depth_key"], setup["depth_share"], setup.get("layer"))
        return super()._validate_anndata(adata, copy_if_view)  # type: ignore[misc]

    def _training_arguments(
        self,
        *,
        max_epochs: int | None,
        early_stopping: bool,
        train_size: float | None,
        lr: float,
        plan_kwargs: dict | None,
        datamodule: LightningDataModule | None = None,
    ) -> dict[str, Any]:
        n_obs = self.adata.n_obs if datamodule is None else datamodule.n_obs
        check_enough_cells(n_obs)
        whole = max_epochs is None or isinstance(max_epochs, int | np.integer)
        if not whole or (max_epochs is not None and max_epochs < 1):
            raise ValueError(f"`max_epochs` must be at least 1, and whole, found {max_epochs!r}.")
        plan = schedule(n_obs, max_epochs)
        if datamodule is None:
            validates = n_obs > math.ceil((train_size or 0.9) * n_obs)
        else:
            validates = getattr(datamodule, "n_val", 0) > 0
        arguments: dict[str, Any] = {
            "max_epochs": plan.max_epochs,
            "early_stopping": early_stopping and validates,
            "train_size": train_size,
            "plan_kwargs": {
                "n_epochs_kl_warmup": plan.n_epochs_kl_warmup,
                **self._adam(lr, plan_kwargs or {}),
            },
            "enable_progress_bar": False,  # ours is there instead
        }
        if early_stopping and validates:
            arguments["early_stopping_warmup_epochs"] = plan.n_epochs_kl_warmup
        return arguments

    def _adam(self, lr: float, plan_kwargs: dict[str, Any]) -> dict[str, Any]:
        """Arguments of the plan with our Adam in it, unless the user chose an optimiser."""
        settled = {"lr": lr, "weight_decay": WEIGHT_DECAY, "eps": ADAM_EPS, **plan_kwargs}
        if {"optimizer", "optimizer_creator"} & set(plan_kwargs) or self.module.block is None:
            return settled

        def creator(parameters: Any) -> torch.optim.Optimizer:
            chosen = {name: settled[name] for name in ("lr", "weight_decay", "eps")}
            return torch.optim.Adam(parameters, fused=True, **chosen)

        return {**settled, "optimizer": "Custom", "optimizer_creator": creator}

    @contextlib.contextmanager
    def _training(
        self,
        arguments: dict[str, Any],
        rng: int | np.random.Generator | None,
        progress_bar: bool | None,
        checkpoint_dir: str | os.PathLike[str] | None,
    ) -> Iterator[dict[str, Any]]:
        """Train inside with the arguments given: quietly, reproducibly where there is a seed."""
        self._check_in_memory()
        folder = read_checkpoint_dir(checkpoint_dir, rng)
        check_devices(arguments, rng)
        several = is_on_several_devices(arguments)
        if several:
            check_one_device(folder)
            arguments = self._without_stopping(arguments)
        shown = settings.progress_bar if progress_bar is None else progress_bar
        with contextlib.ExitStack() as stack:
            stack.enter_context(quiet())
            stack.enter_context(one_thread())
            stack.enter_context(interruptible())
            shown = shown and not arguments["enable_progress_bar"]  # scvi-tools' was asked for
            bar = progress(shown and arguments["max_epochs"], type(self).__name__)
            counter = EpochCounter([stack.enter_context(bar)])
            if rng is not None:
                seed = int(rng if isinstance(rng, int | np.integer) else rng.integers(2**31))
                stack.enter_context(seeded(seed))
            callbacks = [*(arguments.get("callbacks") or []), counter]
            if folder is not None:
                checkpoint = self._checkpoint(folder / CHECKPOINT, arguments, seed)
                callbacks.insert(0, ResumableTraining(checkpoint))
            if several:
                stack.enter_context(frozen(self._unused_parameters()))
            settled = stack.enter_context(on_devices({**arguments, "callbacks": callbacks}))
            try:
                yield settled
            except ValueError as error:
                if "found invalid values" not in str(error):
                    raise
                raise RuntimeError(
                    "Training diverged: the latents are no numbers any more. Train with a lower "
                    "learning rate (`lr`, in `plan_kwargs` for RNA), after looking for cells with "
                    "outlying counts."
                ) from error
            share_history(self)
            self._fill_bank()

    def _without_stopping(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Turn early stopping off, in words, which scvi-tools does not have on several devices."""
        if arguments["early_stopping"] and rank_zero_only.rank == 0:
            logger.warning(
                "Early stopping is off on several devices: all %d epochs are trained. "
                "`max_epochs=` sets another number, `early_stopping=False` says that it is meant.",
                arguments["max_epochs"],
            )
        return {**arguments, "early_stopping": False}

    def _unused_parameters(self) -> Iterator[torch.nn.Parameter]:
        """Parameters that scvi-tools makes, and that have no part in the loss."""
        return iter(())

    def _checkpoint(self, path: Path, arguments: dict[str, Any], seed: int) -> Checkpoint:
        manager = self.adata_manager
        registered = {
            f"`{name}` of the data": manager.get_from_registry(name)
            for name in manager.data_registry
        }
        made = {name: value for part in self.init_params_.values() for name, value in part.items()}
        known = fingerprint(
            arguments={**made, **arguments},
            data={
                **registered,
                "`var_names`": self.adata.var_names,
                "the start of the model": self.module.state_dict(),
            },
            seed=seed,
        )
        return Checkpoint(path, known)

    def _check_in_memory(self) -> None:
        if self.adata is None:  # a data module has its own way
            return
        matrix = self.adata_manager.get_from_registry("X")
        if hasattr(matrix, "dask"):
            raise ValueError(
                "Training needs the counts in memory or in a backed file, found a dask array. Load "
                "them first: `adata = adata.to_memory()`."
            )

    def _fill_bank(self) -> None:
        """Fill the bank of ``attention="minibatch"`` from training cells, with final weights."""
        block = self.module.block
        if block is None or block.attention != "minibatch":
            return
        if not block.query.weight.requires_grad:  # a reference that scArches froze
            return
        cells = np.sort(torch.randperm(len(self.train_indices))[: block.n_tokens].numpy())
        bank = block.context
        bank.n_seen.zero_()
        layers = getattr(self.module, self.module._encoder_name).encoder.layers
        hook = layers.register_forward_hook(lambda _, __, hidden: bank.remember(hidden))
        try:
            self._encoded(None, np.asarray(self.train_indices)[cells], None, "attention")
        finally:
            hook.remove()

    def save(
        self,
        dir_path: str | os.PathLike[str],
        prefix: str | None = None,
        overwrite: bool = False,
        save_anndata: bool = False,
        **kwargs: Any,
    ) -> None:
        """Save the model to a directory, as scvi-tools does; the files appear when all are whole.

        On several devices the first process writes, and the others do nothing.

        Parameters
        ----------
        dir_path
            Directory; it is made if missing.
        prefix
            Put before the names of the files.
        overwrite
            Replace files that are there.
        save_anndata
            Also save the data.
        **kwargs
            Passed to :meth:`scvi.model.SCVI.save`.

        Raises
        ------
        ValueError
            The directory exists and ``overwrite`` is ``False``.
        OSError
            The files cannot be written; those that were there are then as they were.
        """
        if not is_first_rank():
            return
        folder = Path(dir_path)
        if folder.exists() and not overwrite:
            raise ValueError(
                f"{str(folder)!r} exists. Choose another directory or pass `overwrite=True`."
            )
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as draft:
            inner = Path(draft, "model")
            try:
                super().save(  # type: ignore[misc]
                    str(inner), prefix, save_anndata=save_anndata, **kwargs
                )
            except RuntimeError as error:  # torch's word for a file that cannot be written
                raise OSError(
                    f"The model could not be saved to {str(folder)!r}: {error}"
                ) from error
            folder.mkdir(exist_ok=True)
            for file in inner.iterdir():
                file.replace(folder / file.name)

    @torch.inference_mode()
    def _encoded(
        self,
        adata: AnnData | None,
        indices: Any,
        batch_size: int | None,
        *outputs: str,
    ) -> list[Any]:
        """Run the encoder over cells and collect some of its outputs, one list per batch."""
        adata = self._validate_anndata(adata)
        found = []
        with one_thread(), self._loading(adata, batch_size) as loading:
            loader = self._make_data_loader(adata=adata, indices=indices, **loading)
            for tensors in loader:
                inputs = self.module._get_inference_input(tensors)
                result = self.module.inference(**inputs)
                found.append([result[name] for name in outputs])
        return found

    @unsupported_if_adata_minified
    def get_attention(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | None = None,
        batch_size: int | None = None,
    ) -> np.ndarray:
        """Return how much each cell attends to each token, averaged over heads.

        Parameters
        ----------
        adata
            Annotated data with the genes of training, in their order. ``None`` takes the data that
            the model was made with.
        indices
            Cells to take. ``None`` takes all.
        batch_size
            Cells at a time; it never changes results. ``None`` takes 1,024 of CSR counts
            of RNA alone, else 512 and fewer where genes are many.

        Returns
        -------
        Array of shape ``(n_obs, n_tokens)``, float32; rows sum to 1.

        Raises
        ------
        ValueError
            If the model has no attention, or its data are minified.

        Examples
        --------
        >>> import sctools
        >>> adata = sctools.datasets.immune_mixture(60, n_genes=150)
        >>> sctools.model.SRSAVAE.setup_anndata(adata)
        >>> vae = sctools.model.SRSAVAE(adata, n_tokens=8)
        >>> vae.train(max_epochs=1, progress_bar=False)
        >>> vae.get_attention().shape
        (60, 8)
        """
        block = self.module.block
        if block is None or block.attention == "none":
            raise ValueError(
                "This model has no attention: it was made with `attention='none'`. Make it with "
                "`attention='memory'` to get one."
            )
        self._check_if_trained(warn=False)
        rows, order = self._in_file_order(adata, indices)
        batches = self._encoded(adata, rows, batch_size, "attention")
        weights = torch.cat([weights.mean(dim=1) for (weights,) in batches]).cpu().numpy()
        return weights if order is None else weights[order]

    def get_components(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | None = None,
        batch_size: int | None = None,
    ) -> np.ndarray:
        """Return the probability of each component of the mixture prior for each cell.

        Parameters
        ----------
        adata
            Annotated data with the genes of training, in their order. ``None`` takes the data that
            the model was made with.
        indices
            Cells to take. ``None`` takes all.
        batch_size
            Cells at a time; it never changes results. ``None`` takes 1,024 of CSR counts
            of RNA alone, else 512 and fewer where genes are many.

        Returns
        -------
        Array of shape ``(n_obs, n_components)``, float32; rows sum to 1.

        Raises
        ------
        ValueError
            If the prior is not a mixture.

        Examples
        --------
        >>> import sctools
        >>> adata = sctools.datasets.immune_mixture(60, n_genes=150)
        >>> sctools.model.SRSAVAE.setup_anndata(adata)
        >>> vae = sctools.model.SRSAVAE(adata, n_components=5)
        >>> vae.train(max_epochs=1, progress_bar=False)
        >>> vae.get_components().shape
        (60, 5)
        """
        if self.module.prior is None:
            raise ValueError(
                "This model has no mixture components: it was made with `prior='normal'`. Make it "
                "with `prior='mixture'` to get them."
            )
        self._check_if_trained(warn=False)
        rows, order = self._in_file_order(adata, indices)
        batches = self._encoded(adata, rows, batch_size, "qz")
        with torch.inference_mode():
            found = [self.module.prior.responsibilities(qz) for (qz,) in batches]
        components = torch.cat(found).cpu().numpy()
        return components if order is None else components[order]

    def get_latent_representation(
        self,
        adata: AnnData | None = None,
        indices: Sequence[int] | None = None,
        give_mean: bool = True,
        mc_samples: int = 5_000,
        batch_size: int | None = None,
        return_dist: bool = False,
        dataloader: Iterator[dict[str, torch.Tensor | None]] | None = None,
        **data_loader_kwargs: Any,
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """Return the latent representation of each cell.

        Each cell is encoded on its own: the result depends neither on the batch size nor on which
        other cells are encoded, nor on their order. With ``latent_distribution="ln"`` the mean is
        taken over samples, and differs between calls by what these differ.

        Parameters
        ----------
        adata
            Annotated data with the genes of training, in their order. ``None`` takes the data that
            the model was made with.
        indices
            Cells to take, in any order. ``None`` takes all.
        give_mean
            Return the mean of the latent distribution, not a sample's.
        mc_samples
            Samples for the mean of a logistic normal (``latent_distribution="ln"``).
        batch_size
            Cells at a time; it never changes results. ``None`` takes 1,024 of CSR counts
            of RNA alone, else 512 and fewer where genes are many.
        return_dist
            Return mean and variance.
        dataloader
            Mini-batches to encode instead of ``adata``.
        **data_loader_kwargs
            Passed to the data loader.

        Returns
        -------
        Array of shape ``(n_obs, n_latent)``, float32; with ``return_dist=True`` two of them, mean
        and variance.

        Raises
        ------
        RuntimeError
            The model is not trained.
        ValueError
            ``adata`` has other genes than the training data.

        Examples
        --------
        >>> import sctools
        >>> adata = sctools.datasets.immune_mixture(60, n_genes=150)
        >>> sctools.model.SRSAVAE.setup_anndata(adata)
        >>> vae = sctools.model.SRSAVAE(adata, n_latent=10)
        >>> vae.train(max_epochs=1, progress_bar=False)
        >>> vae.get_latent_representation().shape
        (60, 10)
        """
        rows, order = self._in_file_order(adata, indices)
        with contextlib.ExitStack() as stack:
            loading: dict[str, Any] = {"batch_size": batch_size}
            if dataloader is None:
                loading = stack.enter_context(
                    self._loading(self._validate_anndata(adata), batch_size)
                )
            found = super().get_latent_representation(  # type: ignore[misc]
                adata=adata,
                indices=rows,
                give_mean=give_mean,
                mc_samples=mc_samples,
                return_dist=return_dist,
                dataloader=dataloader,
                **{**loading, **data_loader_kwargs},
            )
        if order is None:
            return found
        return tuple(part[order] for part in found) if return_dist else found[order]

    @contextlib.contextmanager
    def _loading(self, adata: AnnData, batch_size: int | None) -> Iterator[dict[str, Any]]:
        """Arguments of the data loader for encoding cells inside the block."""
        least, most = ENCODING_CELLS
        several = min(most, max(least, ENCODING_VALUES // self.summary_stats.n_vars))
        yield {"batch_size": batch_size or several}

    def _in_file_order(
        self, adata: AnnData | None, indices: Sequence[int] | None
    ) -> tuple[Any, np.ndarray | None]:
        """Sort indices into a backed file, and say how to put results back in order.

        Its rows are read in ascending order by scvi-tools, whatever order was asked for.
        """
        adata = self.adata if adata is None else adata
        if indices is None or not getattr(adata, "isbacked", False):
            return indices, None
        wanted = np.asarray(indices)
        if wanted.dtype == bool:
            return np.flatnonzero(wanted), None
        rows, order = np.unique(wanted, return_inverse=True)
        return rows, order

    def _make_data_loader(
        self, adata: AnnData, indices: Sequence[int] | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        if indices is not None and getattr(adata, "isbacked", False):
            rows = np.asarray(indices)
            if rows.dtype != bool and (np.diff(rows) <= 0).any():
                raise ValueError(
                    "Cells of a backed file are read in ascending order, found `indices` that are "
                    "not ascending. Sort them, or load the data: `adata = adata.to_memory()`."
                )
        return super()._make_data_loader(adata, indices, *args, **kwargs)  # type: ignore[misc]
