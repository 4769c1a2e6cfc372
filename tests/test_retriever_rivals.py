"""The rivals of the flow: each learns a toy whose answer is known in closed form, and keeps its own law."""

import numpy as np
import pytest
import scoringrules
import torch
from hypothesis import given
from hypothesis import strategies as st

from ondee.condition import Batch, Condition, Predictors
from ondee.errors import ConfigError
from ondee.generative.ensemble import almost_fair_crps
from ondee.generative.matching import QuantileMap, Texture, correlations
from ondee.generative.noise import Noise
from ondee.retriever import retriever
from ondee.retriever.protocol import Sampling, Statistics
from ondee.units import WET

RAW = {"kind": "raw"}
TINY = {"widths": (8, 16), "rain": RAW}
MEAN = {"mean": {"widths": (8, 16), "rain": RAW}, "rain": RAW}
SPREAD = 0.5


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(5)
    yield
    torch.set_num_threads(threads)


def build(name, channels=("IR_108", "WV_062"), **settings):
    kind = retriever(name)
    count = len(channels)
    statistics = Statistics((0.0,) * count, (1.0,) * count, 500.0, 1.0, 1.0, 0.5)
    return kind(kind.settings_type(**settings), Predictors(channels, (0,)), statistics)


def scene(number, count=6, side=32, channels=2):
    """Rain 5 + first channel + half the second + noise of deviation 0.5; the first rows were not observed."""
    generator = torch.Generator().manual_seed(number)
    images = torch.randn(count, 1, channels, side, side, generator=generator)
    rain = known(images) + SPREAD * torch.randn(count, side, side, generator=generator)
    rain[:, :4] = torch.nan
    keys = [number * count + sample for sample in range(count)]
    return Batch(Condition(images, images.new_zeros(count, 0, side, side)), rain, torch.ones(count), keys)


def known(images):
    return 5 + images[:, 0, 0] + 0.5 * images[:, 0, 1]


def noise(batch, seed=1, members=(0,)):
    height, width = batch.condition.shape
    return Noise(seed, batch.keys, members, (0, height), (0, width))


def learn(model, steps, rate=1e-2, make=scene):
    optimiser = torch.optim.AdamW(model.trained(), rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    losses = []
    for number in range(steps):
        batch = make(number)
        made = model.train().loss(batch, noise(batch))
        optimiser.zero_grad()
        made["loss"].backward()
        torch.nn.utils.clip_grad_norm_(model.trained(), 1.0)
        optimiser.step()
        schedule.step()
        losses.append(float(made["loss"].detach()))
    model.eval()
    return losses


def shake(model):
    """Weights of a network that does something everywhere."""
    with torch.no_grad():
        for values in model.parameters():
            values.normal_(0, 0.15)
    return model.eval()


# ---- the almost fair score


@pytest.mark.parametrize("count", [2, 3, 5])
def test_the_almost_fair_score_is_between_those_of_a_published_library(count):
    generator = np.random.default_rng(3)
    members, truth = generator.normal(size=(4, 6, 7, count)), generator.normal(size=(4, 6, 7))
    fair = scoringrules.crps_ensemble(truth, members, estimator="fair")
    usual = scoringrules.crps_ensemble(truth, members, estimator="nrg")
    made = almost_fair_crps(torch.from_numpy(members).movedim(-1, 1), torch.from_numpy(truth), 0.95)
    np.testing.assert_allclose(made, 0.95 * fair + 0.05 * usual, rtol=1e-10)


def test_the_fair_score_of_two_members_is_the_gradient_s_friend():
    truth = torch.zeros(1, 3)
    members = torch.tensor([[[1.0, 0.0, 2.0], [-1.0, 0.0, 3.0]]], requires_grad=True)
    score = almost_fair_crps(members, truth, 1.0)
    assert torch.allclose(score, torch.tensor([[0.0, 0.0, 2.0]]))
    score.sum().backward()
    assert torch.isfinite(members.grad).all()


# ---- crps


def test_members_of_crps_have_the_mean_and_the_variance_of_the_posterior():
    class Pixel(torch.nn.Module):
        """Not a U-Net but one linear map at each pixel: the toy's posterior is within its reach, exactly."""

        def __init__(self):
            super().__init__()
            self.map = torch.nn.Conv2d(2 + 1 + 2 + 1, 1, 1)

        def forward(self, planes):
            return self.map(planes)

    model = build("crps", noise_planes=1, draws=4, fair=1.0, **TINY)
    model.network = Pixel()
    learn(model, 250, 5e-2)
    batch = scene(10_000)
    drawn = model.sample(batch.condition, noise(batch, 9, range(24)))
    assert float((drawn.mean(1) - known(batch.condition.images)).std()) < 0.2
    assert float(drawn.var(1).mean()) == pytest.approx(SPREAD**2, rel=0.15)


def test_crps_learns_with_its_own_network_on_several_scales_and_its_members_differ():
    model = build("crps", scales=(1, 2, 4), draws=3, **TINY)
    batch = scene(0)
    parts = model.loss(batch, noise(batch))
    assert set(parts) == {"loss", "crps_1", "crps_2", "crps_4"}
    losses = learn(model, 50)
    assert np.mean(losses[-10:]) < 0.6 * np.mean(losses[:5])
    drawn = model.sample(batch.condition, noise(batch, 2, (0, 1, 7)))
    assert float((drawn[:, 0] - drawn[:, 1]).abs().mean()) > 0.01
    alone = model.sample(batch.condition, noise(batch, 2, (7,)))
    assert torch.allclose(drawn[:, 2:], alone, atol=1e-5)
    still = model.sample(batch.condition, noise(batch, 2, (0, 1)), Sampling(solver="euler", steps=1, noise_scale=0.0))
    assert torch.equal(still[:, 0], still[:, 1])


def test_patches_that_were_not_wholly_observed_do_not_count():
    model = shake(build("crps", scales=(4,), **TINY))
    batch = scene(0)
    before = model.loss(batch, noise(batch))["loss"].detach()
    batch.rain[:, 4, :] = torch.nan  # one row of a patch
    with_hole = model.loss(batch, noise(batch))["loss"].detach()
    batch.rain[:, 5:8, :] = 1e3  # the rest of that row of patches
    assert float(before) != float(with_hole)
    assert torch.equal(model.loss(batch, noise(batch))["loss"], with_hole)


def test_missing_rain_gives_no_gradient_and_no_nan():
    for name, more in (("crps", {}), ("quantile", {})):
        model = build(name, **TINY, **more)
        batch = scene(0)
        batch.rain[:] = torch.nan
        model.loss(batch, noise(batch))["loss"].backward()
        assert all(float(values.grad.abs().sum()) == 0 for values in model.trained() if values.grad is not None)


# ---- quantile


def test_quantiles_are_those_of_the_posterior_and_never_cross():
    model = build("quantile", levels=(0.1, 0.25, 0.5, 0.75, 0.9), dropout=0.0, **TINY)
    crossed = shake(build("quantile", **TINY)).quantiles(scene(1).condition)
    assert bool((crossed.diff(dim=1) >= 0).all())
    images = torch.zeros(1, 1, 2, 32, 32)

    def flat(number):
        generator = torch.Generator().manual_seed(number)
        rain = 5 + 2 * torch.randn(8, 32, 32, generator=generator)
        condition = Condition(images.expand(8, -1, -1, -1, -1), images.new_zeros(8, 0, 32, 32))
        return Batch(condition, rain, torch.ones(8), range(8))

    learn(model, 120, 3e-2, flat)
    found = model.quantiles(flat(0).condition).mean((0, 2, 3)) + 0.15  # the scaling of raw rain subtracts 0.15
    wanted = 5 + 2 * torch.distributions.Normal(0, 1).icdf(model.levels)
    assert torch.allclose(found, wanted, atol=0.15), (found, wanted)
    drawn = model.sample(flat(0).condition, Noise(1, range(8), range(4)))
    assert float(drawn.median()) == pytest.approx(5.0, abs=0.15)
    assert float(torch.quantile(drawn.flatten(), 0.9)) == pytest.approx(float(wanted[-1]), abs=0.2)


def test_members_of_quantiles_are_pixels_on_their_own_and_the_median_without_noise():
    model = shake(build("quantile", rain={"kind": "raw"}, widths=(8, 16)))
    batch = scene(3)
    still = Sampling(solver="euler", steps=1, noise_scale=0.0)
    median = model.sample(batch.condition, noise(batch, 1, (0, 1)), still)
    place = model.settings.levels.index(0.5)
    wanted = model.rain.inverse(model.quantiles(batch.condition)[:, [place]]).expand(-1, 2, -1, -1)
    torch.testing.assert_close(median, wanted, atol=1e-4, rtol=1e-4)


def test_levels_that_do_not_rise_are_refused():
    with pytest.raises(ValueError, match="levels that rise"):
        retriever("quantile").settings_type(levels=(0.5, 0.2))


# ---- matching of quantiles


def skewed(seed, count=3, side=40):
    """Rain of a third of the pixels, exponential, and an image that knows a little of it."""
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(count, side, side, generator=generator)
    rain = torch.where(hidden > 0.4, torch.expm1(1.5 * (hidden - 0.35)), 0.0)
    seen = -hidden + 0.5 * torch.randn(count, side, side, generator=generator)
    images = torch.stack([seen, torch.full_like(seen, -2.0)], dim=1)[:, None]
    rain[:, :, :3] = torch.nan
    return Batch(Condition(images, images.new_zeros(count, 0, side, side)), rain, torch.ones(count), range(count))


def compare(model, batch, members=(0,), tolerance=0.02):
    """Distribution of what a model gives on its batch, and of the rain."""
    drawn = model.sample(batch.condition, Noise(2718, batch.keys, members))[:, 0]
    there = torch.isfinite(batch.rain)
    made, rain = drawn[there].double(), batch.rain[there].double()
    assert float((made >= WET).double().mean()) == pytest.approx(float((rain >= WET).double().mean()), abs=2e-3)
    levels = torch.tensor([0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 1.0], dtype=torch.float64)
    torch.testing.assert_close(made.quantile(levels), rain.quantile(levels), rtol=tolerance, atol=0.0)
    return drawn


@pytest.mark.parametrize("predictor", [None, "IR_108", "IR_108-WV_062"])
@pytest.mark.parametrize("kind", ["log", "sqrt"])
def test_a_matched_temperature_has_the_rain_of_its_batch_and_keeps_the_order(predictor, kind):
    model = build("threshold", predictor=predictor, rain={"kind": kind}).eval()
    batch = skewed(4)
    assert model.trained() == [] and not model.stochastic and model.reach == 0 and model.multiple == 1
    model.prepare(batch)
    made = compare(model, batch)
    order = batch.condition.images[:, 0, 0].flatten().argsort(descending=True)
    assert bool((made.flatten()[order].diff() >= 0).all())
    assert torch.isfinite(model.loss(batch, noise(batch))["loss"])


def test_the_direction_of_a_predictor_is_measured_or_told():
    batch = skewed(4)
    likelihood = Condition(5 - batch.condition.images[:, :, :1], batch.condition.auxiliary)  # rises with rain
    rising = Batch(likelihood, batch.rain, batch.weight, batch.keys)
    model = build("threshold", channels=("likelihood",))
    model.prepare(rising)
    assert float(model.direction) == 1.0
    compare(model, rising)
    told = build("threshold", channels=("likelihood",), direction="falling")
    told.prepare(rising)
    assert float(told.direction) == -1.0


def test_a_temperature_not_seen_gives_no_rain_rate_and_a_map_not_fitted_none_at_all():
    model, batch = build("threshold"), skewed(4)
    assert torch.isnan(model.sample(batch.condition, noise(batch))).all()
    model.prepare(batch)
    batch.condition.images[0, 0, 0, 5, 6] = torch.nan
    drawn = model.sample(batch.condition, noise(batch))
    assert torch.isnan(drawn[0, 0, 5, 6]) and int(torch.isnan(drawn).sum()) == 1


def test_a_channel_that_is_not_there_is_refused_by_name():
    for wanted in ("IR_999", "IR_108-IR_999", None):
        with pytest.raises(ConfigError, match="the images have no channel") as told:
            build("threshold", channels=("WV_062", "WV_073"), predictor=wanted)
        assert "WV_062, WV_073" in told.value.fix


def test_a_map_measured_without_rain_is_refused():
    batch = skewed(4)
    for value in (0.0, torch.nan):
        dry = Batch(batch.condition, torch.full_like(batch.rain, value), batch.weight, batch.keys)
        with pytest.raises(ConfigError, match="no map can be measured"):
            build("threshold").prepare(dry)


def test_values_that_occur_often_stand_for_the_middle_of_their_quantiles():
    quantity = torch.cat([torch.zeros(800), torch.full((100,), 0.5), torch.ones(100)])
    rain = torch.cat([torch.zeros(850), torch.linspace(1, 2, 150)])
    mapping = QuantileMap()
    mapping.fit(quantity, rain, torch.ones(1000))
    made = mapping(torch.tensor([-1.0, 0.0, 0.5, 1.0, 9.0, torch.nan]))
    assert made[:2].tolist() == [0.0, 0.0] and bool(made[5].isnan())
    assert made[2] <= 1.02 and float(made[3]) == pytest.approx(1 + 100 / 150, abs=0.02)
    assert float(made[4]) == float(made[3])  # beyond what was seen, nothing new


@given(st.integers(0, 10_000), st.integers(20, 800), st.floats(0.05, 0.9))
def test_a_map_rises_and_stays_within_what_was_measured(seed, count, dry):
    generator = torch.Generator().manual_seed(seed)
    quantity = torch.randn(count, generator=generator).mul(4).round()
    rain = torch.rand(count, generator=generator).sub(dry).clamp(min=0)
    if float(rain.max()) == float(rain.min()):
        return
    mapping = QuantileMap(64)
    mapping.fit(quantity, rain, torch.rand(count, generator=generator) + 0.5)
    made = mapping(torch.linspace(-20, 20, 200))
    assert bool((made.diff() >= -1e-6).all()) and bool((made >= rain.min()).all()) and bool((made <= rain.max()).all())


def test_weights_of_samples_count_in_the_map():
    quantity, rain = torch.arange(100.0), torch.cat([torch.zeros(50), torch.linspace(1, 5, 50)])
    mapping = QuantileMap()
    mapping.fit(quantity, rain, torch.where(torch.arange(100) < 50, 3.0, 1.0))
    assert float(mapping(torch.tensor(49.0))) == 0.0 and float(mapping(torch.tensor(50.0))) == pytest.approx(1.0)


# ---- a matched regression


def test_a_matched_regression_has_the_rain_of_its_batch_and_nothing_to_train():
    model = build("matched", mean={"widths": (8, 16)})
    shake(model.mean)
    batch = skewed(6)
    model.prepare(batch)
    assert model.trained() == [] and not model.stochastic
    made = compare(model, batch)
    mean = model.mean.predict(batch.condition)["mean"].flatten()
    assert bool((made.flatten()[mean.argsort()].diff() >= 0).all())
    assert not model.loss(batch, noise(batch))["loss"].requires_grad


def test_a_matched_regression_with_noise_has_the_rain_too_and_members_that_differ():
    model = build("matched", kind="noise", mean={"widths": (8, 16)})
    shake(model.mean)
    batch = skewed(6)
    model.prepare(batch)
    assert model.stochastic and model.trained() == []
    drawn = compare(model, batch)
    other = model.sample(batch.condition, Noise(2718, batch.keys, (1,)))[:, 0]
    assert float((drawn - other).abs().mean()) > 0.01
    fresh = build("matched", kind="noise", mean={"widths": (8, 16)})
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(fresh.eval().sample(batch.condition, Noise(2718, batch.keys, (1,)))[:, 0], other)


def coarse(seed, count=8, side=64):
    """Fields with a correlation length of a few pixels."""
    white = torch.randn(count, 1, side + 8, side + 8, generator=torch.Generator().manual_seed(seed))
    axis = torch.exp(-0.5 * (torch.arange(-4, 5) / 1.5) ** 2)
    kernel = axis[:, None] * axis[None, :]
    return 2 * torch.nn.functional.conv2d(white, (kernel / kernel.square().sum().sqrt())[None, None])[:, 0]


def test_filtered_noise_has_the_variance_and_the_correlations_of_the_fields_that_it_was_measured_on():
    fields = coarse(1)
    fields[0, :20, :30] = torch.nan
    texture = Texture()
    texture.fit(fields)
    white = Noise(3, range(8), (0,), (-16, 80), (-16, 80)).normal("texture")
    made = texture(white)[:, 0]
    assert float(made.var()) == pytest.approx(float(fields[1:].var()), rel=0.15)
    wanted, found = correlations(fields, 6), correlations(made, 6)
    assert float(((found - wanted) / wanted.max()).abs().max()) < 0.12


def test_correlations_are_means_over_pairs_of_known_pixels():
    fields = coarse(2, 2, 12)
    fields[1, 3:6, 2:9] = torch.nan
    made = correlations(fields, 3)
    for down in (-2, 0, 3):
        for right in (-3, 0, 1):
            pairs = [
                fields[b, y, x] * fields[b, y + down, x + right]
                for b in range(2)
                for y in range(12)
                for x in range(12)
                if 0 <= y + down < 12 and 0 <= x + right < 12
            ]
            wanted = torch.nanmean(torch.stack(pairs).double())
            assert float(made[3 + down, 3 + right]) == pytest.approx(float(wanted), abs=1e-6)


def test_noise_with_texture_is_the_same_in_a_tile_and_in_one_piece():
    model = build("matched", kind="noise", mean={"widths": (8, 16)})
    model.texture.fit(coarse(1))
    whole = {"mean": torch.zeros(1, 1, 96, 80), "spread": torch.ones(1, 1, 96, 80)}
    part = {name: field[..., 40:60, 8:48] for name, field in whole.items()}
    drawn = Noise(7, (900,), (0, 3), (0, 96), (0, 80))
    in_one = model.rough(whole, drawn)
    in_tile = model.rough(part, drawn.window((40, 60), (8, 48)))
    torch.testing.assert_close(in_one[..., 40:60, 8:48], in_tile, atol=1e-5, rtol=1e-5)
    # Nor does the noise fade at the border of the field, as it would if zeros were put around it.
    many = model.rough(whole, Noise(7, (900,), range(40), (0, 96), (0, 80)))
    assert float(many[..., 0].var() / many[..., 40].var()) == pytest.approx(1, abs=0.2)


# ---- the flow in few evaluations


def flow_fast(source="mean", **more):
    inner = {"widths": (8, 16), "source": source, "embedding": 16, **MEAN}
    model = build("flow-fast", flow=inner, rain=RAW, **more)
    shake(model.flow)
    return model


@pytest.mark.parametrize("source", ["mean", "noise", "pmrf"])
def test_a_fast_flow_begins_as_its_teacher_and_leaves_it_alone(source):
    model = flow_fast(source, jumps=(1, 2, 6))
    batch = scene(2, 2)
    before = {name: values.clone() for name, values in model.flow.state_dict().items()}
    model.prepare(batch)
    made = model.eval().sample(batch.condition, noise(batch, 4, (0, 1)), Sampling(solver="euler", steps=6))
    wanted = model.flow.sample(batch.condition, noise(batch, 4, (0, 1)), Sampling(solver="euler", steps=6))
    torch.testing.assert_close(made, wanted, atol=1e-4, rtol=1e-4)
    learn(model, 2, 1e-3, lambda number: scene(number, 2))
    assert all(torch.equal(values, before[name]) for name, values in model.flow.state_dict().items())
    assert {id(values) for values in model.trained()} == {id(values) for values in model.network.parameters()}


def test_a_fast_flow_learns_where_its_teacher_ends():
    model = flow_fast(jumps=(1, 2))
    batch = scene(0, 4, 24)
    model.prepare(batch)

    def miss(steps):
        source = model.flow.source(batch.condition)
        start = source["mean"] + source["kappa"] * noise(batch, 77).normal("start")
        end = model.path(batch.condition, start, source)[:, -1:]
        states = {**source, "field": start}
        for stage in model.stages(Sampling(solver="euler", steps=steps))[2:]:
            states |= stage.work(batch.condition, states, noise(batch, 77))
        return float(((states["field"] - end) / source["kappa"]).square().mean())

    with torch.no_grad():
        before = {steps: miss(steps) for steps in (1, 2)}
    learn(model, 60, 8e-3, lambda number: scene(number, 3, 24))
    with torch.no_grad():
        after = {steps: miss(steps) for steps in (1, 2)}
    assert after[1] < 0.6 * before[1] and after[2] < 0.65 * before[2], (before, after)


def test_jumps_that_were_not_learnt_are_refused():
    model = flow_fast()
    for sampling in (Sampling(solver="euler", steps=4), Sampling(solver="heun", steps=2)):
        with pytest.raises(ConfigError, match="were not learnt") as told:
            model.stages(sampling)
        assert "1 or 2 steps" in told.value.fix
    assert {sampling.steps for sampling in model.candidates()} == {1, 2}
    assert all(model.stages(sampling) for sampling in model.candidates())
    settings = retriever("flow-fast").settings_type
    with pytest.raises(ValueError, match="no multiple of 4"):
        settings(jumps=(4,), teacher_steps=6, sampling={"solver": "euler", "steps": 4})
    with pytest.raises(ValueError, match="as the flow scales it"):
        settings(rain=RAW)
