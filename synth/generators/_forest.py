"""Decision trees as plain arrays: grown by scikit-learn, kept and walked with numpy alone.

A leaf holds its donors (the training values that fell into it) as runs of equal codes, so that a fitted forest is a dozen
arrays that save without pickle, and a loaded one gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np


@dataclass(frozen=True, eq=False)
class Forest:
    """Trees over the same features. Node arrays have shape (nodes,), run arrays (runs,); tree t starts at `root[t]`.

    A row at an inner node goes left where its feature is at most the threshold. The donors of a node are the positions
    `first` to `last` (excluded) of one long list; that list is kept as runs: run r holds the code `run_code[r]` and ends
    before position `run_last[r]`. Within a leaf codes ascend; `run_ends_leaf` marks the last run of each leaf.
    """

    root: np.ndarray
    left: np.ndarray  # -1 at a leaf
    right: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    parent: np.ndarray  # -1 at a root
    first: np.ndarray
    last: np.ndarray
    run_code: np.ndarray
    run_last: np.ndarray
    run_ends_leaf: np.ndarray

    def leaves(self, features: np.ndarray, tree: np.ndarray) -> np.ndarray:
        """The leaf of each row: features of shape (rows, features), tree of shape (rows,) says which tree it walks."""
        node = self.root[tree]
        moving = np.flatnonzero(self.left[node] >= 0)
        while len(moving):
            at = node[moving]
            goes_left = features[moving, self.feature[at]] <= self.threshold[at]
            at = np.where(goes_left, self.left[at], self.right[at])
            node[moving] = at
            moving = moving[self.left[at] >= 0]
        return np.asarray(node)

    def candidates(self, features: np.ndarray, smoothing: float) -> tuple[np.ndarray, np.ndarray]:
        """Every node a row may draw its donor from, and how likely: two arrays of shape (rows, candidates)."""
        trees, rows = len(self.root), len(features)
        above = [self._above(self.leaves(features, np.full(rows, tree)), smoothing) for tree in range(trees)]
        return np.hstack([node for node, _ in above]), np.hstack([weight for _, weight in above]) / trees

    def _above(self, leaf: np.ndarray, smoothing: float) -> tuple[np.ndarray, np.ndarray]:
        """The nodes that a row at this leaf of one tree draws from, and how likely: two arrays of shape (rows, nodes).

        They are the leaf and, with smoothing s and m donors there, with probability s / (s + m), its parent.
        """
        parent = np.where(self.parent[leaf] >= 0, self.parent[leaf], leaf)
        up = smoothing / (smoothing + self.last[leaf] - self.first[leaf])
        return np.column_stack([leaf, parent]), np.column_stack([1 - up, up])

    def draw(self, features: np.ndarray, rng: np.random.Generator, smoothing: float) -> np.ndarray:
        """The run of a donor for each row, as `candidates` says, of shape (rows,)."""
        node = self.leaves(features, rng.integers(len(self.root), size=len(features)))
        if smoothing > 0:
            count = self.last[node] - self.first[node]
            up = (rng.random(len(node)) * (smoothing + count) < smoothing) & (self.parent[node] >= 0)
            node = np.where(up, self.parent[node], node)
        return self._draw_at(node, rng)

    def _draw_at(self, node: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A donor's run for each row. Rows at one node share its donors out evenly (stratified sampling), which is what each
        row would get by itself with less scatter among them all."""
        order = np.lexsort((rng.random(len(node)), node))
        starts = np.flatnonzero(np.diff(node[order], prepend=-1))
        sizes = np.diff(np.append(starts, len(node)))
        share = np.empty(len(node))
        share[order] = (np.arange(len(node)) - np.repeat(starts, sizes) + rng.random(len(node))) / np.repeat(sizes, sizes)
        count = self.last[node] - self.first[node]
        position = self.first[node] + np.minimum((share * count).astype(np.int64), count - 1)
        return np.asarray(np.searchsorted(self.run_last, position, side="right"))

    def restricted(self, allowed: np.ndarray) -> Forest:
        """The same trees with only the donors of these runs: allowed is boolean, of shape (runs,)."""
        size = np.diff(self.run_last, prepend=0) * allowed
        last = np.cumsum(size)
        ends = np.concatenate([[0], last])
        first_run = np.searchsorted(self.run_last, self.first, side="right")
        last_run = np.searchsorted(self.run_last, self.last, side="left") + 1
        return replace(self, first=ends[first_run], last=ends[last_run], run_last=last)

    def shares_of(self, parts: Iterable[Forest], features: np.ndarray, smoothing: float) -> np.ndarray:
        """How likely a row draws a donor that is also in each part (of `restricted`), of shape (rows, parts)."""
        node, weight = self.candidates(features, smoothing)
        shares = [(weight * self._mass(part, node)).sum(axis=1) for part in parts]
        return np.column_stack(shares) if shares else np.zeros((len(features), 0))

    def within(self, part: Forest, features: np.ndarray, smoothing: float) -> Within:
        """For each row, how likely it draws a donor that is in the part, and the draw of such a donor."""
        node, weight = self.candidates(features, smoothing)
        return Within(part, node, np.cumsum(weight * self._mass(part, node), axis=1))

    def highest_share(self, part: Forest, smoothing: float) -> float:
        """What no row's share of the part exceeds: the mean over trees of the highest share among their leaves."""
        leaf = np.flatnonzero((self.left < 0) & (self.last > self.first))
        node, weight = self._above(leaf, smoothing)
        tree = np.searchsorted(self.root, leaf, side="right") - 1
        highest = np.zeros(len(self.root))
        np.maximum.at(highest, tree, (weight * self._mass(part, node)).sum(axis=1))
        return float(highest.mean())

    def _mass(self, part: Forest, node: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):  # nodes inside a merged leaf hold no donor, and no row comes to them
            share = (part.last[node] - part.first[node]) / (self.last[node] - self.first[node])
        return np.asarray(np.nan_to_num(share))

    def counts(self, group: np.ndarray) -> np.ndarray:
        """Donors of each node by group, int64 of shape (nodes, groups); group says which one each run belongs to."""
        leaf = np.flatnonzero((self.left < 0) & (self.last > self.first))
        leaf = leaf[np.argsort(self.first[leaf])]  # together they hold every donor once
        size = np.diff(self.run_last, prepend=0)
        at = np.searchsorted(self.last[leaf], self.run_last)
        groups = int(group.max(initial=-1)) + 1
        each = np.bincount(at * groups + group, weights=size, minlength=len(leaf) * groups).reshape(len(leaf), groups)
        up_to = np.vstack([np.zeros((1, groups)), np.cumsum(each, axis=0)]).astype(np.int64)
        ends = np.append(0, self.last[leaf])
        return np.asarray(up_to[np.searchsorted(ends, self.last)] - up_to[np.searchsorted(ends, self.first)])

    def neighbours(self, run: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The runs before and after each run in its leaf; at the ends of a leaf, the run itself."""
        starts_leaf = np.concatenate([[True], self.run_ends_leaf[:-1]])
        return np.where(starts_leaf[run], run, run - 1), np.where(self.run_ends_leaf[run], run, run + 1)

    def to_arrays(self, prefix: str) -> dict[str, np.ndarray]:
        return {f"{prefix}.{f.name}": getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_arrays(cls, prefix: str, arrays: Mapping[str, np.ndarray]) -> Forest:
        return cls(**{f.name: arrays[f"{prefix}.{f.name}"] for f in fields(cls)})


@dataclass(frozen=True, eq=False)
class Within:
    """Rows whose donors are to come from a part of a forest: the nodes each may draw from, and the summed probabilities of a
    donor that is at the node and in the part; both of shape (rows, candidates)."""

    part: Forest
    node: np.ndarray
    reach: np.ndarray

    @property
    def share(self) -> np.ndarray:
        """How likely each row draws a donor in the part, of shape (rows,)."""
        return np.asarray(self.reach[:, -1])

    def take(self, rows: np.ndarray) -> Within:
        return Within(self.part, self.node[rows], self.reach[rows])

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """A run for each row, of shape (rows,): exact, since trees are chosen by how likely they give a donor in the part.
        Only for rows whose share is above 0."""
        pick = (self.reach < (rng.random(len(self.node)) * self.share)[:, None]).sum(axis=1)
        return self.part._draw_at(self.node[np.arange(len(self.node)), np.minimum(pick, self.node.shape[1] - 1)], rng)


@dataclass(frozen=True, eq=False)
class Tree:
    """One grown tree with its donors, before it joins a forest; the arrays are as in `Forest`."""

    left: np.ndarray
    right: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    donors: np.ndarray  # donors[leaf] sorted, leaf after leaf
    count: np.ndarray  # donors at each leaf, 0 at inner nodes


def single_leaf(codes: np.ndarray) -> Tree:
    """A tree that asks nothing: the marginal."""
    return Tree(
        left=np.array([-1]),
        right=np.array([-1]),
        feature=np.array([0]),
        threshold=np.array([0.0]),
        donors=np.sort(codes),
        count=np.array([len(codes)]),
    )


def grow(
    features: np.ndarray,
    target: np.ndarray,
    codes: np.ndarray,
    *,
    classify: bool,
    grow_rows: np.ndarray,
    donor_rows: np.ndarray,
    min_samples_leaf: int,
    seed: int,
) -> Tree:
    """Grow one tree on `grow_rows` and fill its leaves with the codes of `donor_rows`.

    features: float32 of shape (rows, features). target: what impurity is measured on, class numbers (rows,) or floats
    (rows,) or (rows, outputs). A leaf that too few donors reach is merged into its parent.
    """
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    model = (DecisionTreeClassifier if classify else DecisionTreeRegressor)(
        min_samples_leaf=min_samples_leaf, random_state=seed
    )
    model.fit(features[grow_rows], target[grow_rows], check_input=False)
    grown = model.tree_
    left, right = grown.children_left.astype(np.int64), grown.children_right.astype(np.int64)
    leaf = grown.apply(features[donor_rows])
    left, home = _merge_thin_leaves(left, right, np.bincount(leaf, minlength=len(left)), min_samples_leaf)
    leaf = home[leaf]
    order = np.lexsort((codes[donor_rows], leaf))
    return Tree(
        left=left,
        right=right,
        feature=np.maximum(grown.feature, 0),
        threshold=grown.threshold,
        donors=codes[donor_rows][order],
        count=np.bincount(leaf, minlength=len(left)),
    )


def _merge_thin_leaves(left: np.ndarray, right: np.ndarray, count: np.ndarray, fewest: int) -> tuple[np.ndarray, np.ndarray]:
    """Make a leaf of every node with a child that too few donors reach. Returns the new `left`, and each node's leaf.

    Nodes are numbered depth first, so children always come after their parent.
    """
    below = count.astype(np.int64)
    left = left.copy()
    for node in range(len(left) - 1, -1, -1):
        if left[node] >= 0:
            a, b = below[left[node]], below[right[node]]
            below[node] = a + b
    home = np.arange(len(left))
    closed = np.zeros(len(left), dtype=bool)
    for node in range(len(left)):
        if left[node] < 0:
            continue
        thin = closed[node] or min(below[left[node]], below[right[node]]) < fewest
        if thin:
            for child in (left[node], right[node]):
                home[child] = home[node]
                closed[child] = True
            left[node] = -1
    return left, home


def plant(trees: Sequence[Tree]) -> Forest:
    """Trees over the same features as one forest."""
    parts: dict[str, list[Any]] = {f.name: [] for f in fields(Forest)}
    nodes, donors = 0, 0
    for tree in trees:
        size = len(tree.left)
        inner = np.flatnonzero(tree.left >= 0)
        parent = np.full(size, -1, dtype=np.int64)
        parent[tree.left[inner]] = inner
        parent[tree.right[inner]] = inner
        start = np.concatenate([[0], np.cumsum(tree.count)])
        stop_node = np.arange(1, size + 1)
        for node in inner[::-1]:  # the last node of a subtree is the last of its right child
            stop_node[node] = stop_node[tree.right[node]]
        first, last = start[:-1], start[stop_node]
        leaf_of = np.repeat(np.arange(size), tree.count)
        ends = np.ones(len(tree.donors), dtype=bool)
        ends[:-1] = (tree.donors[1:] != tree.donors[:-1]) | (leaf_of[1:] != leaf_of[:-1])
        run_end = np.flatnonzero(ends)
        ends_leaf = np.ones(len(run_end), dtype=bool)
        ends_leaf[:-1] = leaf_of[run_end[1:]] != leaf_of[run_end[:-1]]
        parts["root"].append([nodes])
        parts["left"].append(np.where(tree.left >= 0, tree.left + nodes, -1))
        parts["right"].append(np.where(tree.left >= 0, tree.right + nodes, -1))
        parts["feature"].append(tree.feature)
        parts["threshold"].append(tree.threshold)
        parts["parent"].append(np.where(parent >= 0, parent + nodes, -1))
        parts["first"].append(first + donors)
        parts["last"].append(last + donors)
        parts["run_code"].append(tree.donors[run_end])
        parts["run_last"].append(run_end + 1 + donors)
        parts["run_ends_leaf"].append(ends_leaf)
        nodes, donors = nodes + size, donors + len(tree.donors)
    place = np.int32 if donors < 2**31 else np.int64
    kinds = {"threshold": np.float64, "run_ends_leaf": np.bool_, "first": place, "last": place, "run_last": place}
    return Forest(**{name: np.concatenate(part).astype(kinds.get(name, np.int32)) for name, part in parts.items()})
