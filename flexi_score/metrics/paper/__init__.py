"""Profile ``paper``: the definitions of the FLEXI paper, one module a scenario."""

from flexi_score.metrics.paper import (
    model_backchannel,
    model_interrupt,
    pause_handling,
    turn_taking,
    user_backchannel,
    user_interrupt,
)

MODULES = {
    "turn_taking": turn_taking,
    "pause_handling": pause_handling,
    "user_interrupt": user_interrupt,
    "model_interrupt": model_interrupt,
    "user_backchannel": user_backchannel,
    "model_backchannel": model_backchannel,
}

METRICS = tuple(metric for module in MODULES.values() for metric in module.METRICS)
