"""`burstline.toml`: what is read, and that every mistake is refused with its line and what to write instead."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burstline.engine.config import FILE_NAME, Config, Port, load
from burstline.errors import UsageError
from burstline.packet.machine import TunnelPorts
from burstline.pipeline.offloads import DEFAULTS, NAMES, Offloads
from burstline.schema import keys, line_of

EVERYTHING = """\
enable_flow_director = "auto"

[engine]
workers = 2
burst = 128
idle = "poll"
dispatch = "tail"
simd = "scalar"
duration = 1.5
stats_interval = 0.5
cores = [2, 3]

[flows]
export = ["flows.parquet?rotate=60s", "ipfix+udp://127.0.0.1"]

[dpdk]
eal_args = ["-a", "0000:3b:00.0"]
hugepages = false

[[ports]]
device = "dpdk:0000:3b:00.0"
queues = 2
rx_descriptors = 1024
tx_descriptors = 512
mtu = 9000
offloads = { tso = false, checksum = "fill" }
steer = "rte_flow"

[[ports]]
device = "dpdk:net_null0"

[parser]
vxlan = [4789, 8472]
geneve = []
gtpu = [2152]

[offloads]
checksum = true
tso = "auto"
gso = true
lro = true
gro = false
gro_timeout = 0.00005
vlan = 100
rss = "symmetric"
scatter = true
buffer_split = false
multi_segment = true
fast_free = false
timestamp = false
segment_size = 1400
require = ["tso"]
tune = "throughput"

[pools]
classes = [128, 2048, 9216]
receive = "scatter"
ops = "burstline"
buffers = 8191
most = 16383
buffer_size = 2176
cache = 128

[numa]
enabled = true
node = 1
plan = "auto"
irqs = false

[numa_balance]
act = "dry-run"
log = "moves.jsonl"
look = 0.02
least = 0.1
horizon = 5.0
held = 0.004
late = 0.0002
sure = 2.0
margin = 3.0
near = 0.6
dwell = 0.5
moves = 50.0
at_once = 4
park = true
low = 0.4
high = 0.7
calm = 2.0
tune = true

[steering_control]
act = "off"
log = "decisions.jsonl"
look = 0.005
enter = 1.1
leave = 1.05
heavy = 0.1
age = 0.1
agree = 3
window = 32
dwell = 20
unused = 1.0
horizon = 2.0
gain = 0.02
held = 0.001
cold = 0.00001
safe = 0.25
in_flight = 8
stake = 1.0
calm = 10.0
dedicate = 0.7
fast = 1000000
bypass = true
new_connections = true

[service]
user = "nobody"
state = "state"
state_interval = 30.0
"""
SECTIONS = {name: made.metadata["section"] for name, made in keys(Config).items() if "section" in made.metadata}
KEYS = sorted((section, name) for section, kind in SECTIONS.items() for name in keys(kind))
BARE_KEYS = st.text("abcdefghijklmnopqrstuvwxyz_-0123456789", min_size=1, max_size=12)


def wrong(tmp_path: Path, text: str) -> UsageError:
    file = tmp_path / FILE_NAME
    file.write_text(text)
    with pytest.raises(UsageError) as caught:
        load(file)
    assert caught.value.message.startswith(str(file))
    assert caught.value.hint
    return caught.value


def mistyped(name: str) -> st.SearchStrategy[str]:
    """The name with one letter more, less, changed or moved; or any other name."""
    places = st.integers(0, len(name) - 1)
    letters = st.sampled_from("abcdefghijklmnopqrstuvwxyz_")
    return st.one_of(
        places.map(lambda k: name[:k] + name[k + 1 :]),
        st.builds(lambda k, letter: name[:k] + letter + name[k:], places, letters),
        st.builds(lambda k, letter: name[:k] + letter + name[k + 1 :], places, letters),
        places.map(lambda k: name[:k] + name[k : k + 2][::-1] + name[k + 2 :]),
        BARE_KEYS,
    )


def test_every_key_is_read(tmp_path: Path) -> None:
    file = tmp_path / FILE_NAME
    file.write_text(EVERYTHING)
    config = load(file)
    assert config.file == file
    assert (config.engine.workers, config.engine.burst, config.engine.idle) == (2, 128, "poll")
    assert (config.engine.dispatch, config.engine.duration, config.engine.cores) == ("tail", 1.5, (2, 3))
    assert (config.dpdk.eal_args, config.dpdk.hugepages) == (("-a", "0000:3b:00.0"), False)
    own = Offloads(tso=False, checksum="fill")
    assert config.ports == (Port("dpdk:0000:3b:00.0", 2, 1024, 512, 9000, own, "rte_flow"), Port("dpdk:net_null0"))
    assert config.parser.tunnel_ports == TunnelPorts((4789, 8472), (), (2152,))
    asked = Offloads(
        checksum=True, tso="auto", gso=True, lro=True, gro=False, gro_timeout=0.00005, vlan=100, rss="symmetric",
        scatter=True, buffer_split=False, multi_segment=True, fast_free=False, timestamp=False, segment_size=1400,
        require=("tso",), tune="throughput",
    )  # fmt: skip
    assert config.offloads == asked
    assert (config.pools.buffers, config.pools.buffer_size, config.pools.cache) == (8191, 2176, 128)
    assert (config.pools.classes, config.pools.receive, config.pools.ops) == ((128, 2048, 9216), "scatter", "burstline")
    assert config.flows.export == ("flows.parquet?rotate=60s", "ipfix+udp://127.0.0.1")
    assert (config.numa.enabled, config.numa.node) == (True, 1)
    assert (config.service.user, config.service.state, config.service.state_interval) == ("nobody", "state", 30.0)


def test_the_text_above_holds_every_key() -> None:
    """Whoever adds a key adds it to EVERYTHING, so that it is read at least once."""
    for section, name in KEYS:
        assert line_of(EVERYTHING, (section, name)) is not None, f"[{section}] {name}"
    for name in keys(Port):
        assert line_of(EVERYTHING, ("ports", 0, name)) is not None, f"[[ports]] {name}"


def test_settings_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Config().engine.workers = 2  # type: ignore[misc]


def test_the_file_beside_the_app_is_found_and_its_absence_is_fine(tmp_path: Path) -> None:
    app = tmp_path / "app.py"
    assert load(None, app) == Config()
    assert load() == Config()
    (tmp_path / FILE_NAME).write_text("[engine]\nworkers = 3\n")
    assert load(None, app).engine.workers == 3


def test_a_file_named_on_the_command_line_goes_before_the_one_beside_the_app(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("[engine]\nworkers = 3\n")
    other = tmp_path / "other.toml"
    other.write_bytes(b"[engine]\r\nworkers = 4\r\n")
    assert load(other, tmp_path / "app.py").engine.workers == 4


@given(data=st.data(), place=st.sampled_from(KEYS))
def test_any_mistyped_key_is_refused_by_name_and_line(
    data: st.DataObject, place: tuple[str, str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    section, name = place
    written = data.draw(mistyped(name).filter(lambda typed: typed and typed not in keys(SECTIONS[section])))
    file = tmp_path_factory.getbasetemp() / "mistyped.toml"
    file.write_text(f"# a comment\n[{section}]\n\n{written} = 1\n")
    with pytest.raises(UsageError) as caught:
        load(file)
    assert caught.value.message == f"{file}:4: [{section}] has no key '{written}'"


@given(data=st.data(), name=st.sampled_from(sorted(keys(Config))))
def test_any_mistyped_section_is_refused_by_name_and_line(
    data: st.DataObject, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    written = data.draw(mistyped(name).filter(lambda typed: typed and typed not in keys(Config)))
    file = tmp_path_factory.getbasetemp() / "mistyped.toml"
    file.write_text(f"[engine]\nworkers = 1\n[{written}]\n")
    with pytest.raises(UsageError) as caught:
        load(file)
    assert caught.value.message == f"{file}:3: no section or key '{written}'"


@given(text=st.text(max_size=60))
def test_no_text_gives_anything_but_settings_or_a_usage_error(
    text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    with suppress(UsageError):
        load(file)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("[engine]\nworker = 1", "did you mean 'workers'?"),
        ("[engin]", "did you mean 'engine'?"),
        ("workers = 1", "did you mean 'workers' in [engine]?"),
        ("[pools]\nmtu = 1500", "did you mean 'mtu' in [[ports]]?"),
        ("[engine]\nenable_flow_director = false", "did you mean 'enable_flow_director' above the first section?"),
        ('[[ports]]\ndevice = "dpdk:a"\nqueus = 1', "did you mean 'queues'?"),
        ("[offloads]\ntos = true", "did you mean 'tso'?"),
        ('[[ports]]\ndevice = "dpdk:a"\noffloads = { cheksum = true }', "did you mean 'checksum'?"),
    ],
)
def test_an_unknown_key_is_answered_by_the_nearest(text: str, hint: str, tmp_path: Path) -> None:
    assert hint in (wrong(tmp_path, text).hint or "")


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("[engine]\nworkers = 0", 2, "[engine] workers is 0, but must be a whole number, at least 1"),
        ("[engine]\nworkers = true", 2, "[engine] workers is true, but must be a whole number, at least 1"),
        ('[engine]\nworkers = "2"', 2, '[engine] workers is "2", but must be a whole number, at least 1'),
        ("[engine]\n\nburst = 257", 3, '[engine] burst is 257, but must be "auto", or a whole number from 1 to 256'),
        ('[engine]\nidle = "busy"', 2, '[engine] idle is "busy", but must be "poll" or "adaptive"'),
        ("[engine]\nduration = inf", 2, "[engine] duration is inf, but must be a number of seconds above 0"),
        ("[engine]\ncores = [\n 1,\n 1]", 2, "[engine] cores is [1, 1], but must be a list of different core numbers"),
        ("[engine]\nworkers = 2\ncores = [1]", 3, "[engine] cores has 1 core for 2 workers"),
        ("engine.workers = 0", 1, "[engine] workers is 0"),
        ("engine = { workers = 0 }", 1, "[engine] workers is 0"),
        ("engine = 3", 1, "engine is a section"),
        ("[dpdk]\nhugepages = 1", 2, '[dpdk] hugepages is 1, but must be "auto", true or false'),
        ('[dpdk]\neal_args = "-a x"', 2, '[dpdk] eal_args is "-a x", but must be a list of texts'),
        ('[ports]\ndevice = "dpdk:a"', 1, "ports is a list of sections"),
        ("\n[[ports]]\nqueues = 1", 2, "[[ports]] 1, device is missing"),
        ('[[ports]]\ndevice = "eth0"', 2, '[[ports]] 1, device is "eth0", but must be a DPDK device'),
        (
            '[[ports]]\ndevice = "dpdk:a"\n[[ports]]\ndevice = "dpdk:a"',
            4,
            "[[ports]] 2, device is dpdk:a, as in another",
        ),
        ('[[ports]]\ndevice = "dpdk:a"\n[[ports]]\ndevice = "dpdk:b"\nmtu = 67', 5, "[[ports]] 2, mtu is 67"),
        ("[offloads]\nvlan = 4095", 2, "[offloads] vlan is 4095, but must be false, or a VLAN id from 1 to 4094"),
        ("[offloads]\nsegment_size = 65536", 2, "[offloads] segment_size is 65536, but must be a whole number"),
        ('[offloads]\nrequire = ["tos"]', 2, '[offloads] require is ["tos"], but must be "auto"'),
        (
            "[offloads]\ngro_timeout = -1",
            2,
            "[offloads] gro_timeout is -1, but must be a number of seconds, at least 0",
        ),
        (
            '[[ports]]\ndevice = "dpdk:a"\noffloads = { tso = 1 }',
            3,
            '[[ports]] 1, offloads.tso is 1, but must be "auto", true or false',
        ),
        ("[pools]\nbuffers = 100\ncache = 256", 2, "[pools] buffers is 100, too few for a cache of 256"),
        ("[numa]\nenabled = false\nnode = 0", 3, "[numa] node has no effect while enabled = false"),
        ('[numa]\nenabled = false\nplan = "auto"', 3, "[numa] plan has no effect while enabled = false"),
        ('x = """\n[engine]\nworkers = 0\n"""\n[engine]\nworkers = -1', 1, "no section or key 'x'"),
        ("[engine\n", 1, "not TOML: Expected ']'"),
        ("[engine]\nworkers =", 2, "not TOML: Invalid value"),
    ],
)
def test_a_wrong_value_is_refused_with_its_line_and_what_is_allowed(
    text: str, line: int, says: str, tmp_path: Path
) -> None:
    assert wrong(tmp_path, text).message.startswith(f"{tmp_path / FILE_NAME}:{line}: {says}")


def test_text_in_a_value_is_not_taken_for_a_key() -> None:
    source = 'a = """\n[engine]\nworkers = 0\n"""\n# [engine]\n[engine]\nburst = 2\n"workers" = 0\n'
    assert line_of(source, ("engine",)) == 6
    assert line_of(source, ("engine", "workers")) == 8
    assert line_of(source, ("engine", "idle")) is None


def test_the_flow_director_is_off_unless_it_is_asked_for(tmp_path: Path) -> None:
    for text, value in (("", False), ('"auto"', "auto"), ("true", True), ("false", False)):
        (tmp_path / FILE_NAME).write_text(f"enable_flow_director = {text}" if text else "")
        assert load(tmp_path / FILE_NAME).enable_flow_director == value
    assert 'must be "auto", true or false' in wrong(tmp_path, 'enable_flow_director = "on"').message


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a = " + b"[" * 100_000, b"a = " + b"1" * 5000])
def test_a_file_that_is_no_toml_is_refused(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / FILE_NAME
    file.write_bytes(content)
    with pytest.raises(UsageError, match=FILE_NAME):
        load(file)


def test_a_file_that_is_not_there_or_is_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        load(tmp_path / "none.toml")
    with pytest.raises(UsageError, match="Is a directory"):
        load(tmp_path)


def test_options_of_the_command_line_replace_single_keys(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(EVERYTHING)
    config = load(tmp_path / FILE_NAME)
    changed = config.with_overrides(workers=1, idle="adaptive", burst=None, eal_args=["--no-pci"], numa_node=0)
    assert (changed.engine.workers, changed.engine.idle, changed.engine.burst) == (1, "adaptive", 128)
    assert changed.dpdk.eal_args == ("--no-pci",)
    assert changed.numa.node == 0
    assert changed.ports == config.ports
    assert config.engine.workers == 2, "the settings read from the file stay as they were"


def test_an_option_is_checked_as_the_key_is() -> None:
    with pytest.raises(UsageError, match=r"--workers is 0, but must be a whole number, at least 1"):
        Config().with_overrides(workers=0)
    with pytest.raises(UsageError, match=r"\[engine\] cores has 1 core for 2 workers"):
        Config().with_overrides(workers=2, cores=[1])
    with pytest.raises(TypeError, match="wrokers"):
        Config().with_overrides(wrokers=1)


def test_a_port_that_the_file_does_not_mention_has_the_defaults(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(EVERYTHING)
    config = load(tmp_path / FILE_NAME)
    assert config.port("dpdk:0000:3b:00.0").mtu == 9000
    assert config.port("dpdk:net_ring0") == Port("dpdk:net_ring0")


# ---- offloads, layer over layer ----


def test_the_offloads_of_a_port_come_before_the_files_and_these_before_the_pipelines(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text(
        '[offloads]\ngro = true\nlro = true\n[[ports]]\ndevice = "dpdk:net_null0"\noffloads = { lro = false }\n'
    )
    config, pipeline = load(tmp_path / FILE_NAME), Offloads(gro=False, lro=False, checksum="verify")
    own, other = config.offloads_of("dpdk:net_null0", pipeline), config.offloads_of("dpdk:net_null1", pipeline)
    assert (own.gro, own.lro, own.checksum, own.tso) == (True, False, "verify", "auto")
    assert (other.gro, other.lro) == (True, True)
    assert all(getattr(own, name) is not None for name in keys(Offloads) if name != "segment_size")
    assert Config().offloads_of("dpdk:net_null0") == DEFAULTS


def test_an_offload_in_python_is_checked_as_the_file_is() -> None:
    with pytest.raises(UsageError, match="there is no offload 'tos'") as caught:
        Offloads(tos=True)
    assert caught.value.hint == "did you mean tso?"
    with pytest.raises(UsageError, match="there is no offload 'zero_copy'"):
        Offloads(zero_copy=True)
    with pytest.raises(UsageError, match='offloads: tso is "yes", but must be "auto", true or false'):
        Offloads(tso="yes")  # type: ignore[arg-type]
    assert Offloads(require=["tso"]).require == ("tso",)  # type: ignore[arg-type]
    assert set(NAMES) <= set(keys(Offloads))
