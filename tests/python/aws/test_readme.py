"""The README's program, as it stands there."""

import pathlib
import re
import subprocess
import sys

from conftest import where_nobody_is_asked

README = pathlib.Path(__file__).parents[3] / "README.md"


@where_nobody_is_asked
def test_the_readmes_program_runs(host, tester):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    (program,) = [block for block in blocks if "import boto3" in block]
    assert "http://localhost:8080" in program
    program = program.replace("http://localhost:8080", host.url)
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stderr
    assert "tester 1 READY" in ran.stdout
