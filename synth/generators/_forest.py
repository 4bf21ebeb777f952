"""Decision trees as plain arrays: grown by scikit-learn, kept and walked with numpy alone.

A leaf holds its donors (the training values that fell into it) as runs of equal codes, so that a fitted forest is a dozen
arrays that save without pickle, and a loaded one gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from synth.generators._walk import walkers


@dataclass(frozen=True, eq=False)
class Forest:
    """Trees over the same features. Node arrays have shape (nodes,), run arrays (runs,); tree t starts at `root[t]`.

    A row at an inner node goes left where its feature is at most the threshold. The donors of a node are the positions
    `first` to `last` (excluded) of one long list; that list is kept as runs: run r holds the code `run_code[r]` and ends
    before position `run_last[r]`. Within a leaf codes ascend; `run_ends_leaf` marks the last run of each leaf.

    A row at a leaf draws its donor from there or, with probability `up` of the leaf, from the node `back`.
    """

    root: np.ndarray
    left: np.ndarray  # -1 at a leaf
    right: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    up: np.ndarray
    back: np.ndarray
    first: np.ndarray
    last: np.ndarray
    run_code: np.ndarray
    run_last: np.ndarray
    run_ends_leaf: np.ndarray

    @cached_property
    def _walkers(self) -> tuple[Any, ...]:
        walked = int(self.back.min(initial=len(self.left), where=self.back >= 0))  # what leaves draw from comes after all trees
        return walkers(self.root, *(part[:walked] for part in (self.left, self.right, self.feature, self.threshold)))

    def leaves(self, features: np.ndarray, tree: np.ndarray) -> np.ndarray:
        """The leaf of each row: features of shape (rows, features), tree of shape (rows,) says which tree it walks."""
        leaf = np.empty(len(features), dtype=np.int64)
        for which, walker in enumerate(self._walkers):
            mine = np.flatnonzero(tree == which)
            leaf[mine] = self.root[which] + walker.apply(np.ascontiguousarray(features[mine]))
        return leaf

    def candidates(self, features: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Every node a row may draw its donor from, and how likely: two arrays of shape (rows, candidates).

        features: a table as for `leaves`, or several that the trees take in turn.
        """
        trees, rows = len(self.root), len(features[0])
        leaves = [self.leaves(features[tree % len(features)], np.full(rows, tree)) for tree in range(trees)]
        of_tree = [self._drawn_from(leaf) for leaf in leaves]
        return np.hstack([node for node, _ in of_tree]), np.hstack([weight for _, weight in of_tree]) / trees

    def _drawn_from(self, leaf: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The nodes that a row at this leaf of one tree draws from, and how likely: two arrays of shape (rows, nodes)."""
        if not self.up.any():
            return leaf[:, None], np.ones((len(leaf), 1))
        up = self.up[leaf]
        return np.column_stack([leaf, self.back[leaf]]), np.column_stack([1 - up, up])

    def draw(self, features: np.ndarray, tree: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The run of a donor for each row, of shape (rows,), where tree of shape (rows,) says which tree it walks."""
        node = self.leaves(features, tree)
        return self._draw_at(np.where(rng.random(len(node)) < self.up[node], self.back[node], node), rng)

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

    def shares_of(self, parts: Iterable[Forest], features: Sequence[np.ndarray]) -> np.ndarray:
        """How likely a row draws a donor that is also in each part (of `restricted`), of shape (rows, parts)."""
        node, weight = self.candidates(features)
        shares = [(weight * self._mass(part, node)).sum(axis=1) for part in parts]
        return np.column_stack(shares) if shares else np.zeros((len(features[0]), 0))

    def within(self, part: Forest, features: Sequence[np.ndarray]) -> Within:
        """For each row, how likely it draws a donor that is in the part, and the draw of such a donor."""
        node, weight = self.candidates(features)
        return Within(part, node, np.cumsum(weight * self._mass(part, node), axis=1))

    def highest_share(self, part: Forest) -> float:
        """What no row's share of the part exceeds: the mean over trees of the highest share among their leaves."""
        leaf = np.flatnonzero((self.left < 0) & ((self.last > self.first) | (self.up > 0)))
        leaf = np.setdiff1d(leaf, self.back)
        node, weight = self._drawn_from(leaf)
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
        ends = np.unique(np.concatenate([[0], self.first, self.last]))  # between two of them all donors are of the same nodes
        size = np.diff(self.run_last, prepend=0)
        held = np.flatnonzero(size)
        at = np.searchsorted(ends, self.run_last[held]) - 1
        groups, parts = int(group.max(initial=-1)) + 1, len(ends) - 1
        each = np.bincount(at * groups + group[held], weights=size[held], minlength=parts * groups).reshape(parts, groups)
        up_to = np.vstack([np.zeros((1, groups)), np.cumsum(each, axis=0)]).astype(np.int64)
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


def plant(trees: Sequence[Tree], *, relatives: int = 0) -> Forest:
    """Trees over the same features as one forest; relatives: leaves discount among so many donors (0: they do not)."""
    parts: dict[str, list[Any]] = {f.name: [] for f in fields(Forest)}
    parents, nodes, donors = [], 0, 0
    for tree in trees:
        size = len(tree.left)
        inner = np.flatnonzero(tree.left >= 0)
        parent = np.arange(size)
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
        parts["up"].append(np.zeros(size))
        parts["back"].append(np.full(size, -1))
        parts["first"].append(first + donors)
        parts["last"].append(last + donors)
        parts["run_code"].append(tree.donors[run_end])
        parts["run_last"].append(run_end + 1 + donors)
        parts["run_ends_leaf"].append(ends_leaf)
        parents.append(parent + nodes)
        nodes, donors = nodes + size, donors + len(tree.donors)
    place = np.int32 if 2 * donors < 2**31 else np.int64
    kinds = {
        "threshold": np.float64,
        "up": np.float64,
        "run_ends_leaf": np.bool_,
        "first": place,
        "last": place,
        "run_last": place,
    }
    forest = Forest(**{name: np.concatenate(part).astype(kinds.get(name, np.int32)) for name, part in parts.items()})
    return _discounted(forest, np.concatenate(parents), relatives) if relatives else forest


def _discounted(forest: Forest, parent: np.ndarray, relatives: int) -> Forest:
    """Each leaf gives one donor of every value that it holds to its relatives, and gets as many back: any of the values that
    they hold, each as often as it is held by a leaf of theirs. Relatives share an ancestor of at most so many donors.

    A value that a leaf holds once says little more than that one training row was there; one that it holds often keeps all
    but one of its donors. That is absolute discounting as Kneser and Ney have it ("Improved backing-off for m-gram language
    modeling", 1995): what is given equals what is got, value by value, so that margins stay.
    """
    runs, size = len(forest.run_code), np.diff(forest.run_last, prepend=0)
    first_run = np.searchsorted(forest.run_last, forest.first, side="right")
    stop_run = np.searchsorted(forest.run_last, forest.last, side="left") + 1
    donors = forest.last - forest.first
    small = donors <= relatives
    head = np.arange(len(parent))
    for node in np.flatnonzero(small & small[parent]):  # parents come before their children
        head[node] = head[parent[node]]
    leaf = np.flatnonzero((forest.left < 0) & (donors > 0))
    heads, family = np.unique(head[leaf], return_inverse=True)
    up, back = forest.up.copy(), forest.back.copy()
    up[leaf] = (stop_run - first_run)[leaf] / donors[leaf]
    back[leaf] = len(forest.left) + family
    kept = np.append(0, np.cumsum(size - 1))  # donors that stay, then one donor of each run
    empty = donors == 0
    none = np.full(len(heads), -1, dtype=np.int32)
    place = forest.first.dtype
    return replace(
        forest,
        left=np.append(forest.left, none),
        right=np.append(forest.right, none),
        feature=np.append(forest.feature, none + 1),
        threshold=np.append(forest.threshold, np.zeros(len(heads))),
        up=np.append(up, np.zeros(len(heads))),
        back=np.append(back, none),
        first=np.append(np.where(empty, 0, kept[first_run * ~empty]), kept[-1] + first_run[heads]).astype(place),
        last=np.append(np.where(empty, 0, kept[stop_run * ~empty]), kept[-1] + stop_run[heads]).astype(place),
        run_code=np.tile(forest.run_code, 2),
        run_last=np.append(kept[1:], kept[-1] + np.arange(1, runs + 1)).astype(place),
        run_ends_leaf=np.append(forest.run_ends_leaf, np.ones(runs, dtype=bool)),
    )
