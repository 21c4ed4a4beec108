"""The canary: saved weights in a new process, and what must not pass for them."""

import dataclasses

from palmette.gates import Trained, check, subject_of
from tests.gates.trained import GENOME, folder, trained, untrained


def canary(own: Trained | str):
    (result,) = check(subject_of(GENOME, trained=own), ["canary"])
    return result


def test_a_trained_genome_is_what_its_trainer_measured():
    result = canary(trained())
    assert result.passed, result.detail
    assert "agrees with the trainer" in result.detail


def test_an_evaluation_of_other_weights_is_caught():
    result = canary(dataclasses.replace(trained(), weights=untrained().weights))
    assert result.passed is False
    assert "but the trainer measured" in result.detail


def test_a_file_that_is_gone_is_told():
    result = canary(dataclasses.replace(trained(), weights=folder() / "gone.pt"))
    assert result.passed is False
    assert "cannot evaluate the saved weights: FileNotFoundError" in result.detail


def test_without_a_trial_it_does_not_apply_and_says_why():
    result = canary("nobody trained it")
    assert (result.passed, result.detail) == (None, "nobody trained it")
