"""Loading strategies: the three forms of a name, and what each mistake is answered with."""

import re
import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from bot import loading
from bot.loading import StrategyNotFound, load_strategy
from bot.strategy import Strategy
from strategies.volume_modulo import VolumeModulo

PLUGIN = """
from __future__ import annotations

from decimal import Decimal

from bot.strategy import Strategy, StrategyParams


class Mine(Strategy):
    class Params(StrategyParams):
        size: Decimal = Decimal("0.5")

    seen: list[int] = []

    def on_trade(self, trade, ctx):
        self.seen.append(trade)
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """A strategy in a file outside the project."""
    path = tmp_path / "plugins" / "my-strategy.py"
    path.parent.mkdir()
    path.write_text(PLUGIN)
    return path


def test_a_module_of_an_installed_package_is_imported(tmp_path: Path) -> None:
    """`package.module:Class`."""
    assert VolumeModulo is load_strategy("strategies.volume_modulo:VolumeModulo", tmp_path)


@pytest.mark.parametrize("form", ["plugins/my-strategy.py:Mine", "plugins/../plugins/my-strategy.py:Mine"])
def test_a_file_is_found_relative_to_the_configuration(form: str, plugin: Path) -> None:
    """`path/file.py:Class`, whatever the file's name and the current folder; its parameters are checked like others."""
    found = load_strategy(form, plugin.parents[1])
    assert issubclass(found, Strategy)
    assert {"size": "0.5"} == found.Params.model_validate({}).model_dump(mode="json")


def test_a_file_is_found_by_its_absolute_path(plugin: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """An absolute path ignores where the configuration lies."""
    assert "Mine" == load_strategy(f"{plugin}:Mine", tmp_path_factory.mktemp("elsewhere")).__name__


def test_two_loads_of_a_file_are_two_fresh_classes(plugin: Path) -> None:
    """Neither sees the other's class attributes, and the old one keeps its code when the file changes."""
    old = load_strategy(f"{plugin}:Mine", plugin.parent)
    old_params = old.Params
    plugin.write_text(PLUGIN.replace('"0.5"', '"0.25"'))
    new = load_strategy(f"{plugin}:Mine", plugin.parent)
    old(None).on_trade(1, None)  # type: ignore[arg-type]
    assert old is not new
    assert old.__module__ != new.__module__
    assert ([1], []) == (vars(old)["seen"], vars(new)["seen"])
    assert ("0.5", "0.25") == tuple(str(each().model_dump()["size"]) for each in (old_params, new.Params))


def entry_point(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    point = EntryPoint("mine", value, loading.ENTRY_POINT_GROUP)
    monkeypatch.setattr(loading, "entry_points", lambda group: EntryPoints([point]).select(group=group))


def test_an_entry_point_is_found_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In the group `wirestamp.strategies`."""
    entry_point(monkeypatch, "strategies.volume_modulo:VolumeModulo")
    assert VolumeModulo is load_strategy("mine", tmp_path)


@pytest.mark.parametrize("value", ["no_such_package:Mine", "strategies.volume_modulo:Nothing"])
def test_an_entry_point_that_cannot_be_loaded_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str
) -> None:
    """An installed plug-in that is broken is the configuration's fault as any other, not a crash."""
    entry_point(monkeypatch, value)
    with pytest.raises(StrategyNotFound, match="mine"):
        load_strategy("mine", tmp_path)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        ("nowhere.py:Mine", "there is no file"),
        ("plugins:Mine", "plugins cannot be imported: ModuleNotFoundError"),
        ("no_such_package.module:Mine", "no_such_package.module cannot be imported: ModuleNotFoundError"),
        ("strategies.volume_modulo:Nothing", "strategies.volume_modulo has no class 'Nothing'"),
        ("plugin.py:Nothing", "plugin.py has no class 'Nothing'"),
        ("decimal:Decimal", "decimal:Decimal is not a subclass of bot.strategy.Strategy"),
        ("strategies.volume_modulo:Decimal", "is not a subclass"),
        ("math:pi", "is not a subclass"),
        ("mine", "expected package.module:Class, path/file.py:Class or an installed entry point, was 'mine'"),
        ("", "expected package.module:Class"),
        ("strategies.volume_modulo:", "has no class ''"),
        (":VolumeModulo", "expected package.module:Class"),
    ],
)
def test_a_name_that_leads_nowhere_is_answered_with_what_it_is(use: str, message: str, tmp_path: Path) -> None:
    """The message says what was expected and what was found."""
    (tmp_path / "plugin.py").write_text(PLUGIN)
    with pytest.raises(StrategyNotFound, match=re.escape(message)):
        load_strategy(use, tmp_path)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("1 / 0", "plugin.py cannot be loaded: ZeroDivisionError: division by zero"),
        ("class Mine(", "plugin.py cannot be loaded: SyntaxError"),
        ("import no_such_package", "plugin.py cannot be loaded: ModuleNotFoundError"),
        ("raise SystemExit(3)", "plugin.py cannot be loaded: SystemExit: 3"),
        ("\0", "plugin.py cannot be loaded"),
    ],
)
def test_a_file_that_fails_on_import_is_reported_and_leaves_nothing(source: str, message: str, tmp_path: Path) -> None:
    """No half-made module stays behind."""
    (tmp_path / "plugin.py").write_text(source)
    before = set(sys.modules)
    with pytest.raises(StrategyNotFound, match=re.escape(message)):
        load_strategy("plugin.py:Mine", tmp_path)
    assert set() == {name for name in set(sys.modules) - before if "plugin" in name}


def test_a_callback_that_does_not_exist_is_refused(plugin: Path) -> None:
    """A misspelt callback would never be called: better to say so at the start."""
    plugin.write_text(PLUGIN.replace("on_trade", "on_trades"))
    with pytest.raises(StrategyNotFound, match=r"defines on_trades; a strategy's callbacks are on_start, on_trade,"):
        load_strategy(f"{plugin}:Mine", plugin.parent)
