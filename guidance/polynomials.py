"""Nested polynomials for the equations of state, and the published tables of coefficients.

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
    """`sum_i coefficients[i] * x**i`; of a single coefficient, that coefficient itself."""
    total: Tensor | float = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        total = total * x + coefficient
    return total


def evaluate(table: Table, s: Tensor, t: Tensor, z: Tensor | float) -> Tensor:
    """The table's polynomial at `s`, `t`, `z` (broadcast)."""
    total = horner([horner([horner(row, s) for row in level], t) for level in table], z)
    return cast(Tensor, total)  # a number only if the table holds but one


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
    """The table of d/d(s**2), for tables without a term linear in s: finite at s = 0."""
    return tuple(
        tuple(tuple(0.5 * i * c for i, c in enumerate(row))[2:] or (0.0,) for row in level)
        for level in table
    )


def derivative(row: Row) -> Row:
    """Coefficients of the derivative of a polynomial in one variable."""
    return tuple(i * c for i, c in enumerate(row))[1:] or (0.0,)


# Roquet, Madec, McDougall and Barker 2015, Ocean Modelling 90, 29-43: density of seawater for
# Boussinesq models, in s = sqrt((S + 32) * 0.875 / 35.16504), t = T / 40, z = depth / 1e4 m.
# The anomaly to the reference profile, 52 terms [kg/m3]:
ROQUET_ANOMALY: Table = (
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
    (
        (-2.3342758797e-02, -1.8507636718e-02),
        (3.7969820455e-01,),
    ),
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
