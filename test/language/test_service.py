import threading

import numpy as np
import pytest

from thermal_fusion_ros.config import LanguageConfig
from thermal_fusion_ros.frames import Perception
from thermal_fusion_ros.language.guide import Guide
from thermal_fusion_ros.language.scene import SeenObject
from thermal_fusion_ros.language.service import LanguageService
from thermal_fusion_ros.language.vocabulary import Vocabulary
from thermal_fusion_ros.language.worker import MOST_HANGING, RETRY_S

PATIENCE_S = 20.0  # of a test that waits for a thread; nothing waits so long unless it fails
PERSON = SeenObject("person", (0, 0, 9, 9), depth=4.0, metric=True, heat=0.3, size=0.02)
RGB = np.full((48, 64, 3), 90, np.uint8)


class Bench:
    """A service on a clock that only moves when told, and a guide that hangs or raises as told."""

    def __init__(self, **settings):
        self.now_s, self.stamp_ns = 0.0, 0
        self.jobs = []
        self.fault = None
        self.entered = threading.Semaphore(0)
        self.gates = []
        self.release()
        self.service = LanguageService(LanguageConfig(**settings), self.prepare, clock=lambda: self.now_s)

    def prepare(self):
        guide = Guide(Vocabulary(("person", "car"), np.eye(2, 64, dtype=np.float32)))

        def work(job):
            self.jobs.append(job)
            self.entered.release()
            assert self.gates[-1].wait(PATIENCE_S)
            if self.fault is not None:
                raise self.fault
            return guide(job)

        return work

    def hang(self):
        self.gates.append(threading.Event())

    def release(self):
        self.hang()
        for gate in self.gates:
            gate.set()

    def show(self):
        self.stamp_ns += 100_000_000
        perception = Perception(self.stamp_ns, "cam", RGB, RGB[..., 0], objects=(PERSON,))
        return self.service.offer(RGB, perception)

    def settle(self):
        """Wait until the worker has done all that it was given."""
        mailbox = self.service._worker._run.mailbox
        done = threading.Event()
        while mailbox._slot is not None:  # tasks come before what waits in the slot
            done.wait(0.001)
        mailbox.call(done.set)
        assert done.wait(PATIENCE_S)

    def see(self, times=1):
        """Captions of as many pictures, each when it is due."""
        for _ in range(times):
            assert self.show()
            self.settle()
            self.service.tend()
            self.now_s += 1.0


@pytest.fixture
def make():
    made = []

    def make(**settings):
        made.append(Bench(**settings))
        return made[-1]

    yield make
    for bench in made:
        bench.release()
        bench.service.close(PATIENCE_S)


def test_pictures_are_taken_at_the_rate_and_not_more_often(make):
    bench = make(rate_hz=2.0)
    taken = []
    for bench.now_s in np.arange(0.0, 10.0, 0.03):
        due = bench.service.due
        taken.append(bench.show())
        assert taken[-1] == due
    assert sum(taken) == 20


def test_a_caption_guides_with_its_age_and_fades(make):
    bench = make()
    assert not bench.service.code().any()
    bench.see(4)
    state = bench.service.state()
    assert "a person 4 m ahead, warm" in state.caption.text
    assert (state.text, state.age_s, state.weight) == (state.caption.text, 1.0, 1.0)
    assert (state.embedding_name, state.embedding.shape) == ("guidance_code", (64,))
    fresh = bench.service.code()
    assert fresh[0] > 0.5
    bench.now_s += 4.0  # timeout 3 s, then half in every 2 s
    np.testing.assert_allclose(bench.service.code(), 0.5 * fresh, rtol=1e-5)
    assert bench.service.state().weight == pytest.approx(0.5)
    bench.now_s += 100.0
    assert not bench.service.code().any()
    assert bench.service.state().caption is not None


def test_guidance_lasts_from_one_caption_to_the_next_whatever_the_rate(make):
    bench = make(rate_hz=0.1, timeout_s=0.1)
    bench.show()
    bench.settle()
    bench.now_s = 20.0
    assert bench.service.state().weight == 1.0
    bench.now_s = 23.0
    assert bench.service.state().weight < 1.0


def test_a_prompt_guides_until_it_is_cleared(make):
    bench = make()
    bench.see(4)
    bench.service.set_prompt(" cars ")
    bench.settle()
    bench.now_s += 100.0
    state = bench.service.state()
    assert (state.prompt, state.text, state.weight) == ("cars", "cars", 1.0)
    assert bench.service.code()[1] == 1.0
    assert "a person" in state.caption.text
    bench.service.forget()  # of what was seen
    assert bench.service.code()[1] == 1.0
    bench.hang()
    bench.show()  # with the prompt still in force: what comes of it is too late
    assert bench.entered.acquire(timeout=PATIENCE_S)
    bench.service.set_prompt("")
    assert not bench.service.code().any()
    bench.release()
    bench.settle()
    assert not bench.service.code().any()
    bench.now_s += 1.0
    bench.see()
    assert bench.service.code()[0] > 0.5


def test_a_prompt_that_nobody_knows_is_refused_and_the_caption_guides(make):
    bench = make()
    bench.see(4)
    bench.service.set_prompt("unicorns")
    bench.settle()
    bench.see()
    state = bench.service.state()
    assert "unicorns" in state.refused
    assert (state.text, state.problem) == (state.caption.text, "")
    assert bench.service.code()[0] > 0.5
    bench.service.set_prompt("")
    assert bench.service.state().refused == ""


def test_a_worker_that_stalls_is_replaced(make):
    bench = make()
    bench.see(4)
    bench.hang()
    bench.show()
    for _ in range(5):
        assert bench.entered.acquire(timeout=PATIENCE_S)
    assert not bench.service.tend()
    bench.now_s += 3.1
    assert bench.service.state().problem == "stalled: working for 3 s"
    assert bench.service.tend()
    assert bench.service.restarts == 1
    bench.gates.append(bench.gates[0])  # only the first thread hangs
    bench.see()
    state = bench.service.state()
    assert (state.problem, state.restarts, state.weight) == ("", 1, 1.0)
    assert not bench.service.close(PATIENCE_S)  # one thread hangs


def test_a_prompt_is_given_to_the_worker_that_replaces_another(make):
    bench = make(captions=False)
    bench.hang()
    bench.service.set_prompt("cars")
    assert bench.entered.acquire(timeout=PATIENCE_S)
    bench.now_s += 10.0
    assert bench.service.tend()
    bench.gates.append(bench.gates[0])
    assert not bench.service.tend()
    bench.settle()
    assert bench.service.code()[1] == 1.0
    given = len(bench.jobs)
    bench.service.tend()
    bench.settle()
    assert len(bench.jobs) == given  # once is enough


def test_workers_are_not_replaced_without_end(make):
    bench = make()
    bench.hang()
    for _ in range(MOST_HANGING):
        bench.show()
        assert bench.entered.acquire(timeout=PATIENCE_S)
        bench.now_s += 10.0
        assert bench.service.tend()
    bench.show()
    assert bench.entered.acquire(timeout=PATIENCE_S)
    bench.now_s += 10.0
    assert not bench.service.tend()
    assert "start the node again" in bench.service.state().problem
    assert bench.service.restarts == MOST_HANGING
    bench.release()
    bench.settle()
    bench.service.tend()
    assert bench.service.state().problem == ""


def test_a_crash_is_a_problem_until_it_works_again(make):
    bench = make()
    bench.fault = RuntimeError("out of memory")
    bench.show()
    bench.settle()
    assert bench.service.state().problem == "failed: RuntimeError: out of memory"
    assert not bench.service.tend()
    bench.fault = None
    bench.now_s += RETRY_S
    bench.see()
    assert bench.service.state().problem == ""


def test_a_new_recording_starts_without_guidance(make):
    bench = make()
    bench.see(4)
    bench.now_s -= 0.9
    assert not bench.service.due
    bench.service.forget()
    assert bench.service.due
    assert not bench.service.code().any()


def test_without_captions_and_prompt_there_is_no_worker(make):
    bench = make(captions=False)
    assert not bench.show()
    assert bench.service.state().worker == "off"
    assert not bench.service.code().any()
    assert not bench.service.tend()
    assert bench.service._worker is None
    bench.service.set_prompt("people")
    bench.settle()
    assert not bench.show()
    assert bench.service.code()[0] == 1.0
    bench.service.set_prompt("")
    assert bench.service.state().worker == "off"
    assert not bench.service.code().any()
    assert len(bench.jobs) == 1
