"""Every constant that is varied is there, is used scaled within the context only, and is one that association reads."""

from __future__ import annotations

import importlib

import pytest

from benchmarks.accuracy.associations import spoton
from benchmarks.accuracy.sensitivity import ONLINE, SECOND_PASS, Change, scaled, table
from tests.benchmarks.accuracy.test_answers import scene


@pytest.mark.parametrize("constant", [*ONLINE, *SECOND_PASS])
def test_a_constant_is_scaled_for_a_while(constant):
    module, _, name = constant.rpartition(".")
    room = importlib.import_module(f"orchestrator.{module}")
    usual = getattr(room, name)
    with scaled(constant, 2):
        assert getattr(room, name) == 2 * usual != usual
    assert getattr(room, name) == usual


def test_modules_that_import_a_constant_have_it_scaled_too():
    likelihood = importlib.import_module("orchestrator.identity.likelihood")
    usual = likelihood.NEW_PEOPLE_PER_M2
    with scaled("identity.evidence.NEW_PEOPLE_PER_M2", 2):
        assert 2 * usual == likelihood.NEW_PEOPLE_PER_M2
    assert usual == likelihood.NEW_PEOPLE_PER_M2


def test_association_heeds_the_scaled_constant():
    with scaled("association.MAP_ERROR_M", 3):
        wide = spoton(scene(), second_pass=False)
    usual = spoton(scene(), second_pass=False)
    assert (wide["a"].spread[:, 0] > 4 * usual["a"].spread[:, 0]).all()


def test_the_table_shows_differences_from_the_same_pass():
    changes = [
        Change("", 1.0, False, "s", 0.8), Change("", 1.0, True, "s", 0.9),
        Change("a.B", 2.0, False, "s", 0.7), Change("c.D", 2.0, True, "s", 0.95),
    ]  # fmt: skip
    assert list(table(changes).columns[2].cells) == ["-0.100", "+0.050"]
