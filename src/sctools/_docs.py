"""Parameter texts shared by several public functions."""

from __future__ import annotations

import docrep

docs = docrep.DocstringProcessor(
    key="""\
key
    Name under which the tool stored its result (its ``key_added``).""",
    rng="""\
rng
    Seed or :class:`numpy.random.Generator`. The same seed gives the same result on the same
    machine; ``None`` draws a fresh one. The global random state of numpy and torch is left as
    it was found.""",
    plot="""\
ax
    Axes to draw into. By default a new figure is made.
show
    Show the figure. ``None`` follows ``scanpy.settings.autoshow``, except that a figure whose
    ``ax`` was given is never shown for you.
return_fig
    Return the :class:`~matplotlib.figure.Figure` instead of the axes.""",
    plot_returns="""\
The :class:`~matplotlib.axes.Axes`; the figure with ``return_fig=True``; ``None`` when shown.""",
)
"""Use as ``@docs.dedent`` with ``%(key)s`` and the like in the docstring."""
