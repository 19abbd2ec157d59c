# SPDX-License-Identifier: Apache-2.0
"""Many runs for one answer: the highest rate within an SLO, a table over rates and lengths."""
