"""Flow matching: the path, its loss, how it is walked, and the energy score."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skvqts.functional.flow import (
    energy_distance,
    energy_score,
    flow_matching_loss,
    logistic_normal,
    straight_path,
    walk,
)


def test_the_path_leads_from_noise_to_data_at_constant_velocity():
    noise, data = torch.randn(2, 3, 1, 5, dtype=torch.float64)
    start, velocity = straight_path(noise, data, torch.zeros(3))
    end, _ = straight_path(noise, data, torch.ones(3))
    middle, _ = straight_path(noise, data, torch.tensor([0.25, 0.5, 1.0]))
    assert torch.equal(start, noise)
    assert torch.equal(end, data)
    torch.testing.assert_close(middle[1], (noise[1] + data[1]) / 2)
    torch.testing.assert_close(noise + velocity, data)


def test_half_of_the_times_lie_before_the_location():
    times = logistic_normal(torch.randn(20_000, generator=torch.Generator().manual_seed(0)))
    assert times.min() > 0
    assert times.max() < 1
    assert times.median() == pytest.approx(1 / (1 + math.exp(-0.5)), abs=0.01)


def test_the_loss_is_the_mean_square_over_what_counts():
    predicted = torch.tensor([[[1.0, 2.0, 3.0]], [[0.0, 0.0, 0.0]]])
    velocity = torch.tensor([[[0.0, 2.0, 9.0]], [[2.0, 0.0, 5.0]]])
    counted = torch.tensor([[[1.0, 1.0, 0.0]], [[1.0, 1.0, 0.0]]])
    # Errors 1, 0 and 2, 0: a mean of 5 / 4.
    assert flow_matching_loss(predicted, velocity, counted) == pytest.approx(1.25)


def test_one_step_of_growth_by_the_midpoint_method_is_worked_by_hand():
    # dx/dt = x: x + h x + h^2 x / 2.
    start = torch.tensor([1.0, -2.0], dtype=torch.float64)
    torch.testing.assert_close(walk(lambda x, time: x, start, 1), 2.5 * start)


def test_more_steps_come_closer_to_the_solution_in_the_second_order():
    start = torch.ones(1, dtype=torch.float64)
    errors = [abs(float(walk(lambda x, time: x, start, n)) - math.e) for n in (8, 16, 32)]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.1)


def test_a_velocity_that_is_linear_in_time_is_walked_exactly():
    # dx/dt = 2 t: x ends 1 further, however few steps.
    start = torch.zeros(3, dtype=torch.float64)
    torch.testing.assert_close(walk(lambda x, time: 0 * x + 2 * time, start, 1), start + 1)


def test_the_energy_score_of_two_draws_is_worked_by_hand():
    draws = torch.tensor([[[[0.0, 0.0]]], [[[2.0, 0.0]]]])
    truth = torch.tensor([[[1.0, 0.0]]])
    # Points: errors 1, 0 and 1, 0, a mean of 1/2; draws differ by 2, 0, a mean of 1.
    assert energy_score(draws, truth, 1) == pytest.approx(0.5 - 0.5)
    # Windows of two: root mean squares 1 / sqrt 2 of both errors and sqrt 2 between the draws.
    assert energy_score(draws, truth, 2) == pytest.approx(0.0)
    assert energy_score(draws[:1], truth, 1) == pytest.approx(0.5)


def test_what_does_not_fill_a_window_is_not_counted():
    draws = torch.tensor([[[[1.0, 1.0, 100.0]]]])
    assert energy_score(draws, torch.zeros(1, 1, 3), 2) == pytest.approx(1.0)


@settings(max_examples=20, deadline=None)
@given(scale=st.floats(0.1, 10), shift=st.floats(0.5, 3), window=st.sampled_from([1, 4]))
def test_draws_of_the_truth_have_the_best_score(scale, shift, window):
    generator = torch.Generator().manual_seed(0)
    truth, *draws = scale * torch.randn(9, 400, 1, 8, generator=generator)
    draws = torch.stack(draws)
    best = energy_score(draws, truth, window)
    assert best < energy_score(draws + scale * shift, truth, window)
    assert best < energy_score(0.2 * draws, truth, window)
    assert best < energy_score(3 * draws, truth, window)
    assert best < energy_score(torch.zeros_like(draws[:1]), truth, window)


def test_the_energy_distance_is_worked_by_hand():
    first, second = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [5.0]])
    # Between: 1, 5, 1, 3, a mean of 2.5; within: 2 and 4.
    assert energy_distance(first, second) == pytest.approx(2 * 2.5 - 2 - 4)


def test_samples_of_one_distribution_have_no_energy_distance_and_others_have_one():
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 400, 5, generator=generator)
    assert energy_distance(first, second) == pytest.approx(0, abs=0.02)
    assert energy_distance(first, second + 1) > 0.5
    assert energy_distance(first, 2 * second) > 0.2
