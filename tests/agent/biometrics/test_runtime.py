"""Both interpreters: right answers are used, wrong ones refuse to start."""

import sys
import types

import msgspec
import numpy as np
import pytest

from agent.biometrics.errors import ModelError
from agent.biometrics.manifest import Golden, load_manifest, read_model, shipped_dir
from agent.biometrics.runtime import (
    RUNTIMES,
    Network,
    Options,
    choose_runtime,
    golden_heads,
    ramp,
)

README_HEAD = (-33, 30, 3, -15, -26, -31, -38, -18, 24, -19, 65, -8, -91, -25, -25, 17)
"""The embedder's golden vector as its makers published it."""


@pytest.fixture(scope="module")
def embedder_file():
    spec = load_manifest().find("", "face-embedder")
    return spec, read_model(shipped_dir(), spec)


def test_the_published_golden_vector_is_met_by_each_runtime(embedder_file, runtime):
    spec, data = embedder_file
    head = golden_heads(Network(spec, data, Options(runtime=runtime)))[0][:16]
    assert np.abs(np.subtract(head, README_HEAD)).max() <= 3


def test_the_ramp_is_as_the_manifest_words_it():
    picture = ramp(7, 5)
    assert picture.shape == (7, 5, 3)
    assert picture[0, 0].tolist() == [0, 0, 0]
    assert picture[6, 4].tolist() == [255, 255, 255]
    assert picture[1, 3].tolist() == [3 * 255 // 4, 255 // 6, 4 * 255 // 10]


@pytest.mark.parametrize("change", [{0: 20.0}, {31: float("nan")}])
def test_a_wrong_golden_vector_refuses_to_start(embedder_file, runtime, change):
    spec, data = embedder_file
    head = list(spec.golden.heads[0])
    for place, value in change.items():
        head[place] += value
    wrong = msgspec.structs.replace(spec, golden=Golden(heads=(tuple(head),)))
    with pytest.raises(ModelError, match="wrong answer"):
        Network(wrong, data, Options(runtime=runtime))


def test_a_golden_vector_of_another_shape_refuses_to_start(embedder_file):
    spec, data = embedder_file
    wrong = msgspec.structs.replace(spec, golden=Golden(heads=(spec.golden.heads[0][:8],)))
    with pytest.raises(ModelError, match="another shape"):
        Network(wrong, data)


def test_a_runtime_that_answers_zeros_refuses_to_start(embedder_file, monkeypatch):
    spec, data = embedder_file
    network = Network(spec, data)
    real = network._interpreter

    class Zeros:
        def __getattr__(self, name):
            return getattr(real, name)

        def get_tensor(self, index):
            return np.zeros_like(real.get_tensor(index))

    network._interpreter = Zeros()
    with pytest.raises(ModelError, match="wrong answer"):
        network.check(spec.golden)


@pytest.mark.parametrize("cut", [0, 20, 4096])
def test_what_is_no_model_is_refused_by_each_runtime(embedder_file, runtime, cut):
    spec, _ = embedder_file
    with pytest.raises(ModelError, match="cannot load"):
        Network(spec, b"no model"[: cut or 8] + bytes(cut), Options(runtime=runtime))


def test_a_model_of_another_size_is_refused(embedder_file):
    spec, data = embedder_file
    other = msgspec.structs.replace(
        spec, input=msgspec.structs.replace(spec.input, width=112, height=112), golden=None
    )
    with pytest.raises(ModelError, match="the manifest says"):
        Network(other, data)


def test_litert_without_xnnpack_is_refused_unless_asked_for(embedder_file, monkeypatch):
    litert = pytest.importorskip(RUNTIMES["litert"])
    spec, data = embedder_file
    plain = litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES

    class WithoutXnnpack(litert.Interpreter):
        def __init__(self, **arguments):
            super().__init__(**arguments | {"experimental_op_resolver_type": plain})

    monkeypatch.setattr(litert, "Interpreter", WithoutXnnpack)
    with pytest.raises(ModelError, match="without XNNPACK"):
        Network(spec, data, Options(runtime="litert"))
    assert Network(spec, data, Options(runtime="litert", delegate="none")).runtime == "litert"


def test_a_delegate_that_is_not_there_is_refused(embedder_file, runtime):
    spec, data = embedder_file
    with pytest.raises(ModelError, match=r"delegate /nowhere\.so"):
        Network(spec, data, Options(runtime=runtime, delegate="/nowhere.so"))


def test_auto_takes_the_faster_one_present(monkeypatch):
    found = {"ai_edge_litert": object(), "tflite_runtime": object()}
    monkeypatch.setattr("importlib.util.find_spec", found.get)
    assert choose_runtime("auto") == "litert"
    del found["ai_edge_litert"]
    assert choose_runtime("auto") == "tflite-runtime"
    with pytest.raises(ModelError, match="litert is not installed"):
        choose_runtime("litert")
    found.clear()
    with pytest.raises(ModelError, match="litert or tflite-runtime is not installed"):
        choose_runtime("auto")


def test_a_runtime_that_cannot_be_imported_is_named(embedder_file, monkeypatch):
    spec, data = embedder_file
    broken = types.ModuleType("ai_edge_litert")
    monkeypatch.setitem(sys.modules, "ai_edge_litert", broken)
    monkeypatch.delitem(sys.modules, RUNTIMES["litert"], raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: broken)
    with pytest.raises(ModelError, match="litert cannot be loaded"):
        Network(spec, data, Options(runtime="litert"))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("ValueError('numpy.dtype size changed')", "remove numpy"),
        ("AttributeError('_ARRAY_API not found')", "remove numpy"),
        ("ImportError('x.so: undefined symbol: y')", "another system"),
    ],
)
def test_a_runtime_that_breaks_as_it_is_imported(embedder_file, monkeypatch, tmp_path, error, said):
    spec, data = embedder_file
    (tmp_path / "ai_edge_litert").mkdir()
    (tmp_path / "ai_edge_litert/__init__.py").touch()
    (tmp_path / "ai_edge_litert/interpreter.py").write_text(f"raise {error}\n")
    for name in ("ai_edge_litert", RUNTIMES["litert"]):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModelError, match=f"TFLite runtime litert cannot be loaded: .*{said}"):
        Network(spec, data, Options(runtime="litert"))


@pytest.mark.parametrize(
    "picture",
    [np.zeros((149, 150, 3), np.uint8), np.zeros((150, 150, 3), np.float32)],
    ids=["size", "dtype"],
)
def test_a_picture_of_another_shape_is_a_programming_error(embedder_file, picture):
    with pytest.raises(ValueError, match="picture is"):
        Network(*embedder_file).run(picture)


def test_wiping_leaves_the_answer_to_a_black_picture(embedder_file):
    network = Network(*embedder_file)
    black = network.run(np.zeros((150, 150, 3), np.uint8))[0].copy()
    seen = network.run(ramp(150, 150))[0]
    assert not np.array_equal(seen, black)
    network.wipe()
    tensor = network._interpreter.get_tensor(network._outputs[0]["index"])
    assert np.array_equal(tensor, black)
    assert (network._interpreter.get_tensor(network._input) == -128).all()
