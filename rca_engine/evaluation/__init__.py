# SPDX-License-Identifier: Apache-2.0
"""Methods on data sets: accuracy beside chance, specificity, cost, and how sure all that is.

``evaluate`` is the verb. ``scores`` is the arithmetic, ``plan`` what is to be run, ``work`` what a
worker does, ``execute`` where workers are, ``store`` what is kept, ``summary`` the tables and
``leaderboard`` the page.
"""
