"""The log of scheduled runs does not grow without end."""

from pathlib import Path

from pipeline import scheduled


def project(folder: Path) -> tuple[str, Path]:
    """A configuration whose data do not exist, so that each run ends at once with exit code 2."""
    told = "name: a\ntask: single_label\noutput: out\ndata: {root: none}\npush: {destination: m}\n"
    (folder / "a.yaml").write_text(told)
    (folder / "out").mkdir()
    return str(folder / "a.yaml"), folder / "out" / "schedule.log"


def test_a_long_log_is_put_aside_and_four_old_ones_stay(tmp_path: Path) -> None:
    path, log = project(tmp_path)
    for number in range(1, 5):
        (tmp_path / f"out/schedule.log.{number}").write_text(f"old {number}")
    log.write_text("x" * 1_000_000)
    assert scheduled.main([path]) == 2
    assert log.read_text().startswith("== 2")
    assert Path(f"{log}.1").read_text() == "x" * 1_000_000
    assert [Path(f"{log}.{number}").read_text() for number in (2, 3, 4)] == ["old 1", "old 2", "old 3"]
    assert not Path(f"{log}.5").exists()


def test_a_short_log_goes_on(tmp_path: Path) -> None:
    path, log = project(tmp_path)
    log.write_text("earlier\n")
    assert scheduled.main([path]) == 2
    assert log.read_text().startswith("earlier\n== 2")
    assert not Path(f"{log}.1").exists()
