"""Walking down decision trees by scikit-learn's compiled code, from plain arrays.

What we keep of a tree are arrays, so that a model saves without pickle; for a walk they are put back into scikit-learn's own
form, whose layout is the installed version's.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def walkers(
    root: np.ndarray, left: np.ndarray, right: np.ndarray, feature: np.ndarray, threshold: np.ndarray
) -> tuple[Any, ...]:
    """Trees over the same features, one after another in the node arrays (shape (nodes,)), tree t from `root[t]` on.

    A row at an inner node goes left where its feature is at most the threshold; `left` is -1 at a leaf. Children are numbered
    as the arrays are. Returns objects with `apply(X)`, X float32 of shape (rows, features) in C order: the leaf of each row,
    int64 of shape (rows,), counted from the tree's root.
    """
    from sklearn.tree._tree import NODE_DTYPE, Tree

    features = int(feature.max(initial=0)) + 1
    made = []
    for start, stop in zip(root, np.append(root[1:], len(left)), strict=True):
        nodes = np.zeros(stop - start, dtype=NODE_DTYPE)
        inner = left[start:stop] >= 0
        nodes["left_child"] = np.where(inner, left[start:stop] - start, -1)
        nodes["right_child"] = np.where(inner, right[start:stop] - start, -1)
        nodes["feature"] = np.where(inner, feature[start:stop], -2)
        nodes["threshold"] = threshold[start:stop]
        tree = Tree(features, np.array([1], dtype=np.intp), 1)
        values = np.zeros((len(nodes), 1, 1))
        tree.__setstate__({"max_depth": 1, "node_count": len(nodes), "nodes": nodes, "values": values})
        made.append(tree)
    return tuple(made)
