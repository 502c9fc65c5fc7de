from orchestrator.checkpoint import RunState


def test_a_state_survives_with_whatever_bytes_it_holds() -> None:
    state = RunState(rate=24000 / 1001, next_tick=240, frames=960, association=b'\n\x00{"a"}\n\xff')
    assert RunState.from_bytes(state.to_bytes()) == state
