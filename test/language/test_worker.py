import threading
from itertools import pairwise

import numpy as np
import pytest

from thermal_fusion_ros.language.guide import Guide, Job, Thought
from thermal_fusion_ros.language.vocabulary import Vocabulary
from thermal_fusion_ros.language.worker import MOST_HANGING, LanguageWorker, fade
from thermal_fusion_ros.newest_only import NewestOnly

PATIENCE_S = 20.0  # of a test that waits for a thread; nothing waits so long unless it fails


class Bench:
    """A worker on a clock that only moves when told, and work that waits, raises or answers as told."""

    def __init__(self, **settings):
        self.now_s = 0.0
        self.prepared = 0
        self.jobs = []
        self.failing = ""
        self.broken_start = ""
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.gates = [self.gate]
        settings = {"timeout_s": 3.0, "half_life_s": 2.0, "retry_s": 5.0} | settings
        self.worker = LanguageWorker(self.prepare, clock=lambda: self.now_s, **settings)

    def prepare(self):
        self.prepared += 1
        if self.broken_start:
            raise RuntimeError(self.broken_start)
        return self.work

    def work(self, job):
        self.jobs.append(job.prompt)
        self.entered.set()
        assert self.gate.wait(PATIENCE_S)
        if self.failing:
            raise ValueError(self.failing)
        return Thought(job.prompt, np.full(64, len(self.jobs), np.float32))

    def settle(self):
        """Wait until the thread has done everything it was given."""
        done = threading.Event()
        self.worker._run.mailbox.call(done.set)
        assert done.wait(PATIENCE_S)

    def think(self, text):
        """Offer, and wait until it has been dealt with (a waiting task is done before a waiting job)."""
        self.worker.offer(Job(None, text))
        while True:
            self.settle()
            if self.worker._run.mailbox.take_back() is None:
                break
            self.worker.offer(Job(None, text))
        self.settle()

    def hang(self):
        self.gate = threading.Event()
        self.gates.append(self.gate)
        self.entered.clear()
        self.worker.offer(Job(None, "hanging"))
        assert self.entered.wait(PATIENCE_S)


@pytest.fixture
def bench():
    made = Bench()
    yield made
    for gate in made.gates:
        gate.set()
    made.worker.stop(PATIENCE_S)


def test_a_result_has_its_age(bench):
    nothing = bench.worker.guidance()
    assert (nothing.weight, nothing.age_s, nothing.thought) == (0.0, None, None)
    assert not nothing.code.any()
    assert bench.worker.state == "idle"
    bench.think("people")
    bench.now_s = 2.0
    now = bench.worker.guidance()
    assert (now.weight, now.age_s, now.thought.text) == (1.0, 2.0, "people")
    np.testing.assert_array_equal(now.code, now.thought.code)


def test_guidance_fades_smoothly_to_nothing(bench):
    bench.think("people")
    weights = []
    for bench.now_s in np.arange(0.0, 40.0, 0.1):
        guidance = bench.worker.guidance()
        weights.append(guidance.weight)
        np.testing.assert_allclose(guidance.code, guidance.weight, rtol=1e-5)
    assert all(0 <= a - b < 0.04 for a, b in pairwise(weights))
    assert weights[30] == 1
    assert fade(5.0, 3.0, 2.0) == 0.5
    assert fade(7.0, 3.0, 2.0) == 0.25
    assert weights[-1] == 0
    assert not bench.worker.guidance().code.any()


def test_a_prompt_does_not_fade(bench):
    code = np.ones(64, np.float32)
    bench.work = lambda job: Thought(job.prompt, code, lasting=True)
    bench.think("people")
    bench.now_s = 1000.0
    assert bench.worker.guidance().weight == 1.0
    bench.worker.forget()
    assert bench.worker.guidance().thought is None


def test_what_was_offered_before_all_was_forgotten_does_not_guide(bench):
    bench.gate.clear()
    bench.worker.offer(Job(None, "before"))
    assert bench.entered.wait(PATIENCE_S)
    bench.worker.forget()  # while it is thought about
    bench.gate.set()
    bench.settle()
    assert (bench.jobs, bench.worker.state) == (["before"], "idle")
    assert bench.worker.guidance().thought is None
    bench.think("after")
    assert bench.worker.guidance().thought.text == "after"


def test_a_hanging_encoder_is_noticed_and_blocks_nobody(bench):
    bench.think("first")
    bench.hang()
    assert bench.worker.state == "working"
    for i in range(1000):
        bench.worker.offer(Job(None, str(i)))
        assert bench.worker.guidance().thought.text == "first"
    bench.now_s = 60.0
    assert bench.worker.state == "stalled: working for 60 s"
    assert bench.worker.guidance().weight == 0.0
    bench.gate.set()
    bench.settle()
    bench.think("last")
    assert bench.jobs[:3] == ["first", "hanging", "999"]  # the newest won
    assert bench.worker.state == "idle"
    assert bench.worker.guidance().thought.text == "last"


def test_a_hanging_thread_can_be_given_up(bench):
    bench.hang()
    stuck = bench.gate
    bench.gate = threading.Event()
    bench.gate.set()
    assert bench.worker.restart()
    assert bench.prepared == 1
    bench.think("after")
    assert bench.prepared == 2
    assert bench.worker.guidance().thought.text == "after"
    # What the old thread makes in the end is too late.
    (old,) = bench.worker._hanging
    stuck.set()
    assert old.stop(PATIENCE_S)
    assert bench.worker.guidance().thought.text == "after"
    assert bench.worker.state == "idle"


def test_threads_are_not_given_up_without_end(bench):
    for _ in range(MOST_HANGING):
        bench.hang()
        assert bench.worker.restart()
    bench.hang()
    assert not bench.worker.restart()
    for gate in bench.gates:
        gate.set()
    assert all(old.stop(PATIENCE_S) for old in bench.worker._hanging)
    assert bench.worker.restart()


def test_a_crash_is_reported_and_tried_again_later(bench):
    bench.think("first")
    bench.failing = "out of\nmemory"
    bench.think("second")
    assert bench.worker.state == "failed: ValueError: out of"
    assert bench.worker.guidance().thought.text == "first"
    bench.failing = ""
    bench.now_s = 4.9
    bench.think("too early")
    assert bench.worker.state.startswith("failed")
    bench.now_s = 5.0
    bench.think("third")
    assert bench.jobs == ["first", "second", "third"]
    assert bench.prepared == 2  # made anew after the crash
    assert bench.worker.state == "idle"
    assert bench.worker.guidance().thought.text == "third"


def test_a_start_that_fails_is_tried_again(bench):
    bench.broken_start = "no weights"
    bench.think("first")
    assert bench.worker.state == "failed: RuntimeError: no weights"
    bench.broken_start = ""
    assert bench.worker.restart()  # does not wait for the next try
    bench.think("second")
    assert bench.worker.guidance().thought.text == "second"


def test_loading_is_a_state(bench):
    entered, gate = threading.Event(), threading.Event()

    def prepare():
        entered.set()
        assert gate.wait(PATIENCE_S)
        return bench.work

    bench.worker._prepare = prepare
    bench.worker.offer(Job(None, "first"))
    assert entered.wait(PATIENCE_S)
    assert bench.worker.state == "loading"
    gate.set()
    bench.settle()


def test_it_stops_and_starts_again(bench):
    bench.think("first")
    assert bench.worker.stop(PATIENCE_S)
    assert bench.worker.state == "stopped"
    bench.worker.offer(Job(None, "nobody listens"))
    assert bench.worker.restart()
    bench.think("second")
    assert bench.jobs == ["first", "second"]


def test_a_guide_at_work(bench):
    vocabulary = Vocabulary(("person", "car"), np.eye(2, 64, dtype=np.float32))
    bench.work = Guide(vocabulary)
    bench.think("two cars")
    assert bench.worker.guidance().thought.text == "two cars"
    bench.think("unicorns")
    assert "unicorns" in bench.worker.guidance().thought.refused
    assert not bench.worker.guidance().code.any()


def test_the_mailbox_is_the_one_of_the_frame_path(bench):
    assert isinstance(bench.worker._run.mailbox, NewestOnly)
