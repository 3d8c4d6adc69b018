"""What only AWS's own package, `bedrock-agentcore`, has; and what to say to those who look for it here."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

_PACKAGE = "bedrock_agentcore"

# Clients of AWS's services, and other protocols than HTTP: modules by their first name.
_MODULES = frozenset(
    {
        "config_bundle",
        "evaluation",
        "gateway",
        "identity",
        "knowledge_base",
        "memory",
        "payments",
        "policy",
        "services",
        "tools",
        "runtime.a2a",
        "runtime.ag_ui",
        "runtime.agent_core_runtime_client",
        "runtime.shell",
        "runtime.tracing",
    }
)

# What AWS's `bedrock_agentcore.runtime` exports beside the app.
_NAMES = frozenset(
    {
        "AGUIApp",
        "AgentCoreRuntimeClient",
        "BedrockCallContextBuilder",
        "build_a2a_app",
        "build_ag_ui_app",
        "build_runtime_url",
        "serve_a2a",
        "serve_ag_ui",
    }
)


def _message(what: str) -> str:
    return (
        f"{what} belongs to AWS's own package and is not part of bedrock-agentcore-rs, which serves agents. "
        "Call the AWS service with boto3 instead, or put the code that needs it into an environment "
        "with AWS's package: pip uninstall bedrock-agentcore-rs && pip install bedrock-agentcore"
    )


def explain(module: str, name: str) -> None:
    """Raises an ImportError if `name` is something that AWS's package has in `module`."""
    full = f"{module}.{name}"
    if full.removeprefix(_PACKAGE + ".") in _MODULES or (module == f"{_PACKAGE}.runtime" and name in _NAMES):
        raise ImportError(_message(full), name=full)


class _Finder:
    """Asked last, for modules that nobody else has found."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name.startswith(_PACKAGE + "."):
            module, _, last = name.rpartition(".")
            explain(module, last)
        return None


sys.meta_path.append(_Finder)


def refuse_two_packages(folder: str) -> None:
    """Raises an ImportError if AWS's package is installed into the same folder.

    Both are called `bedrock_agentcore`, so the one that was installed last has overwritten files of
    the other, and what is left is neither.
    """
    if os.path.exists(os.path.join(folder, "memory", "__init__.py")):
        raise ImportError(
            f"bedrock-agentcore (AWS's package) and bedrock-agentcore-rs are both installed in {folder}. "
            "They share the name bedrock_agentcore and have overwritten each other's files. Keep one: "
            "pip uninstall bedrock-agentcore bedrock-agentcore-rs, then install the one you want",
            name=_PACKAGE,
        )
