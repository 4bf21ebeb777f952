"""Each fault that was found in a real library is caught where it is planted, and sound code raises no alarm.

`make audit` counts how often: at the size of these tests at least 95% of the time.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from benchmarks import mutations
from benchmarks.mutations import MUTATIONS

pytest.importorskip("opendp", reason="noise is drawn by OpenDP, which the extra 'dp' brings")

Alarm = Callable[[bool, int | None], bool]


def caught(alarm: Alarm) -> bool:
    """Quiet on sound code; the alarm where the fault is planted, with one noise and another."""
    assert not alarm(False, 1), "an alarm, and nothing is planted"
    return alarm(True, 1) and alarm(True, 2)


def test_half_the_noise_is_caught() -> None:
    assert caught(mutations.half_the_noise)


def test_a_double_spend_is_caught() -> None:
    assert caught(mutations.double_spend)


def test_a_choice_that_costs_four_times_its_price_is_caught() -> None:
    assert caught(mutations.cheap_choice)


def test_a_raw_minimum_and_maximum_are_caught() -> None:
    assert caught(mutations.raw_bounds)


def test_raw_categories_are_caught() -> None:
    assert caught(mutations.raw_categories)


def test_a_null_that_is_read_off_the_rows_is_caught() -> None:
    assert caught(mutations.raw_nulls)


def test_a_constant_column_that_is_left_out_is_caught() -> None:
    assert caught(mutations.dropped_constants)


def test_a_threshold_on_observed_categories_is_caught() -> None:
    assert caught(mutations.naive_threshold)


def test_a_raw_condition_vector_is_caught() -> None:
    assert caught(mutations.raw_conditions)


def test_a_raw_condition_vector_of_the_gan_is_caught() -> None:
    pytest.importorskip("torch", reason="the GAN needs torch")
    pytest.importorskip("dp_accounting", reason="the accounting of DP-SGD needs dp-accounting")
    assert caught(mutations.raw_conditions_of_gan)


def test_a_refit_in_sampling_is_caught() -> None:
    assert caught(mutations.refit_in_sampling)


def test_a_network_trained_on_the_counts_themselves_is_caught() -> None:
    pytest.importorskip("torch", reason="a network is trained with torch, which the extra 'torch' brings")
    assert caught(mutations.raw_training)


def test_shuffled_batches_accounted_as_poisson_are_caught() -> None:
    pytest.importorskip("synth.privacy.dpsgd", reason="DP-SGD needs torch", exc_type=ImportError)
    pytest.importorskip("dp_accounting", reason="the accounting of DP-SGD needs dp-accounting")
    assert caught(mutations.shuffled_batches)


def test_every_mutation_has_a_test_here() -> None:
    called = {name for test in globals().values() for name in getattr(getattr(test, "__code__", None), "co_names", ())}
    assert {mutation.alarm.__name__ for mutation in MUTATIONS} <= called


def test_the_noise_that_is_shipped_is_audited_as_well() -> None:
    """The mutations above run on seeded noise; that the faults are planted into OpenDP's as well is seen once."""
    assert mutations.half_the_noise(True, None, 200)
    assert mutations.cheap_choice(True, None, 500)
