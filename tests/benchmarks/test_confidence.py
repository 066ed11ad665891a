"""The tables about `confident`, from answers made by hand."""

import math

from confidence import ENOUGH, Answer, left_out_table, lowest_threshold, rule_table, uncovered_table, unfit_table

SURE = Answer(removed=False, right=True, best=1.0, share=0.999, covered=True)
WRONG = Answer(removed=True, right=False, best=0.35, share=0.8, covered=False)


def test_the_threshold_is_the_lowest_that_no_dataset_objects_to() -> None:
    weaker = Answer(removed=False, right=True, best=1.0, share=0.9, covered=True)
    assert lowest_threshold([[SURE] * ENOUGH, [weaker] * ENOUGH]) == 0.9
    assert lowest_threshold([[SURE] * ENOUGH, [weaker] * ENOUGH, [WRONG] * ENOUGH]) == 0.9
    assert lowest_threshold([[]]) == math.inf


def test_a_few_wrong_answers_of_a_dataset_are_no_objection() -> None:
    assert lowest_threshold([[SURE] * ENOUGH, [WRONG] * (ENOUGH - 1)]) == 0.8
    assert lowest_threshold([[SURE] * ENOUGH * 9 + [WRONG] * ENOUGH]) == 0.8


def test_the_rows_weigh_the_questions_without_tools() -> None:
    sure_but_removed = Answer(removed=True, right=False, best=1.0, share=0.999, covered=True)
    rows = list(rule_table({"set": [SURE] * 3 + [sure_but_removed] + [WRONG] * 4}))
    assert rows[-1] == "| all | 4 of 8 | 3 | 75%; 50.0% | 92%; 76.5% |"


def test_each_dataset_is_measured_with_the_threshold_of_the_others() -> None:
    rows = list(left_out_table({"one": [SURE] * ENOUGH, "other": [WRONG] * ENOUGH}))
    assert rows[-2] == "| one | inf | 0 | -; 0 | -; 0 |"
    assert rows[-1] == "| other | 0.9990 | 0 | -; 0 | -; 0 |"
    assert len(list(left_out_table({"one": [SURE]}))) == 3


def test_weak_and_uncovered_answers_are_counted_with_those_that_have_no_tool() -> None:
    weak_but_there = Answer(removed=False, right=True, best=0.35, share=0.1, covered=False)
    answers = {"set": [WRONG, weak_but_there, SURE]}
    assert list(unfit_table(answers))[-1] == "| all | 0 of 0 | 1 of 2 | 1 of 2 |"
    assert list(uncovered_table(answers))[-1] == "| all | 1 of 2 |"
