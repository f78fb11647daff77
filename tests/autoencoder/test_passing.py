"""States pass through codecs a few at a time, on the codec's device."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from autoencoder import passing
from data.state import State


class Counting:
    """A codec that keeps how many states it is given at once."""

    def __init__(self, codec):
        self.codec, self.statistics, self.sizes = codec, codec.statistics, []

    def encode(self, state):
        self.sizes.append(len(state))
        return self.codec.encode(state)

    def encode_distribution(self, state):
        self.sizes.append(len(state))
        return self.codec.encode_distribution(state)

    def decode(self, latents):
        self.sizes.append(len(latents))
        return self.codec.decode(latents)


class Elsewhere:
    """A codec on another device, whose results are zeros that the CPU can read."""

    statistics = SimpleNamespace(mean=torch.zeros(4, device="meta"))

    def encode(self, state):
        assert {state.temperature.device.type, state.salinity.device.type} == {"meta"}
        return torch.zeros(len(state), 1)

    def decode(self, latents):
        assert latents.device.type == "meta"
        return State(torch.zeros(len(latents), 1, 1, 1), torch.zeros(len(latents), 1, 1, 1))


@pytest.fixture(params=["vae", "identity"])
def codec_and_states(request, make_codec):
    codec, archive = make_codec(request.param)
    return codec.eval(), archive.read(range(5))


@torch.no_grad()
def test_parts_are_those_of_all_states_together(codec_and_states):
    codec, states = codec_and_states
    latents = codec.encode(states)
    found = torch.cat([*passing.encoded(codec, states, at_once=2)])
    torch.testing.assert_close(found, latents)
    moments = zip(*passing.encoded_distributions(codec, states, at_once=2), strict=True)
    for ours, expected in zip(moments, codec.encode_distribution(states), strict=True):
        torch.testing.assert_close(torch.cat(ours), expected)
    again = codec.decode(latents).to_channels()
    for parts in (
        passing.decoded(codec, latents, at_once=2),
        passing.reconstructed(codec, states, at_once=2),
    ):
        torch.testing.assert_close(State.cat([*parts]).to_channels(), again)


@torch.no_grad()
@pytest.mark.parametrize(("most_bytes", "sizes"), [(2**30, [3, 2]), (1, [1] * 5)])
def test_large_states_pass_alone(make_codec, monkeypatch, most_bytes, sizes):
    codec, archive = make_codec()
    states, latents = archive.read(range(5)), codec.encode(archive.read(range(5)))
    monkeypatch.setattr("data.batches.MOST_BYTES", most_bytes)
    for through, given, times in (
        (passing.encoded, states, 1),
        (passing.encoded_distributions, states, 1),
        (passing.decoded, latents, 1),
        (passing.reconstructed, states, 2),
    ):
        counting = Counting(codec)
        assert len([*through(counting, given, at_once=3)]) == len(sizes)
        assert counting.sizes == [size for size in sizes for _ in range(times)]


def test_nothing_is_computed_before_it_is_asked_for(make_codec):
    codec, archive = make_codec()
    counting = Counting(codec)
    parts = passing.reconstructed(counting, archive.read(range(4)), at_once=1)
    assert counting.sizes == []
    assert not next(parts).temperature.requires_grad
    assert counting.sizes == [1, 1]
    assert torch.is_grad_enabled()


def test_states_go_to_the_codec_s_device_and_results_to_the_cpu():
    codec, states = Elsewhere(), State(torch.ones(3, 1, 1, 1), torch.ones(3, 1, 1, 1))
    (latents,) = passing.encoded(codec, states)
    (state,) = passing.decoded(codec, latents)
    assert latents.device.type == state.temperature.device.type == "cpu"
    with pytest.raises(AssertionError):  # `Elsewhere` sees where its input is
        codec.encode(states)
