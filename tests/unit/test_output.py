"""Outputs destroy nothing: inputs, links, pipes, devices; whoever is killed leaves the old file or the new one."""
# SPDX-License-Identifier: Apache-2.0
import errno
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import onnx
import pytest
from conftest import call_wisp, small_cnn

import wisp
from wisp.output import check_output, write_output

NAMELESS = hasattr(os, "O_TMPFILE")


@pytest.fixture(params=["nameless", "named"])
def way(request, monkeypatch):
    """Both ways to write: into a file without a name, and, where the file system has no such thing, beside the file."""
    if request.param == "named":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    elif not NAMELESS:
        pytest.skip("this system has no files without a name")
    return request.param


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def as_user(work):
    """Whether `work()` succeeds for an ordinary user: in a child of another user id where we are root."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            work()
            os._exit(0)
        except PermissionError:
            os._exit(1)
        finally:
            os._exit(2)
    return {0: True, 1: False}[os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])]


def test_new_and_old(tmp_path, way):
    path, mask = tmp_path / "m.wisp", os.umask(0o027)
    try:
        write_output(path, b"old")
    finally:
        os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o604)
    if os.geteuid() == 0:
        os.chown(path, 12345, 54321)
    before = path.stat()
    write_output(path, [b"ne", b"", memoryview(b"w"), np.arange(3, dtype=np.uint8)])
    after = path.stat()
    assert path.read_bytes() == b"new\x00\x01\x02" and names(tmp_path) == ["m.wisp"]
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_failure_leaves_the_old_file(tmp_path, way, failure):
    def pieces():
        yield b"half"
        raise failure

    path = tmp_path / "m.wisp"
    for old in (None, b"old"):
        if old:
            path.write_bytes(old)
        with pytest.raises(type(failure)):
            write_output(path, pieces())
        assert (path.read_bytes() if path.exists() else None) == old and names(tmp_path) == (["m.wisp"] if old else [])


def test_links_stay_links(tmp_path, way):
    (tmp_path / "there").mkdir()
    link, chain = tmp_path / "link.wisp", tmp_path / "chain.wisp"
    link.symlink_to("there/real.wisp")
    chain.symlink_to(link)
    for data in (b"through a link that led nowhere", b"through a link"):
        write_output(chain, data)
        assert link.is_symlink() and chain.is_symlink() and (tmp_path / "there" / "real.wisp").read_bytes() == data
    assert names(tmp_path) == ["chain.wisp", "link.wisp", "there"] and names(tmp_path / "there") == ["real.wisp"]
    link.unlink()
    link.symlink_to(chain)
    with pytest.raises(OSError, match="Too many levels"):
        write_output(chain, b"in circles")


def test_inputs_are_never_written(tmp_path):
    victim, folder = tmp_path / "m.onnx", tmp_path / "pictures"
    victim.write_bytes(b"precious")
    folder.mkdir()
    (folder / "1.npy").write_bytes(b"precious")
    os.link(victim, tmp_path / "hard.wisp")
    (tmp_path / "soft.wisp").symlink_to("m.onnx")
    (tmp_path / "folder").symlink_to("pictures")
    for name in ("m.onnx", "hard.wisp", "soft.wisp", "pictures/../m.onnx", "folder/1.npy"):
        for function in (check_output, lambda *arguments: write_output(arguments[0], b"new", arguments[1])):
            with pytest.raises(wisp.OutputError, match="same file as the input"):
                function(tmp_path / name, [victim, tmp_path / "missing", folder])
    assert victim.read_bytes() == (folder / "1.npy").read_bytes() == b"precious"
    write_output(folder / "2.npy", b"beside them", [folder])


def test_no_place_for_a_file(tmp_path):
    for name, text in (("", "name of a file"), (f"{tmp_path}/new/", "name of a file"), (tmp_path, "is a folder")):
        with pytest.raises(wisp.OutputError, match=text):
            write_output(name, b"x")
    with pytest.raises(FileNotFoundError):
        check_output(tmp_path / "missing" / "m.wisp")
    with pytest.raises(NotADirectoryError):
        (tmp_path / "file").touch()
        check_output(tmp_path / "file" / "m.wisp")
    import socket

    with socket.socket(socket.AF_UNIX) as one:
        os.chdir(tmp_path)  # its path may have 107 characters
        one.bind("s")
    with pytest.raises(wisp.OutputError, match="neither a file nor a pipe"):
        write_output(tmp_path / "s", b"x")
    assert names(tmp_path) == ["file", "s"]


def test_write_protected(tmp_path):
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents:
        if parent.name.startswith(("pytest-", "popen-")):  # which are for their owner only
            parent.chmod(0o755)
    mine, open_one = tmp_path / "mine", tmp_path / "open"
    mine.mkdir(mode=0o555)
    open_one.mkdir()
    open_one.chmod(0o777)
    (open_one / "m.wisp").write_bytes(b"old")
    (open_one / "m.wisp").chmod(0o444)
    assert as_user(lambda: write_output(open_one / "n.wisp", b"new"))
    assert not as_user(lambda: write_output(mine / "m.wisp", b"new"))
    assert not as_user(lambda: write_output(open_one / "m.wisp", b"new"))
    assert names(mine) == [] and (open_one / "m.wisp").read_bytes() == b"old"
    mine.chmod(0o755)


def test_pipes_and_devices_are_written_to(tmp_path):
    pipe, got = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    write_output(pipe, [b"through ", b"the pipe"])
    reader.join(10)
    assert got == [b"through the pipe"] and stat.S_ISFIFO(pipe.stat().st_mode)
    write_output("/dev/null", b"gone")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        write_output("/dev/full", b"x")
    if os.geteuid() == 0:  # a block device is a disk
        disk = tmp_path / "disk"
        try:
            os.mknod(disk, stat.S_IFBLK | 0o600, os.makedev(7, 200))
        except OSError as error:
            pytest.skip(f"cannot make a block device here: {error}")
        with pytest.raises(wisp.OutputError, match="neither a file nor a pipe"):
            write_output(disk, b"x")


def test_what_was_left_is_removed(tmp_path, way):
    """What a process killed on a file system without nameless files left: unless it is still at work."""
    import fcntl

    left, busy = tmp_path / ".m[1].wisp.0123abcd.part", tmp_path / ".m[1].wisp.4567cdef.part"
    left.write_bytes(b"half")
    other = tmp_path / ".m1.wisp.0123abcd.part"
    other.write_bytes(b"of another output")
    with open(busy, "wb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        write_output(tmp_path / "m[1].wisp", b"new")
        assert names(tmp_path) == sorted([busy.name, other.name, "m[1].wisp"])


# ---- the command


@pytest.fixture
def folder(tmp_path, small_files, x8):
    onnx.save(small_cnn(), tmp_path / "m.onnx")
    (tmp_path / "m.wisp").write_bytes(small_files["float"])
    np.save(tmp_path / "x.npy", x8)
    (tmp_path / "labels.txt").write_text("ant\nbee\ncat\ndog\n")
    (tmp_path / "samples").mkdir()
    shutil.copy(tmp_path / "x.npy", tmp_path / "samples" / "0.npy")
    return tmp_path


CONVERT = ["convert", "m.onnx", "--no-verify", "-o"]
RUN = ["run", "m.wisp", "--input", "x.npy", "--output"]


@pytest.mark.parametrize("command, text", [
    ([*CONVERT, "./m.onnx"], "./m.onnx: is the same file as the input m.onnx"),
    ([*CONVERT, "link.wisp"], "link.wisp: is the same file as the input m.onnx"),
    ([*CONVERT, "labels.txt", "--labels", "labels.txt"], "labels.txt: is the same file as the input labels.txt"),
    ([*CONVERT, "samples/0.npy", "--quantize", "int8", "--calibrate", "samples"], "as the input samples/0.npy"),
    ([*CONVERT, "samples"], "samples: is a folder"),
    ([*CONVERT, ""], "expected the name of a file"),
    ([*CONVERT, "m.tflite"], "-o m.tflite: expected a name that ends in .wisp, or - for standard output"),
    ([*RUN, "m.wisp"], "m.wisp: is the same file as the input m.wisp"),
    ([*RUN, "x.npy"], "x.npy: is the same file as the input x.npy"),
    ([*RUN, "out.csv"], "--output out.csv: expected a name that ends in .npz or .npy, or - for standard output"),
])
def test_refused_before_anything_is_done(folder, command, text):
    (folder / "link.wisp").symlink_to("m.onnx")
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    result = call_wisp(*command, cwd=folder)
    assert (result.returncode, result.stdout) == (2, "") and result.stderr.rstrip().endswith(text), result.stderr
    assert result.stderr.count("\n") == 1
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


def test_weights_beside_the_model_are_inputs(folder):
    onnx.save(small_cnn(), folder / "two.onnx", save_as_external_data=True, location="two.wisp", size_threshold=0)
    weights = (folder / "two.wisp").read_bytes()
    for arguments in (["convert", "two.onnx"], ["convert", "two.onnx", "-o", "two.wisp"]):
        result = call_wisp(*arguments, cwd=folder)
        assert result.returncode == 2 and "two.wisp: is the same file as the input" in result.stderr
    assert (folder / "two.wisp").read_bytes() == weights
    assert call_wisp("convert", "two.onnx", "-o", "out.wisp", cwd=folder).returncode == 0


@pytest.mark.skipif(not NAMELESS, reason="this system has no files without a name")
@pytest.mark.parametrize("trouble", ["no more processes", "children are not waited for"])
def test_without_a_child(tmp_path, monkeypatch, trouble):
    """A taken name is given anew in this process where there can be no other; a child's status is not needed."""
    def refuse():
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    (tmp_path / "m.wisp").write_bytes(b"old")
    handler = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        if trouble == "no more processes":
            monkeypatch.setattr(os, "fork", refuse)
        write_output(tmp_path / "m.wisp", b"new")
    finally:
        signal.signal(signal.SIGCHLD, handler)
    assert (tmp_path / "m.wisp").read_bytes() == b"new" and names(tmp_path) == ["m.wisp"]


def command(folder, text):
    return subprocess.run(text.replace("wisp ", f"{sys.executable} -m wisp ", 1), shell=True, cwd=folder,
                          capture_output=True, executable="/bin/bash", timeout=300)


def test_standard_output(folder, x8):
    y = wisp.load(folder / "m.wisp").run(x8)["y"]
    result = command(folder, "wisp convert m.onnx -o - | cat > piped.wisp")
    assert np.array_equal(wisp.load(folder / "piped.wisp").run(x8)["y"], y)
    assert b"max difference" in result.stderr and b"-: " in result.stderr  # the report makes way
    command(folder, "wisp run m.wisp --input x.npy --output - > out.npz")
    assert np.array_equal(np.load(folder / "out.npz")["y"], y)
    result = command(folder, "wisp convert m.onnx -o - >> m.onnx")
    assert result.returncode == 2 and b"same file as the input m.onnx" in result.stderr
    for text in ("wisp convert m.onnx -o - > /dev/full", "wisp run m.wisp --input x.npy --output /dev/full"):
        result = command(folder, text)
        assert result.returncode == 1 and result.stderr.strip().endswith(b"No space left on device"), result.stderr
    result = command(folder, "wisp convert m.onnx -o /dev/stdout --quiet | cat > stdout.wisp")
    assert (folder / "stdout.wisp").read_bytes() == (folder / "piped.wisp").read_bytes() and not result.stderr
    result = command(folder, "wisp convert m.onnx -o /dev/stdout --quiet > stdout.wisp")
    assert (folder / "stdout.wisp").read_bytes() == (folder / "piped.wisp").read_bytes() and not result.stderr
    made = {"out.npz", "piped.wisp", "stdout.wisp"}
    assert set(names(folder)) == {"labels.txt", "m.onnx", "m.wisp", "samples", "x.npy"} | made


def test_bytes_are_not_for_a_terminal(folder):
    import pty

    ours, theirs = pty.openpty()
    result = subprocess.run([sys.executable, "-m", "wisp", *CONVERT, "-"], cwd=folder, stdout=theirs,
                            stderr=subprocess.PIPE, text=True, timeout=300)
    os.close(theirs)
    os.close(ours)
    assert result.returncode == 2 and "not for a terminal" in result.stderr


def test_one_array(folder, x8):
    assert command(folder, "wisp run m.wisp --input x.npy --output y.npy").returncode == 0
    assert np.array_equal(np.load(folder / "y.npy"), wisp.load(folder / "m.wisp").run(x8)["y"])


# ---- killed


WRITER = """
import itertools, os, sys
from wisp.output import write_output
os.fsync = lambda descriptor: None  # waiting for the disk is no moment worth a kill
print("ready", flush=True)
for i in itertools.count():
    write_output(sys.argv[1], [bytes([i % 256]) * 10000] * 10)
"""


def killed(arguments, seconds, folder, ready=False):
    """Start the program, wait (from its first line on, if `ready`), and kill it and its group."""
    with subprocess.Popen([sys.executable, *arguments], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          start_new_session=True) as process:
        if ready:
            process.stdout.readline()
        time.sleep(seconds)
        os.killpg(process.pid, signal.SIGKILL)
    for _ in range(100):  # its child may have two system calls to go
        if not [n for n in names(folder) if n.endswith(".part")]:
            return
        time.sleep(0.01)


@pytest.mark.skipif(not NAMELESS, reason="this system has no files without a name")
def test_killed_while_writing(tmp_path):
    """A program that does nothing but write one output, killed 20 times: each file is whole, nothing lies beside it."""
    rng, seen = random.Random(0), set()
    for _ in range(20):
        killed(["-c", WRITER, "m.wisp"], rng.uniform(0.0, 0.2), tmp_path, ready=True)
        assert names(tmp_path) in ([], ["m.wisp"])
        data = (tmp_path / "m.wisp").read_bytes() if names(tmp_path) else b"\0" * 100000
        assert len(data) == 100000 and len(set(data)) == 1
        seen.add(data[0])
    assert len(seen) > 5, "the kills all came before the first write"


@pytest.mark.slow
@pytest.mark.skipif(not NAMELESS, reason="this system has no files without a name")
def test_convert_killed_at_random_moments(folder, record_property):
    """50 kills of `wisp convert` from its start to after its end."""
    arguments = ["-m", "wisp", "convert", "m.onnx", "-o", "out.wisp"]
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=folder, check=True, capture_output=True)
    seconds, new = time.perf_counter() - start, (folder / "out.wisp").read_bytes()
    expected, rng, counts = names(folder), random.Random(0), {"old": 0, "new": 0}
    for _ in range(50):
        (folder / "out.wisp").write_bytes(b"old")
        killed(arguments, rng.uniform(0.0, 1.5 * seconds), folder)
        data = (folder / "out.wisp").read_bytes()
        assert data in (b"old", new) and names(folder) == expected
        counts["old" if data == b"old" else "new"] += 1
    print(f"of 50 kills {counts['old']} found the old file, {counts['new']} the new one")
    assert counts["old"] >= 5, "the kills all came too late"


def test_interrupted(folder):
    """Ctrl-C: status 130, one line, nothing left."""
    before = names(folder)
    process = subprocess.Popen([sys.executable, "-m", "wisp", "bench", "m.wisp", "--seconds", "60"], cwd=folder,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    printed, said = process.communicate(timeout=60)
    assert (process.returncode, printed, said) == (130, "", "wisp bench: interrupted\n")
    assert names(folder) == before
