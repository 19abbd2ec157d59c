# SPDX-License-Identifier: Apache-2.0
"""Small servers that play telemetry's sources, with the limits that the real ones have."""
