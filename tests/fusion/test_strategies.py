import subprocess
import sys

import pytest

from sensorfuse.errors import SensorfuseError
from sensorfuse.fusion.strategies import (
    STRATEGIES,
    find_strategy,
    load_class,
    make_fuser,
    ready_strategies,
    strategy_names,
)
from sensorfuse.rig import Rig


def test_names_are_unique_and_found() -> None:
    assert len(set(strategy_names())) == len(STRATEGIES)
    assert all(find_strategy(n).name == n for n in strategy_names())


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: s.name)
def test_classes_exist(strategy: object) -> None:
    pytest.importorskip("torch")
    assert isinstance(load_class(strategy.runtime), type)  # type: ignore[attr-defined]
    assert isinstance(load_class(strategy.method), type)  # type: ignore[attr-defined]


def test_what_the_readme_offers_ships() -> None:
    assert {"late", "hybrid", "cross_modal_attention"} <= set(ready_strategies())


def test_without_weights_it_is_said_how_to_train(synthetic_rig: Rig) -> None:
    for name in set(strategy_names()) - set(ready_strategies()):
        with pytest.raises(SensorfuseError, match=f"train --strategy {name}"):
            make_fuser(synthetic_rig, name)


@pytest.mark.parametrize("name", ready_strategies())
def test_fusers_say_who_they_are(name: str, synthetic_rig: Rig) -> None:
    fuser = make_fuser(synthetic_rig, name)
    assert fuser.strategy == name
    assert (fuser.model != "") == (find_strategy(name).kind == "learned")


def test_unknown_strategy_lists_the_known(synthetic_rig: Rig) -> None:
    with pytest.raises(SensorfuseError, match="late, hybrid"):
        make_fuser(synthetic_rig, "psychic")


def test_running_needs_no_torch() -> None:
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from sensorfuse.fusion.strategies import make_fuser\n"
        "from sensorfuse.rig import shipped_rig\n"
        "make_fuser(shipped_rig('synthetic'), 'hybrid'); print('made')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "made", done.stderr
