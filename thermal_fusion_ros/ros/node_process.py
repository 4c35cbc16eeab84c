"""A fusion node in a process of its own, for as long as a replay lasts."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType

import yaml

from thermal_fusion_ros import dds
from thermal_fusion_ros.config import Config

_STOP_SECONDS = 5.0  # for each of the three ways of asking a process to end
_PROBLEM_LINES = 10
_REPORT_S = 0.25


class NodeDiedError(RuntimeError):
    """The fusion node ended by itself; the message has the end of its log."""


class NodeProcess:
    """`fusion_node` with `config`, in `namespace`; ended when the `with` statement is left.

    Its output goes to a file that is read for the problems it reports, so that it does not tear up the progress
    bar. It gets a process group of its own: Ctrl-C stops the replay first, which then ends the node in order.
    """

    def __init__(self, config: Config, *, namespace: str, use_sim_time: bool) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="thermal_fusion_")
        self._log = Path(self._folder.name, "node.log")
        params = Path(self._folder.name, "params.yaml")
        values = {**config.flat(), "use_sim_time": use_sim_time}
        # The replay waits for what the node reports, at its start and at its end.
        values["node.diagnostics_period_s"] = min(config.node.diagnostics_period_s, _REPORT_S)
        params.write_text(yaml.safe_dump({"/**": {"ros__parameters": values}}))
        command = [sys.executable, "-m", "thermal_fusion_ros.ros.fusion_node", "--ros-args"]
        command += ["--params-file", str(params), "-r", f"__ns:={namespace}"]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                command, env=dds.environment(), stdout=log, stderr=log, start_new_session=True
            )

    def __enter__(self) -> NodeProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._folder.cleanup()

    def check(self) -> None:
        """Raise :class:`NodeDiedError` if the node is no longer there."""
        code = self._process.poll()
        if code is not None:
            tail = "\n".join(self._log.read_text(errors="replace").splitlines()[-_PROBLEM_LINES:])
            raise NodeDiedError(f"the fusion node ended by itself with code {code}:\n{tail}")

    def stop(self) -> None:
        """End the node: first as Ctrl-C would, so that it shuts down in order."""
        for ask in (
            lambda: self._process.send_signal(signal.SIGINT),
            self._process.terminate,
            self._process.kill,
        ):
            if self._process.poll() is not None:
                return
            ask()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_SECONDS)

    def logged(self) -> int:
        """Bytes in its log so far."""
        return self._log.stat().st_size

    def problems(self, since: int = 0) -> list[str]:
        """The different warnings and errors in its log since it had `since` bytes, oldest first, at most ten."""
        lines = self._log.read_bytes()[since:].decode(errors="replace").splitlines()
        found = [
            line.rpartition("]: ")[2] for line in lines if line.startswith(("[WARN]", "[ERROR]", "[FATAL]"))
        ]
        return list(dict.fromkeys(found))[:_PROBLEM_LINES]
