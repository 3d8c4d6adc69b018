"""Serves an agent on a socket that was handed over: python serve.py rust|uvicorn MODULE FUNCTION FD."""

import importlib
import os
import sys

way, module, function, fd = sys.argv[1:]
if way == "rust":
    os.dup2(int(fd), 3)  # as a service manager does it: before anything else
    os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
app = getattr(importlib.import_module(module), function)()
if way == "rust":
    app.run()
else:
    import uvicorn

    uvicorn.run(app, fd=int(fd), log_level="warning")
