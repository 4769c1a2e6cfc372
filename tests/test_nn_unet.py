"""U-Nets see no farther than they say, and much of what they say; they move with what moves by whole coarse pixels."""

import pytest
import torch

from ondee.condition import Condition
from ondee.nn.unet import PlainUNet, UNet, embed
from ondee.retriever.protocol import padded

NETWORKS = {
    "one level": lambda: UNet(3, 2, (8,), dilations=(1,)),
    "two levels": lambda: UNet(3, 1, (8, 16)),
    "three levels": lambda: UNet(2, 1, (4, 8, 8), dilations=(1, 2)),
    "wide spread": lambda: UNet(2, 1, (8, 8), dilations=(1, 3, 4)),
    "embedding": lambda: UNet(3, 1, (8, 16), embedding=16),
    "plain, two levels": lambda: PlainUNet(3, 2, (8, 16)),
    "plain, three levels": lambda: PlainUNet(2, 1, (4, 8, 8)),
}


@pytest.fixture(params=NETWORKS)
def network(request):
    """A network in double precision with weights that do something everywhere, ready to be used."""
    torch.set_num_threads(1)
    torch.manual_seed(11)
    made = NETWORKS[request.param]().double()
    with torch.no_grad():
        for values in made.parameters():
            values.normal_(0, 0.3)
        for module in made.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
                module.bias.add_(1.0)  # so that few pixels are cut off by the rectifiers
    return made.eval()


def planes(network, side, seed=0):
    inputs = network.mix.in_channels if isinstance(network, UNet) else network.down[0][0].in_channels
    return torch.randn(1, inputs, side, side, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def seen_by(network, values, row, column):
    """How far up, left, down and right the inputs lie on which one pixel of the output depends."""
    values = values.clone().requires_grad_(True)
    network(values)[..., row, column].sum().backward()
    rows, columns = torch.nonzero(values.grad[0].abs().amax(0), as_tuple=True)
    return [int(row - rows.min()), int(column - columns.min()), int(rows.max() - row), int(columns.max() - column)]


def test_nothing_beyond_the_reach_is_seen_and_the_reach_is_not_far_too_long(network):
    reach, multiple = network.reach, network.multiple
    side = 2 * (reach + multiple)
    values = planes(network, side)
    middle = side // 2 // multiple * multiple
    seen = [seen_by(network, values, middle + phase, middle + phase) for phase in {0, multiple // 2, multiple - 1}]
    farthest = max(max(entry) for entry in seen)
    assert reach - 2 * multiple <= farthest <= reach, (farthest, reach)
    assert reach % multiple == 0


def test_a_changed_pixel_changes_nothing_beyond_the_reach_and_something_within(network):
    reach, multiple = network.reach, network.multiple
    side = (2 * reach // multiple + 2) * multiple
    values = planes(network, side)
    changed = values.clone()
    at = reach + multiple // 2
    changed[..., at, at] += 3.0
    with torch.no_grad():
        difference = (network(changed) - network(values)).abs().amax((0, 1))
    rows, columns = torch.nonzero(difference, as_tuple=True)
    far = max(int((rows - at).abs().max()), int((columns - at).abs().max()))
    assert reach // 3 < far <= reach


def test_a_tile_with_its_halo_gives_what_the_whole_gives(network):
    reach, multiple = network.reach, network.multiple
    tile = 3 * multiple
    side = 2 * reach + tile + 2 * multiple
    values = planes(network, side, 3)
    start = multiple  # where the tile's halo begins
    with torch.no_grad():
        whole = network(values)
        part = network(values[..., start : start + 2 * reach + tile, start : start + 2 * reach + tile])
    inside, place = slice(reach, reach + tile), slice(start + reach, start + reach + tile)
    torch.testing.assert_close(part[..., inside, inside], whole[..., place, place], atol=1e-10, rtol=1e-10)


def test_output_moves_with_input_by_whole_coarse_pixels_and_not_by_less(network):
    reach, multiple = network.reach, network.multiple
    side = 2 * reach + 4 * multiple
    values = planes(network, side, 4)
    middle = slice(reach + multiple, side - reach - multiple)
    with torch.no_grad():
        still = network(values)
        moved = network(values.roll((multiple, -multiple), (-2, -1))).roll((-multiple, multiple), (-2, -1))
        off = network(values.roll(1, -1)).roll(-1, -1)
    torch.testing.assert_close(moved[..., middle, middle], still[..., middle, middle], atol=1e-10, rtol=1e-10)
    assert float((off - still)[..., middle, middle].abs().max()) > 1e-6


def test_a_sample_does_not_depend_on_its_batch(network):
    values = torch.cat([planes(network, 4 * network.multiple, seed) for seed in range(3)])
    with torch.no_grad():
        torch.testing.assert_close(network(values)[1:2], network(values[1:2]), atol=1e-10, rtol=1e-10)


def test_the_embedded_number_matters_where_there_is_one():
    torch.manual_seed(2)
    network = NETWORKS["embedding"]()
    with torch.no_grad():
        for values in network.parameters():
            values.normal_(0, 0.3)
        early, late = (network(planes(network, 8).float(), torch.tensor([at])) for at in (0.0, 0.9))
    assert float((early - late).abs().max()) > 1e-3


def test_an_embedding_tells_near_numbers_apart_and_is_bounded():
    made = embed(torch.linspace(0, 1, 200), 32)
    assert made.shape == (200, 32) and float(made.abs().max()) <= 1.0
    assert float(torch.cdist(made, made).add(torch.eye(200) * 9).min()) > 1e-2


def test_a_network_begins_by_saying_nothing_of_its_input():
    network = UNet(3, 1, (8, 16))
    assert float(network(torch.randn(1, 3, 16, 16)).detach().std()) < 0.5
    first, second = (network(torch.randn(1, 3, 16, 16)).detach() for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("shape", [(37, 41), (8, 16), (1, 1)])
def test_fields_of_any_size_are_made_whole_with_missing_pixels(shape):
    condition = Condition(torch.zeros(1, 2, 3, *shape), torch.zeros(1, 1, *shape))
    made = padded(condition, 8)
    height, width = shape
    assert made.shape == (-(-height // 8) * 8, -(-width // 8) * 8)
    assert bool((made.images[..., :height, :width] == 0).all()) and int(made.seen.sum()) == height * width
    assert int(torch.isnan(made.auxiliary).sum()) == made.shape[0] * made.shape[1] - height * width
    for network in (UNet(6, 1, (4, 4, 4)), PlainUNet(6, 1, (4, 4, 4, 4)).eval()):
        assert network.multiple == 8
        assert network(torch.nan_to_num(made.images).flatten(1, 2)).shape[-2:] == made.shape


def test_fields_that_are_no_multiple_do_not_pass_in_silence():
    for network in (UNet(2, 1, (4, 4, 4)), PlainUNet(2, 1, (4, 4, 4, 4)).eval()):
        with pytest.raises(RuntimeError):
            network(torch.zeros(1, 2, 20, 20))
