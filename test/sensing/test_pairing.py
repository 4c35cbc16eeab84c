from __future__ import annotations

import dataclasses
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thermal_fusion_ros.config import SyncConfig
from thermal_fusion_ros.sensing.pairing import Pair, Pairer, Stream
from thermal_fusion_ros.sensing.stream_state import ENOUGH_SPACINGS

MS = 1_000_000
S = 1_000_000_000
RGB, THERMAL = Stream.RGB, Stream.THERMAL
OFFSETS_MS = (0.0, 10.0, 33.0, 47.0, 80.0)


def sequence(pairer, *events):
    """Feed `(stream, stamp ms, arrival ms)`; the pairs so far, as stamps in ms."""
    pairs = []
    for stream, stamp, arrival in events:
        pairs += pairer.add(stream, round(stamp * MS), stamp, round(arrival * MS))
    return [(pair.rgb, pair.thermal) for pair in pairs]


class TestNearest:
    @pytest.mark.parametrize("offset", OFFSETS_MS)
    @pytest.mark.parametrize("phase", [0.0, 4.0, 13.0, 29.0])
    def test_constant_offset_parameter_finds_the_true_nearest(self, simulate, camera, offset, phase):
        config = SyncConfig(thermal_offset_s=offset / 1e3)
        outcome = simulate(
            config,
            camera(30.0, latency_jitter=4.0),
            camera(9.0, phase=phase, offset=offset, latency=15.0, latency_jitter=6.0),
        )
        assert outcome.nearest_share() >= 0.99
        assert outcome.report.applied_offset_s == pytest.approx(offset / 1e3)

    @pytest.mark.parametrize("offset", [-40.0, 0.0, 40.0, 80.0])
    def test_rgb_may_be_the_late_one(self, simulate, camera, offset):
        config = SyncConfig(rgb_offset_s=offset / 1e3)
        outcome = simulate(config, camera(30.0, offset=offset), camera(9.0, phase=4.0))
        assert outcome.nearest_share() >= 0.99

    @pytest.mark.parametrize("offset", OFFSETS_MS)
    def test_only_the_online_estimate(self, simulate, camera, offset):
        outcome = simulate(
            SyncConfig(apply_measured_offset=True),
            camera(30.0, latency_jitter=4.0),
            camera(9.0, phase=4.0, offset=offset, latency_jitter=4.0),
            seconds=80.0,
        )
        assert outcome.nearest_share() >= 0.99
        assert outcome.report.measured_offset_s == pytest.approx(offset / 1e3, abs=2e-3)
        assert outcome.report.applied_offset_s == pytest.approx(offset / 1e3, abs=4e-3)

    def test_an_offset_left_alone_costs_the_nearest(self, simulate, camera):
        """That the tests above can fail."""
        outcome = simulate(SyncConfig(), camera(30.0), camera(9.0, phase=4.0, offset=47.0))
        assert outcome.nearest_share() < 0.5
        assert outcome.report.unexplained_offset_s == pytest.approx(0.047, abs=2e-3)
        assert outcome.report.applied_offset_s == 0

    @pytest.mark.parametrize("seed", range(4))
    def test_jitter_and_drops(self, simulate, camera, seed):
        config = SyncConfig(thermal_offset_s=0.06)
        outcome = simulate(
            config,
            camera(30.0, jitter=1.0, drops=0.1, latency_jitter=5.0),
            camera(9.0, phase=7.0, offset=60.0, jitter=1.0, drops=0.1, latency_jitter=5.0),
            seconds=40.0,
            seed=seed,
        )
        # Stamps that jitter by 1 ms each cannot tell which of two nearly equal partners is nearer.
        assert outcome.nearest_share(slack_ms=6.0) >= 0.99
        assert len(outcome.pairs) >= 0.98 * len(outcome.thermal)

    @pytest.mark.parametrize("swaps", [0.05, 0.3])
    def test_frames_that_overtake_each_other(self, simulate, camera, swaps):
        outcome = simulate(
            SyncConfig(), camera(30.0, swaps=swaps), camera(9.0, phase=9.0, swaps=swaps), seconds=60.0
        )
        assert outcome.nearest_share() >= 0.97
        assert len(outcome.pairs) >= 0.98 * len(outcome.thermal)

    def test_equal_rates_lose_nothing(self, simulate, camera):
        outcome = simulate(
            SyncConfig(), camera(30.0, jitter=1.0, latency_jitter=3.0), camera(30.0, phase=8.0, latency=40.0)
        )
        assert outcome.nearest_share() >= 0.99

    def test_thermal_may_be_the_faster_one(self, simulate, camera):
        outcome = simulate(SyncConfig(), camera(10.0, phase=3.0), camera(60.0))
        assert len(outcome.pairs) == len(outcome.rgb)
        assert all(abs(pair.rgb - pair.thermal) <= 8.4 * MS for pair in outcome.pairs)


class TestWaiting:
    def test_a_pair_waits_for_less_than_one_rgb_period(self, simulate, camera):
        # The report is about the last 256 pairs; the first second, in which rates are learnt, is left behind.
        outcome = simulate(SyncConfig(), camera(30.0), camera(9.0, phase=4.0), seconds=40.0, timer_ms=None)
        assert outcome.report.waited_worst_s < 1 / 30
        assert outcome.report.waited_s < 0.02

    def test_first_pair_comes_when_the_next_frame_proves_it(self):
        pairer = Pairer(SyncConfig())
        assert not sequence(pairer, (RGB, 1000, 1000), (THERMAL, 1010, 1010))
        assert sequence(pairer, (RGB, 1033, 1033)) == [(1000, 1010)]

    def test_a_nearer_frame_replaces_the_candidate(self):
        pairer = Pairer(SyncConfig())
        events = (RGB, 1000, 1000), (THERMAL, 1020, 1020), (RGB, 1033, 1033), (THERMAL, 1131, 1131)
        assert sequence(pairer, *events) == [(1033, 1020)]

    def test_the_timer_releases_a_pair_when_a_stream_stops(self):
        pairer = Pairer(SyncConfig())
        sequence(pairer, (RGB, 1000, 1000), (THERMAL, 1010, 1010))
        assert not pairer.expire(1050 * MS)
        assert [pair.rgb for pair in pairer.expire(1200 * MS)] == [1000]

    def test_frames_without_a_partner_stream_expire(self, accounts):
        pairer = Pairer(SyncConfig(wait_s=0.5))
        sequence(pairer, *((RGB, 1000 + k * 33, 1000 + k * 33) for k in range(10)))
        assert not pairer.expire(3000 * MS)
        assert pairer.counters == {"rgb_expired": 10}
        accounts(pairer.report())

    def test_memory_is_bounded(self, accounts):
        pairer = Pairer(SyncConfig(queue_size=8, wait_s=10.0))
        sequence(pairer, *((RGB, 1000 + k * 33, 1000 + k * 33) for k in range(100)))
        report = pairer.report()
        assert report.buffered["rgb"] == 8
        assert pairer.counters == {"rgb_overflow": 92}
        accounts(report)

    def test_images_are_not_kept_after_use(self):
        class Image:
            alive = 0

            def __init__(self):
                Image.alive += 1

            def __del__(self):
                Image.alive -= 1

        pairer = Pairer(SyncConfig())
        for k in range(200):
            pairer.add(RGB, k * 33 * MS, Image(), k * 33 * MS)
            if k % 3 == 0:
                pairer.add(THERMAL, k * 33 * MS, Image(), k * 33 * MS)
        buffered = pairer.report().buffered
        assert Image.alive == sum(buffered.values()) < 12

    def test_flush_decides_everything(self, accounts):
        pairer = Pairer(SyncConfig())
        sequence(pairer, (RGB, 1000, 1000), (THERMAL, 1010, 1010), (THERMAL, 1200, 1200))
        assert [(pair.rgb, pair.thermal) for pair in pairer.flush(1200 * MS)] == [(1000, 1010)]
        assert pairer.counters == {"thermal_unpaired": 1}
        assert sum(pairer.report().buffered.values()) == 0
        accounts(pairer.report())


class TestRefusals:
    def test_tolerance(self):
        pairer = Pairer(SyncConfig(tolerance_s=0.01))
        sequence(pairer, (RGB, 1000, 1000), (THERMAL, 1011, 1011), (RGB, 1050, 1050), (THERMAL, 1060, 1060))
        assert [(pair.rgb, pair.thermal) for pair in pairer.flush(1100 * MS)] == [(1050, 1060)]
        assert pairer.counters == {"rgb_unpaired": 1, "thermal_unpaired": 1}

    def test_duplicates(self):
        pairer = Pairer(SyncConfig())
        sequence(pairer, (RGB, 1000, 1000), (RGB, 1000, 1001), (RGB, 1033, 1033), (RGB, 1000, 1034))
        assert pairer.counters["rgb_duplicate"] == 2

    def test_a_used_frame_that_comes_again_is_a_duplicate(self):
        pairer = Pairer(SyncConfig())
        assert sequence(pairer, (RGB, 1000, 1000), (THERMAL, 1000, 1000)) == [(1000, 1000)]
        assert not sequence(pairer, (RGB, 1000, 1001), (THERMAL, 1000, 1001))
        assert pairer.counters == {"rgb_duplicate": 1, "thermal_duplicate": 1}

    def test_stale_and_future(self, accounts):
        pairer = Pairer(SyncConfig(stale_s=0.3, future_s=0.2))
        sequence(pairer, (RGB, 1000, 1005), (RGB, 1033, 1400), (RGB, 1700, 1410), (RGB, 1400, 1420))
        assert pairer.counters == {"rgb_stale": 1, "rgb_future": 1}
        accounts(pairer.report())

    def test_age_is_that_of_the_corrected_stamp(self):
        pairer = Pairer(SyncConfig(stale_s=0.1, thermal_offset_s=0.08))
        sequence(pairer, (THERMAL, 1080, 1005), (THERMAL, 1190, 1215))
        assert pairer.counters == {"thermal_stale": 1}

    def test_a_recording_on_todays_clock_is_not_stale(self, simulate, camera):
        """`ros2 bag play` without --clock: every stamp is years old, and still the robot must see."""
        years = 3e10
        outcome = simulate(SyncConfig(), camera(30.0, latency=years), camera(9.0, latency=years))
        assert outcome.nearest_share() >= 0.99
        assert outcome.report.other_clock == ("rgb", "thermal")

    def test_a_backlog_after_a_stall_is_stale(self, accounts):
        pairer = Pairer(SyncConfig())
        fresh = [(RGB, 1000 + k * 33, 1005 + k * 33) for k in range(30)]
        backlog = [(RGB, 2000 + k * 33, 5000 + k) for k in range(20)]
        sequence(pairer, *fresh, *backlog)
        assert pairer.counters["rgb_stale"] == 20
        assert pairer.report().other_clock == ()
        accounts(pairer.report())

    def test_a_straggler_is_no_jump(self, accounts):
        pairer = Pairer(SyncConfig(stale_s=60.0))
        sequence(pairer, *((RGB, 5000 + k * 33, 5000 + k * 33) for k in range(10)))
        sequence(pairer, (RGB, 3000, 5310))
        sequence(pairer, *((RGB, 5330 + k * 33, 5330 + k * 33) for k in range(10)))
        report = pairer.report()
        assert report.jumps["rgb"] == 0
        assert pairer.counters["rgb_out_of_order"] == 1
        accounts(report)


class TestJumps:
    def test_streams_slower_than_they_may_wait_pair_again_after_a_loop(self):
        """The first frame after a jump waits for the next one to confirm it, if that takes longer than `wait_s`."""
        pairer = Pairer(SyncConfig(wait_s=0.08))
        pairs = [0, 0]
        for loop in range(2):
            for k in range(40):
                now = (loop * 4000 + k * 100 + 5) * 1_000_000
                for stream in (RGB, THERMAL):
                    pairs[loop] += len(pairer.add(stream, k * 100_000_000 + 10**9, object(), now))
                for later in range(10, 100, 20):
                    pairs[loop] += len(pairer.expire(now + later * 1_000_000))
        assert pairs[0] >= 39
        assert pairs[1] >= 38

    @pytest.mark.parametrize("thermal_latency", [5.0, 90.0])
    @pytest.mark.parametrize("seconds", [2.0, 10.0])
    def test_every_loop_gives_the_same_pairs(self, simulate, camera, seconds, thermal_latency):
        years = 3e10
        outcome = simulate(
            SyncConfig(),
            camera(30.0, latency=years),
            camera(9.0, phase=4.0, latency=years + thermal_latency),
            seconds=seconds,
            loops=5,
        )
        assert outcome.pairs_per_loop[0] == pytest.approx(seconds * 9, abs=1)
        # A loop's last pair may need the next loop's first frames to be certain.
        assert max(outcome.pairs_per_loop) - min(outcome.pairs_per_loop) <= 1
        assert len(outcome.pairs) == 5 * int(seconds * 9)
        by_loop = [outcome.pairs[k :: int(seconds * 9)] for k in range(int(seconds * 9))]
        assert all(len(set(same)) == 1 for same in by_loop)
        assert outcome.report.jumps == {"rgb": 4, "thermal": 4}

    def test_loops_under_a_clock_that_jumps_with_them(self, simulate, camera):
        """`ros2 bag play --clock --loop`: the arrival times go back too."""
        pairer = Pairer(SyncConfig())
        counts = []
        for _ in range(4):
            outcome = simulate(SyncConfig(), camera(30.0), camera(9.0, phase=4.0), seconds=5.0, pairer=pairer)
            counts.append(len(outcome.pairs))
        assert counts == [45] * 4

    def test_one_stream_silent_over_a_loop(self, accounts):
        pairer = Pairer(SyncConfig(stale_s=60.0))

        def both(start, end, thermal=True, arrival=0):
            events = [(RGB, t, t + arrival) for t in range(start, end, 33)]
            events += [(THERMAL, t, t + arrival) for t in range(start, end, 99)] if thermal else []
            return sequence(pairer, *sorted(events, key=lambda event: event[2]))

        assert len(both(0, 2000)) > 18
        both(2000, 6000, thermal=False)  # a calibration of the thermal camera goes over the loop's end
        both(0, 3000, thermal=False, arrival=6000)
        assert len(both(3000, 6000, arrival=6000)) > 28  # stamps of thermal never went back
        accounts(pairer.report())

    def test_reset_counts_what_waited(self, accounts):
        pairer = Pairer(SyncConfig())
        sequence(pairer, (RGB, 1000, 1000), (RGB, 1033, 1033), (THERMAL, 1200, 1200))
        pairer.reset("test")
        assert pairer.counters == {"rgb_unpaired": 2, "thermal_reset": 1}
        assert sequence(pairer, (RGB, 10, 10), (THERMAL, 10, 10)) == [(10, 10)]
        accounts(pairer.report())


class TestUpdate:
    def test_offset_takes_effect_on_waiting_frames(self):
        pairer = Pairer(SyncConfig(tolerance_s=0.01))
        sequence(pairer, (THERMAL, 1080, 1005))
        pairer.update(dataclasses.replace(pairer.config, thermal_offset_s=0.08))
        assert sequence(pairer, (RGB, 1000, 1010)) == [(1000, 1080)]


def greedy(rgb: list[int], thermal: list[int], tolerance: int) -> set[tuple[int, int]]:
    """The matching with everything known: nearest first, no crossings."""
    keys = sorted(
        (abs(r - t), r > t, t, r) for r, t in itertools.product(rgb, thermal) if abs(r - t) <= tolerance
    )
    pairs: set[tuple[int, int]] = set()
    for _, _, t, r in keys:
        if all((r < other_r and t < other_t) or (r > other_r and t > other_t) for other_r, other_t in pairs):
            pairs.add((r, t))
    return pairs


stamps = st.lists(st.integers(0, 300), min_size=1, max_size=ENOUGH_SPACINGS, unique=True).map(sorted)


class TestProperties:
    @given(stamps, stamps, st.integers(0, 120), st.integers(0, 120))
    @settings(max_examples=300, deadline=None)
    def test_online_decisions_are_those_made_with_everything_known(
        self, rgb, thermal, rgb_delay, thermal_delay
    ):
        """Whatever the delays of the two (ordered) streams, as long as no rate is learnt from stamps at random."""
        pairer = Pairer(SyncConfig(wait_s=10.0))
        events = [(t + rgb_delay, RGB, t) for t in rgb] + [(t + thermal_delay, THERMAL, t) for t in thermal]
        pairs: list[Pair] = []
        for arrival, stream, t in sorted(events, key=lambda event: event[0]):
            pairs += pairer.add(stream, t * MS, t, arrival * MS)
        pairs += pairer.flush(1000 * MS)
        assert {(pair.rgb, pair.thermal) for pair in pairs} == greedy(rgb, thermal, 50)

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["rgb", "thermal", "expire", "flush", "reset"]),
                st.one_of(st.integers(-60, 60), st.sampled_from([-5000, -600, -400, 0, 900, 4000])),
                st.integers(-5, 60),
            ),
            max_size=120,
        ),
        st.integers(2, 6),
    )
    @settings(max_examples=300, deadline=None)
    def test_every_frame_is_accounted_for(self, accounts_events, queue_size):
        pairer = Pairer(SyncConfig(queue_size=queue_size, apply_measured_offset=True))
        now = 10_000
        used: dict[str, list[int]] = {"rgb": [], "thermal": []}
        serial = 0
        for kind, ahead, step in accounts_events:
            now += step
            if kind == "flush":
                pairs = pairer.flush(now * MS)
            elif kind == "expire":
                pairs = pairer.expire(now * MS)
            elif kind == "reset":
                pairer.reset("test")
                pairs = []
            else:
                serial += 1
                pairs = pairer.add(Stream(kind), (now + ahead) * MS, serial, now * MS)
            for pair in pairs:
                used["rgb"].append(pair.rgb)
                used["thermal"].append(pair.thermal)
                offset = pairer.report().applied_offset_s * S
                assert abs(pair.thermal_stamp_ns - offset - pair.rgb_stamp_ns) <= 50 * MS + 1
            report = pairer.report()
            assert report.frames_in["rgb"] + report.frames_in["thermal"] == serial
            for stream in ("rgb", "thermal"):
                dropped = sum(n for why, n in report.dropped.items() if why.startswith(f"{stream}_"))
                assert report.frames_in[stream] == len(used[stream]) + report.buffered[stream] + dropped
                assert report.used[stream] == len(used[stream]) == len(set(used[stream]))
                assert report.buffered[stream] <= queue_size + 1  # and one held back as a possible jump
        pairer.flush(now * MS)
        assert sum(pairer.report().buffered.values()) == 0

    @given(
        st.lists(
            st.tuples(st.sampled_from(list(Stream)), st.integers(-80, 60), st.integers(0, 30)), max_size=80
        )
    )
    @settings(max_examples=200, deadline=None)
    def test_pairs_come_in_time_order(self, events):
        pairer = Pairer(SyncConfig())
        now = 1000
        pairs: list[Pair] = []
        for stream, ahead, step in events:
            now += step
            pairs += pairer.add(stream, (now + ahead) * MS, None, now * MS)
        pairs += pairer.flush(now * MS)
        for before, after in itertools.pairwise(pairs):
            assert before.rgb_stamp_ns < after.rgb_stamp_ns
            assert before.thermal_stamp_ns < after.thermal_stamp_ns
