# SPDX-License-Identifier: Apache-2.0
"""What both packages need: UTC time, whole-file writes, the HTML page's frame."""
