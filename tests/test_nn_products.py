"""Large products are oneDNN's, and agree with PyTorch's own."""

import pytest
import torch

from ondee.nn.products import Wide, _suits, product


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def large(kind=torch.float32):
    """A layer whose products are worth oneDNN's while, and what goes through it."""
    torch.manual_seed(4)
    return Wide(700, 500).to(kind), torch.randn(48, 700, dtype=kind, requires_grad=True)


def learnt(layer, given):
    """What comes out, and the gradients of what goes in, of the weights and of the biases."""
    given.grad = None
    layer.zero_grad()
    made = layer(given)
    (made * torch.arange(500)).sum().backward()
    return [made.detach(), given.grad.clone(), *(entry.grad.clone() for entry in layer.parameters())]


onednn = pytest.mark.skipif(
    not hasattr(torch.ops.mkldnn, "_linear_pointwise"), reason="this PyTorch has no products of oneDNN"
)


@onednn
def test_wide_layers_are_made_by_onednn_and_agree_with_plain_ones():
    layer, given = large()
    assert _suits(given, layer.weight)
    quick = learnt(layer, given)
    with torch.backends.mkldnn.flags(enabled=False):
        assert not _suits(given, layer.weight)
        plain = learnt(layer, given)
    for one, other in zip(quick, plain, strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-5 * float(other.abs().max()))
    with torch.inference_mode():
        assert torch.equal(layer(given), quick[0])


def test_wide_layers_leave_to_pytorch_what_onednn_does_not_do():
    layer, given = large()
    assert not _suits(given[:8], layer.weight) and not _suits(given[None], layer.weight)
    with torch.autocast("cpu", torch.bfloat16):
        assert not _suits(given, layer.weight) and layer(given).dtype == torch.bfloat16
    double, exact = large(torch.float64)
    assert not _suits(exact, double.weight)
    assert torch.equal(double(exact), torch.nn.functional.linear(exact, double.weight, double.bias))
    assert layer(given[:0]).shape == (0, 500) and layer(given[None]).shape == (1, 48, 500)


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
    assert _suits(given["values"], given["weight"])
    made = product(**given)
    expected = torch.nn.functional.linear(*(entry.double() for entry in given.values()))
    assert torch.allclose(made.double(), expected, rtol=1e-4, atol=1e-4)
    if laid != "repeated":
        plain = torch.autograd.grad(expected.square().sum(), given[which])[0]
        found = torch.autograd.grad(made.square().sum(), given[which])[0]
        assert torch.allclose(found, plain, rtol=1e-4, atol=1e-4 * float(plain.abs().max()))
