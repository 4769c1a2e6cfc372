"""Closed forms of what Gaussian members score against Gaussian rain, and whether draws follow a Gaussian law."""

import math

import torch

from ondee.retriever import retriever
from toy import PREDICTORS, STATISTICS, Toy, undisguised

TOY = Toy()


def build(name, **settings):
    kind = retriever(name)
    return undisguised(kind(kind.settings_type(**settings), PREDICTORS, STATISTICS))


def score_of(mean, variance, true_mean, true_variance):
    """CRPS that normal ensembles have on average against normal truths: ``E|X - Y| - E|X - X'| / 2``."""
    apart, both = mean - true_mean, variance + true_variance
    error = (2 * both / math.pi).sqrt() * torch.exp(-(apart**2) / (2 * both)) + apart * torch.erf(
        apart / (2 * both).sqrt()
    )
    return error - (variance / math.pi).sqrt()


def fair_crps(draws, truth):
    """Mean fair CRPS at each pixel, of ensembles ``(E, M, pixels)`` against truths ``(E, pixels)``."""
    count = draws.shape[1]
    apart = (draws[:, :, None] - draws[:, None]).abs().sum((1, 2)) / (2 * count * (count - 1))
    return ((draws - truth[:, None]).abs().mean(1) - apart).mean(0)


def follow(draws, mean, covariance):
    """Assert that independent draws ``(n, pixels)`` have a mean and the covariances of neighbours."""
    variance = covariance.diag()
    assert ((draws.mean(0) - mean) / (variance / len(draws)).sqrt()).abs().max() < 5
    error = ((variance[:, None] * variance + covariance.square()) / len(draws)).sqrt()
    assert ((torch.cov(draws.T) - covariance) / error)[TOY.near].abs().max() < 5
    # All pixels together: a bias far below the error of one of them shows.
    assert abs((draws.mean(0) - mean).mean()) < 0.02
    assert abs(torch.cov(draws.T).diag().div(variance).mean() - 1) < 0.025


def scored(draws, truth, expected):
    """Assert that ensembles ``(E, M, pixels)`` have a fair CRPS."""
    score = fair_crps(draws, truth) / expected
    assert abs(score.mean() - 1) < 0.04
    assert (score - 1).abs().max() < 0.2
