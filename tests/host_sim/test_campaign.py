import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from host_sim.bench_cell import bench_environment, dask_cluster
from host_sim.campaign import EXAMPLE, chunk_path, do_chunk, main, plan_of, read_chunk, read_plan, run
from host_sim.cli import guarded
from host_sim.errors import InputError
from host_sim.formats import parquet

FAST = ["Charge at 1C until 4.2 V", "Discharge at 1C until 3.0 V"]
ENTRIES = {
    "worlds": ["redealt", "static"],
    "cells": 5,
    "cycles": 4,
    "seed": 3,
    "lives_per_chunk": 2,
    "spread": {"reservoir_mah_cm2": "10 %"},
    "protocols": {"fast": FAST, "slow": ["Charge at C/2 until 4.2 V", "Discharge at C/2 until 3.0 V"]},
}

TOML = """
worlds = ["redealt", "static"]
cells = 5
cycles = 4
seed = 3
lives_per_chunk = 2
spread = {reservoir_mah_cm2 = "10 %"}
[protocols]
fast = ["Charge at 1C until 4.2 V", "Discharge at 1C until 3.0 V"]
slow = ["Charge at C/2 until 4.2 V", "Discharge at C/2 until 3.0 V"]
"""


def plan():
    return plan_of(ENTRIES)


def contents(folder):
    return {path.name: path.read_bytes() for path in Path(folder).glob("*.parquet")}


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The campaign done chunk by chunk in this process."""
    folder = tmp_path_factory.mktemp("reference")
    for chunk in range(len(plan().chunks)):
        columns, about = do_chunk(plan(), chunk)
        parquet.write(chunk_path(folder, chunk), columns, about)
    run(plan(), folder)
    return contents(folder)


def test_chunks_hold_every_life_once_and_never_two_protocols():
    lives = [life for chunk in plan().chunks for life in chunk]
    assert lives == list(range(plan().lives)) == list(range(20))
    one = plan()
    assert one.chunks is one.chunks  # asked for with every chunk that is done
    assert all(len({life // 5 for life in chunk}) == 1 for chunk in plan().chunks)


def test_processes_give_the_same_bytes_as_this_one(reference, tmp_path):
    lives = run(plan(), tmp_path, workers=2)
    assert contents(tmp_path) == reference
    assert lives["Cycles lived"].tolist() == [4] * 20
    first = lives["Drawn reservoir_mah_cm2"]
    assert (first[:5] == first[5:10]).all() and len(set(first)) == 5  # every protocol and world meets the same cells


def test_an_interrupted_campaign_goes_on_with_what_is_missing(reference, tmp_path):
    for name in list(reference)[:5]:
        (tmp_path / name).write_bytes(reference[name])
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.glob("chunk-*")}
    said = []
    run(plan(), tmp_path, workers=1, say=said.append)
    assert contents(tmp_path) == reference
    assert all(path.stat().st_mtime_ns == when for path, when in kept.items())
    assert f"{len(kept)} of 12 chunks are done already" in said[0]


def test_a_lost_process_is_replaced_and_its_chunk_done_again(reference, tmp_path):
    killed = []

    def kill_one(text):
        if not killed and "lives," in text:
            children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
            mine = [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
            os.kill(mine[0], signal.SIGKILL)
            killed.append(mine[0])

    run(plan(), tmp_path, workers=2, say=kill_one)
    assert killed
    assert contents(tmp_path) == reference


def test_a_plan_reads_the_same_from_its_file(tmp_path):
    (tmp_path / "plan.toml").write_text(TOML)
    assert read_plan(tmp_path / "plan.toml") == plan()


def said_until_it_ends(process, look_s=60):
    """However slowly it gets on; a process that used no processor between two looks hangs."""

    def used():
        return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]  # utime, stime

    while True:
        before = used()
        try:
            return process.communicate(timeout=look_s)[1]
        except subprocess.TimeoutExpired:
            assert used() != before, "hangs"


def test_who_waits_for_a_process_notices_that_it_hangs():
    going = subprocess.Popen([sys.executable, "-c", ""], stderr=subprocess.PIPE, text=True)
    going.send_signal(signal.SIGSTOP)
    os.waitpid(going.pid, os.WUNTRACED)
    with pytest.raises(AssertionError, match="hangs"):
        said_until_it_ends(going, 0.1)
    going.send_signal(signal.SIGCONT)
    assert said_until_it_ends(going) == "" and going.returncode == 0


def test_ctrl_c_leaves_no_traceback_and_what_is_done(tmp_path):
    # 6000 chunks: the campaign cannot be over before the interrupt arrives, however busy the machine; one that
    # overhears it does them all and ends with 0
    (tmp_path / "plan.toml").write_text(TOML.replace("cells = 5", "cells = 3000"))
    long = read_plan(tmp_path / "plan.toml")
    command = [sys.executable, "-c", "from host_sim.cli import main; main()", "campaign", tmp_path / "plan.toml"]
    out = tmp_path / "out"
    going = subprocess.Popen(
        [*command, "--out", out, "--workers", "2"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        start_new_session=True, env=bench_environment(),
    )  # fmt: skip
    first = going.stderr.readline()
    os.killpg(going.pid, signal.SIGINT)
    said = first + said_until_it_ends(going)
    assert going.returncode == 130 and "Traceback" not in said and "interrupted" in said
    done = sorted(int(path.stem.removeprefix("chunk-")) for path in out.glob("chunk-*"))
    assert 0 < len(done) < len(long.chunks)
    assert len(list(out.iterdir())) == len(done)  # nothing half-written beside them
    for chunk in done:
        read_chunk(out, chunk, long)
    columns, about = do_chunk(long, done[0])
    same = parquet.write(tmp_path / "same.parquet", columns, about)
    assert same.read_bytes() == chunk_path(out, done[0]).read_bytes()


@pytest.fixture
def cluster():
    with dask_cluster(2) as started:
        yield started


def test_a_dask_cluster_that_loses_a_worker_gives_the_same_bytes(reference, cluster, tmp_path):
    address, _, workers = cluster

    def kill_one(text):
        if "lives," in text:
            workers[0].kill()

    said = []
    run(plan(), tmp_path, scheduler=address, say=lambda text: (said.append(text), kill_one(text)))
    assert contents(tmp_path) == reference
    assert workers[0].wait(10) == -signal.SIGKILL


def test_a_scheduler_that_dies_is_one_sentence_and_what_is_done_is_kept(reference, cluster, tmp_path):
    address, scheduler, _ = cluster

    def kill_it(text):
        if "lives," in text:
            scheduler.kill()

    with pytest.raises(InputError, match="stopped answering") as error:
        run(plan(), tmp_path, scheduler=address, say=kill_it)
    assert "\n" not in str(error.value)
    assert contents(tmp_path)
    run(plan(), tmp_path, workers=1)
    assert contents(tmp_path) == reference


def test_a_scheduler_that_does_not_answer_is_one_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("host_sim.campaign.ANSWER_S", 0.5)
    assert guarded(main, ["--out", str(tmp_path), "--scheduler", "tcp://127.0.0.1:9"]) == 2
    said = capsys.readouterr().err.strip()
    assert "tcp://127.0.0.1:9" in said and "does not answer" in said and "\n" not in said
    assert guarded(main, ["--out", str(tmp_path), "--scheduler", "nonsense"]) == 2
    assert "\n" not in capsys.readouterr().err.strip()


def test_a_corrupt_chunk_is_named_and_the_rest_kept(reference, tmp_path):
    for name, data in reference.items():
        (tmp_path / name).write_bytes(data)
    broken = chunk_path(tmp_path, 3)
    broken.write_bytes(broken.read_bytes()[:-30])
    with pytest.raises(InputError, match="chunk-00003") as error:
        run(plan(), tmp_path)
    assert "\n" not in str(error.value)
    assert {n: d for n, d in contents(tmp_path).items() if "00003" not in n} == {
        n: d for n, d in reference.items() if "00003" not in n
    }
    broken.unlink()
    run(plan(), tmp_path, workers=1)
    assert contents(tmp_path) == reference


def test_a_chunk_that_the_disk_refuses_is_one_sentence_and_the_rest_kept(reference, tmp_path, monkeypatch):
    write = parquet.write

    def full(path, *arguments):
        if "00002" in str(path):
            raise OSError(28, "No space left on device")
        return write(path, *arguments)

    monkeypatch.setattr(parquet, "write", full)
    with pytest.raises(InputError, match=r"chunk-00002.parquet: cannot be written \(No space left on device\)"):
        run(plan(), tmp_path, workers=1)
    kept = contents(tmp_path)
    assert len(kept) == 2 and all(reference[name] == data for name, data in kept.items())


def test_without_pyarrow_nothing_is_lived(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setattr("host_sim.campaign.do_chunk", lambda *_: pytest.fail("lived"))
    with pytest.raises(InputError, match=r"need pyarrow, .* pip install -e '\.\[campaign\]'"):
        run(plan(), tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()


def test_another_campaigns_folder_is_refused(reference, tmp_path):
    for name, data in reference.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match="another plan"):
        run(plan_of(ENTRIES | {"seed": 4}), tmp_path)
    assert contents(tmp_path) == reference


def test_a_life_that_cannot_be_played_says_so_and_the_others_go_on(tmp_path):
    halted = plan_of(
        ENTRIES
        | {"spread": {"cathode_capacity_mah_cm2": [2.5, 3.3]}, "worlds": ["redealt"], "cells": 8, "cycles": 2}
        | {"protocols": {"p": [FAST, ["Charge at 1C for 0.95 hours", "Discharge at 1C until 3.0 V"]]}}
    )
    lives = run(halted, tmp_path, workers=1)
    stopped = lives["Problem"] != ""
    assert 0 < stopped.sum() < 8
    assert (lives["Cycles lived"] == np.where(stopped, 1, 2)).all()


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"cels": 5}, "cels"),
        ({"cells": 0}, "cells"),
        ({"cells": 2.5}, "cells"),
        ({"cells": True}, "cells"),
        ({"step_s": float("nan")}, "step_s"),
        ({"worlds": ["wonderland"]}, "wonderland"),
        ({"worlds": []}, "worlds"),
        ({"worlds": [["static"]]}, "worlds"),
        ({"parameters": "liu22"}, "liu22"),
        ({"parameters": ["liu21-carbonate"]}, "parameters"),
        ({"spread": {"gap": "10 %"}}, "gap"),
        ({"spread": {"gap_sigma": "lots"}}, "gap_sigma"),
        ({"protocols": {}}, "protocols"),
        ({"protocols": {"p": ["Chrage at 1C until 4.2 V"]}}, "Chrage"),
        ({"protocols": {"p": ["Charge at 1C until 6 V"]}}, "6 V"),
        ({"termination": "soon"}, "soon"),
    ],
)
def test_a_wrong_plan_is_one_sentence(change, word):
    with pytest.raises(InputError, match=word) as error:
        plan_of(ENTRIES | change, "plan.toml")
    assert str(error.value).startswith("plan.toml: ") and "\n" not in str(error.value)


def test_the_example_is_a_plan_and_wrong_files_are_named(tmp_path):
    assert read_plan(EXAMPLE).lives == 200
    (tmp_path / "x.toml").write_text("cells = = 3")
    (tmp_path / "y.toml").write_bytes(b"\xff\xfe")
    for name in ("x.toml: is no TOML", "none.toml: no such file", "y.toml: is no text"):
        with pytest.raises(InputError, match=name):
            read_plan(tmp_path / name.partition(":")[0])


def test_main_prints_its_table_and_last_line(tmp_path, capsys):
    (tmp_path / "p.toml").write_text(
        'cells = 2\ncycles = 2\n[protocols]\nfast = ["Charge at 1C until 4.2 V", "Discharge at 1C until 3 V"]\n'
    )
    assert guarded(main, [str(tmp_path / "p.toml"), "--out", str(tmp_path / "out"), "--workers", "1"]) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[-1] == f"relith.campaign: lives=2 chunks=1 -> {tmp_path}/out/lives.parquet"
    columns, _ = read_chunk(tmp_path / "out", 0, read_plan(tmp_path / "p.toml"))
    assert columns["Cycle number"].tolist() == [1, 2, 1, 2]
    assert guarded(main, ["--workers", "0"]) == 2
    assert guarded(main, ["--scheduler", ""]) == 2
    assert guarded(main, [str(tmp_path / "p.toml"), "--out", str(tmp_path / "p.toml" / "out")]) == 2
    assert "p.toml/out" in capsys.readouterr().err
