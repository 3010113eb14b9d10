"""Finding a strategy by the name that the configuration gives it.

Three forms: `package.module:Class`, `path/file.py:Class` relative to the configuration file, and the name of an entry
point in the group `wirestamp.strategies`. A file is loaded as a fresh module each time, never reloaded in place, so an
old strategy keeps the code that it was built with.
"""

import importlib
import importlib.util
import itertools
import sys
from importlib.metadata import entry_points
from pathlib import Path

from bot.strategy import CALLBACKS, Strategy

ENTRY_POINT_GROUP = "wirestamp.strategies"
_generation = itertools.count(1)


class StrategyNotFound(Exception):
    """The configuration names something that is not a strategy; the message says what it is instead."""


def load_strategy(use: str, relative_to: Path) -> type[Strategy]:
    """Return the strategy class that a configuration's `use` names.

    Args:
        use: `package.module:Class`, `path/file.py:Class` or an entry point's name.
        relative_to: the folder of the configuration file.

    Returns:
        The class.

    Raises:
        StrategyNotFound: there is no such module, file or class, it failed on import, or it is not a strategy.
    """
    where, _, name = use.rpartition(":")
    if not where:
        found = _entry_point(use)
    else:
        module = _load_file(relative_to / where) if where.endswith(".py") else _load_module(where)
        found = getattr(module, name, None)
        if found is None:
            raise StrategyNotFound(f"{where} has no class {name!r}")
    return _checked(use, found)


def _entry_point(name: str) -> object:
    for point in entry_points(group=ENTRY_POINT_GROUP):
        if point.name == name:
            try:
                return point.load()
            except (Exception, SystemExit) as error:
                raise StrategyNotFound(
                    f"the entry point {name} ({point.value}) cannot be loaded: {type(error).__name__}: {error}"
                ) from error
    raise StrategyNotFound(
        f"expected package.module:Class, path/file.py:Class or an installed entry point, was {name!r}"
    )


def _load_module(name: str) -> object:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise StrategyNotFound(f"{name} cannot be imported: {type(error).__name__}: {error}") from error


def _load_file(path: Path) -> object:
    if not path.is_file():
        raise StrategyNotFound(f"there is no file {path}")
    name = f"wirestamp_strategy_{next(_generation)}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pydantic looks annotations up by the module's name
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise StrategyNotFound(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error
    return module


def _checked(use: str, found: object) -> type[Strategy]:
    if not (isinstance(found, type) and issubclass(found, Strategy)):
        raise StrategyNotFound(f"{use} is not a subclass of bot.strategy.Strategy")
    unknown = sorted(name for name in dir(found) if name.startswith("on_") and name not in CALLBACKS)
    if unknown:
        raise StrategyNotFound(f"{use} defines {', '.join(unknown)}; a strategy's callbacks are {', '.join(CALLBACKS)}")
    return found
