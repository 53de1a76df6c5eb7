"""How many examples a test generates: few and the same each time in the suite, many and others in long runs."""

from typing import Any

from hypothesis import HealthCheck, Phase, settings


def bounds(few: int, many: int, **more: Any) -> settings:
    """For `many` examples, which shrink; where that is 0 for `few`, which do not: it takes longer than a test may."""
    return settings(
        max_examples=many or few,
        derandomize=not many,
        phases=(Phase.generate, Phase.shrink) if many else (Phase.generate,),
        deadline=None,
        database=None,
        suppress_health_check=[
            HealthCheck.too_slow,
            HealthCheck.data_too_large,
            HealthCheck.large_base_example,
        ],
        **more,
    )
