# SPDX-License-Identifier: Apache-2.0
"""One dialect that the mock speaks a file; :func:`loadgen.mock.face.faces` finds them."""
