"""Models in other processes: pickled by path or by bytes, copied, sent to workers that were forked or spawned."""
# SPDX-License-Identifier: Apache-2.0
import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest
import wisp


@pytest.mark.parametrize("by_path", [True, False])
@pytest.mark.parametrize("again", [lambda m: pickle.loads(pickle.dumps(m)), copy.copy, copy.deepcopy])
def test_again(small_files, x8, tmp_path, monkeypatch, by_path, again):
    path = tmp_path / "m.wisp"
    path.write_bytes(small_files["dynamic"])
    monkeypatch.chdir(tmp_path)
    source = "m.wisp" if by_path else small_files["dynamic"]
    model = wisp.load(source, threads=2, shapes={"x": (2, 3, 8, 8)}, cpu="scalar")
    monkeypatch.chdir("/")
    other, batch = again(model), np.concatenate([x8, x8])
    assert other is not model and other.threads == 2 and other.nodes() == model.nodes()
    model.close()
    assert np.array_equal(other.run(batch)["y"], wisp.load(path, cpu="scalar").run(batch)["y"])


def test_what_a_pickle_holds(small_files, tmp_path):
    path = tmp_path / "m.wisp"
    path.write_bytes(small_files["float"])
    assert len(pickle.dumps(wisp.load(path))) < 400 + len(str(path))
    assert small_files["float"] in pickle.dumps(wisp.load(small_files["float"]))
    model = wisp.load(small_files["float"])
    model.close()
    with pytest.raises(wisp.ArgumentError, match="closed"):
        pickle.dumps(model)
    moved = pickle.dumps(wisp.load(path))
    path.unlink()
    with pytest.raises(FileNotFoundError, match="m.wisp"):
        pickle.loads(moved)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_model_from_a_pipe_takes_its_bytes_along(small_files, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(small_files["float"],))
    writer.start()
    model = wisp.load(tmp_path / "pipe")
    writer.join()
    assert small_files["float"] in pickle.dumps(model)


WORKERS = """if True:
    import functools, multiprocessing, sys
    import numpy, wisp

    def run(model, x):
        return model.run(x)["y"]

    if __name__ == "__main__":
        model, x = wisp.load(sys.argv[2], threads=2), numpy.load(sys.argv[3])
        inputs = [x * i for i in range(6)]
        want = [run(model, x) for x in inputs]
        with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
            got = pool.map(functools.partial(run, model), inputs)
        sys.exit(not all(map(numpy.array_equal, got, want)))
"""


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_workers(small_files, x8, tmp_path, method):
    (tmp_path / "m.wisp").write_bytes(small_files["int8"])
    (tmp_path / "work.py").write_text(WORKERS)
    np.save(tmp_path / "x.npy", x8)
    result = subprocess.run([sys.executable, tmp_path / "work.py", method, tmp_path / "m.wisp", tmp_path / "x.npy"],
                            capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr


FORKED = """if True:
    import gc, os, sys, threading, time, numpy, wisp

    def has_tasks(count):  # a thread that was joined may be listed a little longer
        end = time.monotonic() + 5
        while os.path.isdir("/proc/self/task") and len(os.listdir("/proc/self/task")) != count:
            if time.monotonic() > end: return False
        return True

    model, x = wisp.load(sys.argv[1], threads=3), numpy.load(sys.argv[2])
    session, y = model.session(), model.run(x)["y"]

    def check():
        wrong = []

        def work():
            for _ in range(20):
                if not numpy.array_equal(model.run(x)["y"], y): wrong.append(1)

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads: thread.start()
        session.inputs["x"][...] = x
        session.run()
        for thread in threads: thread.join()
        return not wrong and numpy.array_equal(session.outputs["y"], y)

    assert check()
    child = os.fork()
    if not child:
        good = has_tasks(1) and check() and check() and has_tasks(3)
        del model, session
        gc.collect()
        good = good and has_tasks(1)
        os._exit(0 if good else 1)
    status = os.waitpid(child, 0)[1]
    sys.exit(bool(status) or not check())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_threads_are_started_anew_in_a_fork(small_files, x8, tmp_path):
    """For the model's idle sessions and for one of the caller's: once, whoever comes first; and stopped again."""
    (tmp_path / "m.wisp").write_bytes(small_files["int8"])
    np.save(tmp_path / "x.npy", x8)
    result = subprocess.run([sys.executable, "-c", FORKED, tmp_path / "m.wisp", tmp_path / "x.npy"], timeout=120,
                            capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
