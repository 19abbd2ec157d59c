# SPDX-License-Identifier: Apache-2.0
"""One provider a file; :func:`loadgen.provider.providers` finds them."""
