"""What a SOURCE names."""

from __future__ import annotations

import csv
import tarfile
from pathlib import Path

import pytest

from edgeaff.archive.slurm import sbatch_script
from edgeaff.archive.sources import find_tasks
from edgeaff.archive.work import local_media
from edgeaff.errors import ArgumentError, MediaError


@pytest.fixture
def media(tmp_path):
    folder = tmp_path / "media"
    (folder / "deep").mkdir(parents=True)
    for name, size in [("a.mp4", 10), ("b.WAV", 30), ("deep/c.mkv", 20), ("notes.txt", 5)]:
        (folder / name).write_bytes(b"x" * size)
    return folder


def files(tasks):
    return [task.file for task in tasks]


def test_folder_is_searched_and_sorted_longest_first(media):
    assert files(find_tasks([media])) == [f"{media}/{name}" for name in ("b.WAV", "deep/c.mkv", "a.mp4")]


def test_named_file_is_taken_with_any_ending(media):
    assert files(find_tasks([media / "notes.txt"])) == [f"{media}/notes.txt"]


def test_glob_and_folder_name_each_file_once(media):
    assert len(find_tasks([media, f"{media}/**/*.mkv", f"{media}/a.mp4"])) == 3


@pytest.mark.parametrize("column", ["file", "path"])
def test_csv_manifest_names_files_beside_it(media, column):
    with open(media / "list.csv", "w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([[column, "person"], ["a.mp4", "p1"], [f"{media}/deep/c.mkv", "p2"]])
    assert files(find_tasks([media / "list.csv"])) == [f"{media}/deep/c.mkv", f"{media}/a.mp4"]


@pytest.mark.needs_table
def test_parquet_manifest_names_files(media):
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.table({"path": [f"{media}/a.mp4"]}), media / "list.parquet")
    assert files(find_tasks([media / "list.parquet"])) == [f"{media}/a.mp4"]


@pytest.mark.parametrize(
    ("text", "message"),
    [("name\nx\n", "column file or path"), ("file,start\na.mp4,3\n", "whole files"), ("file\n\xff", "UTF-8")],
)
def test_unusable_manifest_is_refused(media, text, message):
    (media / "list.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(ArgumentError, match=message):
        find_tasks([media / "list.csv"])


@pytest.mark.parametrize("name", ["nothing", "*.avi", "deep/none.mp4"])
def test_source_without_media_is_refused(media, name):
    with pytest.raises(ArgumentError, match="source must name media files"):
        find_tasks([media / name])


def test_tar_members_are_tasks_and_are_unpacked_for_the_work(media, tmp_path):
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        tar.add(media / "a.mp4", "x/000.mp4")
        tar.add(media / "notes.txt", "x/000.txt")
    (task,) = find_tasks([tmp_path / "shard.tar"])
    assert (task.file, task.size) == (f"{tmp_path}/shard.tar::x/000.mp4", 10)
    with local_media(task.file) as path:
        assert Path(path).read_bytes() == b"x" * 10
    assert not Path(path).exists()


def test_member_that_is_gone_is_a_media_error(media, tmp_path):
    with tarfile.open(tmp_path / "shard.tar", "w") as tar:
        tar.add(media / "a.mp4", "a.mp4")
    with pytest.raises(MediaError, match="has no file"), local_media(f"{tmp_path}/shard.tar::b.mp4"):
        pass


def test_broken_tar_is_a_media_error(tmp_path):
    (tmp_path / "x.tar").write_bytes(b"not a tar" * 100)
    with pytest.raises(MediaError, match="not a tar file"):
        find_tasks([tmp_path / "x.tar"])


def test_slurm_script_shards_the_same_command():
    text = sbatch_script(["annotate", "a b", "--output", "out", "--engine", "slurm", "--print-sbatch", "4"], 4)
    assert "#SBATCH --array=0-3" in text
    assert "edgeaff annotate 'a b' --output out --workers 1 --shard \"$SLURM_ARRAY_TASK_ID/4\"" in text
