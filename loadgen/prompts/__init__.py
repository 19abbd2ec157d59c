# SPDX-License-Identifier: Apache-2.0
"""What is asked: prompts that follow from seed and index alone, or from a file."""
