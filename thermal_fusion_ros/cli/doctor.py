"""`thermal-fusion doctor`: is everything there, and what to do about what is not."""

from __future__ import annotations

import argparse

HELP = "check this machine: Python, engines, ROS, weights, DDS, shared memory"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No options: it looks at everything."""


def run(args: argparse.Namespace) -> int:
    """Print a line per check and a remedy under each that is not fine; 1 if something needed is broken."""
    from thermal_fusion_ros.health import State, examine

    findings = examine()
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        print(f"{finding.state.value:>4}  {finding.name:<{width}}  {finding.text}")
        if finding.state is not State.OK and finding.remedy:
            print(f"{'':>4}  {'':<{width}}  -> {finding.remedy}")
    return int(any(finding.state is State.FAIL for finding in findings))
