"""Archives on a Ray cluster of two nodes, and into an object store that moto serves on the loopback."""

from __future__ import annotations

import pytest

import edgeaff
from edgeaff.archive import annotate
from edgeaff.archive.task import Task
from edgeaff.archive.work import part_name
from tests.archive.clips import write_clips

pytestmark = [pytest.mark.system, pytest.mark.needs_media]


@pytest.fixture
def cluster():
    from edgeaff.archive.cluster import load_ray

    ray = load_ray()
    from ray.cluster_utils import Cluster

    nodes = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "node_ip_address": "127.0.0.2", "include_dashboard": False}
    )
    nodes.add_node(num_cpus=1, node_ip_address="127.0.0.3")
    ray.init(address=nodes.address, log_to_driver=False, _node_ip_address="127.0.0.2")
    yield nodes
    ray.shutdown()
    nodes.shutdown()


@pytest.mark.timeout(400)
@pytest.mark.needs_ray
def test_ray_parts_equal_analyze_also_after_a_node_is_lost(cluster, tmp_path):
    clips = write_clips(tmp_path / "in", [f"{number}.wav" for number in range(12)])
    seen = []

    def lose_a_node(progress):
        seen.append(progress.files[0])
        if len(cluster.worker_nodes) == 1 and progress.files[0] >= 2:
            cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)

    report = annotate([tmp_path / "in"], tmp_path / "out", engine="ray", workers=2, kind="jsonl", progress=lose_a_node)
    assert report == {"done": 12, "failed": [], "poison": [], "output": str(tmp_path / "out")}
    assert not cluster.worker_nodes
    for clip in clips:
        edgeaff.analyze(clip).to_jsonl(tmp_path / "one.jsonl")
        part = tmp_path / "out" / part_name(Task(str(clip)), "jsonl")
        assert part.read_bytes() == (tmp_path / "one.jsonl").read_bytes()


@pytest.fixture
def bucket(monkeypatch):
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    import s3fs

    system = s3fs.S3FileSystem(skip_instance_cache=True)
    system.mkdir("corpus")
    yield system
    server.stop()


@pytest.mark.needs_s3
@pytest.mark.needs_table
def test_object_store_serves_as_source_and_as_output(bucket, tmp_path):
    (clip,) = write_clips(tmp_path / "in", ["a.wav"])
    bucket.put_file(str(clip), "corpus/media/a.wav")
    report = annotate(["s3://corpus/media"], "s3://corpus/out", workers=1)
    assert report == {"done": 1, "failed": [], "poison": [], "output": "s3://corpus/out"}
    bucket.invalidate_cache()
    assert bucket.ls("corpus/out/events") == ["corpus/out/" + part_name(Task("s3://corpus/media/a.wav"), "parquet")]
    assert annotate(["s3://corpus/media"], "s3://corpus/out", workers=1) == report


@pytest.mark.needs_datasets
def test_dataset_loader_reads_the_output(tmp_path):
    import datasets

    write_clips(tmp_path / "in", ["a.wav", "b.wav"])
    annotate([tmp_path / "in"], tmp_path / "out", workers=1)
    table = datasets.load_dataset(
        "parquet", data_files=str(tmp_path / "out" / "events" / "*.parquet"), cache_dir=str(tmp_path / "c")
    )
    assert set(table["train"]["file"]) == {str(tmp_path / "in" / "a.wav"), str(tmp_path / "in" / "b.wav")}
    assert {"valence", "arousal", "status", "pts_ns", "face_x0"} <= set(table["train"].column_names)
