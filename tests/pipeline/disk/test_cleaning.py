"""What stays of earlier runs: `output.keep`, `imagegate clean`, and the sizes that `imagegate history` shows."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from components.base.errors import ConfigError, ImagegateError
from components.ingest.workers import crash_mark
from pipeline import cli, config, lock
from pipeline.artifacts.store import ArtifactStore
from pipeline.disk import clean, cleaning
from pipeline.runs import history, report


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Four runs that wrote 10, 20, 30 and 40 bytes each to a stage; run 2 took run 1's shards of 1,000 from the cache.

    Run 1 pushed what is served. A run without changes followed, and one was killed.
    """
    (tmp_path / "pets.yaml").write_text(
        "name: pets\ntask: single_label\ndata: {root: data}\noutput: {folder: out, keep: 1}\npush: {destination: m}\n"
    )
    folder = tmp_path / "out"
    write(folder / "pipeline/ImageExampleGen/examples/1/data", 1000)
    for run in range(1, 5):
        trained = {"model": f"pipeline/Trainer/model/{run * 10}"}
        write(folder / trained["model"] / "saved_model.pb", run * 10)
        write(folder / "digests" / f"{trained['model']}.json", 1)
        write(folder / f"pipeline/Trainer/.system/executor_execution/{run * 10}/x", 1)
        shards = {"examples": "pipeline/ImageExampleGen/examples/1"} if run < 3 else {}
        summary(folder, f"run{run}", trained | shards)
    summary(folder, "run5", {"model": "pipeline/Trainer/model/10"}, status="up_to_date", ran=False)
    (folder / "history/run6").mkdir()
    write(folder / "pipeline/Trainer/model/60/half", 7)
    write(folder / "checkpoints/abc/latest.weights.h5", 8)
    write(folder / "comparisons/none-abc/trials.jsonl", 5)
    write(folder / "comparisons/none-abc/1.npz", 4)
    (folder / "state.json").write_text('{"run": "run1", "served": "17"}')
    (folder / "splits.npy").write_text("earlier splits")
    return folder


def write(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))


def summary(folder: Path, run: str, artifacts: dict[str, str], status: str = "pushed", ran: bool = True) -> None:
    told = {"run_id": run, "name": "pets", "task": "single_label", "status": status, "artifacts": artifacts}
    if ran:
        told["stages"] = [{"name": "Trainer", "seconds": 1, "cached": False}]
    write(folder / "history" / run / "report.html", 100)
    (folder / "history" / run / "summary.json").write_text(json.dumps(told))


def tree(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}


def test_after_a_run_the_newest_runs_the_pushed_one_and_what_is_unfinished_keep_their_artifacts(output: Path) -> None:
    # Newest of the runs that ran: run4. Pushed: run1, with the shards. Older: run2 and run3, of 20 and 30 bytes.
    found = cleaning.removable(str(output), 1, remains=False)
    assert [(each.path, each.size) for each in found] == [
        ("pipeline/Trainer/model/20", 20),
        ("pipeline/Trainer/model/30", 30),
    ]
    before = tree(output)
    cleaning.remove(str(output), found)
    gone = {f"pipeline/Trainer/model/{n}/saved_model.pb" for n in (20, 30)}
    assert before - tree(output) == gone | {f"digests/pipeline/Trainer/model/{n}.json" for n in (20, 30)}
    assert not (output / "pipeline/Trainer/model/20").exists()


def test_as_many_runs_as_told_keep_theirs(output: Path) -> None:
    assert [e.path for e in cleaning.removable(str(output), 2, remains=False)] == ["pipeline/Trainer/model/20"]
    assert cleaning.removable(str(output), 3, remains=False) == []


def test_clean_also_removes_the_remains_of_killed_runs_and_a_dry_run_only_tells(
    output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, file = tree(output), str(output.parent / "pets.yaml")
    assert cli.main(["clean", file, "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "comparisons/none-abc" in told
    assert tree(output) - {".lock"} == before
    assert cli.main(["clean", file]) == 0
    assert capsys.readouterr().out == told.replace("would be removed", "removed")
    left = tree(output)
    left = tree(output)
    assert {path for path in left if path.startswith("pipeline")} == {
        "pipeline/ImageExampleGen/examples/1/data",
        "pipeline/Trainer/model/10/saved_model.pb",
        "pipeline/Trainer/model/40/saved_model.pb",
        "pipeline/Trainer/.system/executor_execution/10/x",
        "pipeline/Trainer/.system/executor_execution/40/x",
    }
    assert {"state.json", "splits.npy", *(f"history/run{n}/report.html" for n in range(1, 6))} <= left
    assert not any(path.startswith(("checkpoints/", "comparisons/")) for path in left)
    assert cli.main(["clean", file]) == 0
    assert "nothing to remove" in capsys.readouterr().out


def test_clean_waits_for_no_run_and_touches_nothing_while_one_is_going_on(
    output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with lock.held(str(output), "run 7"):
        before = tree(output)
        assert cli.main(["clean", str(output.parent / "pets.yaml")]) == 1
        assert tree(output) == before
    assert f"run 7 (process {os.getpid()} on " in capsys.readouterr().err


def test_links_out_of_the_output_are_not_followed(output: Path, tmp_path: Path) -> None:
    write(tmp_path / "elsewhere/50/precious", 1)
    write(tmp_path / "elsewhere/precious", 1)
    shutil.rmtree(output / "comparisons")
    (output / "comparisons").symlink_to(tmp_path / "elsewhere")
    (output / "pipeline/Evaluator").mkdir()
    (output / "pipeline/Evaluator/evaluation").symlink_to(tmp_path / "elsewhere")
    (output / "pipeline/Trainer/model/70").symlink_to(tmp_path / "elsewhere")
    write(output / "pipeline/Trainer/model/80/x", 1)
    (output / "pipeline/Trainer/model/80/link").symlink_to(tmp_path / "elsewhere")
    cleaning.remove(str(output), cleaning.removable(str(output), 1, remains=True))
    assert tree(tmp_path / "elsewhere") == {"50/precious", "precious"}
    assert not (output / "pipeline/Trainer/model/80").exists()


def test_other_peoples_files_in_the_output_stay(output: Path) -> None:
    for path in ("notes.txt", "pipeline/notes/1/x", "pipeline/Trainer/model/README", "pipeline/Trainer/model/old/x"):
        write(output / path, 1)
    cleaning.remove(str(output), cleaning.removable(str(output), 1, remains=True))
    assert {"notes.txt", "pipeline/notes/1/x", "pipeline/Trainer/model/README"} <= tree(output)
    assert "pipeline/Trainer/model/old/x" in tree(output)


def test_a_removal_that_stopped_half_way_goes_on(output: Path) -> None:
    write(output / ".removed/pipeline-Trainer-model-20/half", 3)
    cleaning.remove(str(output), cleaning.removable(str(output), 9, remains=False))
    assert not (output / ".removed").exists()


@pytest.mark.parametrize("path", ["checkpoints/abc", "comparisons/none-abc"])
def test_what_is_there_anew_is_removed_though_its_removal_stopped_half_way_before(tmp_path: Path, path: str) -> None:
    """A killed run continues from the same folder as the one before it, so the name comes again."""
    write(tmp_path / ".removed" / path.replace("/", "-") / "half", 3)
    write(tmp_path / path / "trials.jsonl", 5)
    cleaning.remove(str(tmp_path), cleaning.removable(str(tmp_path), 1, remains=True))
    assert not (tmp_path / ".removed").exists()
    assert not (tmp_path / path).exists()


def test_what_runs_share_counts_once_for_the_newest_that_ran(output: Path) -> None:
    os.link(output / "pipeline/Trainer/model/40/saved_model.pb", output / "pipeline/Trainer/model/30/linked")
    sizes, of_summary = cleaning.sizes(str(output)), {}
    for run in range(1, 6):
        of_summary[f"run{run}"] = 100 + (output / f"history/run{run}/summary.json").stat().st_size
    assert {run: size - of_summary.get(run, 0) for run, size in sizes.items()} == {
        "run6": 0, "run5": 0, "run4": 40, "run3": 30, "run2": 20 + 1000, "run1": 10,
    }  # fmt: skip


@pytest.mark.parametrize("path", ["../elsewhere", "{elsewhere}", "", "x" * 300, "a/" * 3000, "a\0b", "\ud800"])
def test_what_a_damaged_summary_names_is_not_looked_at(output: Path, tmp_path: Path, path: str) -> None:
    """Nothing outside is measured, and a name that no file system takes ends neither a run, clean nor history."""
    write(tmp_path / "elsewhere/data", 5000)
    found, sizes = cleaning.removable(str(output), 2, remains=True), cleaning.sizes(str(output))
    artifacts = {"model": "pipeline/Trainer/model/40", "other": path.format(elsewhere=tmp_path / "elsewhere")}
    summary(output, "run4", artifacts)
    own = 100 + (output / "history/run4/summary.json").stat().st_size
    assert cleaning.removable(str(output), 2, remains=True) == found
    assert cleaning.sizes(str(output)) == sizes | {"run4": own + 40}


def test_the_page_of_a_run_without_artifacts_stays(output: Path) -> None:
    cleaning.remove(str(output), cleaning.removable(str(output), 1, remains=False))
    with pytest.raises(ImagegateError, match=r"what this run wrote was removed .*report\.html stays as it is"):
        report.again(str(output / "history/run3"))
    assert (output / "history/run3/report.html").stat().st_size == 100
    assert history.read_summary(str(output / "history/run3")) is not None


def test_nothing_to_clean_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("name: a\ntask: single_label\ndata: {root: data}\npush: {destination: m}\noutput: none\n")
    with pytest.raises(ConfigError, match="nothing to clean"):
        list(clean.run(config.load(str(path)), dry=False))


@pytest.mark.parametrize("told", ["output: out", "output: {folder: out}"])
def test_a_folder_alone_is_the_short_form(tmp_path: Path, told: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(f"name: a\ntask: single_label\ndata: {{root: data}}\npush: {{destination: m}}\n{told}\n")
    settings = config.load(str(path), ["output.keep=2"])
    assert (settings.output_folder, settings.output.keep) == (str(tmp_path / "out"), 2)
    assert settings.fingerprint() == config.load(str(path)).fingerprint()  # what is kept changes no result
    assert config.load(str(path), ["output=other"]).output_folder == str(tmp_path / "other")


def test_features_of_the_backbones_that_were_used_last_stay(output: Path) -> None:
    """Four sizes of a backbone, used at 1, 2, 3 and 4 s, and compared pairs by three versions of the code; two stay."""
    for n in range(1, 5):
        write(output / f"features/key{n}/part.npz", n)
        os.utime(output / f"features/key{n}", (n, n))
    for n in range(5, 8):
        write(output / f"features/copies-{n}/part.npz", n)
        os.utime(output / f"features/copies-{n}", (n, n))
    found = [each.path for each in cleaning.removable(str(output), 2, remains=False)]
    stale = [path for path in found if path.startswith("features")]
    assert stale == ["features/key1", "features/key2", "features/copies-5"]


def test_what_lies_in_a_store_goes_with_its_copy(
    output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"file://{tmp_path}/store"
    store = ArtifactStore(url, str(output))
    store.begin("pets")
    for number in (10, 20, 30, 40):
        store.send(f"{url}/Trainer/model/{number}")
    shutil.rmtree(output / "pipeline/Trainer/model/30")  # a copy that somebody removed
    found = cleaning.removable(str(output), 1, remains=False, stored=store.artifacts())
    assert {(each.path, each.size, each.stored) for each in found} == {
        ("pipeline/Trainer/model/20", 20, 20),
        ("pipeline/Trainer/model/30", 0, 30),
    }
    cleaning.remove(str(output), found, store)
    kept = {"pipeline/Trainer/model/10", "pipeline/Trainer/model/40"}
    assert store.artifacts().keys() == kept
    assert not (output / "pipeline/Trainer/model/20").exists()

    write(tmp_path / "store/Trainer/model/70/half", 2_000)  # of a run that was killed
    settings = (str(tmp_path / "pets.yaml"), "--set", f"output.artifacts={url}")
    assert cli.main(["clean", *settings, "--dry-run"]) == 0
    assert f"0.0 KB  pipeline/Trainer/model/70 (2.0 KB in {url})" in capsys.readouterr().out
    assert cli.main(["clean", *settings]) == 0
    assert capsys.readouterr().out.endswith(f" removed below {output}, and 2.0 KB below {url}\n")
    assert store.artifacts().keys() == kept
    assert cli.main(["clean", *settings]) == 0  # what another output wrote is not touched
    shutil.rmtree(output)
    (output / "history").mkdir(parents=True)
    assert cli.main(["clean", *settings]) == 0
    assert store.artifacts().keys() == kept


def test_clean_removes_the_marks_of_commands_that_died_over_images(tmp_path: Path) -> None:
    """One whose command still reads stays, and so does one that keeps the next run from dying of the same image."""
    dies = "import os, sys; from components.ingest.workers import crash_mark\n"
    dies += "with crash_mark.reading(sys.argv[1]): os._exit(1)"
    with crash_mark.reading(str(tmp_path), "unlabelled") as found:
        found.crashed = True
    subprocess.run([sys.executable, "-c", dies, str(tmp_path)], check=False)
    with crash_mark.reading(str(tmp_path), "unlabelled"):
        assert len(os.listdir(tmp_path)) == 3
        cleaning.remove(str(tmp_path), cleaning.removable(str(tmp_path), 1, remains=True))
        names = os.listdir(tmp_path)
        assert [name.split(".")[1] for name in names] == ["unlabelled", "unlabelled"]
