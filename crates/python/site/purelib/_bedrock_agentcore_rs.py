"""Names AWS's package when it was installed over bedrock-agentcore-rs.

Then `import bedrock_agentcore` finds none of our code, which therefore could not tell. So this is
loaded whenever Python starts (bedrock_agentcore_rs.pth), and does nothing unless both are there.
"""

import os
import sys

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "bedrock_agentcore")


class Watch:
    """Asked first for modules, until somebody imports bedrock_agentcore."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "bedrock_agentcore":
            sys.meta_path.remove(Watch)
            if not ours_is_on_top():
                warn()
        return None


def ours_is_on_top():
    """Then our own `__init__.py` raises an error."""
    with open(os.path.join(FOLDER, "__init__.py"), encoding="utf-8") as file:
        return "_elsewhere" in file.read()


def warn():
    import warnings

    warnings.warn(
        f"bedrock-agentcore (AWS's package) was installed over bedrock-agentcore-rs in {os.path.dirname(FOLDER)}, "
        "and is what runs. They share the name bedrock_agentcore, and to uninstall one of them breaks the other. "
        "Keep one: pip uninstall bedrock-agentcore bedrock-agentcore-rs, then install the one you want",
        RuntimeWarning,
        stacklevel=2,
    )


if os.path.exists(os.path.join(FOLDER, "memory", "__init__.py")):
    sys.meta_path.insert(0, Watch)
