"""Polynomials of the equations of state, and their published coefficients.

A table is a polynomial in three variables, ascending in each: `table[k][j][i]` multiplies
`z**k * t**j * s**i`. Missing powers at the end of a row are zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor

Row = tuple[float, ...]
Table = tuple[tuple[Row, ...], ...]


def horner(coefficients: Sequence[float | Tensor], x: Tensor | float) -> Tensor | float:
    """`sum_i coefficients[i] * x**i`; a single coefficient is returned as it is."""
    total: Tensor | float = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        total = total * x + coefficient
    return total


def evaluate(table: Table, s: Tensor, t: Tensor, z: Tensor | float) -> Tensor:
    """The table's polynomial at `s`, `t`, `z` (broadcast)."""
    total = horner([horner([horner(row, s) for row in level], t) for level in table], z)
    return cast(Tensor, total)  # a number only if the table has a single one


def s_derivative(table: Table) -> Table:
    """The table of d/ds."""
    return tuple(tuple(derivative(row) for row in level) for level in table)


def t_derivative(table: Table) -> Table:
    """The table of d/dt."""
    return tuple(
        tuple(tuple(j * c for c in row) for j, row in enumerate(level))[1:] or ((0.0,),)
        for level in table
    )


def square_derivative(table: Table) -> Table:
    """The table of d/d(s**2), finite at s = 0, for tables without a term linear in s."""
    return tuple(
        tuple(tuple(0.5 * i * c for i, c in enumerate(row))[2:] or (0.0,) for row in level)
        for level in table
    )


def derivative(row: Row) -> Row:
    """Coefficients of the derivative of a polynomial in one variable."""
    return tuple(i * c for i, c in enumerate(row))[1:] or (0.0,)


# Roquet, Madec, McDougall and Barker 2015, Ocean Modelling 90, 29-43: density of seawater for
# Boussinesq models, in s = sqrt((S + 32) * 0.875 / 35.16504), t = T / 40, z = depth / 1e4 m.
# The anomaly from the reference profile, 52 terms [kg/m3]:
ROQUET_TEOS10_ANOMALY: Table = (
    (
        (
            8.0189615746e02,
            8.6672408165e02,
            -1.7864682637e03,
            2.0375295546e03,
            -1.2849161071e03,
            4.3227585684e02,
            -6.0579916612e01,
        ),
        (
            2.6010145068e01,
            -6.5281885265e01,
            8.1770425108e01,
            -5.6888046321e01,
            1.7681814114e01,
            -1.9193502195e00,
        ),
        (
            -3.7074170417e01,
            6.1548258127e01,
            -6.0362551501e01,
            2.9130021253e01,
            -5.4723692739e00,
        ),
        (2.1661789529e01, -3.3449108469e01, 1.9717078466e01, -3.1742946532e00),
        (-8.3627885467e00, 1.1311538584e01, -5.3563304045e00),
        (5.4048723791e-01, 4.8169980163e-01),
        (-1.9083568888e-01,),
    ),
    (
        (
            1.9681925209e01,
            -4.2549998214e01,
            5.0774768218e01,
            -3.0938076334e01,
            6.6051753097e00,
        ),
        (-1.3336301113e01, -4.4870114575e00, 5.0042598061e00, -6.5399043664e-01),
        (6.7080479603e00, 3.5063081279e00, -1.8795372996e00),
        (-2.4649669534e00, -5.5077101279e-01),
        (5.5927935970e-01,),
    ),
    (
        (2.0660924175e00, -4.9527603989e00, 2.5019633244e00),
        (2.0564311499e00, -2.1311365518e-01),
        (-1.2419983026e00,),
    ),
    ((-2.3342758797e-02, -1.8507636718e-02), (3.7969820455e-01,)),
)
# The same form fitted to EOS-80, in s = sqrt((S + 20) / 40): NEMO's `ln_eos80`, in its eosbn2.F90.
# The anomaly, 52 terms [kg/m3]:
ROQUET_EOS80_ANOMALY: Table = (
    (
        (
            9.5356891948e02,
            1.7136499189e02,
            -3.7501039454e02,
            5.1856810420e02,
            -3.7264470465e02,
            1.4302533998e02,
            -2.2856621162e01,
        ),
        (
            1.0087518651e01,
            -1.3647741861e01,
            8.8478359933e00,
            -7.2329388377e00,
            1.4774410611e00,
            2.0036720553e-01,
        ),
        (-2.5579830599e01, 2.4043512327e01, -1.6807503990e01, 8.3811577084e00, -1.9771060192e00),
        (1.6846451198e01, -2.1482926901e01, 1.0108954054e01, -6.2675951440e-01),
        (-8.0812310102e00, 1.0102374985e01, -4.8340368631e00),
        (1.2079167803e00, 1.1515380987e-01),
        (-2.4520288837e-01,),
    ),
    (
        (1.0748601068e01, -1.7817043500e01, 2.2181366768e01, -1.6750916338e01, 4.1202230403e00),
        (-1.5852644587e01, -7.6639383522e-01, 4.1144627302e00, -6.6955877448e-01),
        (9.9994861860e00, -1.9467067787e-01, -1.2177554330e00),
        (-3.4866102017e00, 2.2229155620e-01),
        (5.9503008642e-01,),
    ),
    (
        (1.0375676547e00, -3.4249470629e00, 2.0542026429e00),
        (2.1836324814e00, -3.4453674320e-01),
        (-1.2548163097e00,),
    ),
    ((1.8729078427e-02, -5.7238495240e-02), (3.8306136687e-01,)),
)
# The reference profile, ascending in z [kg/m3]:
ROQUET_PROFILE: Row = (
    0.0,
    4.6494977072e01,
    -5.2099962525e00,
    2.2601900708e-01,
    6.4326772569e-02,
    1.5616995503e-02,
    -1.7243708991e-03,
)

# The 48-term equation of TEOS-10 (IOC, SCOR and IAPSO 2010, appendix K; McDougall et al. 2013), as
# Veros evaluates it (core/density/gsw.py): the ratio of two polynomials in s = sqrt(absolute
# salinity [g/kg]), t = conservative temperature [degC], z = pressure [dbar].
# The numerator [kg/m3]:
TEOS10_48_NUMERATOR: Table = (
    (
        (9.998420897506056e02, 0.0, -6.698001071123802e00, -3.988822378968490e-02),
        (2.839940833161907e00, 0.0, -2.986498947203215e-02, 5.095422573880500e-04),
        (-3.147759265588511e-02, 0.0, 2.327859407479162e-04, -1.426984671633621e-05),
        (1.181805545074306e-03, 0.0, 0.0, 1.645039373682922e-07),
    ),
    (
        (-2.233269627352527e-02, 0.0, -1.806789763745328e-04),
        (-3.436090079851880e-04, 0.0, 6.876837219536232e-07),
        (3.726050720345733e-06,),
    ),
    (
        (-3.087032500374211e-07, 0.0, 1.550932729220080e-10),
        (-1.988366587925593e-08,),
        (-1.061519070296458e-11,),
    ),
)
# The denominator:
TEOS10_48_DENOMINATOR: Table = (
    (
        (1.0, 0.0, -7.521448093615448e-03, -3.303308871386421e-05, 5.419326551148740e-06),
        (2.775927747785646e-03, 0.0, -2.764306979894411e-05, 3.801564588876298e-07),
        (-2.349607444135925e-05, 0.0, 1.262937315098546e-07, -7.672876869259043e-09),
        (1.119513357486743e-06, 0.0, 9.527875081696435e-10, -4.634182341116144e-11),
        (6.743689325042773e-10, 0.0, -1.811147201949891e-11, 2.681097235569143e-12),
    ),
    (
        (-2.742185394906099e-05, 0.0, -1.105097577149576e-07),
        (-3.212746477974189e-07, 0.0, 6.211426728363857e-10),
        (3.191413910561627e-09,),
        (-1.931012931541776e-12,),
    ),
    (
        (-1.119011592875110e-10,),
        (-1.941660213148725e-11, 0.0, 1.119522344879478e-14),
        (-1.864826425365600e-14,),
    ),
    ((-1.200507748551599e-15,), (6.057902487546866e-17,)),
)

# Jackett and McDougall 1995, J. Atmos. Oceanic Technol. 12, 381-389, as MITgcm evaluates it, in
# s = sqrt(salinity), t = potential temperature [degC], z = pressure [bar].
# Density at the surface [kg/m3]:
JMD95_SURFACE: Table = (
    (
        (999.842594, 0.0, 8.24493e-1, -5.72466e-3, 4.8314e-4),
        (6.793952e-2, 0.0, -4.0899e-3, 1.0227e-4),
        (-9.095290e-3, 0.0, 7.6438e-5, -1.6546e-6),
        (1.001685e-4, 0.0, -8.2467e-7),
        (-1.120083e-6, 0.0, 5.3875e-9),
        (6.536332e-9,),
    ),
)
# Secant bulk modulus [bar]:
JMD95_BULK_MODULUS: Table = (
    (
        (1.965933e4, 0.0, 5.284855e1, 3.886640e-1),
        (1.444304e2, 0.0, -3.101089e-1, 9.085835e-3),
        (-1.706103e0, 0.0, 6.283263e-3, -4.619924e-4),
        (9.648704e-3, 0.0, -5.084188e-5),
        (-4.190253e-5,),
    ),
    (
        (3.186519e0, 0.0, 6.704388e-3, 1.480266e-4),
        (2.212276e-2, 0.0, -1.847318e-4),
        (-2.984642e-4, 0.0, 2.059331e-7),
        (1.956415e-6,),
    ),
    (
        (2.102898e-4, 0.0, -2.040237e-6),
        (-1.202016e-5, 0.0, 6.128773e-8),
        (1.394680e-7, 0.0, 6.207323e-10),
    ),
)
