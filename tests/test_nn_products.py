"""Large products are oneDNN's, and agree with PyTorch's own."""

import pytest
import torch

from ondee.nn.products import _suits, connected, product


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


onednn = pytest.mark.skipif(
    not hasattr(torch.ops.mkldnn, "_linear_pointwise"), reason="this PyTorch has no products of oneDNN"
)


def network(kind=torch.float32):
    """Three layers whose products are worth oneDNN's while, and what goes through them."""
    torch.manual_seed(4)
    layers = [torch.nn.Linear(*sizes) for sizes in ((700, 500), (500, 90), (90, 40))]
    del layers[2].bias
    layers[2].bias = None
    pairs = [(layer.to(kind).weight, layer.bias) for layer in layers]
    return pairs, torch.randn(48, 700, dtype=kind, requires_grad=True)


def learnt(pairs, given):
    """What comes out, and the gradients of what goes in, of the weights and of the biases."""
    entries = [given, *(entry for pair in pairs for entry in pair if entry is not None)]
    made = connected(given, pairs)
    return [made.detach(), *torch.autograd.grad((made * torch.arange(40)).sum(), entries)]


def plainly(pairs, values):
    for weight, bias in pairs[:-1]:
        values = (values @ weight.T + bias).relu()
    return values @ pairs[-1][0].T


@onednn
def test_layers_are_made_by_onednn_and_agree_with_plain_ones():
    pairs, given = network()
    weights = [weight for weight, _ in pairs]
    assert _suits(given, weights)
    quick = learnt(pairs, given)
    with torch.backends.mkldnn.flags(enabled=False):
        assert not _suits(given, weights)
        plain = learnt(pairs, given)
    assert torch.allclose(plain[0], plainly(pairs, given), rtol=1e-5, atol=1e-5)
    for one, other in zip(quick, plain, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-5 * float(other.abs().max()))
    with torch.inference_mode():
        assert torch.equal(connected(given, pairs), quick[0])


@onednn
def test_only_gradients_that_are_asked_for_are_made():
    pairs, given = network()
    whole = learnt(pairs, given)
    frozen = [(weight.detach(), bias if bias is None else bias.detach()) for weight, bias in pairs]
    for kept in range(3):
        mixed = [pair if place == kept else frozen[place] for place, pair in enumerate(pairs)]
        (made,) = torch.autograd.grad((connected(given.detach(), mixed) * torch.arange(40)).sum(), pairs[kept][:1])
        assert torch.allclose(made, whole[2 + 2 * kept], rtol=1e-5, atol=1e-6 * float(made.abs().max()))


def test_what_onednn_does_not_do_is_left_to_pytorch():
    pairs, given = network()
    weights = [weight for weight, _ in pairs]
    assert not _suits(given[:8], weights) and not _suits(given[None], weights)
    with torch.autocast("cpu", torch.bfloat16):
        assert not _suits(given, weights) and connected(given, pairs).dtype == torch.bfloat16
    double, exact = network(torch.float64)
    assert not _suits(exact, [weight for weight, _ in double]) and not _suits(exact, weights)
    assert torch.allclose(connected(exact, double), plainly(double, exact), rtol=1e-12)
    assert connected(given[:0], pairs).shape == (0, 40) and connected(given[None], pairs).shape == (1, 48, 40)


@onednn
@pytest.mark.parametrize("laid", ["whole", "turned", "every other", "repeated"])
@pytest.mark.parametrize("which", ["values", "weight", "bias"])
def test_products_do_not_depend_on_how_numbers_lie_in_memory(which, laid):
    draw = torch.Generator().manual_seed(5)
    given = {"values": torch.randn(48, 700, generator=draw), "weight": torch.randn(500, 700, generator=draw)}
    given["bias"] = torch.randn(500, generator=draw)
    one = given[which]
    ways = {
        "whole": lambda: one,
        "turned": lambda: one.mT.contiguous().mT if one.ndim > 1 else one,
        "every other": lambda: torch.stack([one, torch.full_like(one, torch.nan)], -1)[..., 0],
        "repeated": lambda: one[..., :1].expand(one.shape),
    }
    given[which] = ways[laid]().requires_grad_(laid != "repeated")
    assert _suits(given["values"], [given["weight"]])
    made = product(**given)
    expected = torch.nn.functional.linear(*(entry.double() for entry in given.values()))
    assert torch.allclose(made.double(), expected, rtol=1e-4, atol=1e-4)
    if laid != "repeated":
        plain = torch.autograd.grad(expected.square().sum(), given[which])[0]
        found = torch.autograd.grad(made.square().sum(), given[which])[0]
        assert torch.allclose(found, plain, rtol=1e-4, atol=1e-4 * float(plain.abs().max()))
        if which == "weight" and laid != "every other":  # an optimiser would copy what lies otherwise
            assert found.stride() == given[which].stride()
