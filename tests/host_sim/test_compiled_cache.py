"""Compiled code on disk: another folder as soon as any source that it stands on is another."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import host_sim

SOURCE = Path(host_sim.__file__).parent
ASK = "import os; {before}import host_sim; print(os.environ['NUMBA_CACHE_DIR'])"


def folder(root, before="", **environment):
    """Where a process that imports the copy under `root` keeps compiled code."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(root / "home"), **environment}
    command = [sys.executable, "-c", ASK.format(before=before)]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True).stdout.strip()


def test_a_row_more_in_the_table_is_another_folder(tmp_path):
    (tmp_path / "host_sim" / "cell").mkdir(parents=True)
    for name in ("__init__.py", "cycle_kernel.py", "cycler.py", "fleet.py", "cell/table.py", "cell/kernel.py"):
        shutil.copy(SOURCE / name, tmp_path / "host_sim" / name)
    first = folder(tmp_path)
    assert Path(first).is_relative_to(tmp_path / "host_sim")
    table = tmp_path / "host_sim" / "cell" / "table.py"
    text = table.read_text()
    table.write_text(text + "\n")
    assert folder(tmp_path) != first
    table.write_text(text)
    assert folder(tmp_path) == first == folder(tmp_path, NUMBA_CACHE_DIR=first)  # also inherited from a parent process
    assert Path(folder(tmp_path, NUMBA_CACHE_DIR="/elsewhere")).parent == Path("/elsewhere")


def test_installed_where_nothing_may_be_written_it_is_the_users_own(tmp_path):
    (tmp_path / "host_sim").mkdir()
    shutil.copy(SOURCE / "__init__.py", tmp_path / "host_sim" / "__init__.py")
    found = folder(tmp_path, before="os.access = lambda path, mode: False; ")
    assert Path(found).is_relative_to(tmp_path / "home" / ".cache" / "relith")
