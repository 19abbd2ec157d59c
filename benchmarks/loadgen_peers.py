# SPDX-License-Identifier: Apache-2.0
"""loadgen and other load generators on one mock server: what each says, and what was true.

    benchmarks/loadgen_peers.py --into docs/loadgen.md

Scenarios: a healthy server; one that stalls for 10 s; one that ends 20 of 120 streams without their
last frame; one that sends a broken chunk in 20 of 120. The mock's own log and metrics are the
truth. Each tool runs in a process of its own, one after the other, with its defaults but for rate,
lengths and what it must be told to need no network.

`vllm bench serve` runs from ``.venvs/serve`` if that is there, each other from ``.venvs/TOOL``,
which this script makes: aiperf (1.2 GB), guidellm (1.5 GB), inference-perf (0.8 GB, needs Python
3.12), Locust (0.1 GB). All but Locust want a tokenizer: the folder of one of the lab's models.
Locust has no load of its own for language models: ``_locustfile.py`` is the least that streams.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _mock import OURS, ROOT, Cost, Mock, Truth, machine, mock, timed
from _tables import insert

SERVE = ROOT / ".venvs" / "serve" / "bin" / "python"
AIPERF, GUIDELLM, INFERENCE_PERF, LOCUST = (
    ROOT / ".venvs" / name for name in ("aiperf", "guidellm", "inference-perf", "locust")
)
LOCUSTFILE = Path(__file__).with_name("_locustfile.py")
TOKENIZER = ROOT / ".venvs" / "models" / "tiny"
PROMPT, OUTPUT = 32, 16
PLAIN = os.environ | {"PYTHONPATH": ""}
STALL_START_S, STALL_S = 8, 10

# `vllm bench serve`, by way of the functions that it is: the program of the CPU wheel does not
# start, as it asks for a distribution of another name than its own.
VLLM_BENCH = """
from vllm.benchmarks.serve import add_cli_args, main
from vllm.utils.argparse_utils import FlexibleArgumentParser
parser = FlexibleArgumentParser()
add_cli_args(parser)
main(parser.parse_args())
"""


@dataclass(frozen=True)
class Scenario:
    """A load, and what the server does with it."""

    name: str
    rate: int
    requests: int
    options: tuple[str, ...] = ()


SCENARIOS = (
    Scenario("healthy", 50, 1000),
    Scenario("stall of 10 s", 50, 1250, ("--pause", f"{STALL_START_S}:{STALL_S}")),
    Scenario("truncated streams", 20, 120, ("--fault", "truncate@40-59")),
    Scenario("broken chunks", 20, 120, ("--fault", "malformed@40-59")),
)


@dataclass(frozen=True)
class Told:
    """What a tool said of a run."""

    failed: int | None
    ttft_mean_ms: float | None


Prepare = Callable[[], str | None]
Tool = Callable[[Mock, Scenario, Path], tuple[list[str], dict[str, str]]]
Reader = Callable[[Path], Told]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison and print it as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tools", default=",".join(TOOLS), help="with commas (default: all)")
    parser.add_argument("--scenarios", default=",".join(s.name for s in SCENARIOS), metavar="LIST")
    parser.add_argument("--into", type=Path, metavar="FILE.md", help="put the tables there too")
    options = parser.parse_args(arguments)
    head = (
        "| server | tool | arrivals | gap CV | failed: told / true | TTFT mean, ms: told / true "
        "| exit code | CPU, s | wall, s |"
    )
    lines = [f"{machine()}.\n", head, "|---" * 9 + "|"]
    notes: list[str] = []
    for scenario in SCENARIOS:
        if scenario.name not in options.scenarios.split(","):
            continue
        for name in options.tools.split(","):
            sys.stderr.write(f"{scenario.name}: {name} ...\n")
            lines.append(line(name, scenario, notes))
    text = "\n".join([*lines, "", *notes]) + "\n"
    sys.stdout.write(text)
    if options.into:
        insert(options.into, "peers", text)
    return 0


def line(name: str, scenario: Scenario, notes: list[str]) -> str:
    """Run one tool in one scenario; return the line of the table."""
    prepare, command, read = TOOLS[name]
    missing = prepare()
    if missing:
        notes.append(f"{name} was left out: {missing}.")
        return f"| {scenario.name} | {name} | not run | | | | | | |"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with mock(folder, *scenario.options) as server:
            words, env = command(server, scenario, folder)
            cost = timed(words, env=env, limit_s=240)
            truth = server.truth()
        try:
            told = read(folder)
        except (OSError, KeyError, ValueError) as error:
            notes.append(f"{name}, {scenario.name}: no result ({error!r}): {cost.output[-300:]}")
            told = Told(None, None)
    return render(name, scenario, cost, truth, told)


def render(name: str, scenario: Scenario, cost: Cost, truth: Truth, told: Told) -> str:
    """Return a line of the table."""
    arrivals = f"{len(truth.arrivals_ns)} of {scenario.requests}"
    if "--pause" in scenario.options:
        end_s = STALL_START_S + STALL_S
        during = truth.within(STALL_START_S, end_s, 0.5 / scenario.rate)
        arrivals += f", {during} of {STALL_S * scenario.rate} in the stall"
    ttft = "-" if told.ttft_mean_ms is None else f"{told.ttft_mean_ms:.0f}"
    cells = (
        scenario.name,
        name,
        arrivals,
        f"{truth.gap_cv():.2f}",
        f"{'-' if told.failed is None else told.failed} / {truth.faults}",
        f"{ttft} / {truth.ttft_mean_ms:.0f}",
        str(cost.code),
        f"{cost.cpu_s:.1f}",
        f"{cost.wall_s:.0f}",
    )
    return f"| {' | '.join(cells)} |"


def loadgen(server: Mock, scenario: Scenario, folder: Path) -> tuple[list[str], dict[str, str]]:
    """Return loadgen's command."""
    words = [sys.executable, "-m", "loadgen", "run", "--url", server.url]
    words += ["--rate", str(scenario.rate), "--requests", str(scenario.requests)]
    words += ["-p", str(PROMPT), "-o", str(OUTPUT), "--out", str(folder / "out")]
    return words, OURS


def read_loadgen(folder: Path) -> Told:
    """Read its records: the mean counts from the intended time."""
    summary = json.loads((folder / "out" / "summary.json").read_text(encoding="utf-8"))
    lines = (folder / "out" / "requests.jsonl").read_text(encoding="utf-8").splitlines()
    seen = [json.loads(text)["response_ttft_ms"] for text in lines]
    return Told(
        summary["requests"]["failed"], statistics.fmean(ms for ms in seen if ms is not None)
    )


def vllm(server: Mock, scenario: Scenario, folder: Path) -> tuple[list[str], dict[str, str]]:
    """Return the command of vLLM's benchmark: constant gaps, no request before the load."""
    words = [str(SERVE), "-c", VLLM_BENCH, "--backend", "openai-chat", "--base-url", server.url]
    words += ["--endpoint", "/v1/chat/completions", "--model", "mock"]
    words += ["--tokenizer", str(TOKENIZER), "--dataset-name", "random"]
    words += ["--random-input-len", str(PROMPT), "--random-output-len", str(OUTPUT)]
    words += ["--num-prompts", str(scenario.requests), "--request-rate", str(scenario.rate)]
    words += ["--burstiness", "1000000", "--ready-check-timeout-sec", "0", "--disable-tqdm"]
    words += ["--save-result", "--result-dir", str(folder), "--result-filename", "vllm.json"]
    return words, PLAIN | {"HF_HUB_OFFLINE": "1"}


def read_vllm(folder: Path) -> Told:
    """Read its result."""
    found = json.loads((folder / "vllm.json").read_text(encoding="utf-8"))
    return Told(found["failed"], found["mean_ttft_ms"])


def aiperf(server: Mock, scenario: Scenario, folder: Path) -> tuple[list[str], dict[str, str]]:
    """Return aiperf's command: constant gaps."""
    words = [str(AIPERF / "bin" / "aiperf"), "profile", "--model", "mock", "--url", server.url]
    words += ["--endpoint-type", "chat", "--streaming", "--tokenizer", str(TOKENIZER)]
    words += ["--request-rate", str(scenario.rate), "--arrival-pattern", "constant"]
    words += ["--request-count", str(scenario.requests), "--ui", "none"]
    words += ["--prompt-input-tokens-mean", str(PROMPT), "--output-tokens-mean", str(OUTPUT)]
    words += ["--output-artifact-dir", str(folder / "out")]
    return words, PLAIN | {"PATH": f"{AIPERF / 'bin'}:{os.environ['PATH']}"}


def read_aiperf(folder: Path) -> Told:
    """Read its summary."""
    (path,) = (folder / "out").rglob("profile_export_aiperf.json")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    failed = (found.get("error_request_count") or {"avg": 0})["avg"]
    return Told(int(failed), found["time_to_first_token"]["avg"])


def guidellm(server: Mock, scenario: Scenario, folder: Path) -> tuple[list[str], dict[str, str]]:
    """Return guidellm's command: constant gaps."""
    data = f"kind=synthetic_text,prompt_tokens={PROMPT},output_tokens={OUTPUT}"
    words = [str(GUIDELLM / "bin" / "guidellm"), "run", "--disable-console"]
    words += ["--backend", f"kind=openai_http,target={server.url},model=mock"]
    words += ["--profile", f"kind=constant,rate={scenario.rate}"]
    words += ["--constraint", f"kind=max_requests,count={scenario.requests}", "--data", data]
    words += ["--tokenizer", f"kind=huggingface_auto,model={TOKENIZER}"]
    words += ["--output", f"kind=json,path={folder / 'guidellm.json'}"]
    return words, PLAIN | {"HF_HUB_OFFLINE": "1"}


def read_guidellm(folder: Path) -> Told:
    """Read its result."""
    found = json.loads((folder / "guidellm.json").read_text(encoding="utf-8"))
    metrics = found["benchmarks"][0]["metrics"]
    ttft = metrics["time_to_first_token_ms"]["successful"]["mean"]
    return Told(metrics["request_totals"]["errored"], ttft)


def inference_perf(
    server: Mock, scenario: Scenario, folder: Path
) -> tuple[list[str], dict[str, str]]:
    """Return inference-perf's command: what it calls constant, for as long as the load lasts."""
    seconds = scenario.requests // scenario.rate
    stage = {"rate": scenario.rate, "duration": seconds}
    prompt, answer = (
        {"min": count, "max": count, "mean": count, "std_dev": 0} for count in (PROMPT, OUTPUT)
    )
    total = {"total_count": scenario.requests}
    config = {
        "api": {"type": "completion", "streaming": True},
        "data": {
            "type": "random",
            "input_distribution": prompt | total,
            "output_distribution": answer | total,
        },
        "load": {"type": "constant", "stages": [stage]},
        "server": {"type": "vllm", "model_name": "mock", "base_url": server.url},
        "storage": {"local_storage": {"path": str(folder / "out")}},
        "tokenizer": {"pretrained_model_name_or_path": str(TOKENIZER)},
    }
    path = folder / "config.json"  # JSON is YAML
    path.write_text(json.dumps(config), encoding="utf-8")
    words = [str(INFERENCE_PERF / "bin" / "inference-perf"), "--config_file", str(path)]
    return words, PLAIN | {"HF_HUB_OFFLINE": "1"}


def read_inference_perf(folder: Path) -> Told:
    """Read its summary."""
    (path,) = (folder / "out").rglob("summary_lifecycle_metrics.json")
    found = json.loads(path.read_text(encoding="utf-8"))
    seconds = found["successes"]["latency"]["time_to_first_token"]["mean"]
    return Told(found["failures"]["count"], 1e3 * seconds)


def locust(server: Mock, scenario: Scenario, folder: Path) -> tuple[list[str], dict[str, str]]:
    """Return Locust's command: as many users as requests a second, each one a second."""
    words = [str(LOCUST / "bin" / "locust"), "--headless", "--locustfile", str(LOCUSTFILE)]
    words += ["--host", server.url, "--users", str(scenario.rate)]
    words += ["--spawn-rate", str(scenario.rate), "--stop-timeout", "30"]
    words += ["--run-time", f"{scenario.requests // scenario.rate}s"]
    words += ["--json-file", str(folder / "locust")]
    return words, PLAIN | {"PROMPT": "word " * PROMPT, "OUTPUT": str(OUTPUT)}


def read_locust(folder: Path) -> Told:
    """Read its statistics: a row of the requests and one of their first tokens."""
    rows = json.loads((folder / "locust.json").read_text(encoding="utf-8"))
    found = {row["name"]: row for row in rows}
    first = found["first token"]
    ttft_ms = first["total_response_time"] / first["num_requests"]
    return Told(found["request"]["num_failures"], ttft_ms)


def nothing() -> str | None:
    """Loadgen needs what this script needs."""
    return None


def find_vllm() -> str | None:
    """Say what is missing for vLLM's benchmark."""
    if not SERVE.exists():
        return "there is no .venvs/serve (make setup)"
    return find_tokenizer()


def maker(folder: Path, package: str, python: str = sys.executable) -> Prepare:
    """Return what makes a tool's environment if there is none, and says what is missing for it."""

    def make() -> str | None:
        done = folder / ".made"
        if not done.exists():
            if shutil.which(python) is None:
                return f"there is no {python}"
            subprocess.run([python, "-m", "venv", "--clear", folder], check=True)
            pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", package]
            subprocess.run(pip, check=True)
            done.touch()
        return find_tokenizer()

    return make


def find_tokenizer() -> str | None:
    """Say what is missing for tools that count tokens themselves."""
    if not (TOKENIZER / "tokenizer.json").exists():
        return f"there is no tokenizer in {TOKENIZER.relative_to(ROOT)} (make setup)"
    return None


TOOLS: dict[str, tuple[Prepare, Tool, Reader]] = {
    "loadgen": (nothing, loadgen, read_loadgen),
    "vllm": (find_vllm, vllm, read_vllm),
    "aiperf": (maker(AIPERF, "aiperf==0.13.0"), aiperf, read_aiperf),
    "guidellm": (maker(GUIDELLM, "guidellm==0.8.1"), guidellm, read_guidellm),
    "inference-perf": (
        maker(INFERENCE_PERF, "inference-perf==0.7.0", "python3.12"),
        inference_perf,
        read_inference_perf,
    ),
    "locust": (maker(LOCUST, "locust==2.47.0"), locust, read_locust),
}


if __name__ == "__main__":
    sys.exit(main())
