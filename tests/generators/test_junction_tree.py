"""Junction trees of any measured cliques, and the passes over them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synth.errors import ConfigError
from synth.generators._belief_propagation import BeliefPropagation
from synth.generators._junction_tree import JunctionTree, junction_tree_cells, junction_tree_cells_each


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[int], list[tuple[int, ...]]]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))  # rings and chains are rare among what is drawn item by item
    count = int(rng.integers(1, 9))
    measured = [rng.integers(0, count, rng.choice([0, 1, 2, 2, 2, 3])).tolist() for _ in range(rng.integers(0, 13))]
    return rng.integers(1, 6, count).tolist(), [tuple(sorted(set(columns))) for columns in measured]


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_the_running_intersection_property_holds(graph):
    """What a clique shares with all before it is within its parent; every measured set is within some clique; none repeats."""
    sizes, measured = graph
    tree = JunctionTree.of(sizes, measured)
    sets = [set(clique) for clique in tree.cliques]
    assert set().union(*sets) == set(range(len(sizes)))
    for clique in measured:
        assert any(set(clique) <= there for there in sets)
    for place, there in enumerate(sets):
        assert not any(there <= other for other in sets[:place] + sets[place + 1 :])
        before = there & set().union(*sets[:place])
        parent = tree.parents[place]
        assert parent < place
        assert before == (there & sets[parent] if parent >= 0 else set())
        assert set(tree.separator(place)) == before


@given(graphs(), st.lists(st.sets(st.integers(0, 7), min_size=1, max_size=3), max_size=5))
@settings(max_examples=40, deadline=None)
def test_the_predicted_size_is_that_of_the_tables(graph, more):
    sizes, measured = graph
    tree = JunctionTree.of(sizes, measured)
    tables = BeliefPropagation(sizes, tree, sorted(set(measured)), np.float64).beliefs
    assert junction_tree_cells(sizes, measured) == sum(table.size for table in tables)
    candidates = [tuple(column for column in one if column < len(sizes)) for one in more]
    each = junction_tree_cells_each(sizes, measured, candidates)
    assert each == [junction_tree_cells(sizes, [*measured, candidate]) for candidate in candidates]


def test_sizes_past_what_an_integer_of_the_machine_holds_are_exact():
    sizes = [1000] * 9
    assert junction_tree_cells(sizes, [tuple(range(9))]) == 1000**9
    assert junction_tree_cells_each(sizes, [(0, 1)], [tuple(range(9)), (1, 2)]) == [1000**9, 2 * 1000**2 + 6 * 1000]


def test_a_ring_needs_only_triangles():
    assert junction_tree_cells([10] * 8, [(k, (k + 1) % 8) for k in range(8)]) == 6 * 10**3


def test_a_clique_of_columns_that_are_not_there_is_refused():
    with pytest.raises(ConfigError, match="no column 3"):
        junction_tree_cells([2, 2], [(0, 3)])


@given(graphs(), st.integers(0, 10**6), st.sampled_from([0.1, 3.0, 2000.0]))
@settings(max_examples=50, deadline=None)
def test_a_pass_sums_the_whole_table(graph, seed: int, scale: float):
    """However far the potentials have moved since the pass before."""
    sizes, measured = graph
    measured = sorted(set(measured))
    propagation = BeliefPropagation(sizes, JunctionTree.of(sizes, measured), measured, np.float64)
    rng = np.random.default_rng(seed)
    for step in (scale, 1.0, scale):
        propagation.potentials[:] = rng.normal(0, step, propagation.potentials.size)
        log_sum = propagation.run()
        whole, begin = np.zeros(sizes), 0
        for columns in measured:
            shape = [size if column in columns else 1 for column, size in enumerate(sizes)]
            whole = whole + propagation.potentials[begin : begin + math.prod(shape)].reshape(shape)
            begin += math.prod(shape)
        share = np.exp(whole - whole.max())
        assert np.isclose(log_sum, whole.max() + np.log(share.sum()))
        share /= share.sum()
        begin = 0
        for columns in measured:
            expected = share.sum(axis=tuple(axis for axis in range(len(sizes)) if axis not in columns)).reshape(-1)
            assert np.allclose(propagation.marginals[begin : begin + expected.size], expected, atol=1e-10)
            begin += expected.size
