# SPDX-License-Identifier: Apache-2.0
"""What a finished run is written as, beside its records and figures: one file for each form."""
