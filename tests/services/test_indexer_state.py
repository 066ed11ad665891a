"""The transitions of the indexer's state, and what holds after any sequence of them."""

from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from typing import TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from memos_mcp.domain.index_queue import QueueState
from memos_mcp.services.indexer_state import IndexerState

Transition: TypeAlias = Callable[[IndexerState], IndexerState]

SERVING = IndexerState().opened().reconciled(0, 0, 0)


def queue(depth: int = 0, unclaimed: int = 0) -> QueueState:
    return QueueState({"memory": depth, "tool": 0}, unclaimed, None, None)


EMPTY = queue()

states = st.builds(
    IndexerState,
    st.none() | st.just("down"),
    *[st.booleans()] * 5,
    enqueue_epoch=st.integers(0, 3),
    replaced=st.none() | st.sampled_from("ab"),
    next_rebuild=st.sampled_from((0.0, 9.0)),
)
queues = st.integers(0, 5).flatmap(lambda depth: st.builds(queue, st.just(depth), st.integers(0, depth)))


def drained(counted: QueueState, enqueued_since: int, *, outdated: bool) -> Transition:
    return lambda state: state.drained(counted, state.enqueue_epoch - enqueued_since, outdated=outdated)


def claimed(count: int) -> Transition:
    return lambda state: state.claimed(count, full_batch=count == 2)


transitions = st.one_of(
    st.sampled_from(
        [
            IndexerState.opened,
            IndexerState.stopped,
            IndexerState.resumed,
            IndexerState.enqueued,
            IndexerState.rebuild_started,
            lambda state: state.rebuild_stopped(0.0),
            lambda state: state.enqueued(acknowledged=True),
            lambda state: state.failed("down"),
            lambda state: state.generation_swapped(lacks_items=True),
            lambda state: state.generation_swapped(lacks_items=False),
        ]
    ),
    st.builds(claimed, st.integers(0, 2)),
    st.builds(drained, queues, st.integers(0, 1), outdated=st.booleans()),
)


def test_the_first_state_is_behind_and_names_an_error() -> None:
    state = IndexerState()
    assert (state.behind, state.caught_up, state.idle, state.serving) == (True, False, False, False)
    assert state.error == "The search index is being opened."


@given(states)
def test_an_opened_index_serves_without_an_error_and_is_behind(state: IndexerState) -> None:
    opened = state.opened()
    assert (opened.serving, opened.error, opened.behind) == (True, None, True)


@given(states, st.integers(0, 2), st.integers(0, 3), st.integers(0, 1))
def test_a_reconciled_index_is_behind_when_it_differed_or_was_behind_and_items_are_still_queued(
    state: IndexerState, out_of_sync: int, depth: int, meanwhile: int
) -> None:
    after = state.reconciled(out_of_sync, depth, state.enqueue_epoch - meanwhile)
    assert after.behind == ((state.lagging or out_of_sync > 0) and depth + meanwhile > 0)


@given(states)
def test_a_failure_changes_only_the_error_and_stopping_ends_serving_and_idleness(state: IndexerState) -> None:
    assert state.failed("why") == replace(state, error="why")
    stopped = state.failed("why").stopped()
    assert (stopped.error, stopped.serving, stopped.idle, stopped.caught_up) == ("why", False, False, False)
    assert stopped.behind == state.behind


@given(states, st.integers(0, 64), st.booleans())
def test_only_a_full_batch_makes_an_index_behind(state: IndexerState, count: int, full: bool) -> None:
    after = state.claimed(count, full_batch=full)
    assert after.behind == (state.behind or full)
    assert after.loading == full
    assert after.housekeeping_pending == (state.housekeeping_pending or count > 0)


@given(states, queues, st.booleans())
def test_a_drained_index_is_idle_once_it_is_checked_unless_it_is_outdated(
    state: IndexerState,
    counted: QueueState,
    outdated: bool,
) -> None:
    after = state.drained(counted, state.enqueue_epoch, outdated=outdated)
    assert after.idle == (not outdated and state.checked)
    assert after.caught_up == (after.idle and counted.depth["memory"] == 0)


@given(states, st.booleans())
def test_an_empty_queue_ends_lagging_unless_an_item_was_enqueued_during_the_count(
    state: IndexerState,
    outdated: bool,
) -> None:
    assert state.drained(EMPTY, state.enqueue_epoch, outdated=outdated).behind == (not state.checked)
    assert state.drained(EMPTY, state.enqueue_epoch - 1, outdated=outdated).lagging == state.lagging
    assert not state.drained(EMPTY, state.enqueue_epoch - 1, outdated=outdated).caught_up


@given(states, st.integers(1, 5))
def test_items_that_were_never_claimed_leave_behind_unchanged_and_claimed_ones_set_it(
    state: IndexerState, depth: int
) -> None:
    assert state.drained(queue(depth, depth), state.enqueue_epoch, outdated=False).behind == state.behind
    assert state.drained(queue(depth, depth - 1), state.enqueue_epoch, outdated=False).behind


@given(states)
def test_an_enqueued_item_ends_being_caught_up_but_not_idleness(state: IndexerState) -> None:
    after = state.enqueued()
    assert not after.caught_up
    assert (after.idle, after.behind) == (state.idle, state.behind)
    assert after.enqueue_epoch == state.enqueue_epoch + 1
    assert state.enqueued(acknowledged=True) == replace(after, lagging=True)


@given(states)
def test_a_wait_that_is_over_ends_idleness_alone(state: IndexerState) -> None:
    assert state.resumed() == replace(state, waiting=False)


def test_a_generation_counts_as_swapped_only_while_another_one_is_being_replaced() -> None:
    replacing = SERVING.replacing("old")
    assert not SERVING.swapped("new")
    assert not replacing.swapped("old")
    assert replacing.swapped("new")
    assert not replacing.replacing(None).swapped("new")


@given(states)
def test_a_new_generation_that_lacks_items_is_behind_and_not_idle(state: IndexerState) -> None:
    assert state.generation_swapped(lacks_items=False) == replace(state, checked=True)
    after = state.generation_swapped(lacks_items=True)
    assert (after.behind, after.idle, after.caught_up) == (True, False, False)
    assert after.enqueue_epoch == state.enqueue_epoch + 1


def test_a_rebuild_runs_once_and_a_failed_one_has_a_time_for_the_next() -> None:
    started = SERVING.rebuild_started()
    assert started.rebuilding
    stopped = started.rebuild_stopped(60.0)
    assert (stopped.rebuilding, stopped.next_rebuild) == (False, 60.0)
    assert started.poll_soon
    assert stopped.poll_soon


def test_housekeeping_runs_at_most_once_an_interval_and_is_pending_in_between() -> None:
    first = SERVING.housekeeping(10.0, 1.0)
    assert not first.housekeeping_pending
    early = first.housekeeping(10.5, 1.0)
    assert early.housekeeping_pending
    assert not early.housekeeping(11.0, 1.0).housekeeping_pending


@given(states)
def test_the_queue_is_polled_soon_while_anything_is_queued_pending_or_being_rebuilt(state: IndexerState) -> None:
    settled = state.drained(EMPTY, state.enqueue_epoch, outdated=False)
    assert settled.poll_soon == (settled.housekeeping_pending or settled.rebuilding)
    assert settled.claimed(1, full_batch=False).poll_soon
    assert state.drained(queue(1), state.enqueue_epoch, outdated=False).poll_soon


@given(st.lists(transitions, max_size=30))
def test_an_index_that_is_caught_up_is_idle_and_not_behind_unless_items_arrived_since(steps: list[Transition]) -> None:
    state = reduce(lambda before, step: step(before), steps, IndexerState())
    assert not state.caught_up or state.idle
    settled = state.drained(EMPTY, state.enqueue_epoch, outdated=False)
    assert (settled.caught_up, settled.behind) == (state.checked, not state.checked)
    assert not state.enqueued().caught_up


@given(st.lists(transitions, max_size=30), transitions)
def test_only_a_comparison_or_an_empty_queue_that_was_counted_in_whole_makes_an_index_caught_up(
    steps: list[Transition], last: Transition
) -> None:
    before = reduce(lambda state, step: step(state), steps, IndexerState())
    after = last(before)
    if after.caught_up and not before.caught_up:
        assert after in (before.drained(EMPTY, before.enqueue_epoch, outdated=False), replace(before, checked=True))
