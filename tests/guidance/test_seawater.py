"""Equations of state against published check values, gsw, autograd and exact differences."""

from __future__ import annotations

from importlib import import_module

import gsw
import numpy as np
import pytest
import torch
from torch import Tensor

from data.equations import EQUATIONS
from data.errors import UserError
from guidance import seawater
from guidance.seawater import (
    EquationOfState,
    JackettMcDougall,
    NemoEos80,
    NemoSimplified,
    NemoTeos10,
    VerosGsw,
    equation_of_state,
    freezing_temperature,
    sigma0,
)

# the coefficients of Roquet et al. 2015b, as in NEMO's reference namelist
FULL_SEOS = NemoSimplified(
    a0=1.6550e-1,
    b0=7.6554e-1,
    lambda1=5.9520e-2,
    lambda2=7.4914e-4,
    mu1=1.4970e-4,
    mu2=1.1090e-5,
    nu=2.4341e-3,
)
NAMES = EQUATIONS


def number(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def ocean_points(count: int = 5000) -> tuple[Tensor, Tensor, Tensor]:
    """Ocean-like conservative temperature, absolute salinity, and depth [m], float64."""
    random = np.random.default_rng(0)
    depth = random.uniform(0, 5000, count)
    warmth = 26 * random.uniform(0, 1, count) * np.exp(-depth / 800)
    temperature = random.uniform(-1.5, 4, count) + warmth
    salinity = random.uniform(33, 37.5, count)
    temperature, salinity, depth = (torch.from_numpy(x) for x in (temperature, salinity, depth))
    return temperature, salinity, depth


def test_nemo_teos10_published_values() -> None:
    eos = NemoTeos10()
    anomaly = eos.anomaly(number(3.0), number(35.5), 3000.0)
    assert anomaly.item() == pytest.approx(1028.21993233072, abs=1e-10)
    total = eos.density(number(3.0), number(35.5), 3000.0)
    assert total.item() == pytest.approx(1041.70618604, abs=1e-8)
    # polyTEOS10_bsq of Roquet et al. 2015: SA 30, CT 10, 1000 m
    at = (number(10.0), number(30.0), 1000.0)
    assert eos.density(*at).item() == pytest.approx(1027.45140, abs=5e-6)
    assert eos.anomaly(*at).item() == pytest.approx(1022.85377, abs=5e-6)
    by_temperature, by_salinity = eos.slopes(*at)
    assert by_temperature.item() == pytest.approx(-0.179646281, abs=5e-10)
    assert by_salinity.item() == pytest.approx(0.765555368, abs=5e-9)


def test_nemo_eos80_published_value() -> None:
    # in the head of NEMO's eosbn2.F90
    anomaly = NemoEos80().anomaly(number(3.0), number(35.5), 3000.0)
    assert anomaly.item() == pytest.approx(1028.35011066567, abs=1e-10)
    # At s = 1, t = z = 0 NEMO's alpha and beta, there times 1 kg/m3, are sums of its coefficients
    # ALP000 to ALP500 and BET000 to BET500.
    alpha = [-0.25218796628, 0.34119354654, -0.22119589983, 0.18082347094, -0.036936026529]
    beta = [2.1420623987, -9.3752598635, 19.446303907, -18.632235232, 8.9390837485, -1.7142465871]
    by_temperature, by_salinity = NemoEos80().slopes(number(0.0), number(20.0), 0.0)
    assert by_temperature.item() == pytest.approx(-sum([*alpha, -0.0050091801383]), abs=1e-9)
    assert by_salinity.item() == pytest.approx(sum(beta), abs=1e-8)


def test_veros_gsw_published_value() -> None:
    # the example of gsw_rho in GSW-R 1.0-3, the last with the 48-term equation
    density = VerosGsw().density(number(28.8099), number(34.7118), 10.0)
    assert density.item() == pytest.approx(1021.8404465661, abs=1e-10)


def test_jmd95_published_value() -> None:
    eos = JackettMcDougall()
    depth = 3000e4 / (eos.rho_const * eos.gravity)
    density = eos.density(number(3.0), number(35.5), depth)
    assert density.item() == pytest.approx(1041.83267, abs=5e-6)


def test_freezing_temperature_published_value() -> None:
    # UNESCO 1983: S = 40, p = 500 dbar
    assert freezing_temperature(number(40.0), 500.0).item() == pytest.approx(-2.588567, abs=5e-7)
    assert freezing_temperature(number(0.0), 0.0) == 0
    assert freezing_temperature(number(-1.0), 0.0) == 0


def test_nemo_simplified_by_hand() -> None:
    # dT = -7, dS = 0.5: 0.165 (1 - 0.21 + 0.4491) 7 + 0.76554 / 2
    density = NemoSimplified().density(number(3.0), number(35.5), 3000.0)
    assert density.item() == pytest.approx(1026 + 1.4311605 + 0.38277, abs=1e-9)
    # all terms: 0.1655 (1 - 0.20832 + 0.4491) 7 + 0.76554 (1 - 0.25 lambda2 - 0.03327) / 2
    # + 3.5 nu
    density = FULL_SEOS.density(number(3.0), number(35.5), 3000.0)
    assert density.item() == pytest.approx(1026 + 1.43744363 + 0.36996355 + 0.00851935, abs=1e-7)
    assert NemoSimplified(rho0=1028.0).density(number(10.0), number(35.0), 0.0).item() == 1028.0


@pytest.mark.parametrize(
    ("name", "module", "prefix", "arguments"),
    [
        ("veros-linear", "linear_eq", "linear_eq_of_state", "sa ct"),
        ("veros-nonlinear1", "nonlinear_eq1", "nonlin1_eq_of_state", "sa ct"),
        ("veros-vallis", "nonlinear_eq2", "nonlin2_eq_of_state", "sa ct p"),
        ("veros-nonlinear3", "nonlinear_eq3", "nonlin3_eq_of_state", "sa ct"),
        ("veros-gsw", "gsw", "gsw", "sa ct p"),
    ],
)
def test_the_equations_of_veros_agree_with_veros(
    name: str, module: str, prefix: str, arguments: str
) -> None:
    pytest.importorskip("veros", reason="needs veros")
    import_module("data.basin.model")  # else Veros' core locks other settings for later tests
    theirs = import_module(f"veros.core.density.{module}")
    temperature, salinity, depth = ocean_points()
    values = {"sa": salinity.numpy(), "ct": temperature.numpy(), "p": depth.numpy()}
    anomaly = getattr(theirs, f"{prefix}_rho")(*(values[name] for name in arguments.split()))
    ours = equation_of_state(name).density(temperature, salinity, depth).numpy()
    np.testing.assert_allclose(ours - theirs.rho0, anomaly, atol=1e-9)


def test_veros_gsw_close_to_gsw() -> None:
    temperature, salinity, depth = ocean_points()
    rho, alpha, beta = gsw.rho_alpha_beta(salinity.numpy(), temperature.numpy(), depth.numpy())
    error = VerosGsw().density(temperature, salinity, depth).numpy() - rho
    assert np.sqrt(np.mean(error**2)) < 5e-4
    by_temperature, by_salinity = VerosGsw().slopes(temperature, salinity, depth)
    np.testing.assert_allclose(by_temperature.numpy(), -rho * alpha, atol=2e-4)
    np.testing.assert_allclose(by_salinity.numpy(), rho * beta, atol=2e-4)


def test_nemo_eos80_close_to_unesco() -> None:
    """UNESCO's EOS-80 in potential temperature, from Jackett and McDougall 1995."""
    unesco = JackettMcDougall(rho_const=1e4 / 9.81)  # 1 m is 1 dbar
    points = ocean_points()
    error = NemoEos80().density(*points) - unesco.density(*points)
    assert error.square().mean().sqrt() < 5e-3
    for ours, theirs in zip(NemoEos80().slopes(*points), unesco.slopes(*points), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-3)


def test_nemo_teos10_close_to_gsw() -> None:
    temperature, salinity, depth = ocean_points()
    rho, alpha, beta = gsw.rho_alpha_beta(salinity.numpy(), temperature.numpy(), depth.numpy())
    eos = NemoTeos10()
    error = eos.density(temperature, salinity, depth).numpy() - rho
    assert np.sqrt(np.mean(error**2)) < 2e-4
    by_temperature, by_salinity = eos.slopes(temperature, salinity, depth)
    np.testing.assert_allclose(by_temperature.numpy(), -rho * alpha, atol=1e-3)
    np.testing.assert_allclose(by_salinity.numpy(), rho * beta, atol=2e-4)


def test_jmd95_close_to_gsw() -> None:
    conservative, absolute, depth = ocean_points()
    eos = JackettMcDougall(rho_const=1e4 / 9.81)  # 1 m is 1 dbar
    potential = gsw.pt_from_CT(absolute.numpy(), conservative.numpy())
    density = eos.density(torch.from_numpy(potential), absolute * 35 / 35.16504, depth)
    error = density.numpy() - gsw.rho(absolute.numpy(), conservative.numpy(), depth.numpy())
    assert np.sqrt(np.mean(error**2)) < 6e-3


@pytest.mark.parametrize("eos", [*map(equation_of_state, NAMES), FULL_SEOS], ids=repr)
def test_slopes_are_the_derivatives_of_density(eos: EquationOfState) -> None:
    temperature, salinity, depth = ocean_points(200)
    temperature.requires_grad_()
    salinity.requires_grad_()
    density = eos.density(temperature, salinity, depth)
    expected = torch.autograd.grad(density.sum(), (temperature, salinity))
    torch.testing.assert_close(eos.slopes(temperature, salinity, depth), expected)


@pytest.mark.parametrize("name", NAMES)
def test_density_and_step_pass_gradcheck(name: str) -> None:
    eos = equation_of_state(name)
    temperature, salinity, depth = ocean_points(4)
    inputs = [x.clone().requires_grad_() for x in (temperature, salinity)]
    below = [(x + 0.3).requires_grad_() for x in (temperature, salinity)]
    assert torch.autograd.gradcheck(lambda t, s: eos.density(t, s, depth), inputs)
    assert torch.autograd.gradcheck(lambda *x: eos.density_step(*x, depth), (*inputs, *below))


@pytest.mark.parametrize("name", NAMES)
def test_density_step_agrees_with_the_exact_difference(name: str) -> None:
    eos = equation_of_state(name)
    upper_t, upper_s, depth = ocean_points()
    random = torch.Generator().manual_seed(0)
    lower_t = upper_t - torch.rand(len(depth), generator=random, dtype=torch.float64)
    lower_s = upper_s + 0.1 * torch.rand(len(depth), generator=random, dtype=torch.float64)
    exact = eos.density(lower_t, lower_s, depth) - eos.density(upper_t, upper_s, depth)
    step = eos.density_step(upper_t, upper_s, lower_t, lower_s, depth)
    torch.testing.assert_close(step, exact, rtol=5e-4, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_density_step_keeps_its_digits_in_float32(name: str) -> None:
    eos = equation_of_state(name)
    upper_t, upper_s, depth = (x.float() for x in ocean_points())
    lower_t, lower_s = upper_t - 1e-3, upper_s + 1e-4
    layers = (upper_t, upper_s, lower_t, lower_s, depth)
    step = eos.density_step(*layers).double()
    torch.testing.assert_close(
        step, eos.density_step(*(x.double() for x in layers)), rtol=1e-4, atol=1e-9
    )
    assert not eos.density_step(upper_t, upper_s, upper_t, upper_s, depth).any()


@pytest.mark.parametrize("name", NAMES)
def test_land_has_finite_gradients(name: str) -> None:
    fields = [torch.zeros(2, requires_grad=True) for _ in range(4)]
    eos = equation_of_state(name)
    density = eos.density(fields[0], fields[1], 100.0)
    (density.sum() + eos.density_step(*fields, 100.0).sum()).backward()
    assert all(field.grad is None or field.grad.isfinite().all() for field in fields)


@pytest.mark.parametrize("name", NAMES)
def test_sigma0_is_the_density_at_the_surface(name: str) -> None:
    anomaly = sigma0(equation_of_state(name), number(10.0), number(35.0)).item()
    assert 23 < anomaly < 28
    assert anomaly == equation_of_state(name).density(number(10.0), number(35.0), 0.0) - 1000


def test_unknown_equation_lists_the_known() -> None:
    with pytest.raises(UserError, match=r"'unesco'.*jmd95.*nemo-seos"):
        equation_of_state("unesco")


def test_archives_accept_exactly_the_implemented_equations():
    assert set(EQUATIONS) == set(seawater._IMPLEMENTATIONS)
