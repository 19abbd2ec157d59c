# SPDX-License-Identifier: Apache-2.0
"""Log lines to templates, and what changed in them."""
