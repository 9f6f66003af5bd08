"""Tables and figure of the clustering benchmark, from its raw rows.

A raw row is one set, method and seed with its scores and seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from _clustering_data import CITE, CONFIRMATION, RNA, TUNING
from _clustering_methods import CITE_METHODS, CITE_REFERENCES, METHODS, RNA_METHODS, RNA_REFERENCES
from matplotlib import pyplot as plt

SCORES = {
    "kmeans_ari": "k-means ARI",
    "kmeans_nmi": "k-means NMI",
    "leiden_ari": "Leiden ARI",
    "leiden_nmi": "Leiden NMI",
    "leiden05_ari": "Leiden 0.5 ARI",
    "leiden05_nmi": "Leiden 0.5 NMI",
    "silhouette": "silhouette",
}
BATCH_SCORES = {
    "silhouette_batch": "silhouette by batch",
    "silhouette_batch_within": "within types",
}
RATIOS = {"relative_training": "training ×", "relative_encoding": "encoding ×"}
GROUPS = {"all six": RNA, "tuning": TUNING, "confirmation": CONFIRMATION}


def references(data: str) -> Sequence[str]:
    """Methods that those of a set are compared with."""
    return CITE_REFERENCES if data == CITE else RNA_REFERENCES


def add_ratios(runs: pd.DataFrame) -> pd.DataFrame:
    """Divide seconds by the reference's for the same set, seed and process; else missing."""
    keys = ["data", "seed", "run"]
    seconds = ["seconds_training", "seconds_encoding"]
    is_reference = runs["method"] == runs["data"].map(lambda data: references(data)[0])
    reference = runs.loc[is_reference, [*keys, *seconds]]
    out = runs.merge(reference, on=keys, how="left", suffixes=("", "_reference"))
    for ratio, name in zip(RATIOS, seconds, strict=True):
        out[ratio] = out[name] / out[f"{name}_reference"]
    return out.drop(columns=[f"{name}_reference" for name in seconds])


def summary(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over seeds, per set and over the sets of each group.

    The mean over the sets of a group is there for methods that have all of them; its deviation is
    that of the seeds' means over sets.
    """
    runs = add_ratios(runs)
    measured = [name for name in SCORES | BATCH_SCORES | RATIOS if name in runs]
    parts = [_per_seed(runs, [data], data, measured) for data in pd.unique(runs["data"])]
    parts += [_per_seed(runs, sets, group, measured) for group, sets in GROUPS.items()]
    seeds = pd.concat(parts, ignore_index=True)
    grouped = seeds.groupby(["data", "method"], sort=False, observed=True)
    out = grouped["seed"].nunique().to_frame("n_seeds")
    for name in measured:
        out[name] = grouped[name].mean()
        if name not in RATIOS:
            out[f"{name}_sd"] = grouped[name].std(ddof=1)
    per_set = runs.groupby(["data", "method"], observed=True)
    for name in ("leiden_resolution", "leiden_clusters", "epochs"):
        out[name] = per_set[name].mean()
    return out.reset_index()


def _per_seed(
    runs: pd.DataFrame, sets: Sequence[str], name: str, measured: list[str]
) -> pd.DataFrame:
    """Means over sets, a row per method and seed that has all of them."""
    part = runs[runs["data"].isin(sets)]
    grouped = part.groupby(["method", "seed"], sort=False, observed=True)
    out = grouped[measured].mean()[grouped["data"].nunique() == len(sets)]
    return _in_order(out.reset_index().assign(data=name))


def paired(runs: pd.DataFrame) -> pd.DataFrame:
    """Differences to the references: seeds are paired, then averaged within each set.

    The standard error is over sets; for a group of one set, over its seeds.
    """
    rows = []
    for group, sets in (GROUPS | {CITE: (CITE,)}).items():
        part = runs[runs["data"].isin(sets)]
        for name in SCORES:
            wide = part.pivot_table(
                index=["data", "seed"], columns="method", values=name, observed=True
            )
            for reference in references(sets[0]):
                if reference not in wide:
                    continue
                difference = wide.drop(columns=reference).sub(wide[reference], axis=0)
                for method, values in difference.items():
                    rows.append(
                        {"data": group, "method": method, "reference": reference, "score": name}
                        | _over_sets(values.dropna())
                    )
    return _in_order(pd.DataFrame(rows))


def _over_sets(values: pd.Series) -> dict[str, float]:
    """Mean, standard error and sets won of differences indexed by set and seed."""
    per_set = values.groupby(level="data", observed=True).mean()
    units = per_set if len(per_set) > 1 else values
    return {
        "difference": per_set.mean(),
        "standard_error": units.std(ddof=1) / np.sqrt(len(units)) if len(units) else np.nan,
        "error_over": "sets" if len(per_set) > 1 else "seeds",
        "n_won": int((per_set > 0).sum()),
        "n_sets": len(per_set),
    }


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Sort the methods as they are registered, all else being left in its order."""
    if table.empty:
        return table
    return table.sort_values("method", key=lambda m: m.map(list(METHODS).index), kind="stable")


def _plus_minus(error: float) -> str:
    """Write a deviation, where there is one."""
    return "" if np.isnan(error) else f" ± {error:.3f}"


def _rank(data: str, reference: str) -> tuple[int, int]:
    """Place of a table of differences among the others."""
    groups = [*GROUPS, CITE]
    return references(data).index(reference), groups.index(data)


def show_summary(table: pd.DataFrame) -> None:
    """Print the summary, a table per set or group."""
    for data, part in table.groupby("data", sort=False):
        text = pd.DataFrame({"": [METHODS[name].label for name in part["method"]]})
        for name, title in (SCORES | BATCH_SCORES).items():
            if name in part and part[name].notna().any():
                pairs = zip(part[name], part[f"{name}_sd"], strict=True)
                text[title] = [f"{mean:.3f}{_plus_minus(sd)}" for mean, sd in pairs]
        for name, title in RATIOS.items():
            text[title] = ["" if np.isnan(value) else f"{value:.2f}" for value in part[name]]
        sets = "" if data not in GROUPS else f": {', '.join(GROUPS[data])}"
        print(f"{data}{sets} (seeds: {part['n_seeds'].min()})")
        print(text.to_string(index=False), end="\n\n")


def show_paired(table: pd.DataFrame) -> None:
    """Print differences to each reference, a table per group of sets."""
    for (data, reference), part in sorted(
        table.groupby(["data", "reference"], sort=False), key=lambda group: _rank(*group[0])
    ):
        over = " and ".join(pd.unique(part["error_over"]))
        print(f"{data}, minus {METHODS[reference].label} (± standard error over {over}; sets won)")
        part = part.assign(
            text=[
                f"{row.difference:+.3f}{_plus_minus(row.standard_error)} ({row.n_won}/{row.n_sets})"
                for row in part.itertuples()
            ]
        )
        text = part.pivot(index="method", columns="score", values="text")
        text = text.loc[pd.unique(part["method"]), list(SCORES)].rename(columns=SCORES)
        text.index = [METHODS[name].label for name in text.index]
        print(text.drop(columns="silhouette").to_string(), end="\n\n")


def figure(table: pd.DataFrame, path: Path) -> None:
    """Draw ARI by method: a point per set, a bar for the mean over the six sets."""
    titles = {
        "kmeans_ari": "k-means, true number of clusters",
        "leiden_ari": "Leiden, resolution by silhouette",
    }
    blocks = []
    for sets, methods in ((RNA, RNA_METHODS), ((CITE,), CITE_METHODS)):
        part = table[table["data"].isin(sets)]
        if len(part):
            present = [name for name in methods if name in set(part["method"])]
            blocks.append((list(pd.unique(part["data"])), present))
    if not blocks:
        return
    heights = [len(methods) for _, methods in blocks]
    fig, axes = plt.subplots(
        len(blocks),
        len(titles),
        figsize=(10, 1.6 + 0.3 * sum(heights)),
        height_ratios=heights,
        sharex=True,
        squeeze=False,
        layout="constrained",
    )
    colors = dict(zip((*RNA, CITE), plt.get_cmap("tab10").colors, strict=False))
    for row, (sets, methods) in zip(axes, blocks, strict=True):
        y = range(len(methods))
        for ax, name in zip(row, titles, strict=True):
            for data in sets:
                values = table[table["data"] == data].set_index("method")[name].reindex(methods)
                ax.scatter(values, y, s=24, color=colors[data], label=data)
            mean = table[table["data"] == "all six"].set_index("method")[name].reindex(methods)
            if mean.notna().any():
                ax.scatter(mean, y, s=180, marker="|", color="black", label="mean of six")
            ax.set_yticks(y, [METHODS[method].label for method in methods])
            ax.set_ylim(len(methods) - 0.5, -0.5)
            ax.grid(color="0.92")
            ax.set_axisbelow(True)
            ax.tick_params(axis="y", length=0, labelleft=ax is row[0])
            ax.spines[["top", "right", "left"]].set_visible(False)
        row[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    for ax, title in zip(axes[0], titles.values(), strict=True):
        ax.set_title(title, fontsize="medium")
    for ax in axes[-1]:
        ax.set_xlabel("ARI (mean over seeds)")
    path.parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, dpi=150)
    plt.close(fig)
