# SPDX-License-Identifier: Apache-2.0
"""Drain: which lines share a template."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rca_engine.errors import RcaEngineError
from rca_engine.logs.drain import MASK, DrainOptions, masked, parse

WORDS = ["connect", "to", "db", "10.0.0.1:5432", "failed", "after", "17ms", "retry", "id=4f2a"]
lines = st.lists(
    st.one_of(st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join), st.text(max_size=30)),
    max_size=40,
)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("took 17 ms, 3.5e-3 s", "took <*> ms, <*> s"),
        ("at 2026-11-25 09:00:01,123 from 10.77.0.3:8000", "at <*> <*>,<*> from <*>"),
        ("id abcdefab-abcd-abcd-abcd-abcdefabcdef", "id <*>"),
        ("id 4f2a77aa-abcd-abcd-abcd-abcdefabcdef ok", "id <*> ok"),
        ("peer fe80::1 and 0xdeadbeef", "peer <*> and <*>"),
        ("12#12: *3 connect() failed", "<*>#<*>: *<*> connect() failed"),
        ("nothing here changes", "nothing here changes"),
        ("defaced facade", "defaced facade"),
    ],
)
def test_numbers_times_addresses_and_ids_are_parameters(line, expected):
    assert masked(line) == expected


@pytest.mark.parametrize(
    "kept",
    ["engine.py:310]", "c.s.ContactsServiceImpl#31", '"status":503,', '"upstream_status":"502"',
     "status code: 500", 'HTTP/1.1" 404', "Xid 79"],
)  # fmt: skip
def test_places_in_the_code_and_statuses_are_not(kept):
    assert masked(f"a {kept} b") in (f"a {kept} b", f"a {kept} b".replace("1.1", MASK))
    other = kept.replace("3", "4").replace("2", "7").replace("0", "1").replace("79", "48")
    if other != kept:
        assert parse([f"a {kept} b", f"a {other} b"]).ids.tolist() in ([0, 1], [1, 0])


def test_lines_that_differ_in_their_parameters_share_a_template():
    parsed = parse([f"09:00:0{n} user u{n} bought {n} books" for n in range(5)])
    assert parsed.templates == ("<*> user <*> bought <*> books",)
    assert parsed.ids.tolist() == [0] * 5


def test_words_that_differ_become_a_parameter_where_enough_agree():
    parsed = parse(["logged in user ann now", "logged in user bob now", "cache is cold"])
    assert parsed.templates == ("cache is cold", "logged in user <*> now")


def test_a_node_with_many_branches_puts_the_rest_together():
    names = [f"name{'x' * n} is gone now forever" for n in range(1, 9)]
    assert len(parse(names, DrainOptions(depth=1, max_children=3)).templates) == 4


@given(lines)
@settings(max_examples=60, deadline=None)
def test_a_template_has_as_many_words_as_each_of_its_lines(some):
    parsed = parse(some)
    for line, place in zip(some, parsed.ids, strict=True):
        words = masked(line).replace(",", " ").replace(";", " ").split()
        assert len(parsed.templates[place].split()) == len(words)


@given(lines, st.randoms())
@settings(max_examples=60, deadline=None)
def test_a_line_has_one_template_whatever_the_order_and_number_of_lines(some, random):
    mixed = [*some, *some[:3]]
    random.shuffle(mixed)
    first, second = parse(some), parse(mixed)
    assert first.templates == second.templates
    template = dict(zip(some, first.ids.tolist(), strict=True))
    assert [template[line] for line in mixed] == second.ids.tolist()


def test_no_lines_have_no_templates():
    assert parse([]).templates == ()


def test_a_line_of_megabytes_counts_by_its_beginning():
    parsed = parse(["x " * 1_000_000 + str(n) for n in range(3)])
    assert len(parsed.templates) == 1


@pytest.mark.parametrize("options", [{"depth": 0}, {"similarity": 0.0}, {"max_children": 0}])
def test_an_option_out_of_range_is_refused(options):
    with pytest.raises(RcaEngineError, match="Drain needs"):
        DrainOptions(**options)
