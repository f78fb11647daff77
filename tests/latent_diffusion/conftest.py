"""What tests of several networks watch."""

from __future__ import annotations

import pytest
from diffusers import UNet2DModel


@pytest.fixture
def checkpointed(monkeypatch: pytest.MonkeyPatch) -> list[UNet2DModel]:
    """The networks whose gradient checkpointing is switched on."""
    networks: list[UNet2DModel] = []
    enable = UNet2DModel.enable_gradient_checkpointing

    def note(network: UNet2DModel) -> None:
        networks.append(network)
        enable(network)

    monkeypatch.setattr(UNet2DModel, "enable_gradient_checkpointing", note)
    return networks
