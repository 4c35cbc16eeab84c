"""Language beside the frame path, over real DDS: captions, prompts, and pairs that flow whatever the worker does."""

from __future__ import annotations

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy", reason="ROS 2 (rclpy) is not installed")

from rclpy.lifecycle import TransitionCallbackReturn  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402
from std_msgs.msg import Float32MultiArray, String  # noqa: E402

from thermal_fusion_ros.language.scene import SeenObject  # noqa: E402

OK, WARN = b"\x00", b"\x01"
PERSON = SeenObject("person", (20, 10, 40, 44), depth=4.0, metric=True, heat=0.3, size=0.2)
QUICK = {"language__rate_hz": 10.0, "language__timeout_s": 0.1, "language__half_life_s": 0.1}
# However fast or slowly the test gets on, no frame is too old or too new.
QUICK |= {"sync__stale_s": 60.0, "sync__future_s": 60.0}


class Steady:
    """Cameras of which every pair is fused before the next is sent, so that none can be superseded."""

    def __init__(self, bench):
        self.bench, self.cameras = bench, bench.cameras()
        fused = bench.listen(Image, "/fused/image_raw")
        self.cameras.stream_until(lambda: fused, "the first fused image")
        self.counts()

    def until(self, condition, what):
        """Send pairs, at least ten, until `condition` holds; then every one must have been published."""
        before, done, sent = self.counts(), len(self.bench.pipeline.processed), 0
        while sent < 10 or not condition():
            assert sent < 5000, f"waited in vain for: {what}"
            self.cameras.pair(1)
            sent += 1
            self.bench.until(
                lambda sent=sent: (
                    len(self.bench.pipeline.processed) >= done + sent
                    and self.bench.nodes[0]._fuser.ledger.balance().under_way == 0
                ),
                "the pair fused",
            )
        after = self.counts()
        assert after["pairs_in"] - before["pairs_in"] == sent
        assert after["published"] - before["published"] == sent

    def counts(self):
        """Of `pairs`, when no frame waits for a partner any more."""
        self.bench.fresh_report()
        self.bench.until(
            lambda: {self.bench.part(name).values["waiting"] for name in ("rgb", "thermal")} == {"0"},
            "frames",
        )
        return self.bench.settle()


def prompts_of(bench):
    topic = bench.publisher(String, "fusion_node/prompt")
    return lambda text: topic.publish(String(data=text))


def guides(bench):
    """Whether text has guided the last pair."""
    return bench.pipeline.codes[-1].any()


def worker(bench):
    """The part `language` of the latest report."""
    return bench.part("language").values


def test_captions_and_embeddings_come_even_where_nothing_else_is_wanted(bench):
    bench.node(**QUICK)
    captions, codes = (
        bench.listen(String, "/caption"),
        bench.listen(Float32MultiArray, "/caption/embedding"),
    )
    bench.pipeline.depth = {"objects": (PERSON,)}
    cameras = bench.cameras()
    cameras.stream_until(
        lambda: len(captions) >= 6 and any(np.any(one.data) for one in codes), "captions and embeddings"
    )
    said = [one.data for one in captions][2:]  # an object that is not sure is spoken of when seen twice
    assert len(set(said)) == 1
    assert "a person 4 m ahead, warm" in said[0]
    name, age = codes[-1].layout.dim
    assert (name.label, name.size, name.stride, len(codes[-1].data)) == ("guidance_code", 64, 64, 64)
    assert age.label.startswith("age_s=")
    assert float(age.label.removeprefix("age_s=")) >= 0
    assert age.size == 1
    pairs = bench.settle()
    assert pairs["dropped.rate_limited"] >= 1
    assert all(wants == {"caption"} for wants in bench.pipeline.wants)
    assert worker(bench)["caption"] == said[0]
    assert bench.part("language").level == OK
    bench.check_sums()


def test_while_the_worker_hangs_and_after_it_is_replaced_every_pair_is_fused(bench):
    bench.node(**QUICK)
    steady, captions = Steady(bench), bench.listen(String, "/caption")
    bench.pipeline.depth = {"objects": (PERSON,)}
    steady.until(lambda: guides(bench), "guidance by the caption")
    assert worker(bench)["text"] == captions[-1].data
    bench.pipeline.hang_language()
    seen = len(bench.reports)
    steady.until(
        lambda: not guides(bench) and int(worker(bench)["restarts"]) >= 1,
        "guidance gone and the worker replaced",
    )
    told = [parts["language"] for parts in bench.reports[seen:]]
    assert any("stalled: working" in part.message and part.level == WARN for part in told)
    assert min(float(part.values["weight"]) for part in told) == 0.0
    assert max(float(part.values["embedding_age_s"]) for part in told) > 0.1
    assert any("stalled and was replaced" in line for line in bench.log)
    bench.pipeline.release_language()
    before = len(captions)
    steady.until(
        lambda: len(captions) > before and guides(bench) and worker(bench)["weight"] == "1.000",
        "captions that guide again",
    )
    bench.until(lambda: bench.part("language").level == OK, "all well")
    bench.until(lambda: not bench.nodes[0]._language._worker.hanging, "the threads that were given up")
    bench.check_sums()


def test_a_crash_of_the_worker_is_reported_and_every_pair_is_fused(bench):
    bench.node(**QUICK)
    steady = Steady(bench)
    steady.until(lambda: worker(bench).get("caption"), "a caption")
    bench.pipeline.language_fault = MemoryError("no room")
    steady.until(lambda: worker(bench).get("problem") == "failed: MemoryError: no room", "the crash told")
    assert bench.part("language").level == WARN
    bench.check_sums()


def test_prompts_are_thought_about_and_cleared(bench):
    bench.node(**QUICK)
    embeddings, prompt = bench.listen(Float32MultiArray, "/caption/embedding"), prompts_of(bench)
    prompt("two cars")
    bench.until(lambda: worker(bench).get("text") == "two cars", "the prompt understood, without any picture")
    assert (worker(bench)["prompt"], worker(bench)["weight"]) == ("two cars", "1.000")
    bench.until(lambda: embeddings and embeddings[-1].data[1] == 1.0, "its embedding")
    assert bench.pipeline.prompt == "two cars"
    prompt("")
    bench.until(lambda: "text" not in worker(bench) and worker(bench)["prompt"] == "", "no guidance")
    assert bench.pipeline.prompt == ""


def test_prompts_that_are_not_understood_are_refused_aloud(bench):
    """The first is refused at once. The second might be known to CLIP, so it is the worker that refuses it."""
    bench.node(**QUICK)
    prompt = prompts_of(bench)
    prompt("florble")
    bench.until(lambda: any("prompt refused" in line and "florble" in line for line in bench.log), "refusal")
    assert worker(bench).get("prompt", "") == ""
    prompt("a unicorn")
    bench.until(lambda: "unicorn" in worker(bench).get("refused", ""), "the worker's refusal")
    assert "language.clip_weights" in worker(bench)["refused"]
    assert bench.part("language").level == WARN
    bench.fresh_report()
    assert sum("prompt refused" in line and "unicorn" in line for line in bench.log) == 1
    prompt("person")
    bench.until(
        lambda: "refused" not in worker(bench) and worker(bench)["text"] == "person", "another prompt"
    )
    bench.until(lambda: bench.part("language").level == OK, "all well")


def test_without_captions_and_prompt_there_is_no_worker(bench):
    node = bench.node(language__captions=False)
    captions = bench.listen(String, "/caption")
    cameras = bench.cameras()
    cameras.stream_until(
        lambda: int(bench.part("pairs").values.get("dropped.no_subscriber", 0)) >= 3, "pairs"
    )
    assert bench.pipeline.processed == []
    assert node._language._worker is None
    bench.fresh_report()
    assert worker(bench)["state"] == "off"
    node.set_parameters([Parameter("fusion.prompt", value="people")])
    bench.until(lambda: worker(bench).get("text") == "people", "the prompt understood")
    node.set_parameters([Parameter("fusion.prompt", value="")])
    bench.until(lambda: worker(bench)["state"] == "off", "the worker gone")
    assert captions == []


def test_a_caption_from_before_the_node_was_deactivated_is_not_sent_again(bench):
    node = bench.node(**QUICK)
    captions = bench.listen(String, "/caption")
    bench.cameras().stream_until(lambda: captions, "a caption")
    assert node.trigger_deactivate() == node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    del captions[:]
    bench.until(node._outputs.language._caption.get_subscription_count, "the node to see the reader")
    node._tend_language()
    bench.fresh_report()
    assert captions == []
