# SPDX-License-Identifier: Apache-2.0
"""One format of recorded loads a file; :func:`loadgen.trace.formats` finds them."""
