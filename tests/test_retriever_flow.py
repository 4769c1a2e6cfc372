"""What a flow may start from."""

import pytest

from ondee.condition import Predictors
from ondee.errors import ConfigError
from ondee.retriever import unet
from ondee.retriever.flow import Flow, Settings
from ondee.retriever.protocol import RainSettings, Statistics

PREDICTORS = Predictors(("IR_108",), (0,))
STATISTICS = Statistics((260.0,), (20.0,), 60.0, 1.5, 2.0, 0.2)
SMALL = {"widths": (8, 16)}


@pytest.mark.parametrize(
    "mean", [unet.Settings(kind="plain", **SMALL), unet.Settings(rain=RainSettings(kind="sqrt"), **SMALL)]
)
def test_a_mean_without_spread_or_of_another_scaling_is_refused(mean):
    with pytest.raises(ConfigError, match="scaling"):
        Flow(Settings(mean=mean, embedding=8, **SMALL), PREDICTORS, STATISTICS)


def test_a_mean_of_the_same_scaling_is_taken():
    rain = RainSettings(kind="sqrt")
    made = Flow(
        Settings(mean=unet.Settings(rain=rain, **SMALL), rain=rain, embedding=8, **SMALL), PREDICTORS, STATISTICS
    )
    assert made.mean.rain.kind == made.rain.kind
