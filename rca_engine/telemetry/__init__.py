# SPDX-License-Identifier: Apache-2.0
"""From servers and logs to a case: the only part that asks anything outside the case."""
