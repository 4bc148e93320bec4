"""A Jupyter kernel in the sandbox: the provisioner ``course-sandbox``, and the kernel manager that asks for it.

Kernel and client talk through sockets in one private folder (ZeroMQ's IPC transport): the sandbox has no network.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner

from course.grade.sandbox import Limits, Sandbox, new_user

NAME = "course-sandbox"


class SandboxProvisioner(LocalProvisioner):
    """Starts the kernel inside bubblewrap; to the kernel manager it is a process like any other."""

    sandbox: Sandbox | None = None

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        km = self.parent
        assert km is not None
        self.room = Path(tempfile.mkdtemp(prefix="course-kernel-"))
        km.transport, km.ip = "ipc", str(self.room / "k")
        km.connection_file = str(self.room / "kernel.json")
        return await super().pre_launch(**kwargs)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        user = new_user()
        if os.getuid() == 0:
            for path in (self.room, *self.room.iterdir()):
                os.chown(path, user, user)
        nothing: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.sandbox = Sandbox(cmd, Limits(), writable=self.room, user=user, **nothing)
        self.process = self.sandbox.process
        self.pid = self.process.pid
        self.pgid = os.getpgid(self.pid)
        self.cwd = str(self.room)
        return self.connection_info

    async def kill(self, restart: bool = False) -> None:
        if self.sandbox:
            self.sandbox.kill()

    terminate = kill

    async def cleanup(self, restart: bool = False) -> None:
        if self.sandbox:
            self.sandbox.close()
        shutil.rmtree(self.room, ignore_errors=True)
        await super().cleanup(restart)


class SandboxedKernelManager(AsyncKernelManager):
    """Like its base, with every kernel in the sandbox."""

    @property
    def kernel_spec(self):
        spec = super().kernel_spec
        if spec is not None:
            spec.metadata = {**spec.metadata, "kernel_provisioner": {"provisioner_name": NAME}}
        return spec
