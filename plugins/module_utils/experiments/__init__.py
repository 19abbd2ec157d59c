# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Experiments: what is to be run, in which order, and what of it is done.

`suite` reads what a person wrote, `expand` makes every run of it and checks it against the
catalogue of faults, `plan` holds the runs and their time, `folder` knows what of it is on the disk.
"""
