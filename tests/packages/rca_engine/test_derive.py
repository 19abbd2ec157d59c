# SPDX-License-Identifier: Apache-2.0
"""Raw samples to derived metrics, against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from rca_engine.model import NS
from rca_engine.telemetry.derive import bucket_quantile, derive, increase, latest
from rca_engine.telemetry.samples import Samples, label_key

WINDOW = 5 * NS


def ns(*seconds: float) -> np.ndarray:
    return np.array([round(second * NS) for second in seconds], dtype=np.int64)


def entry(kind: str, **source: object) -> dict[str, object]:
    return {"kind": kind, "components": ["replica"], "source": source}


def samples(**series: dict[float, float]) -> Samples:
    """Make series named for the argument; ``name__key_value`` adds a label."""
    points = {}
    for text, values in series.items():
        name, _, label = text.partition("__")
        labels = {"component": "replica/llm-0", "job": "ray", "instance": "a"}
        if label:
            labels |= dict([label.split("_")])
        points[name, label_key(labels)] = {round(t * NS): v for t, v in values.items()}
    return Samples.pack(points)


def column(samples: Samples, spec: dict[str, object], *seconds: float) -> list[float]:
    derived = derive(samples, {"m": spec}, ns(*seconds))
    assert derived.keys == (("replica/llm-0", "m"),)
    return derived.matrix[:, 0].tolist()


def test_a_counter_gives_its_increase_over_the_trailing_window():
    times = ns(*range(11))
    total, seconds = increase(times, 2.0 * np.arange(11), ns(5, 10), WINDOW)
    assert total.tolist() == [10.0, 10.0]
    assert seconds.tolist() == [5.0, 5.0]


def test_what_a_counter_shows_after_a_reset_is_all_new():
    # 10 -> 14 is 4; the restart begins at 0 and shows 3; then 2 more.
    total, seconds = increase(ns(0, 1, 2, 3), np.array([10.0, 14.0, 3.0, 5.0]), ns(3), WINDOW)
    assert total.tolist() == [9.0]
    assert seconds.tolist() == [3.0]


def test_the_increase_over_a_gap_shows_as_its_mean_right_after():
    times, values = ns(0, 1, 2, 22, 23), np.array([0.0, 1.0, 2.0, 42.0, 43.0])
    total, seconds = increase(times, values, ns(10, 22), WINDOW)
    assert np.isnan(total[0])
    assert total[1] / seconds[1] == pytest.approx(40 / 20)


def test_one_sample_says_nothing_of_a_rate():
    total, _ = increase(ns(1), np.array([5.0]), ns(1, 2), WINDOW)
    assert np.isnan(total).all()


def test_a_gauge_holds_its_last_value_only_while_it_is_fresh():
    values = latest(ns(1, 2), np.array([3.0, 4.0]), ns(0, 1.5, 2, 6.9, 7), WINDOW)
    assert values.tolist() == pytest.approx([np.nan, 3, 4, 4, np.nan], nan_ok=True)


def test_rates_of_a_components_series_add_up():
    raw = samples(
        tokens__a_x={t: 1.0 * t for t in range(8)}, tokens__a_y={t: 3.0 * t for t in range(8)}
    )
    assert column(raw, entry("rate", job="ray", series=["tokens"]), 7) == [4.0]


def test_a_mean_is_the_ratio_of_two_increases_and_unknown_where_nothing_happened():
    raw = samples(
        ttft_sum={0: 1.0, 1: 1.0, 2: 2.5, 3: 2.5, 9: 2.5, 10: 2.5},
        ttft_count={0: 5, 1: 5, 2: 8, 3: 8, 9: 8, 10: 8},
    )
    spec = entry("mean", job="ray", sum=["ttft_sum"], count=["ttft_count"])
    assert column(raw, spec, 3, 10) == pytest.approx([0.5, np.nan], nan_ok=True)


def test_a_share_leaves_out_what_its_label_excludes():
    raw = samples(
        cpu__mode_idle={t: 0.25 * t for t in range(8)},
        cpu__mode_user={t: 0.75 * t for t in range(8)},
    )
    spec = entry("mean", sum=["cpu"], count=["cpu"], without={"mode": ["idle"]})
    assert column(raw, spec, 7) == pytest.approx([0.75])


def test_a_counter_that_appears_late_began_at_zero():
    raw = samples(errors={5: 2.0, 6: 2.0, 7: 2.0}, other=dict.fromkeys(range(8), 0.0))
    rates = column(raw, entry("rate", series=["errors"]), 4, 5)
    assert rates == pytest.approx([0.0, 2.0 / 5])


def test_the_first_name_that_exists_is_used_and_said():
    raw = samples(new={t: float(t) for t in range(8)})
    derived = derive(raw, {"m": entry("rate", series=["old", "new"])}, ns(7))
    assert derived.used == {"m": {"series": ["new"]}}
    assert derived.matrix.tolist() == [[1.0]]


def test_series_of_another_job_or_kind_of_component_do_not_mix_in():
    raw = samples(x={t: float(t) for t in range(8)})
    assert derive(raw, {"m": entry("rate", job="pod", series=["x"])}, ns(7)).keys == ()
    spec = entry("rate", series=["x"]) | {"components": ["node"]}
    assert derive(raw, {"m": spec}, ns(7)).keys == ()


def test_an_alias_in_another_unit_gives_the_same_metric():
    spec = entry("gauge", series=["CLOCK", "CLOCK_HERTZ"], scale={"CLOCK_HERTZ": 1e-6})
    old = column(samples(CLOCK={6: 1410.0}), spec, 7)
    new = column(samples(CLOCK_HERTZ={6: 1.41e9}), spec, 7)
    assert new == pytest.approx(old)


def test_each_component_may_have_an_alias_of_its_own():
    points = {
        ("old", label_key({"component": "replica/llm-0"})): {6 * NS: 1.0},
        ("new", label_key({"component": "replica/llm-1"})): {6 * NS: 2.0},
        ("new", label_key({"component": "replica/llm-0"})): {6 * NS: 9.0},
    }
    spec = entry("gauge", series=["old", "new"], scale={"new": 10.0})
    derived = derive(Samples.pack(points), {"m": spec}, ns(7))
    assert derived.matrix.tolist() == [[1.0, 20.0]]
    assert derived.used == {"m": {"series": ["old", "new"]}}


def test_labels_choose_among_the_series_of_a_name():
    raw = samples(w__reason_capacity={6: 3.0}, w__reason_deferred={6: 4.0}, w={6: 100.0})
    assert column(raw, entry("gauge", series=["w"], **{"with": {"reason": ["capacity"]}}), 7) == [3]
    spec = entry("gauge", series=["w"], without={"reason": ["capacity", "deferred"]})
    assert column(raw, spec, 7) == [100.0]


def test_a_quantile_is_taken_within_its_bucket_over_the_window():
    raw = samples(
        **{
            "b__le_0.5": {0: 10.0, 6: 12.0},
            "b__le_1": {0: 10.0, 6: 14.0},
            "b__le_+Inf": {0: 10.0, 6: 14.0},
        }
    )
    # Two were at or below 0.5 s, two more below 1 s.
    assert column(raw, entry("quantile", buckets=["b"], quantile=0.75), 7) == [0.75]


@pytest.mark.parametrize(
    ("counts", "quantile", "expected"),
    [
        ([0.0, 10.0, 10.0], 0.5, 1.5),
        ([10.0, 10.0, 10.0], 0.95, 0.95),
        # Beyond the last finite bound nothing is known but the bound.
        ([0.0, 5.0, 10.0], 0.99, 2.0),
        ([0.0, 0.0, 0.0], 0.5, np.nan),
    ],
)
def test_quantiles_of_buckets_are_those_of_promql(counts, quantile, expected):
    bounds = np.array([1.0, 2.0, np.inf])
    [value] = bucket_quantile(bounds, np.array(counts)[:, None], quantile)
    assert value == pytest.approx(expected, nan_ok=True)


def test_a_job_that_is_scraped_less_often_looks_back_further():
    raw = samples(g={0: 3.0}, c={0: 0.0, 30: 60.0})
    specs = {
        "g": entry("gauge", job="ray", series=["g"]),
        "c": entry("rate", job="ray", series=["c"]),
    }
    assert np.isnan(derive(raw, specs, ns(20)).matrix).all()
    slow = derive(raw, specs, ns(20, 31), windows_s={"ray": 75.0}).matrix
    np.testing.assert_allclose(slow, [[np.nan, 3.0], [2.0, 3.0]])
