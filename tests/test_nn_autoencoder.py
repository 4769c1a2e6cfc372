"""Encoders and decoders of single frames: shapes of any side, and gradients in every parameter."""

import pytest
import torch

from ondee.nn.autoencoder import (
    ConvolutionalDecoder,
    ConvolutionalEncoder,
    DenseDecoder,
    DenseEncoder,
    Heads,
    WholeImage,
)

SHAPES = [(1, 28, 28), (3, 45, 61), (2, 7, 1), (1, 64, 64)]


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def makers(shape):
    """Encoder and decoder of each kind, with 6 latents."""
    widths = (8, 12, 5)
    return {
        "dense": (DenseEncoder(shape, 6, (3, 2)), DenseDecoder(shape, 6, (2, 3))),
        "linear": (DenseEncoder(shape, 6, ()), DenseDecoder(shape, 6, ())),
        "convolutional": (ConvolutionalEncoder(shape, widths, 12), ConvolutionalDecoder(shape, 6, widths)),
        "one convolution": (ConvolutionalEncoder(shape, (8,), 12), ConvolutionalDecoder(shape, 6, (8,))),
    }


def frames(shape, count=4):
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(0))


def latents(count=4):
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", makers(SHAPES[0]))
def test_frames_of_any_side_go_in_and_come_out(kind, shape):
    encoder, decoder = makers(shape)[kind]
    told = encoder(frames(shape))
    assert told.shape == (4, 12) and bool(torch.isfinite(told).all())
    made = decoder(latents())
    assert made.shape == (4, *shape) and bool(torch.isfinite(made).all())
    assert bool((made != made[:1])[1:].flatten(2).any(-1).all())


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 45, 61)], ids=str)
@pytest.mark.parametrize("kind", makers(SHAPES[0]))
def test_every_parameter_is_learnt(kind, shape):
    torch.manual_seed(2)
    encoder, decoder = makers(shape)[kind]
    for network, given in ((encoder, frames(shape, 8)), (decoder, latents(8))):
        made = network(given)
        (made * torch.randn_like(made)).sum().backward()
        for name, values in network.named_parameters():
            assert values.grad is not None and float(values.grad.abs().max()) > 0, name


@pytest.mark.parametrize("kind", makers(SHAPES[0]))
def test_a_frame_does_not_depend_on_its_batch(kind):
    for network, given in zip(makers((3, 13, 10))[kind], (frames((3, 13, 10)), latents()), strict=True):
        with torch.no_grad():
            torch.testing.assert_close(network(given)[2:3], network(given[2:3]), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", makers(SHAPES[0]))
def test_every_pixel_is_seen_and_made(kind):
    torch.manual_seed(3)
    encoder, decoder = makers((2, 13, 10))[kind]
    seen = frames((2, 13, 10), 16).requires_grad_(True)
    encoder(seen).square().sum().backward()
    assert bool((seen.grad.abs().sum(0) > 0).all())
    with torch.no_grad():
        assert bool((decoder(latents(32)).std(0) > 0).all())


def test_a_decoder_without_layers_between_is_linear():
    decoder = DenseDecoder((2, 3, 3), 6, ())
    with torch.no_grad():
        decoder.last.bias.fill_(0.5)
        nought = decoder(torch.zeros(1, 6))
        torch.testing.assert_close(decoder(-latents()) - nought, nought - decoder(latents()))
        assert bool((nought == 0.5).all())


def test_a_dense_decoder_has_one_bias_for_each_plane():
    decoder = DenseDecoder((3, 4, 5), 6)
    assert decoder.last.bias.shape == (3,)
    with torch.no_grad():
        before = decoder(latents())
        decoder.last.bias[1] = 2.0
        moved = decoder(latents()) - before
    assert bool((moved[:, [0, 2]] == 0).all())
    torch.testing.assert_close(moved[:, 1], torch.full((4, 4, 5), 2.0))


def test_the_last_layer_is_a_transposed_convolution_that_begins_as_a_connected_layer():
    torch.manual_seed(5)
    layer = torch.nn.Linear(6, 60, bias=False)
    torch.manual_seed(5)
    whole = WholeImage(6, (3, 4, 5))
    weight, bias = whole.part()
    assert torch.equal(weight, layer.weight) and weight.T.is_contiguous()
    assert torch.equal(bias, torch.zeros(60))
    with torch.no_grad():
        whole.bias.copy_(torch.tensor([1.0, 2.0, 3.0]))
        convolved = whole(latents()[..., None, None])
        torch.testing.assert_close(convolved.flatten(1), torch.nn.functional.linear(latents(), *whole.part()))
        whole.reset_parameters()
        assert bool((whole.bias == 0).all()) and not torch.equal(whole.part()[0], layer.weight)


def test_dense_layers_have_the_published_widths():
    widths = [tuple(layer.weight.shape) for layer in DenseEncoder((3, 28, 28), 324).layers if hasattr(layer, "weight")]
    assert widths == [(972, 2352), (648, 972), (648, 648)]
    # T. A. Keller and M. Welling, arXiv 2109.01394, appendix; one bias for each of the three planes.
    count = sum(values.numel() for values in DenseDecoder((3, 28, 28), 324).parameters())
    assert count == 324 * 648 + 648 + 648 * 972 + 972 + 972 * 2352 + 3


def test_heads_share_their_trunk_and_differ():
    made = Heads(ConvolutionalEncoder((1, 9, 9), (8, 8), 12), 12, 6, 3)
    told = made(frames((1, 9, 9)))
    assert len(told) == 3 and all(entry.shape == (4, 12) for entry in told)
    assert not torch.equal(told[0], told[1])
    told[1].sum().backward()
    graded = {name for name, values in made.named_parameters() if values.grad is not None}
    assert {name.split(".")[0] for name in graded} == {"trunk", "heads"}
    assert {name for name in graded if name.startswith("heads")} == {"heads.1.weight", "heads.1.bias"}
