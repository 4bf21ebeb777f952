"""Many writers of one folder, writers that are killed, and links in the way: nothing is mixed, half shown or lost."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from synth import folder as folders
from synth.errors import DataError
from synth.folder import new_file, new_folder, replace

HERE = Path(__file__).resolve().parents[1]
PARTS = ("mark", "rows", "page")  # a whole folder holds all three, with the same word in each


def make(path: Path, word: str, *, keep: bool = True, meanwhile: Callable[[], None] = lambda: None) -> None:
    with new_folder(path, mark="mark", keep=keep) as folder:
        for name in PARTS:
            (folder / name).write_text(word)
        meanwhile()


def words(parent: Path) -> Counter[str]:
    """The word of every folder in sight. Fails for a half or a mixed one."""
    found: Counter[str] = Counter()
    for folder in parent.iterdir():
        if not folder.name.startswith("."):
            said = {(folder / name).read_text() for name in PARTS}
            assert len(said) == 1, f"{folder.name} is mixed of {said}"
            found[said.pop()] += 1
    return found


def hidden(parent: Path) -> list[str]:
    return sorted(path.name for path in parent.iterdir() if path.name.startswith("."))


# many at once -------------------------------------------------------------------------------------------------------------


def all_at_once(jobs: list[Callable[[], None]]) -> None:
    """Run these in threads that start together; the first failure is raised."""
    start, failures = threading.Barrier(len(jobs)), []

    def work(job: Callable[[], None]) -> None:
        start.wait()
        try:
            job()
        except BaseException as problem:
            failures.append(problem)

    threads = [threading.Thread(target=work, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def test_threads_that_write_one_folder_at_once_take_turns_and_every_folder_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "new" / "parents" / "run"
    all_at_once([lambda word=str(i): make(target, word) for i in range(8)])  # type: ignore[misc]
    assert words(target.parent) == Counter(map(str, range(8)))
    assert hidden(target.parent) == []


WRITER = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from synth.folder import new_folder
sys.stdin.readline()  # all begin together
for number in range(5):
    with new_folder(Path(sys.argv[1]), mark="mark") as folder:
        for name in ("mark", "rows", "page"):
            (folder / name).write_text(f"{sys.argv[2]}.{number}")
            time.sleep(0.002)
"""


def writer(target: Path, word: str) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", WRITER, str(target), word, str(HERE)]
    return subprocess.Popen(arguments, stdin=subprocess.PIPE, text=True)


@pytest.mark.attack(
    "two and more processes write one export or run at once", "they take turns; each stands whole under a name of its own"
)
def test_processes_that_write_one_folder_at_once_take_turns_and_every_folder_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "export"
    writers = [writer(target, word) for word in "abc"]
    for process in writers:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.close()
    assert [process.wait(60) for process in writers] == [0, 0, 0]
    assert words(tmp_path) == Counter(f"{word}.{number}" for word in "abc" for number in range(5))
    assert hidden(tmp_path) == []


def test_whoever_waits_too_long_is_refused_and_the_first_is_not_disturbed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "PATIENCE", 0.1)
    with new_folder(tmp_path / "run", mark="mark") as folder:
        (folder / "mark").write_text("first")
        with pytest.raises(DataError, match="being written to by another process or thread; let it finish"):
            make(tmp_path / "run", "second")
        (folder / "rows").write_text("first")
        (folder / "page").write_text("first")
    assert words(tmp_path) == Counter({"first": 1})
    assert hidden(tmp_path) == []


def test_a_failure_beside_a_writer_does_not_take_its_new_parents_away(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b"

    def fail() -> None:
        with pytest.raises(ValueError, match="planted"), new_folder(target / "other", mark="mark"):
            raise ValueError("planted")

    for _ in range(20):
        all_at_once([fail, lambda: make(target / "run", "whole", keep=False), fail])
        assert words(target) == Counter({"whole": 1})


def test_threads_that_write_one_file_at_once_leave_one_of_them_whole(tmp_path: Path) -> None:
    contents = [str(i) * 50_000 for i in range(8)]
    for _ in range(5):
        all_at_once([lambda text=text: replace(tmp_path / "verdict.json", text) for text in contents])  # type: ignore[misc]
        assert (tmp_path / "verdict.json").read_text() in contents
        assert [path.name for path in tmp_path.iterdir()] == ["verdict.json"]


# links and strangers ------------------------------------------------------------------------------------------------------


@pytest.mark.attack("a link stands where a run or an export is to be written", "refused; what it leads to is left alone")
@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_refused_as_a_target(tmp_path: Path, there: bool) -> None:
    if there:
        make(tmp_path / "elsewhere", "theirs")
    (tmp_path / "run").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="is a link"):
        make(tmp_path / "run", "ours")
    assert (tmp_path / "run").is_symlink()
    assert (tmp_path / "elsewhere").exists() is there


@pytest.mark.attack(
    "the folder is changed for a link while a run writes", "the link is not followed; the run stands under the next name"
)
def test_a_link_that_comes_in_the_meantime_is_not_followed(tmp_path: Path) -> None:
    make(tmp_path / "elsewhere", "theirs")
    with pytest.raises(DataError, match=r"something else came to lie .* is whole, in .*run\.1"):
        make(tmp_path / "run", "ours", meanwhile=lambda: (tmp_path / "run").symlink_to(tmp_path / "elsewhere"))
    assert (tmp_path / "run").readlink() == tmp_path / "elsewhere"
    assert (tmp_path / "run.1" / "rows").read_text() == "ours"
    assert (tmp_path / "elsewhere" / "rows").read_text() == "theirs"


def test_a_strangers_folder_that_comes_in_the_meantime_is_not_moved(tmp_path: Path) -> None:
    def meanwhile() -> None:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "photo").write_text("theirs")

    with pytest.raises(DataError, match="something else came to lie"):
        make(tmp_path / "run", "ours", meanwhile=meanwhile)
    assert (tmp_path / "run" / "photo").read_text() == "theirs"
    assert (tmp_path / "run.1" / "mark").read_text() == "ours"


@pytest.mark.attack("a link is planted under the name of the lock", "refused; the file it leads to is not touched")
def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / ".run.lock").symlink_to(tmp_path / "precious")
    with pytest.raises(DataError, match="cannot write"):
        make(tmp_path / "run", "ours")
    assert not (tmp_path / "precious").exists()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", [".", ".."])
def test_a_folder_without_a_name_is_refused(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "with" / "empty").mkdir(parents=True)
    (tmp_path / "with" / "mark").write_text("")
    monkeypatch.chdir(tmp_path / "empty" if name == "." else tmp_path / "with" / "empty")
    with pytest.raises(DataError, match="has no name"):
        make(Path(name), "ours")


# killed -------------------------------------------------------------------------------------------------------------------

KILLED = """
import json, os, shutil, signal, sys
from contextlib import suppress
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from synth import folder as folders
from synth.errors import DataError
from synth.folder import new_folder

parent, keep, fault = Path(sys.argv[1]), sys.argv[3] == "keep", sys.argv[4]


def make(word):
    with new_folder(parent / "run", mark="mark", keep=keep) as folder:
        for name in ("mark", "rows", "page"):
            (folder / name).write_text(word)


def into_the_target(temporary, path, mark, keep):  # the planted faults: how it must not be done
    shutil.copytree(temporary, path, dirs_exist_ok=True)
    shutil.rmtree(temporary)
    return path


def straight(temporary, path, mark, keep):
    if path.is_dir():
        shutil.rmtree(path)
    temporary.rename(path)
    return path


if fault != "none":
    folders._take_place = {"into the target": into_the_target, "straight": straight}[fault]


def killed_at(k):
    '''Make a folder in a child that is killed before its k-th act on files; whether it came so far.'''
    child = os.fork()
    if child == 0:
        left = k

        def count(event, arguments):
            nonlocal left
            if event.startswith(("open", "os.", "shutil.", "fcntl.")) and event != "os.kill":
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(count)
            make("new")
        finally:
            os._exit(0)
    return os.waitpid(child, 0)[1] == signal.SIGKILL


def seen():
    '''The words of every folder in sight; None for a half one, and for a mixed one.'''
    found = {}
    for folder in sorted(parent.iterdir()):
        if not folder.name.startswith("."):
            said = {file.read_text() for file in folder.iterdir()} if len(list(folder.iterdir())) == 3 else {None}
            found[folder.name] = said.pop() if len(said) == 1 else None
    return found


k, states = 0, []
while True:
    shutil.rmtree(parent)
    parent.mkdir()
    make("old")
    killed = killed_at(k)
    after, beside = seen(), [p.name.split("-")[0] for p in parent.iterdir() if p.name.startswith(".")]
    with suppress(DataError):  # where the next writer is in no position to put it right
        make("next")
    states.append({"k": k, "after": after, "beside": beside, "next": seen(), "left": [p.name for p in parent.glob(".*")]})
    if not killed:
        break
    k += 1
print(json.dumps(states))
"""


def killed(parent: Path, keep: bool, fault: str = "none") -> list[dict[str, object]]:
    """What stands after a writer was killed before its 0th, 1st, … act on files; and what stands after the next writer."""
    parent.mkdir()
    arguments = [sys.executable, "-c", KILLED, str(parent), str(HERE), "keep" if keep else "replace", fault]
    ended = subprocess.run(arguments, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    states: list[dict[str, object]] = json.loads(ended.stdout)
    assert len(states) > 15
    return states


def faults_of(state: dict[str, object], keep: bool) -> list[str]:
    """What is wrong with what a killed writer, and the next one, left."""
    after, later = state["after"], state["next"]
    assert isinstance(after, dict)
    assert isinstance(later, dict)
    faults = []
    if None in after.values():
        faults.append("half")
    if keep and "old" not in after.values():
        faults.append("lost")
    if not keep and not after and not any("ready" in str(name) for name in state["beside"]):  # type: ignore[attr-defined]
        faults.append("lost")
    if later.get("run") != "next" or None in later.values() or (keep and "old" not in later.values()):
        faults.append("not put right")
    if not keep and later != {"run": "next"}:
        faults.append("not replaced")
    if state["left"]:
        faults.append("not clean")
    return faults


@pytest.mark.attack(
    "kill −9 before any act on files of writing a folder, and between the renames", "nothing half, nothing lost, put right next"
)
@pytest.mark.parametrize("keep", [True, False])
def test_a_writer_may_be_killed_before_any_of_its_acts(tmp_path: Path, keep: bool) -> None:
    states = killed(tmp_path / "parent", keep)
    assert [(state["k"], found) for state in states if (found := faults_of(state, keep))] == []
    cut_off = [state for state in states if ".run.ready" in state["beside"]]  # type: ignore[operator]
    assert any("run" not in state["after"] for state in cut_off), "the kill came between the two renames"  # type: ignore[operator]
    if keep:  # a whole folder that had not its name yet is not thrown away
        assert all("new" in state["next"].values() for state in cut_off)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("fault", "keep", "seen"), [("into the target", True, "half"), ("straight", True, "lost"), ("straight", False, "lost")]
)
def test_the_kills_would_notice_a_writer_that_does_it_wrong(tmp_path: Path, fault: str, keep: bool, seen: str) -> None:
    found = {fault for state in killed(tmp_path / "parent", keep, fault) for fault in faults_of(state, keep)}
    assert seen in found


def test_the_lock_of_a_killed_process_holds_nobody_up_and_its_halves_are_swept(tmp_path: Path) -> None:
    process = writer(tmp_path / "run", "a")
    process.kill()
    process.wait()
    if process.stdin is not None:
        process.stdin.close()
    (tmp_path / ".run.lock").touch()
    (tmp_path / f".run.partial-{process.pid}").mkdir()
    make(tmp_path / "run", "next")
    assert (words(tmp_path), hidden(tmp_path)) == (Counter({"next": 1}), [])


def test_a_half_file_of_a_killed_process_is_swept_and_a_living_ones_is_not(tmp_path: Path) -> None:
    (tmp_path / ".rows.parquet.partial-00ff").write_text("half")
    with new_file(tmp_path / "rows.parquet") as file:
        file.write(b"first")
        replace(tmp_path / "rows.parquet", "second")
        assert len(hidden(tmp_path)) == 1, "the one that is being written is left alone"
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("rows.parquet", "first")]
