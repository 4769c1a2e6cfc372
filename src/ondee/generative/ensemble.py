"""Scores of small ensembles that a network may be trained by, as pure functions.

References
----------
S. Lang et al., AIFS-CRPS: ensemble forecasting using a model trained with a loss function based on the continuous
ranked probability score, arXiv 2412.15832.
"""

from __future__ import annotations

from torch import Tensor

__all__ = ["almost_fair_crps"]


def almost_fair_crps(members: Tensor, truth: Tensor, share: float = 0.95) -> Tensor:
    """The almost fair continuous ranked probability score of each value.

    ``share`` of the fair score plus ``1 - share`` of the usual one, which is with M members::

        1 / (2 M (M - 1)) sum_{j != k} (|x_j - y| + |x_k - y| - (1 - e) |x_j - x_k|),    e = (1 - share) / M

    The fair score alone leaves one member free to run away while the others agree with the truth; a little of the
    usual score takes that freedom.

    Parameters
    ----------
    members
        ``(B, M, …)``, two or more members.
    truth
        ``(B, …)``.
    share
        Of the fair score: 1 for the fair score, 0 for that of the ensemble as it stands.

    Returns
    -------
    Tensor
        ``(B, …)``, in the units of the truth; 0 is best, and the fair score may be negative.

    References
    ----------
    S. Lang et al., arXiv 2412.15832, Eq. 3 and 4.
    """
    count = members.shape[1]
    error = (members - truth[:, None]).abs().mean(1)
    # Pairs one offset apart at a time: M^2 fields at once would be the largest tensor of a training.
    differences = sum(
        ((members[:, offset:] - members[:, :-offset]).abs().sum(1) for offset in range(1, count)),
        start=members.new_zeros(()),
    )
    return error - (1 - (1 - share) / count) / (count * (count - 1)) * differences
