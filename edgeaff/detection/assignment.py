"""The pairing of rows and columns with the lowest total cost (Hungarian method with potentials, O(n^3))."""

from __future__ import annotations

import numpy as np


def assign(cost: np.ndarray) -> list[tuple[int, int]]:
    """Returns the pairs (row, column) of the cheapest complete assignment of the shorter side, by row.

    Args:
        cost: (n, m) float, finite.
    """
    if cost.shape[0] > cost.shape[1]:
        return sorted((row, column) for column, row in assign(cost.T))
    rows, columns = cost.shape
    row_potential, column_potential = np.zeros(rows + 1), np.zeros(columns + 1)
    owner = np.zeros(columns + 1, int)  # row that holds a column; rows and columns count from 1, 0 = free
    for row in range(1, rows + 1):
        owner[0] = row
        column = 0
        reach = np.full(columns + 1, np.inf)
        parent = np.zeros(columns + 1, int)
        seen = np.zeros(columns + 1, bool)
        while owner[column]:
            seen[column] = True
            slack = cost[owner[column] - 1] - row_potential[owner[column]] - column_potential[1:]
            better = (slack < reach[1:]) & ~seen[1:]
            reach[1:][better] = slack[better]
            parent[1:][better] = column
            open_columns = np.flatnonzero(~seen[1:]) + 1
            following = int(open_columns[reach[open_columns].argmin()])
            step = reach[following]
            row_potential[owner[seen]] += step
            column_potential[seen] -= step
            reach[1:][~seen[1:]] -= step
            column = following
        while column:
            owner[column] = owner[parent[column]]
            column = parent[column]
    return sorted((int(owner[column]) - 1, column - 1) for column in range(1, columns + 1) if owner[column])
